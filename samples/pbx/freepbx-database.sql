-- A database like FreePBX's own `asterisk`: the tables with the phones, and some rows of each kind.
-- mariadb -e 'CREATE DATABASE asterisk'; mariadb asterisk < samples/pbx/freepbx-database.sql
SET NAMES utf8mb4;
CREATE TABLE users (
  extension varchar(20) NOT NULL DEFAULT '',
  password varchar(20) DEFAULT NULL,
  name varchar(50) DEFAULT NULL,
  voicemail varchar(50) DEFAULT NULL,
  outboundcid varchar(50) DEFAULT NULL,
  sipname varchar(50) DEFAULT NULL,
  PRIMARY KEY (extension)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE devices (
  id varchar(20) NOT NULL DEFAULT '',
  tech varchar(10) NOT NULL DEFAULT '',
  dial varchar(255) NOT NULL DEFAULT '',
  devicetype varchar(5) NOT NULL DEFAULT '',
  user varchar(50) DEFAULT NULL,
  description varchar(50) DEFAULT NULL,
  emergency_cid varchar(100) DEFAULT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
CREATE TABLE sip (
  id varchar(20) NOT NULL DEFAULT '-1',
  keyword varchar(30) NOT NULL DEFAULT '',
  data varchar(255) NOT NULL DEFAULT '',
  flags int(1) NOT NULL DEFAULT 0,
  PRIMARY KEY (id, keyword)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

INSERT INTO users (extension, password, name, voicemail) VALUES
  ('0104', '', 'Zoë Lindqvist', 'default'),
  ('1001', '', 'Ann Berg', 'default'),
  ('1002', '', 'Comma, Carl', 'novm'),
  ('1003', '', 'IAX Ida', 'novm'),
  ('1004', '', 'No Secret', 'novm'),
  ('1005', '', 'Pjsip Paul', 'novm');
INSERT INTO devices (id, tech, dial, devicetype, user, description) VALUES
  ('0104', 'pjsip', 'PJSIP/0104', 'fixed', '0104', 'Zoë Lindqvist'),
  ('1001', 'sip', 'SIP/1001', 'fixed', '1001', 'Ann Berg'),
  ('1002', 'sip', 'SIP/1002', 'fixed', '1002', 'Comma, Carl'),
  ('1003', 'iax2', 'IAX2/1003', 'fixed', '1003', 'IAX Ida'),
  ('1004', 'sip', 'SIP/1004', 'fixed', '1004', 'No Secret'),
  ('1005', 'pjsip', 'PJSIP/1005', 'fixed', '1005', 'Pjsip Paul');
INSERT INTO sip (id, keyword, data, flags) VALUES
  ('0104', 'account', '0104', 2), ('0104', 'secret', 'Grün-Pässe-0104', 3), ('0104', 'context', 'from-internal', 4),
  ('1001', 'account', '1001', 2), ('1001', 'secret', 'pa"ss,\\1 x;', 3), ('1001', 'md5_cred', '', 4),
  ('1002', 'account', '1002', 2), ('1002', 'secret', '5f4dcc3b5aa765d61d8327deb882cf99', 3),
  ('1004', 'account', '1004', 2), ('1004', 'secret', '', 3),
  ('1005', 'account', '1005', 2), ('1005', 'secret', 'Pjsip-Secret-1005', 3),
  ('tr-peer-1', 'secret', 'trunk-secret', 3), ('tr-peer-1', 'host', 'sip.example.net', 2);

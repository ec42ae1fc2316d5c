-- A database like Kamailio's own, for PostgreSQL: the table of its auth_db module, and some users.
-- createdb kamailio; psql kamailio < samples/pbx/kamailio-database.sql
CREATE TABLE subscriber (
    id SERIAL PRIMARY KEY NOT NULL,
    username VARCHAR(64) DEFAULT '' NOT NULL,
    domain VARCHAR(64) DEFAULT '' NOT NULL,
    password VARCHAR(64) DEFAULT '' NOT NULL,
    ha1 VARCHAR(128) DEFAULT '' NOT NULL,
    ha1b VARCHAR(128) DEFAULT '' NOT NULL,
    CONSTRAINT subscriber_account_idx UNIQUE (username, domain)
);
INSERT INTO subscriber (username, domain, password, ha1, ha1b) VALUES
    ('0301', 'sip.example.com', 'Kam-Secret-0301', '', ''),
    ('1302', 'sip.example.com', 'with "quote", comma; and \ back', '', ''),
    ('1303', 'other.example.com', 'Schlüssel-1303', '', '');

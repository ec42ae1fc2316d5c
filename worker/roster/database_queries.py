"""The queries of formats whose PBX keeps its users in a database with a public schema.

Each has an order, so that a row has the same number when it is read again. Columns are named as the
format's export names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_FREEPBX = """
SELECT d.id AS extension, u.name AS name, d.tech AS tech, d.devicetype AS devicetype, d.user AS user,
       d.description AS description, secret.data AS secret, md5_cred.data AS md5_cred,
       account.data AS account, username.data AS username, context.data AS context
  FROM devices d
  LEFT JOIN users u ON u.extension = d.user
  LEFT JOIN sip secret ON secret.id = d.id AND secret.keyword = 'secret'
  LEFT JOIN sip md5_cred ON md5_cred.id = d.id AND md5_cred.keyword = 'md5_cred'
  LEFT JOIN sip account ON account.id = d.id AND account.keyword = 'account'
  LEFT JOIN sip username ON username.id = d.id AND username.keyword = 'username'
  LEFT JOIN sip context ON context.id = d.id AND context.keyword = 'context'
 ORDER BY d.id
"""
"""FreePBX's database asterisk: a device for each registration, and ``sip`` with a row for each setting."""

_FUSIONPBX = """
SELECT d.domain_name, e.*
  FROM v_extensions e
  LEFT JOIN v_domains d ON d.domain_uuid = e.domain_uuid
 ORDER BY d.domain_name, e.extension, e.extension_uuid
"""

_SUBSCRIBER = "SELECT * FROM subscriber ORDER BY id"

QUERIES: Final[Mapping[str, str]] = {
    "freepbx": _FREEPBX,
    "fusionpbx": _FUSIONPBX,
    "kamailio": _SUBSCRIBER,
    "opensips": _SUBSCRIBER,
}
"""``--from`` to its query."""

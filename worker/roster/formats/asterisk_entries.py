"""The entries of Asterisk's sip.conf, users.conf, pjsip.conf and pjsip_wizard.conf, as records.

Sources: chan_sip (build_peer, reload_config), res_pjsip (config_auth, pjsip_configuration) and
res_pjsip_config_wizard of Asterisk, and the files that FreePBX writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import islice
from typing import Final, NamedTuple

from worker.roster.formats.asterisk_lines import NOT_READ
from worker.roster.formats.asterisk_links import Links, registrar_of
from worker.roster.formats.asterisk_near import TRUNK_CONTEXTS, Use
from worker.roster.formats.asterisk_sections import OF_GENERAL, Loose, Section, Settings
from worker.roster.formats.digests import outdates, reason
from worker.roster.formats.includes import Includes
from worker.roster.formats.verdict import OUTDATED, REFUSE, SKIP, UNREAD, WARN, verdict
from worker.roster.text import Fields, Record, apart

HEADER: Final = (
    "username", "secret", "md5", "section", "kind", "name", "callerid", "context", "mailbox", "mac", "host",
    "sip_realm", "place", "verdict",
)  # fmt: skip
"""The columns of the records; ``md5`` is the stored digest."""
_SIP_TYPES: Final = frozenset({"peer", "user", "friend"})
_USERS_DEFAULTS: Final = frozenset({"hassip", "registersip", "host"})
"""Settings of ``[general]`` that hold for all sections of users.conf."""
_PLACE, _SECRET, _VERDICT = map(HEADER.index, ("place", "secret", "verdict"))
_QUOTES: Final = "\"'"
_USER_AND_PASSWORD = 2
_GROUP = 1000
_caller = re.compile(r'"([^"]*)"|([^<"]+?)\s*<').match
_iax_methods = re.compile(r"[, ]*(?:(?:md5|plaintext|rsa)[, ]*)+", re.IGNORECASE).fullmatch
_true = frozenset({"yes", "true", "y", "t", "1", "on"}).__contains__

_TRUNK = verdict(SKIP, "trunk", "a trunk: its host is fixed, and is not that of a phone")
_REGISTERED = verdict(SKIP, "trunk", "a trunk: the PBX registers there")
_FROM_TRUNK = verdict(SKIP, "trunk", "a trunk: FreePBX gives its context to calls from trunks")
_NO_TYPE = verdict(
    SKIP, "not_an_extension", "the section has no type that Asterisk knows, so it makes no user of it"
)
_REMOTE = verdict(
    SKIP, "outbound", "its remotesecret is for calls that the PBX makes; it has no secret for a phone's"
)
_REGISTER = verdict(SKIP, "outbound", "the PBX itself registers at another server")
_AUTHENTICATION = verdict(SKIP, "outbound", "a login of the PBX itself at another server")
_IAX = verdict(SKIP, "not_sip", "an IAX2 user")
_NOT_SIP = verdict(SKIP, "not_sip", "hassip is not yes, so it is not a SIP user")
_USERS_TRUNK = verdict(SKIP, "trunk", "a trunk: registersip or trunkname is set")
_NO_ACCEPT = verdict(SKIP, "not_an_extension", "accepts_auth is not yes, so nobody can register with it")
_SENDS = verdict(SKIP, "trunk", "a trunk: the PBX registers there (sends_registrations)")
_SENDS_AUTH = verdict(SKIP, "outbound", "only the PBX authenticates with it, at another server (sends_auth)")
_REMOTE_HOSTS = verdict(SKIP, "trunk", "a trunk: it has remote_hosts, and accepts no registrations")
_IDENTIFIED = verdict(
    SKIP, "trunk", "a trunk: its endpoint is identified by an address or registers elsewhere"
)
_FREEPBX_TRUNK = verdict(SKIP, "trunk", "a trunk: FreePBX calls the auth of an extension EXTENSION-auth")
_SENDS_ALONE = verdict(SKIP, "trunk", "a trunk: only the PBX authenticates there (outbound_auth)")
_NO_AUTH = verdict(SKIP, "not_an_extension", "the endpoint has no auth: it is known by its address")
_AUTH_ELSEWHERE = verdict(REFUSE, "password_missing", "the auth that the endpoint names is not in the file")
_DIGEST_ONLY = verdict(REFUSE, "digest_only", "only a digest is stored, which is of no use in another realm")
_TWICE = verdict(WARN, "password_twice", "the section sets it twice; as in Asterisk, the last value counts")
_QUOTED = verdict(WARN, "password_quoted", "the quotes are part of the password: Asterisk leaves them")
_OUTDATED = verdict(OUTDATED, "digest_only", reason("Asterisk", "the stored digest", "the secret"))


def records(
    entries: Iterable[Section | Loose], links: Links, files: Includes, *, complete: bool = True
) -> Iterator[Record]:
    """Yield a record for every entry, the header first; the PBX's own settings are none.

    ``complete``: the links know all sections; else endpoints without an auth are left out.
    """
    yield 1, list(HEADER)
    found = _of_entries(entries, links)
    if complete:
        found = merge(found, _of_endpoints(links), key=lambda record: record[0])
    yield from apart(_placed(found, files) if files.several else found)


def _placed(records: Iterable[Record], files: Includes) -> Iterator[Record]:
    for number, fields in records:
        fields[_PLACE] = files.place(number)
        yield number, fields


def _of_entries(entries: Iterable[Section | Loose], links: Links) -> Iterator[Record]:
    rest = iter(entries)
    while group := list(islice(rest, _GROUP)):
        sections = (one for one in group if isinstance(one, Section) and not one.use)
        auths = [one.name for one in sections if _kind(one) == "auth"]
        uses = iter(links.uses(auths) if auths else ())
        for entry in group:
            if isinstance(entry, Loose):
                yield entry.number, _loose(entry)
            elif entry.use:
                yield entry.number, _near(entry, entry.use, links)
            elif (kind := _kind(entry)) == "auth":
                yield entry.number, _checked(entry, _auth(entry, next(uses), links))
            elif fields := _section(entry, kind, links):
                yield entry.number, _checked(entry, fields)


def _kind(section: Section) -> str:
    return section.settings.get("type", "").lower()


class _Login(NamedTuple):
    """The login of a phone, as far as a section has it."""

    user: str
    secret: str = ""
    md5: str = ""
    realm: str = ""


_NO_LOGIN: Final = _Login("")


def _of_endpoints(links: Links) -> Iterator[Record]:
    """Yield endpoints whose user and password are somewhere else."""
    for number, name, shown in links.without_auth():
        yield number, _fields(_Login(name), name, "endpoint", shown, _AUTH_ELSEWHERE)


def _checked(section: Section, fields: Fields) -> Fields:
    """Refuse a section whose settings are in doubt, even in what it is; warn of a secret that is odd."""
    found, secret = fields[_VERDICT], fields[_SECRET]
    if section.problem:
        fields[_VERDICT] = verdict(REFUSE, "section_unclear", section.problem)
    elif secret and (not found or found.startswith(WARN)):
        if section.doubled:
            fields[_VERDICT] += _TWICE
        if secret[0] in _QUOTES and len(secret) > 1 and secret[-1] == secret[0]:
            fields[_VERDICT] += _QUOTED
    return fields


def _section(section: Section, kind: str, links: Links) -> Fields | None:
    """Return the fields of a section other than an auth; None if it is no entry."""
    settings, name = section.settings, section.name
    if kind in _SIP_TYPES:
        return _sip(name, kind, settings, links)
    if name.lower() in OF_GENERAL:
        return None
    if kind == "wizard":
        return _wizard(name, settings)
    if kind == "endpoint":
        return _fields(
            _Login(name), name, kind, settings, _SENDS_ALONE if "outbound_auth" in settings else _NO_AUTH
        )
    if kind in ("registration", "outbound-publish"):
        return _fields(_NO_LOGIN, name, kind, {}, _REGISTER)
    if not kind and ("hassip" in settings or "hassip" in links.general):
        defaults = {key: value for key, value in links.general.items() if key in _USERS_DEFAULTS}
        return _users_conf(name, defaults | settings, links)
    return _fields(_Login(name), name, kind, settings, _NO_TYPE)


def _loose(line: Loose) -> Fields:
    if line.kind == NOT_READ:
        found = verdict(UNREAD, "include_not_read", f"its users are missing: {line.value}")
        return _fields(_NO_LOGIN, "", "include", {}, found)
    found = _REGISTER if line.kind == "register" else _AUTHENTICATION
    return _fields(_NO_LOGIN, "", line.kind, {"host": registrar_of(line.value)}, found)


def _sip(name: str, kind: str, settings: Settings, links: Links) -> Fields:
    secret, md5 = settings.get("secret", ""), settings.get("md5secret", "")
    realm = links.general.get("realm", "")
    found = _sip_verdict(name, kind, settings, links) or _digest_verdict(name, secret, [md5], realm)
    return _fields(_Login(name, secret, md5, realm), name, kind, settings, found)


def _sip_verdict(name: str, kind: str, settings: Settings, links: Links) -> str:
    host = settings.get("host", "").lower()
    if "requirecalltoken" in settings or _iax_methods(settings.get("auth", " ")):
        return _IAX
    if host and host != "dynamic":
        calls_in = settings.get("insecure", "").lower()
        if kind == "peer" or "invite" in calls_in or "very" in calls_in or _calls_out(settings):
            return _TRUNK
        if links.registers_at(host):
            return _REGISTERED
    if settings.get("remotesecret") and not (settings.get("secret") or settings.get("md5secret")):
        return _REMOTE
    if settings.get("context", "").startswith(TRUNK_CONTEXTS):
        return _FROM_TRUNK
    return ""


def _calls_out(settings: Settings) -> bool:
    return any(map(settings.get, ("remotesecret", "fromuser", "fromdomain")))


def _users_conf(name: str, settings: Settings, links: Links) -> Fields:
    found = ""
    if _true(settings.get("registersip", "").lower()) or "trunkname" in settings:
        found = _USERS_TRUNK
    elif not _true(settings.get("hassip", "").lower()):
        found = _NOT_SIP
    secret, md5 = settings.get("secret", ""), settings.get("md5secret", "")
    realm = links.general.get("realm", "")
    found = found or _digest_verdict(name, secret, [md5], realm)
    return _fields(_Login(name, secret, md5, realm), name, "users.conf", settings, found)


def _wizard(name: str, settings: Settings) -> Fields:
    own = {key.rpartition("/")[2]: value for key, value in settings.items() if "/" in key}
    is_true = {key for key, value in settings.items() if _true(value.lower())}
    found = ""
    if "sends_registrations" in is_true:
        found = _SENDS
    elif "accepts_auth" not in is_true:
        found = _SENDS_AUTH if "sends_auth" in is_true else _NO_ACCEPT
    elif settings.get("remote_hosts") and "accepts_registrations" not in is_true:
        found = _REMOTE_HOSTS
    shown = own | {"host": settings.get("remote_hosts", "")}
    return _auth_fields(name, "wizard", own, shown, found)


def _auth(section: Section, use: Use, links: Links) -> Fields:
    found, freepbx = "", bool(links.pairs)
    if use.outbound and not (use.phones and not use.context.startswith(TRUNK_CONTEXTS)):
        found = verdict(SKIP, "outbound", f"{use.outbound} authenticates with it at another server")
    elif use.identified:
        found = _IDENTIFIED
    elif freepbx and not section.name.endswith("-auth"):
        if not use.known:
            found = _FREEPBX_TRUNK
        elif use.context.startswith(TRUNK_CONTEXTS):
            found = _FROM_TRUNK
    shown = {"callerid": use.callerid, "context": use.context, "mailbox": use.mailbox, "mac": use.mac}
    fields = _auth_fields(section.name, "auth", section.settings, shown, found, links.default_realm)
    if use.outbound and not fields[_VERDICT]:
        fields[_VERDICT] = verdict(
            WARN, "also_outbound", f"{use.outbound} also authenticates with it in calls to the phone"
        )
    return fields


def _near(section: Section, use: Use, links: Links) -> Fields:
    """Return what ``_auth`` would, sooner: only a phone's endpoint uses it, and it has no second secret."""
    name, settings = section.name, section.settings
    if len(settings) > _USER_AND_PASSWORD or settings["password"][:1] in _QUOTES:
        return _checked(section, _auth(section, use, links))
    caller = use.callerid
    return [
        settings["username"], settings["password"], "", name, "auth", _name_in(caller), caller, use.context,
        use.mailbox, "", "", links.default_realm, "", "",
    ]  # fmt: skip


def _name_in(caller: str) -> str:
    """Return the name in a caller ID, ``"Ann Hill" <6001>``; empty if there is none."""
    found = _caller(caller) if caller else None
    return found[1] or found[2] or "" if found else ""


def _auth_fields(
    section: str, kind: str, auth: Settings, shown: Settings, found: str, realm: str = ""
) -> Fields:
    """Return the fields of an auth of pjsip.conf, or of a wizard; ``realm``: if it has none of its own."""
    user, secret, realm = auth.get("username", ""), auth.get("password", ""), auth.get("realm", "") or realm
    digests = [auth.get("md5_cred", ""), auth.get("password_digest", "").rpartition(":")[2]]
    found = found or _digest_verdict(user, secret, digests, realm)
    login = _Login(user, secret, digests[0] or digests[1], realm)
    return _fields(login, section, kind, shown, found)


def _digest_verdict(user: str, secret: str, digests: Sequence[str], realm: str) -> str:
    """Return the verdict on digests that are stored beside a password, or instead of one."""
    if not any(digests):
        return ""
    if not secret:
        return _DIGEST_ONLY
    return _OUTDATED if any(outdates(one, user, secret, realm) for one in digests if one) else ""


def _fields(login: _Login, section: str, kind: str, shown: Settings, found: str) -> Fields:
    user, secret, md5, realm = login
    get = shown.get
    caller = get("callerid", "")
    name = get("fullname", "") or _name_in(caller)
    mailbox = get("mailbox", "") or get("mailboxes", "")
    mac, host, context = get("macaddress", "") or get("mac", ""), get("host", ""), get("context", "")
    return [
        user, secret, md5, section, kind, name, caller, context, mailbox, mac, host, realm, "", found
    ]  # fmt: skip

"""Recognise columns that hold, or may hold, a secret by their names."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

_ENDS = (
    "password|passwort|kennwort|passwd|passphrase|passcode|secret|pwd|psw|pswd|hash|hashes|hashed|digest|token|"
    "credential|md5|md5sum|losungswort|geheimnis|geheimzahl"
)
"""Words that end compounds, too: formats glue them to another word, as in ``vmsecret`` or ``authhash``."""
_word = re.compile(
    f"(?:.*(?:{_ENDS}))s?|"
    # Also common at the end of unrelated words.
    "(?!(?:by|com|tres|over|under|sur|encom|im)pass$).*pass|.*pw|"
    "(?!(?:top|back|side|tail)?spins?$|(?:hair|king|push|lynch|linch|bow|clothes|duck|under|cotter|dro|zi|po)pins?$|"
    "lupins?$|crispin$|chopin$|repin$).*pins?|"
    "pincodes?|pinkode|pinno|pinnr|pinnum(?:ber)?s?|puk|puks?code|psk|h?a1b?|sha1|sha(?:224|256|384|512)|otp|totp|salt|"
    "cred|creds|sipcreds?|"
    "contrasenas?|claves?|senhas?|motdepasse|mdp|parola|wachtwoord|losenord|adgangskode|"
    "passord|salasana|haslo|heslo|jelszo|sifre|парол[ьи]|κωδικος|密码|密碼|パスワード|暗証番号|비밀번호"
).fullmatch
"""A word for a password, PIN, digest or token, without accents."""
_OF = (
    "sip|voip|api|auth|authentication|access|secret|private|priv|shared|preshared|secure|security|crypto?|"
    "encryption|srtp|sdes|tls|ssh|wpa2?|wifi|wlan|reg|registration|prov|provisioning|master|session|signing"
)
_CODE = (
    "access|security|auth|authentication|authorisation|authorization|alarm|door|entry|unlock|lock|login|logon|"
    "voicemail|vm|mailbox|verification|activation|secret|zugangs|geheim"
)
_pair = re.compile(f"(?:.*(?:{_OF}))keys?|(?:{_CODE})codes?|(?:sip|web|user|digest)auth|motdepasse").fullmatch
"""Two words, or one that they are glued to, that are a secret only together: ``SIPKey``, ``door code``.

``key`` alone is on every telephone, and ``auth`` begins ``auth id``, which is a user name.
"""
_whole = re.compile("keys?|auth").fullmatch
"""Words that are a secret if the name has no others."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BREAKS = re.compile(r"[\W_]+")
_LETTERS = re.compile(r"[^\W\d_]+")


def may_be_secret(column: str) -> bool:
    """Return whether the name suggests a secret: ``Voicemail PIN``, ``SrvcAccessPwd``, ``a1-hash``."""
    apart = _CAMEL.sub(" ", column).casefold()
    bare = "".join(c for c in unicodedata.normalize("NFKD", apart) if not unicodedata.combining(c))
    letters = _LETTERS.findall(bare)
    if any(_word(word) for word in _words(apart, bare, letters)):
        return True
    joined = [*letters, *("".join(two) for two in pairwise(letters)), "".join(letters)]
    return any(map(_pair, joined)) or bool(_whole("".join(letters)))


def _words(apart: str, bare: str, letters: list[str]) -> list[str]:
    """Return the name's words with digits (``ha1``), without (``pin2``), and as written (``パスワード``)."""
    return _BREAKS.split(bare) + letters + _BREAKS.split(unicodedata.normalize("NFC", apart))

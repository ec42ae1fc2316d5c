"""Which columns hold, or may hold, a secret, by their names."""

from __future__ import annotations

import re
import unicodedata

_word = re.compile(
    "(?:.*(?:password|passwort|kennwort|passwd|secret|pwd))s?|pass|pw|passphrase|passcode|pins?|pincode|puk|"
    "hash(?:es)?|digest|md5|sha1|sha256|ha1b?|tokens?|otp|totp|salt|apikey|credentials?|"
    "losungswort|geheimnis|contrasenas?|claves?|senhas?|motdepasse|mdp|parola|wachtwoord|losenord|adgangskode|"
    "passord|salasana|haslo|heslo|jelszo|sifre|парол[ьи]|κωδικος|密码|密碼|パスワード|暗証番号|비밀번호"
).fullmatch
"""A word for a password, PIN, digest or token, without accents. The first group ends compounds, too: formats
glue it to another word, as in ``vmsecret`` or ``webpassword``."""
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BREAKS = re.compile(r"[\W_]+")
_LETTERS = re.compile(r"[^\W\d_]+")


def may_be_secret(column: str) -> bool:
    """Whether a word of the column's name says so: ``Voicemail PIN``, ``SrvcAccessPwd``, ``a1-hash``."""
    return any(_word(word) for word in _words(column))


def _words(column: str) -> list[str]:
    """Its words with their digits (``ha1``), without them (``pin2``), and as written (``パスワード``)."""
    apart = _CAMEL.sub(" ", column).casefold()
    bare = "".join(c for c in unicodedata.normalize("NFKD", apart) if not unicodedata.combining(c))
    return _BREAKS.split(bare) + _LETTERS.findall(bare) + _BREAKS.split(unicodedata.normalize("NFC", apart))

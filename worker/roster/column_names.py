"""Column names that stand for a user or a SIP password, in the words of PBXs and in eight languages.

A name is compared without case, accents, spaces and punctuation. Two kinds are told apart: names that say
which password or user they mean (``SIP Secret``, ``AuthID``), and general ones (``password``, ``extension``),
which may belong to the web login or the mailbox where one of the former is in the same file.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import Final

_WORDS = (
    "password|passwd|pass|pwd|passwort|kennwort|secret|motdepasse|mdp|contrasena|contrasenya|clave|parolachiave|"
    "senha|palavrapasse|palavrachave|wachtwoord|haslo"
)
_SIP = "(?:sip|iax|voip|pjsip)+"
_OF_PHONE = (
    f"(?:{_SIP}(?:user|account|auth|device|phone|line|peer|endpoint|registration|register|extension|ext|telefon)?|"
    "auth|authentication|authorization|authorisation|digest|digestauth|registration|register|registrar|reg|"
    "registrierungs?|registrierung|anmelde|phone|telefon|telephone|telefono|telefone|telefoon|device|devinfo|"
    "geraete?|line|endpoint|peer|extension|ext|nebenstellen|nebenstelle|softphone|handset|endgeraete?)"
)
_AFTER = "(?:de|del|da|do|di|du|la|le|der|des|van|voor|dla)*"
_specific_password = re.compile(
    f"{_OF_PHONE}(?:{_WORDS})|(?:{_WORDS}){_AFTER}"
    f"(?:{_SIP}|auth|registration|registro|registration|enregistrement|registrazione|rejestracji|registratie|"
    "extension|poste|interno|ramal|toestel|nebenstelle|phone|telefono|telefone|telephone|telefoon|telefonu)"
).fullmatch
_general_password = re.compile(f"(?:{_WORDS})").fullmatch

_USER_WORD = (
    "username|user|userid|usr|login|id|name|account|accountid|accountname|benutzername|benutzer|kennung"
)
_specific_user = re.compile(
    f"{_SIP}(?:username|user|userid|login|loginname|account|accountname|accountid|name|auth|authid|authuser|"
    "authname|authusername|authenticationid|extension|ext|benutzer|benutzername|kennung|utilisateur|identifiant|"
    "usuario|utente|gebruiker|gebruikersnaam|uzytkownik|peer|endpoint)|"
    f"(?:auth|authentication|authorization|authorisation|digest|registration|register|reg)(?:{_USER_WORD})|"
    f"linename|devinfouser|phoneuser|phoneusername|(?:registrierungs|anmelde)(?:name|kennung)|authentifizierungsid|"
    "(?:identifiant|utilisateur|usuario|utente|gebruiker|uzytkownik|login)(?:de|del|du|di)?sip"
).fullmatch
_NUMBER = "(?:n|no|nr|nro|num|number|nummer|rufnummer|numero|numer)"
_OF = "(?:de|del|da|do|di|du|la|le|d|l)*"
_EXTENSION = (
    "extension|extn|nebenstellen?|nst|durchwahl|klappe|teilnehmer(?=n)|poste|extensao|interno|anexo|ramal|toestel|"
    "extensie|wewn|wewnetrzny|directory(?=n)|numero(?:court|corto)"
)
_GENERAL_USERS: Final = (
    "username|benutzername|nutzername|nomdutilisateur|nomutilisateur|nombredeusuario|nombreusuario|nombredelusuario|"
    "nomeutente|nomedeusuario|nomeusuario|nomedousuario|nomedoutilizador|nomedeutilizador|gebruikersnaam|"
    "nazwauzytkownika",
    "user|benutzer|nutzer|utilisateur|usuario|utente|utilizador|gebruiker|uzytkownik",
    "login|identifiant|benutzerkennung|nutzerkennung|kennung|loginname|anmeldename",
    f"(?:{_NUMBER}{_OF})?(?:{_EXTENSION})(?:{_NUMBER}|id)?|ext(?:no|number)|{_NUMBER}interne|"
    f"interne?{_NUMBER}",
    "ext|number|nummer|numero|numer|rufnummer|userid|loginid|benutzerid|nutzerid|(?:id|identifiant)"
    "(?:de|d|del|do)?(?:utilisateur|usuario|utente|utilizador)|gebruikers?id|iduzytkownika",
)
_general_users = [re.compile(words).fullmatch for words in _GENERAL_USERS]
LAST_CHOICE: Final = len(_GENERAL_USERS)
"""The rank of names such as ``number`` or ``User ID``, which are the user's only where no other column is."""

_decoy = re.compile(
    "voicemail|voicebox|^vm|^mb|mailbox|mail|messagerie|buzon|casella|correiodevoz|poczta|anrufbeantworter|"
    "pin(?:code|no|nr|number)?[0-9]*$|^pin|puk|web|portal|admin|manager|login|logon|srvc|service|access|trunk|"
    "remote|outbound|provision|meeting|conf|ldap|windows|cloud|microsoft|office365|initial|feature|expir|"
    "changed|policy|strength|reset|question|"
    "^(?:user|benutzer|utilisateur|usuario|utente|gebruiker|uzytkownik|account|konto)(?:s|er)?"
    f"(?:{_WORDS}|pw|code)|(?:{_WORDS}){_AFTER}(?:user|utilisateur|usuario|utente|gebruiker|uzytkownika)"
).search
_of_a_person = re.compile(
    "(?:first|last|full|display|given|family|sur|middle|nick|friendly|caller|callerid|contact|company|vor|nach|"
    "anzeige|familien|voor|achter|site|group)?names?|callerid|cid|prenom|nom|nomcomplet|nombre|apellidos?|nome|"
    "cognome|sobrenome|naam|voornaam|achternaam|imie|nazwisko|vorname|nachname|email|"
    "effectivecalleridname|fullname|description"
).fullmatch
_of_a_place = re.compile(
    "site|location|office|building|floor|room|city|country|street|department|dept|team|group|company|title|mac|"
    "macaddress|ip|ipaddress|model|vendor|language|timezone|domain|realm|standort|abteilung|gebaude|raum|stadt"
).fullmatch
_sip_like = re.compile(f"{_SIP}|auth|regist|devinfo|phone|device|line|peer|endpoint|extension|ext").search
_LETTERS = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe"})


@functools.lru_cache(4096)
def bare(name: str) -> str:
    """Return the name's letters and digits without case and accents: ``contrasenasip`` for Contraseña SIP."""
    parts = unicodedata.normalize("NFKD", name.casefold().translate(_LETTERS))
    return "".join(one for one in parts if one.isalnum() and not unicodedata.combining(one))


def password_rank(name: str) -> int | None:
    """Return 0 for a name that says it is the phone's password, 1 for a general one, None for others."""
    text = bare(name)
    if _specific_password(text):
        return 0
    return 1 if _general_password(text) else None


def user_rank(name: str) -> int | None:
    """Return 0 for a name that says it is the SIP user, more for a general one, None for others."""
    text = bare(name)
    if _specific_user(text):
        return 0
    return next((at for at, words in enumerate(_general_users, 1) if words(text)), None)


def rank_of(field: str, name: str) -> int | None:
    """Return the rank of a name for ``username`` or ``password``; the lowest is the likeliest."""
    return user_rank(name) if field == "username" else password_rank(name)


def may_be_hinted(field: str, name: str) -> bool:
    """Return whether a hint for a field may name the column.

    Never one of a mailbox, a PIN, a web or administrator login, and no person's name for a user.
    """
    text = bare(name)
    return not _decoy(text) and not (field == "username" and _of_a_person(text))


def rules_secret_out(name: str) -> bool:
    """Return whether a column of this name has users, people's names or places, and so no passwords."""
    text = bare(name)
    harmless = _of_a_person(text) or _of_a_place(text) or user_rank(name) is not None
    return bool(harmless) and text != "description"


def sip_likeness(name: str) -> int:
    """Return 0 for a name that has to do with SIP, phones or registration, 1 for others."""
    return 0 if _sip_like(bare(name)) else 1

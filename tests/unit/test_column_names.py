"""The words of column names: which are a user, which a SIP password, which neither."""

from __future__ import annotations

import pytest

from worker.roster.column_names import may_be_hinted, password_rank, user_rank

SPECIFIC_PASSWORDS = (
    *(
        "sip_secret",
        "SIP Secret",
        "sipSecret",
        "SIP-SECRET",
        "sip password",
        "SIP/IAX Password",
        "sip_iax_pass",
    ),
    *("Auth Password", "AuthPassword", "auth-pass", "Authentication Password", "Registration Password"),
    *("registration_secret", "Register Password", "phone_password", "Phone Secret", "device secret"),
    *("DeviceSecret", "devinfo_secret", "linesecret", "Line Secret", "VoIP-Kennwort", "SIP-Passwort"),
    *("Mot de passe SIP", "mot_de_passe_sip", "Contraseña SIP", "Contrasen\u0303a de SIP", "Senha SIP"),
    *("Senha do Ramal", "Wachtwoord SIP", "SIP-wachtwoord", "Hasło SIP", "haslo_sip", "Password SIP"),
)
GENERAL_PASSWORDS = (
    *(
        "password",
        "PASSWORD",
        "Pass",
        "secret",
        "pass_word",
        "Passwd",
        "Kennwort",
        "Passwort",
        "Mot de passe",
    ),
    *("Contraseña", "clave", "Senha", "Wachtwoord", "Hasło", "palavra-passe"),
)
NO_PASSWORDS = (
    *("Voicemail Password", "vmpwd", "vmsecret", "voicemail_vmpwd", "PIN", "VMNoPin", "User Password"),
    *("Web Password", "web_pass", "DeskphoneWebPass", "SrvcAccessPwd", "Dial Trunk Password", "remotesecret"),
    *(
        "Portal Password",
        "Admin Password",
        "Login Password",
        "mb_pin",
        "name",
        "md5_cred",
        "hash1",
        "passport",
    ),
    *("UserPassword", "Benutzerpasswort", "Email Password", "reverse-auth-pass-web", "Password expires"),
)


@pytest.mark.parametrize(
    ("name", "rank"),
    [(name, 0) for name in SPECIFIC_PASSWORDS]
    + [(name, 1) for name in GENERAL_PASSWORDS]
    + [(name, None) for name in NO_PASSWORDS],
)
def test_passwords(name: str, rank: int | None) -> None:
    """A name that says SIP, phone or registration is told from a general one, and both from decoys."""
    assert password_rank(name) == rank


@pytest.mark.parametrize(
    "name",
    [
        *("sip_username", "SIP User", "SIP-Username", "AuthID", "Auth ID", "auth_user", "Auth Username"),
        *("Authentication ID", "Registration Name", "registrationname", "linename", "SIP Benutzername"),
        *("Identifiant SIP", "Usuario SIP", "Utente SIP", "SIP gebruiker", "SIP Login", "sipuser"),
    ],
)
def test_users_of_phones(name: str) -> None:
    """A name that says it is the one that a phone registers with."""
    assert user_rank(name) == 0


@pytest.mark.parametrize(
    "name",
    [
        *("username", "User Name", "user", "login", "Extension", "extension number", "Ext", "Number", "ext."),
        *(
            "Benutzername",
            "Benutzer",
            "Nebenstelle",
            "Durchwahl",
            "Nom d'utilisateur",
            "Identifiant",
            "Poste",
        ),
        *(
            "Usuario",
            "Nombre de usuario",
            "Extensión",
            "Utente",
            "Nome utente",
            "Interno",
            "Usuário",
            "Ramal",
        ),
        *(
            "Utilizador",
            "Extensão",
            "Gebruikersnaam",
            "Gebruiker",
            "Toestel",
            "Użytkownik",
            "Numer wewnętrzny",
        ),
        *("User ID", "UserID", "Benutzer-ID", "ID utilisateur", "ID de usuario", "Login ID", "Rufnummer"),
        *("N° de poste", "Nº de poste", "No de poste", "Nº interno", "Nr wewn.", "Numéro interne", "Anexo"),
        *("Nutzer", "Nutzername", "Nutzerkennung", "Nebenstellen-Nr.", "Teilnehmernummer", "Klappe", "NSt"),
        *("Interne Rufnummer", "Intern nummer", "Directory Number", "Extn", "Extension ID", "Gebruikers-ID"),
        *("Nazwa użytkownika", "N\u00famero de extensi\u00f3n", "Interno (numero)"[:7], "uzytkownik"),
    ],
)
def test_users_in_general(name: str) -> None:
    """Users and extensions, in eight languages, with accents or without."""
    assert (user_rank(name) or 0) > 0


@pytest.mark.parametrize(
    "name",
    [
        *("Name", "First Name", "Vorname", "Nom", "Nombre", "Mobile Number", "Phone Number", "DID", "Email"),
        *("Voicemail Number", "user_context", "SIPID", "Account Code", "mailbox", "Web Login", "domain"),
        *("Teilnehmer", "Telefonnummer", "Intern", "Account ID", "Agent ID", "Directory", "Tel", "Nr."),
    ],
)
def test_no_users(name: str) -> None:
    """Persons' names, telephone numbers and other logins are no users."""
    assert user_rank(name) is None


@pytest.mark.parametrize("name", [name for name in NO_PASSWORDS if user_rank(name) is None][:17])
def test_decoys_are_never_hinted(name: str) -> None:
    """A hint names no column of a mailbox, a PIN, or a web, portal, trunk or administrator login."""
    assert not may_be_hinted("password", name)


@pytest.mark.parametrize(
    "name", ["Name", "First Name", "Vorname", "Cognome", "Naam", "callerid", "Web Login"]
)
def test_a_person_is_no_number(name: str) -> None:
    """A hint for the user names no person's name."""
    assert not may_be_hinted("username", name)

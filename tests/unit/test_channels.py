"""Notification channels in the settings file: what each kind takes, what is refused, that nothing shows."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.channels import AppriseChannel, CommandChannel, MailChannel, MailTls, WebhookChannel, When
from worker.errors import UsageError
from worker.settings import Settings, channels_of_all_profiles, load
from worker.settings.channels import parsed

CANARY = b"canary-of-a-webhook-secret-1"
SECRET = f"whsec_{base64.b64encode(CANARY).decode()}"
WEBHOOK = f'[notify.ops]\nkind = "webhook"\nurl = "https://hooks.example.com/T0/x"\nsecret = "{SECRET}"\n'
MAIL = (
    '[notify.ops]\nkind = "email"\nhost = "mail.example.com"\nfrom = "a@example.com"\nto = "b@example.com"\n'
)
COMMAND = '[notify.ops]\nkind = "command"\nargv = ["/usr/local/bin/page"]\n'


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in an empty working folder, with a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def loaded(
    text: str,
    profile: str = "",
    env: Mapping[str, str] | None = None,
    *,
    named: bool = True,
    mode: int = 0o600,
) -> Settings:
    """Return the settings of a file with this text; ``named``: by --config."""
    path = Path("siproster.toml")
    path.write_text(text, "utf-8")
    path.chmod(mode)
    return load({}, env or {}, path if named else None, profile)


def refusal(text: str, **env: str) -> str:
    """Message and hint of the error that loading such a file ends with."""
    with pytest.raises(UsageError) as caught:
        loaded(text, env=env)
    return f"{caught.value.message} | {caught.value.hint}"


def unusable(settings: Settings, name: str = "ops") -> str:
    """Message and hint of the error for using a channel."""
    with pytest.raises(UsageError) as caught:
        settings.channel(name)
    return f"{caught.value.message} | {caught.value.hint}"


def test_a_webhook() -> None:
    """URL and secrets are kept, and neither is in a repr or in the address."""
    channel = loaded(WEBHOOK).channel("ops")
    assert isinstance(channel, WebhookChannel)
    assert (channel.url, channel.secrets, channel.when, channel.users) == (
        "https://hooks.example.com/T0/x", (CANARY,), When.ON_TROUBLE, False,
    )  # fmt: skip
    assert channel.address == "https://hooks.example.com"
    assert not any(one in repr(channel) for one in (CANARY.decode(), "T0", SECRET))


def test_several_secrets_are_for_rotation() -> None:
    """A list of secrets is kept in its order."""
    other = f"whsec_{base64.b64encode(bytes(24)).decode()}"
    channel = loaded(WEBHOOK.replace(f'"{SECRET}"', f'["{SECRET}", "{other}"]')).channel("ops")
    assert isinstance(channel, WebhookChannel)
    assert channel.secrets == (CANARY, bytes(24))


def test_a_command_a_mail_and_apprise() -> None:
    """Each kind has its own keys and defaults."""
    command = loaded(COMMAND + 'when = "always"\ntimeout = 5\n').channel("ops")
    assert command == CommandChannel(name="ops", argv=("/usr/local/bin/page",), timeout=5, when=When.ALWAYS)
    mail = loaded(MAIL + 'user = "u"\npassword = "canary-pass"\n').channel("ops")
    assert isinstance(mail, MailChannel)
    assert (mail.port, mail.tls, mail.password) == (587, MailTls.STARTTLS, "canary-pass")
    assert "canary-pass" not in repr(mail)
    chat = loaded('[notify.ops]\nkind = "apprise"\nurls = ["ntfys://canary-topic"]\n').channel("ops")
    assert chat == AppriseChannel(name="ops", urls=("ntfys://canary-topic",))
    assert "canary-topic" not in repr(chat) + chat.address


@pytest.mark.parametrize(("tls", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_port_follows_from_tls(tls: str, port: int) -> None:
    """Without a port it is the usual one."""
    channel = loaded(MAIL + f'tls = "{tls}"\n').channel("ops")
    assert isinstance(channel, MailChannel)
    assert channel.port == port


REFUSED = {
    "notify = 1": "notify is not a table",
    "[notify]\nops = 1": "write [notify.NAME]",
    '[notify."a b"]\nkind = "command"': "'a b' is not the name of a channel",
    "[notify.ops]": "[notify.ops]: kind is missing",
    '[notify.ops]\nkind = "pager"': "kind 'pager' is not known | use webhook, command, email, apprise",
    '[notify.ops]\nkind = "webhook"': "url is missing | write it as https://HOST/PATH",
    '[notify.ops]\nkind = "webhook"\nurl = "https://h/"': "secret is missing | generate one with",
    WEBHOOK + "timout = 3": "timout is not a setting of a webhook",
    WEBHOOK + 'when = "never"': "when 'never' is not known | use always, on-trouble",
    WEBHOOK + 'users = "yes"': "users must be true or false",
    WEBHOOK + 'secret_env = "X"': "secret and secret_env are both given",
    WEBHOOK.replace("https", "http"): "http://hooks.example.com is not https",
    WEBHOOK.replace("https://", "ftp://"): "url is not a web address",
    WEBHOOK.replace("hooks.example.com", "a:b@hooks.example.com"): "url contains a user name",
    WEBHOOK.replace("/T0", "/T 0"): "url holds a blank",
    WEBHOOK.replace("hooks.example.com", "hooks.example.com:99999"): "url is not a URL",
    WEBHOOK.replace("whsec_", ""): "secret is not whsec_ and 24 to 64 bytes in Base64",
    WEBHOOK.replace(SECRET, "whsec_c2hvcnQ="): "secret is not whsec_ and 24 to 64 bytes in Base64",
    WEBHOOK.replace(SECRET, "whsec_canary!"): "secret is not whsec_",
    COMMAND.replace('["/usr/local/bin/page"]', "[]"): "argv must be a list of texts",
    COMMAND.replace("/usr/local/bin/page", " "): "argv has no program",
    COMMAND + "timeout = 601": "timeout must be more than 0 and at most 600 seconds",
    COMMAND + "timeout = nan": "timeout must be more than 0",
    COMMAND + 'url = "x"': "url is not a setting of a command",
    MAIL + 'password = "canary"': "password is given without user",
    MAIL + 'user = "u"': "password is missing",
    MAIL + 'tls = "ssl"': "tls 'ssl' is not known | use starttls, tls, none",
    MAIL + 'tls = "none"\nuser = "u"\npassword = "canary"': "would be sent in clear text",
    MAIL + "port = 0": "port must be a port from 1 to 65535",
    MAIL.replace("b@example.com", "b"): "'b' is not a mail address",
    MAIL.replace("b@example.com", "b@example.com\\nBcc: c@example.com"): "is not a mail address",
    MAIL.replace("mail.example.com", "smtp://mail"): "host 'smtp://mail' is not the name of a server",
    '[notify.ops]\nkind = "apprise"\nurls = ["canary"]': "urls holds a text that is not a URL",
}


@pytest.mark.parametrize("text", REFUSED)
def test_mistakes_are_refused_when_the_file_is_read(text: str) -> None:
    """Each mistake is named with its channel, and no secret is repeated."""
    said = refusal(text)
    assert REFUSED[text] in said
    assert said.startswith("siproster.toml: ")
    assert "canary" not in said
    assert SECRET not in said


def test_http_is_for_this_machine() -> None:
    """Clear text needs the switch, but not on the way to this machine itself."""
    clear = WEBHOOK.replace("https", "http")
    assert (
        loaded(clear, env={"SIPROSTER_ALLOW_HTTP": "1"}).channel("ops").address == "http://hooks.example.com"
    )
    own = clear.replace("hooks.example.com", "127.0.0.1:8000")
    assert loaded(own).channel("ops").address == "http://127.0.0.1:8000"


def test_a_secret_from_a_variable() -> None:
    """A variable that is set is used and checked; one that isn't only matters when the channel is used."""
    named = WEBHOOK.replace(f'secret = "{SECRET}"', 'secret_env = "HOOK"')
    channel = loaded(named, env={"HOOK": f"{SECRET} {SECRET}"}).channel("ops")
    assert isinstance(channel, WebhookChannel)
    assert channel.secrets == (CANARY, CANARY)
    assert "the variable HOOK is not set" in unusable(loaded(named))
    assert "secret is not whsec_" in refusal(named, HOOK="canary")


def test_a_found_file_runs_nothing() -> None:
    """A file that was only found may neither run commands nor tell user names; named, it may."""
    for text in (COMMAND, WEBHOOK + "users = true\n"):
        assert "use --config siproster.toml" in unusable(loaded(text, named=False))
        assert loaded(text).channel("ops").name == "ops"
    assert loaded(WEBHOOK, named=False).channel("ops").name == "ops"


def test_an_exposed_secret_is_refused() -> None:
    """A file with a channel's secret is for its owner alone to read, unless a variable holds it."""
    with pytest.raises(UsageError, match="can be read by others"):
        loaded(WEBHOOK, mode=0o644)
    named = WEBHOOK.replace(f'secret = "{SECRET}"', 'secret_env = "HOOK"')
    for text in (COMMAND, named):
        assert loaded(text, env={"HOOK": SECRET}, mode=0o644).channel("ops").name == "ops"


def test_profiles_have_channels_of_their_own() -> None:
    """A profile's channel replaces its namesake and is added to the others."""
    text = (
        COMMAND + '[profile.uk]\nBW_ACCOUNT_ID = "1"\n'
        '[profile.uk.notify.ops]\nkind = "command"\nargv = ["uk"]\n'
        '[profile.uk.notify.night]\nkind = "command"\nargv = ["night"]\n'
    )
    assert {name: one.address for name, one in loaded(text, "uk").channels.items()} == {
        "ops": "uk", "night": "night",
    }  # fmt: skip
    assert loaded(text).channels.keys() == {"ops"}
    found = channels_of_all_profiles({}, Path("siproster.toml"))
    assert {key: one.address for key, one in found.items()} == {
        ("", "ops"): "/usr/local/bin/page", ("uk", "ops"): "uk", ("uk", "night"): "night",
    }  # fmt: skip


VALUES = st.one_of(
    st.text(max_size=40), st.integers(), st.floats(), st.booleans(), st.lists(st.text(), max_size=3),
    st.sampled_from(["https://h/", "http://[::1", "//", "a@b", SECRET, "webhook", "always", "tls", "HOOK"]),
    st.lists(st.integers() | st.lists(st.text()), max_size=2), st.dictionaries(st.text(), st.text()),
)  # fmt: skip
KEYS = (
    "kind", "when", "users", "url", "url_env", "secret", "secret_env", "argv", "timeout", "host", "port",
    "tls", "user", "password", "password_env", "from", "to", "urls", "urls_env", "other",
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from(KEYS), VALUES),
    st.sampled_from(["webhook", "command", "email", "apprise"]),
    st.text(st.characters(codec="utf-8"), max_size=20),
)
def test_no_table_gives_a_traceback(table: dict[str, object], kind: str, value: str) -> None:
    """Whatever a table and a variable hold, it is a channel or a mistake that is told."""
    with suppress(UsageError):
        parsed("ops", {**table, "kind": kind}, {"HOOK": value}, allow_http=True, named=True)


def test_the_documented_channels_are_right() -> None:
    """Each table in docs/notifications.md is accepted, given the variables that it names."""
    page = (Path(__file__).parents[2] / "docs/notifications.md").read_text("utf-8")
    env = {"HOOK_SECRET": SECRET, "MAIL_PASSWORD": "canary"}
    kinds = [
        channel.kind
        for table in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
        for channel in loaded(table, env=env).channels.values()
    ]
    assert kinds == ["webhook", "email", "command", "apprise"]


def test_an_unknown_channel() -> None:
    """The message guesses the name that was meant, or says what to write."""
    assert "did you mean ops?" in unusable(loaded(COMMAND), "opps")
    assert "write a [notify.ops] table" in unusable(loaded(""))

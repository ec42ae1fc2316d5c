"""Settings: where they come from, what is refused, and that no secret ever shows."""

from __future__ import annotations

import base64
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from worker import seal
from worker.errors import UsageError
from worker.settings import Settings, default_ledger, file, load
from worker.settings.addresses import hidden
from worker.settings.names import DEFAULTS, OPTIONS

KEY = base64.urlsafe_b64encode(bytes(range(32))).decode()
CANARY = "canary-5b9e"
OAUTH = {"BW_ACCOUNT_ID": "5001234", "BW_CLIENT_ID": "id", "BW_CLIENT_SECRET": CANARY}
BASIC = {"BW_ACCOUNT_ID": "5001234", "BW_USERNAME": "api-user", "BW_PASSWORD": CANARY}


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test in an empty working folder, with a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def settings(profile: str = "", account: str | None = None, **environ: str) -> Settings:
    """Return the settings as a command loads them, with the working folder's file."""
    return load({"account": account}, environ, None, profile)


def toml(text: str, mode: int = 0o600) -> None:
    """Write the working folder's siproster.toml."""
    Path("siproster.toml").write_text(text, "utf-8")
    Path("siproster.toml").chmod(mode)


def refusal(profile: str = "", **environ: str) -> str:
    """Message and hint of the error that loading ends with."""
    with pytest.raises(UsageError) as caught:
        settings(profile, **environ)
    return f"{caught.value.message} | {caught.value.hint}"


def test_flag_beats_environment_beats_file() -> None:
    """The nearest source wins, and each value remembers its own."""
    assert settings().sources["BW_ACCOUNT_ID"] == "not set"
    toml('BW_ACCOUNT_ID = "1"')
    seen = [settings(), settings(BW_ACCOUNT_ID="2"), settings(account="3", BW_ACCOUNT_ID="2")]
    assert [(s.values["BW_ACCOUNT_ID"], s.sources["BW_ACCOUNT_ID"]) for s in seen] == [
        ("1", "siproster.toml"),
        ("2", "environment"),
        ("3", "flag --account"),
    ]


def test_an_empty_variable_is_not_set() -> None:
    """An empty variable counts as not set, as Compose sends those that its host lacks."""
    toml('BW_ACCOUNT_ID = "1"')
    assert settings(BW_ACCOUNT_ID="").values["BW_ACCOUNT_ID"] == "1"


@pytest.mark.parametrize(
    ("environment", "host", "voice"),
    [
        ("prod", "https://api.bandwidth.com", "https://voice.bandwidth.com"),
        ("test", "https://test.api.bandwidth.com", "https://test.voice.bandwidth.com"),
        ("uat", "https://test.api.bandwidth.com", "https://test.voice.bandwidth.com"),
    ],
)
def test_environment_names_the_hosts(environment: str, host: str, voice: str) -> None:
    """Each environment of Bandwidth's client has its two hosts."""
    loaded = settings(**OAUTH, BW_ENVIRONMENT=environment)
    assert (loaded.endpoint().host, loaded.voice_url) == (host, voice)
    assert loaded.endpoint().environment == environment


def test_production_is_the_default() -> None:
    """Without BW_ENVIRONMENT it is production, under today's path."""
    endpoint = settings(**OAUTH).endpoint()
    assert (endpoint.environment, endpoint.host, endpoint.api_path) == (
        "prod",
        "https://api.bandwidth.com",
        "/api/v2",
    )


def test_an_unknown_environment_needs_a_host() -> None:
    """A misspelt environment is refused, unless a host is given, so that it can't reach production."""
    assert "BW_ENVIRONMENT (environment): 'prdo' is not known" in refusal(BW_ENVIRONMENT="prdo")
    own = settings(**OAUTH, BW_ENVIRONMENT="lab", BW_API_URL="https://lab.example.com")
    assert (own.endpoint().host, own.voice_url) == ("https://lab.example.com", "")


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("api.example.com", "'api.example.com' has no scheme | write it as https://HOST"),
        ("ftp://api.example.com", "'ftp://api.example.com' is not a web address"),
        ("https://", "'https://' is not a web address"),
        ("https://api.example.com/api/v2", "write it as https://api.example.com; the API's path is"),
        ("https://api.example.com?x=1", "contains more than scheme and host"),
        ("https://api.example.com:port", "is not a URL"),
    ],
)
def test_a_host_is_scheme_and_host(value: str, complaint: str) -> None:
    """A host without a scheme, or with more than a host, is refused with what to write instead."""
    for name in ("BW_API_URL", "BW_VOICE_URL"):
        said = refusal(**{name: value})
        assert said.startswith(f"{name} (environment): ")
        assert complaint in said


def test_a_slash_after_the_host_is_no_path() -> None:
    """The slash that a browser's address bar adds does no harm."""
    loaded = settings(**OAUTH, BW_API_URL="https://api.example.com:8443/")
    assert loaded.endpoint().host == "https://api.example.com:8443"


def test_the_guides_older_path_can_be_set() -> None:
    """Host and path as Bandwidth's guide shows them; a path that is none is refused."""
    older = {"BW_API_URL": "https://dashboard.bandwidth.com", "SIPROSTER_API_PATH": "/api/"}
    assert settings(**OAUTH, **older).endpoint().api_path == "/api"
    for wrong in ("api/v2", "//other.example.com/api", "/api v2", "/"):
        assert "is not a path" in refusal(SIPROSTER_API_PATH=wrong)


def test_an_account_id_stays_one_path_segment() -> None:
    """An account id with a slash is refused, since it would address another resource."""
    assert "is not an account id" in refusal(BW_ACCOUNT_ID="5001234/realms")


def test_endpoint_names_all_that_is_missing() -> None:
    """Everything that is missing is named in one message."""
    for given, missing in [
        ({}, "not set: BW_ACCOUNT_ID, BW_CLIENT_ID, BW_CLIENT_SECRET"),
        ({"BW_ACCOUNT_ID": "1", "BW_CLIENT_ID": "id"}, "not set: BW_CLIENT_SECRET"),
        ({"BW_ACCOUNT_ID": "1", "BW_USERNAME": "user"}, "not set: BW_PASSWORD"),
        ({**BASIC, "BW_CLIENT_ID": "id"}, "not set: BW_CLIENT_SECRET"),
    ]:
        with pytest.raises(UsageError) as caught:
            settings(**given).endpoint()
        assert caught.value.message == missing
        assert "siproster doctor" in caught.value.hint


def test_an_api_user_works_and_is_warned_about() -> None:
    """With basic authentication, a warning names its last day."""
    loaded = settings(**BASIC)
    endpoint = loaded.endpoint()
    assert (endpoint.username, endpoint.password, endpoint.client_id) == ("api-user", CANARY, "")
    assert [warning for warning in loaded.warnings if "2026-12-02" in warning]


def test_oauth_wins_over_an_api_user() -> None:
    """With both kinds set, only OAuth is used, and a warning says so."""
    loaded = settings(**{**BASIC, **OAUTH})
    assert (loaded.endpoint().client_id, loaded.endpoint().username) == ("id", "")
    assert loaded.warnings == ("both kinds of credentials are set: BW_CLIENT_ID is used, BW_USERNAME is not",)


def test_credentials_in_clear_are_refused() -> None:
    """http is accepted for the loopback interface; elsewhere it must be allowed, and causes a warning."""
    for loopback in ("http://127.0.0.1:8080", "http://127.8.0.1", "http://localhost", "http://[::1]:1"):
        assert settings(**OAUTH, BW_API_URL=loopback).warnings == ()
    for host in ("http://api.example.com", "http://localhost.example.com", "http://127.0.0.1.example.com"):
        for name in ("BW_API_URL", "BW_VOICE_URL"):
            said = refusal(**OAUTH, **{name: host})
            assert said.startswith(f"{name} (environment): {host} is not https")
            assert "SIPROSTER_ALLOW_HTTP=1" in said
            assert host in refusal(**OAUTH, **{name: host}, SIPROSTER_ALLOW_HTTP="0")
        (warning,) = settings(**OAUTH, BW_API_URL=host, SIPROSTER_ALLOW_HTTP="1").warnings
        assert "in clear text" in warning
    assert "says neither yes nor no" in refusal(SIPROSTER_ALLOW_HTTP="maybe")


def test_default_ledger_is_private(tmp_path: Path) -> None:
    """The default ledger is SQLite in the user's state folder, which nobody else can enter."""
    loaded = settings()
    folder = tmp_path / "state" / "siproster"
    assert loaded.ledger == f"sqlite:///{folder}/ledger.sqlite"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_state_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """The message names the folder and the way around it."""
    (tmp_path / "state").write_text("a file where the folder should be")
    assert re.search(
        r"the folder for the ledger can't be created: .*/state/siproster.*SIPROSTER_LEDGER", refusal()
    )


def test_a_ledger_file_means_the_same_file_everywhere(tmp_path: Path) -> None:
    """A relative path is taken from the working folder, ~ from the home, an absolute one as it is."""
    for given, path in [
        ("sqlite:///jobs.sqlite", tmp_path / "jobs.sqlite"),
        ("sqlite:///~/jobs.sqlite", tmp_path / "home" / "jobs.sqlite"),
        ("sqlite:////srv/jobs.sqlite", Path("/srv/jobs.sqlite")),
    ]:
        assert settings(SIPROSTER_LEDGER=given).ledger == f"sqlite:///{path}"


@pytest.mark.parametrize(
    "value", ["/srv/jobs.sqlite", "mysql://h/d", "sqlite:///", "sqlite:///:memory:", "postgresql://h:x/d"]
)
def test_other_ledgers_are_refused(value: str) -> None:
    """Other ledgers are refused: only a file or a PostgreSQL outlives the process."""
    assert refusal(SIPROSTER_LEDGER=value).startswith("SIPROSTER_LEDGER (environment): ")


def test_only_redis_is_a_broker() -> None:
    """Redis with and without TLS; another broker is refused with its password hidden."""
    for url in ("redis://localhost:6379/0", "rediss://:secret@redis.example.com:6380/1"):
        assert settings(SIPROSTER_BROKER=url).broker == url
    said = refusal(SIPROSTER_BROKER=f"amqp://guest:{CANARY}@rabbit.example.com//")
    assert "'amqp://guest:<hidden>@rabbit.example.com//' is not the URL of a Redis" in said


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("ssl_cert_reqs=none", "ssl_cert_reqs=none would let anyone impersonate the server"),
        ("ssl_cert_reqs=CERT_NONE", "would let anyone impersonate"),
        ("ssl_cert_reqs=optional", "would let anyone impersonate"),
        ("ssl_check_hostname=false", "ssl_check_hostname=false would let anyone impersonate"),
        ("ssl_cert_reqs=required&ssl_cert_reqs=none", "would let anyone impersonate"),
        ("ssl_ca_certs=/none/such.pem", "ssl_ca_certs: there is no file /none/such.pem"),
        ("credential_provider=os.system", "'credential_provider' is not a parameter of a broker's URL"),
        ("socket_timeout=x", "'socket_timeout' is not a parameter"),
        ("ssl_ciphers=NULL", "'ssl_ciphers' is not a parameter"),
    ],
)
def test_a_broker_is_verified(query: str, complaint: str) -> None:
    """No parameter of a broker's URL may weaken verification, or be anything but TLS's own."""
    assert complaint in refusal(SIPROSTER_BROKER=f"rediss://redis.example.com/0?{query}")
    assert "is not a parameter" in refusal(SIPROSTER_BROKER=f"redis://redis.example.com/0?{query}")


def test_a_brokers_database_is_a_number() -> None:
    """A database of Redis is a number; anything else is refused, with the password hidden."""
    for path in ("/abc", "/0/1", "/-1", "/٣"):
        said = refusal(SIPROSTER_BROKER=f"redis://:{CANARY}@localhost{path}")
        assert f"{path} is not a Redis database" in said
        assert CANARY not in said
    assert settings(SIPROSTER_BROKER="redis://localhost").broker == "redis://localhost"


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql://me@db.example.com/d", "prefer"),
        ("postgresql://me@db.example.com/d?sslmode=require", "require"),
        ("postgresql://db.example.com:5433/d?sslmode=verify-ca", "verify-ca"),
        ("postgresql:///d?host=db.example.com", "prefer"),
        ("postgresql://127.0.0.1,db.example.com/d", "prefer"),
        ("postgresql://db.example.com/d?sslmode=verify-full&sslrootcert=/etc/ca.pem", ""),
        ("postgresql://localhost/d", ""),
        ("postgresql://me:x@127.0.0.1:5433/d", ""),
        ("postgresql://me:x@[::1]:5433/d", ""),
        ("postgresql:///d?host=/run/postgresql", ""),
        ("postgresql:///d", ""),
        ("postgresql://me:x@127.0.0.1/d?host=db.example.com", "prefer"),
        ("postgresql://me:x@db.example.com/d?host=LOCALHOST", ""),
        ("postgresql://me:x@db.example.com/d?host=127.0.0.1:5433", ""),
        ("postgresql://me:x@/d?host=localhost&host=db.example.com:5433", "prefer"),
        ("postgresql://me:x@/d?host=localhost,db.example.com", "prefer"),
        ("postgresql://localhost/d?hostaddr=10.0.0.9", "prefer"),
        ("postgresql://db.example.com/d?hostaddr=127.0.0.1", ""),
        ("postgresql://localhost,localhost/d?hostaddr=127.0.0.1,10.0.0.9", "prefer"),
        ("postgresql://localhost/d?service=x&sslmode=require", "require"),
        ("postgresql://localhost/d?service=x&sslmode=verify-full", ""),
    ],
)  # fmt: skip
def test_a_database_elsewhere_is_to_be_verified(url: str, mode: str) -> None:
    """Below verify-full anybody on the way could pose as the ledger: a warning says what to write."""
    warnings = settings(SIPROSTER_LEDGER=url).warnings
    assert [f"sslmode={mode} does not verify" in one for one in warnings] == ([True] if mode else [])
    if mode == "prefer":
        assert settings(SIPROSTER_LEDGER=url, PGSSLMODE="verify-full").warnings == ()


@pytest.mark.parametrize(
    ("environ", "warned"),
    [
        ({"PGHOSTADDR": "10.0.0.9"}, True),
        ({"PGHOSTADDR": "127.0.0.1"}, False),
        ({"PGHOST": "db.example.com"}, True),
        ({"PGHOST": "db.example.com", "PGHOSTADDR": "::1"}, False),
        ({"PGSERVICE": "x"}, True),
        ({"PGSERVICE": "x", "PGSSLMODE": "verify-full"}, True),
        ({"PGHOSTADDR": "10.0.0.9", "PGSSLMODE": "verify-full"}, False),
    ],
)
def test_libpqs_variables_lead_elsewhere(environ: dict[str, str], warned: bool) -> None:
    """libpq's variables may lead elsewhere: PGHOST if the URL names no server, the others in any case."""
    warnings = settings(SIPROSTER_LEDGER="postgresql://me:x@/d", **environ).warnings
    assert ["does not verify" in one for one in warnings] == [True] * warned
    near = settings(SIPROSTER_LEDGER="postgresql://me:x@localhost/d", **environ).warnings
    assert bool(near) == (warned and "PGHOST" not in environ)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://localhost:5/@db.example.com/d",
        "postgresql://me@localhost:5/x@db.example.com/d",
        "postgresql://localhost/d#?host=db.example.com",
        "postgresql://me:x@localhost/d?sslmode=verify-full#x",
    ],
)
def test_a_ledger_that_reads_in_two_ways_is_refused(url: str) -> None:
    """A URL is refused if the server that is checked may not be the one that is connected to."""
    assert "is not a URL" in refusal(SIPROSTER_LEDGER=url)


@pytest.mark.parametrize(
    "host", ["a..b", ".a", "a" * 70, f"{'a' * 70}.example", ".".join(["abcdefg"] * 32), "é" * 63]
)
def test_a_host_that_dns_can_not_hold_is_refused(host: str) -> None:
    """An empty label, one of more than 63 bytes, or a name of more than 253 (RFC 1035)."""
    for name, value in [
        ("SIPROSTER_BROKER", f"redis://:x@{host}:1/0"),
        ("SIPROSTER_LEDGER", f"postgresql://me:x@{host}:1/d"),
        ("SIPROSTER_LEDGER", f"postgresql://me:x@/d?host=localhost,{host}"),
        ("BW_API_URL", f"https://{host}"),
        ("BW_VOICE_URL", f"https://{host}"),
    ]:
        said = refusal(**{name: value})
        assert said.startswith(f"{name} (environment): ")
        assert "is not the address of a host" in said


@pytest.mark.parametrize("host", ["a" * 63, "example.com.", ".".join(["abcdefg"] * 31), "é.example", "a_b"])
def test_a_host_that_dns_can_hold_is_taken(host: str) -> None:
    """The longest label, a final full stop, and other names that DNS can hold are accepted."""
    taken = settings(SIPROSTER_BROKER=f"redis://{host}", BW_API_URL=f"https://{host}")
    assert (taken.broker, taken.values["BW_API_URL"]) == (f"redis://{host}", f"https://{host}")
    many = f"postgresql://{','.join(['localhost'] * 40)}/d"
    for ledger in (f"postgresql://{host}/d", many, "postgresql:///d?host=/run/a..b", "postgresql://[::1]/d"):
        assert settings(SIPROSTER_LEDGER=ledger).ledger == ledger


def test_nobody_listens_at_port_0() -> None:
    """Port 0 is refused at once, and not waited for."""
    for name, url in [
        ("BW_API_URL", "http://127.0.0.1:0"),
        ("SIPROSTER_BROKER", "redis://localhost:0"),
        ("SIPROSTER_LEDGER", "postgresql://localhost:0/d"),
    ]:
        assert "port 0" in refusal(**{name: url})


@pytest.mark.parametrize("name", ["sslmode", "hostaddr", "connect_timeout"])
def test_a_ledgers_parameter_is_given_once(name: str) -> None:
    """A parameter that is given twice is refused, since libpq would get both in one."""
    url = f"postgresql://me:{CANARY}@localhost/d?{name}=require&{name}=require"
    said = refusal(SIPROSTER_LEDGER=url)
    assert f"{name} is given twice" in said
    assert CANARY not in said


def test_sqlite_with_a_broker_is_one_host() -> None:
    """Workers elsewhere would not see the file: PostgreSQL is named; with it there is no warning."""
    broker = "redis://localhost"
    (warning,) = settings(SIPROSTER_BROKER=broker).warnings
    assert "must run on this host" in warning
    assert settings(SIPROSTER_BROKER=broker, SIPROSTER_LEDGER="postgresql:///d").warnings == ()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://:secret@h/0", "redis://<hidden>@h/0"),
        ("redis://secret@h/0", "redis://<hidden>@h/0"),
        ("postgresql://me:se/cr@et@h/d", "postgresql://me:<hidden>@h/d"),
        ("postgresql://h/d?user=me&password=secret&sslmode=require",
         "postgresql://h/d?user=me&password=<hidden>&sslmode=require"),
        ("postgresql://h/d?sslpassword=secret", "postgresql://h/d?sslpassword=<hidden>"),
    ],
)  # fmt: skip
def test_passwords_in_urls_are_hidden(url: str, shown: str) -> None:
    """Passwords in URLs are hidden, even with an unescaped / or @."""
    assert hidden(url) == shown


def test_keys_open_and_the_first_seals() -> None:
    """SIPROSTER_KEY holds several keys in their order, with or without padding."""
    second = base64.urlsafe_b64encode(bytes(32)).decode()
    loaded = settings(SIPROSTER_KEY=f"{KEY}, {second.rstrip('=')}")
    assert loaded.sealing_keys(seal.new_key, list) == [bytes(range(32)), bytes(32)]


def test_a_wrong_key_is_named_by_its_place() -> None:
    """A wrong key is named by its position, and never quoted."""
    for wrong in ("short", KEY[:-2], KEY.replace("A", "+"), CANARY * 4, ""):
        said = refusal(SIPROSTER_KEY=f"{KEY},{wrong}")
        assert "SIPROSTER_KEY (environment): key 2 of 2 is not 32 bytes in URL-safe base64" in said
        assert "siproster keygen" in said
        assert KEY not in said
        assert CANARY not in said


def test_postgresql_needs_a_key() -> None:
    """A PostgreSQL ledger needs a key, since one made on this host would open nothing on another."""
    loaded = settings(SIPROSTER_LEDGER="postgresql://h/d")
    with pytest.raises(UsageError, match="SIPROSTER_KEY is not set"):
        loaded.sealing_keys(seal.new_key, list)


def test_the_key_file_is_made_once() -> None:
    """On first use, beside the ledger, for its owner alone; the same key ever after."""
    loaded = settings(SIPROSTER_LEDGER="sqlite:///jobs.sqlite")
    assert not Path("jobs.sqlite.key").exists()
    keys = loaded.sealing_keys(seal.new_key, list)
    assert stat.S_IMODE(Path("jobs.sqlite.key").stat().st_mode) == 0o600
    assert [len(key) for key in keys] == [32]
    assert loaded.sealing_keys(seal.new_key, list) == keys


def test_processes_that_start_together_agree_on_a_key() -> None:
    """Processes that start together all use the same key, and leave nothing else in the folder."""
    loaded = settings(SIPROSTER_LEDGER="sqlite:///jobs.sqlite")
    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(lambda _: loaded.sealing_keys(seal.new_key, list), range(32)))
    assert len({tuple(ring) for ring in rings}) == 1
    assert [path.name for path in Path().glob("*key*")] + [path.name for path in Path().glob(".key*")] == [
        "jobs.sqlite.key"
    ]


def test_a_lost_key_is_not_replaced() -> None:
    """A lost key isn't replaced, since a new one wouldn't open the sealed rows."""
    loaded = settings(SIPROSTER_LEDGER="sqlite:///jobs.sqlite")
    with pytest.raises(UsageError, match=r"jobs\.sqlite\.key is missing.*key 0123abcd") as caught:
        loaded.sealing_keys(seal.new_key, lambda: ["0123abcd"])
    assert "backup" in caught.value.hint
    assert not Path("jobs.sqlite.key").exists()
    kept = loaded.sealing_keys(seal.new_key, list)
    assert loaded.sealing_keys(seal.new_key, lambda: ["0123abcd"]) == kept


def test_a_key_that_is_no_file_of_ones_own_is_refused() -> None:
    """A FIFO in the key's place isn't waited for, and a link that leads nowhere isn't followed."""
    loaded = settings(SIPROSTER_LEDGER="sqlite:///jobs.sqlite")
    os.mkfifo("jobs.sqlite.key", 0o600)
    with pytest.raises(UsageError, match="is not your own file"):
        loaded.sealing_keys(seal.new_key, list)
    Path("jobs.sqlite.key").unlink()
    Path("jobs.sqlite.key").symlink_to("nowhere.key")
    with pytest.raises(UsageError, match="no such file"):
        loaded.sealing_keys(seal.new_key, list)
    assert not Path("nowhere.key").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_an_open_key_file_is_refused(mode: int) -> None:
    """A key file that others can read is refused, with the command that fixes it."""
    loaded = settings(SIPROSTER_LEDGER="sqlite:///jobs.sqlite")
    loaded.sealing_keys(seal.new_key, list)
    Path("jobs.sqlite.key").chmod(mode)
    with pytest.raises(UsageError, match="can be read by others") as caught:
        loaded.sealing_keys(seal.new_key, list)
    assert caught.value.hint.startswith("run: chmod 600 ")


@pytest.mark.parametrize("content", [b"", b"no key", b"\xff\xfe"])
def test_a_damaged_key_file_is_not_replaced(content: bytes) -> None:
    """A damaged key file is an error and stays, since a new key wouldn't open the sealed rows."""
    path = Path("jobs.sqlite.key")
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="key"):
        settings(SIPROSTER_LEDGER="sqlite:///jobs.sqlite").sealing_keys(seal.new_key, list)
    assert path.read_bytes() == content


def test_a_key_file_in_a_missing_folder_is_told() -> None:
    """A ledger in a folder that isn't there gives a message, not a traceback."""
    loaded = settings(SIPROSTER_LEDGER="sqlite:///nowhere/jobs.sqlite")
    with pytest.raises(UsageError, match="no such file or directory"):
        loaded.sealing_keys(seal.new_key, list)


def test_the_file_holds_settings_options_and_profiles() -> None:
    """Names in any case, a number for an account, a profile over what stands above it."""
    toml(
        """
        bw_account_id = 1
        batch-size = 50
        On_Existing = "skip"
        where = ["site=HQ", "floor=2"]
        map = { username = "Ext", password = "Secret" }
        max-failed = "5%"
        rate = 20
        create-realm = true
        not-after = 2026-11-24T04:00:00Z
        [profile.acme]
        BW_ACCOUNT_ID = "2"
        batch-size = 20
        map = { domain = "" }
        """
    )
    plain, acme = settings(), settings("acme")
    assert plain.values["BW_ACCOUNT_ID"] == "1"
    assert plain.options == {
        "batch-size": 50,
        "on-existing": "skip",
        "where": ("site=HQ", "floor=2"),
        "map": ("username=Ext", "password=Secret"),
        "max-failed": "5%",
        "rate": 20.0,
        "create-realm": True,
        "not-after": "2026-11-24T04:00:00+00:00",
    }
    assert (acme.values["BW_ACCOUNT_ID"], acme.sources["BW_ACCOUNT_ID"]) == (
        "2",
        "siproster.toml, profile acme",
    )
    assert (acme.options["batch-size"], acme.options["rate"]) == (20, 20.0)
    assert acme.options["map"] == ("domain=",)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("batchsize = 5", "siproster.toml: batchsize is not a setting | did you mean batch-size?"),
        ('BW_ACOUNT_ID = "1"', "BW_ACOUNT_ID is not a setting | did you mean BW_ACCOUNT_ID?"),
        ('[profile.a]\nrelm = "x"', "relm is not a setting | did you mean realm?"),
        ('batch-size = "5"', "siproster.toml: batch-size must be a whole number"),
        ("batch-size = true", "batch-size must be a whole number"),
        ("realm = 5", "realm must be text in quotes"),
        ('rate = "fast"', "rate must be a number"),
        ('create-realm = "yes"', "create-realm must be true or false"),
        ("BW_PASSWORD = true", "BW_PASSWORD must be text in quotes"),
        ("rate = 1\nrealm = acme", "siproster.toml is not TOML: Invalid value (at line 2, column 9)"),
        ('profile = "acme"', "profile is not a table"),
        ("[profile]\nacme = 1", "profile is not a table"),
    ],
)
def test_a_wrong_file_is_told_where_and_why(text: str, complaint: str) -> None:
    """Every mistake in the file is named, with the nearest name or the line."""
    toml(text)
    assert complaint in refusal()


def test_a_file_of_another_encoding_is_told() -> None:
    """A byte order mark is fine; Latin-1 is not TOML."""
    Path("siproster.toml").write_bytes('\ufeffrealm = "büro"'.encode())
    assert settings().options == {"realm": "büro"}
    Path("siproster.toml").write_bytes('realm = "büro"'.encode("latin-1"))
    assert "siproster.toml is not UTF-8" in refusal()


def test_a_profile_must_exist() -> None:
    """No file, no profile, another profile: each says what to do."""
    assert "--profile acme needs a siproster.toml" in refusal("acme")
    toml("rate = 1")
    assert "has no profile 'acme' | it has no [profile.NAME] table" in refusal("acme")
    toml("[profile.acme-east]")
    assert "has no profile 'acme-eest' | did you mean acme-east?" in refusal("acme-eest")


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """--config names a file that isn't there: an error, not the defaults."""
    with pytest.raises(UsageError, match=r"other\.toml can't be read: no such file"):
        load({}, {}, tmp_path / "other.toml", "")


def test_a_variable_that_beats_the_profile_is_told() -> None:
    """A warning names a variable that overrides the profile: rows would go to another account."""
    toml('[profile.acme]\nBW_ACCOUNT_ID = "2"')
    (warning,) = settings("acme", BW_ACCOUNT_ID="1").warnings
    assert warning == (
        "BW_ACCOUNT_ID from the environment is used, not the one in siproster.toml, profile acme"
    )
    assert settings("acme", BW_ACCOUNT_ID="2").warnings == ()


@pytest.mark.parametrize(
    "line", [f'BW_CLIENT_SECRET = "{CANARY}"', f'SIPROSTER_LEDGER = "postgresql://me:{CANARY}@localhost/d"']
)
def test_a_secret_in_an_open_file_is_warned_about(line: str) -> None:
    """A file with a secret is for its owner alone; without one anybody may read it."""
    toml(line, mode=0o644)
    (warning,) = settings().warnings
    assert warning.endswith("run: chmod 600 siproster.toml")
    toml(line, mode=0o600)
    assert settings().warnings == ()
    toml("rate = 1", mode=0o644)
    assert settings().warnings == ()


def test_a_ledger_needs_a_home() -> None:
    """If no home folder is known, the hint names the setting to use."""

    def homeless(name: str) -> Path:
        raise RuntimeError(f"no home for {name}")

    with pytest.raises(UsageError, match="no home folder is known") as caught:
        default_ledger(homeless)
    assert "SIPROSTER_LEDGER" in caught.value.hint
    assert str(default_ledger()) in settings().ledger


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o664])
def test_a_file_that_others_may_write_is_not_obeyed(mode: int) -> None:
    """A file that others may write is not used, even if named: they could redirect credentials."""
    toml('BW_API_URL = "https://evil.example"', mode)
    assert "siproster.toml can be written by others" in refusal()
    assert refusal().endswith("run: chmod go-w siproster.toml")
    with pytest.raises(UsageError, match="can be written by others"):
        load({}, {}, Path("siproster.toml"), "")


def test_a_file_of_somebody_else_is_not_obeyed_because_it_is_there() -> None:
    """A found file of another owner is not used, nor a link to one; --config accepts it."""
    toml("rate = 2")
    if os.geteuid() == 0:  # root is trusted by all, so for root the file must be somebody else's
        os.chown("siproster.toml", 65534, -1)
    owner = Path("siproster.toml").stat().st_uid
    with pytest.raises(UsageError, match="in the working folder belongs to another user") as caught:
        file.read(None, "", me=owner + 1)
    assert caught.value.hint.endswith("--config siproster.toml")
    assert file.read(None, "", me=owner).options == {"rate": 2.0}
    assert file.read(Path("siproster.toml"), "", me=owner + 1).options == {"rate": 2.0}


@pytest.mark.parametrize("written", [False, True])
def test_a_found_file_is_a_regular_one(written: bool) -> None:
    """A FIFO is not used as a found settings file, and not waited for."""
    os.mkfifo("siproster.toml", 0o600)
    writer = os.open("siproster.toml", os.O_RDWR) if written else -1
    if written:
        os.write(writer, b'BW_API_URL = "https://evil.example"')
    assert "siproster.toml in the working folder is not a regular file" in refusal(**OAUTH)
    if written:
        os.close(writer)


def test_a_found_folder_or_device_is_refused() -> None:
    """A folder or device with the file's name is refused with a message that says so."""
    Path("siproster.toml").mkdir()
    assert "siproster.toml can't be read: is a directory" in refusal()
    Path("siproster.toml").rmdir()
    Path("siproster.toml").symlink_to("/dev/zero")
    assert "is not a regular file" in refusal()


def test_a_link_of_ones_own_is_obeyed(tmp_path: Path) -> None:
    """One's own link to a settings file is followed; one that leads nowhere counts as no file."""
    Path("siproster.toml").symlink_to(tmp_path / "elsewhere.toml")
    assert settings().options == {}
    (tmp_path / "elsewhere.toml").write_text("rate = 3")
    assert settings().options == {"rate": 3.0}


def test_a_named_file_may_be_a_pipe() -> None:
    """--config accepts a pipe, as of bash's <(...), since the user has named it."""
    reading, writing = os.pipe()
    os.write(writing, b"rate = 4")
    os.close(writing)
    assert load({}, {}, Path(f"/dev/fd/{reading}"), "").options == {"rate": 4.0}
    os.close(reading)


def test_a_named_device_is_not_read_for_ever() -> None:
    """A device named with --config is read only up to a size that no settings file has."""
    with pytest.raises(UsageError, match="/dev/zero is larger than"):
        load({}, {}, Path("/dev/zero"), "")


SERVERS = {
    "BW_API_URL": "https://elsewhere.example",
    "BW_VOICE_URL": "https://elsewhere.example",
    "SIPROSTER_API_PATH": "/elsewhere",
    "SIPROSTER_BROKER": "rediss://elsewhere.example",
    "SIPROSTER_LEDGER": "postgresql://me:x@elsewhere.example/d?sslmode=verify-full",
}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("secrets", [OAUTH, BASIC, {"SIPROSTER_KEY": KEY}])
@pytest.mark.parametrize("profile", ["", "acme"])
def test_a_found_file_names_no_server_for_others_credentials(
    server: str, secrets: dict[str, str], profile: str
) -> None:
    """A found file may not name the server for other credentials; a named one, or one with both, may."""
    toml((f"[profile.{profile}]\n" if profile else "") + f'{server} = "{SERVERS[server]}"')
    said = refusal(profile, **secrets)
    assert f"{server} comes from siproster.toml" in said
    assert "from environment" in said
    assert "--config siproster.toml; or put both in one place" in said
    assert CANARY not in said
    assert KEY not in said
    named = load({}, secrets, Path("siproster.toml"), profile)
    assert named.values[server] == SERVERS[server]
    assert settings(profile, BW_ACCOUNT_ID="1").values[server] == SERVERS[server]  # nothing to give away
    with Path("siproster.toml").open("a") as more:
        more.writelines(f'\n{name} = "{value}"' for name, value in secrets.items())
    assert settings(profile).values[server] == SERVERS[server]


def test_credentials_of_a_found_file_go_where_the_environment_says() -> None:
    """A found file's credentials may go to the environment's server; without them it may name the server."""
    toml(f'BW_CLIENT_ID = "id"\nBW_CLIENT_SECRET = "{CANARY}"')
    assert settings(BW_ACCOUNT_ID="1", BW_API_URL="https://lab.example").endpoint().client_secret == CANARY
    toml('BW_ENVIRONMENT = "test"\nrate = 2\nSIPROSTER_LEDGER = "sqlite:///jobs.sqlite"')
    assert settings(**OAUTH, SIPROSTER_KEY=KEY).endpoint().host == "https://test.api.bandwidth.com"


def test_a_secret_that_is_not_used_is_not_in_the_way() -> None:
    """An API user's unused old password doesn't matter beside OAuth credentials and their host."""
    toml(f'BW_API_URL = "https://lab.example"\nBW_CLIENT_ID = "id"\nBW_CLIENT_SECRET = "{CANARY}"')
    assert settings(BW_USERNAME="me", BW_PASSWORD="old").values["BW_API_URL"] == "https://lab.example"


def test_a_found_ledger_does_not_get_the_environments_database_password() -> None:
    """A found ledger doesn't get the environment's PGPASSWORD, which libpq sends to any server."""
    toml('SIPROSTER_LEDGER = "postgresql://me@elsewhere.example/d?sslmode=verify-full"')
    assert "PGPASSWORD from the environment" in refusal(PGPASSWORD=CANARY)
    assert settings().ledger.startswith("postgresql://me@elsewhere")


def test_a_found_file_allows_no_clear_text() -> None:
    """A found file can't allow clear text, even for the environment's host."""
    toml("SIPROSTER_ALLOW_HTTP = 1")
    assert "siproster.toml sets SIPROSTER_ALLOW_HTTP" in refusal(BW_API_URL="http://lab.example")
    allowed = load({}, {"BW_API_URL": "http://lab.example"}, Path("siproster.toml"), "")
    assert allowed.values["BW_API_URL"] == "http://lab.example"


def test_no_secret_shows() -> None:
    """Neither the repr of settings or endpoint nor doctor's output has a secret."""
    loaded = settings(
        **OAUTH,
        BW_PASSWORD=f"{CANARY}-password",
        BW_USERNAME="api-user",
        SIPROSTER_KEY=KEY,
        SIPROSTER_BROKER=f"redis://:{CANARY}@localhost",
        SIPROSTER_LEDGER=f"postgresql://me:{CANARY}@h/d",
    )
    shown = {name: (value, source) for name, value, source in loaded.shown()}
    assert shown["BW_CLIENT_SECRET"] == ("<hidden>", "environment")
    assert shown["SIPROSTER_LEDGER"] == ("postgresql://me:<hidden>@h/d", "environment")
    assert shown["BW_API_URL"] == ("https://api.bandwidth.com", "BW_ENVIRONMENT=prod")
    everything = f"{loaded!r} {loaded.endpoint()!r} {shown} {loaded.warnings}"
    assert CANARY not in everything
    assert KEY not in everything


def test_the_documentation_knows_every_setting() -> None:
    """docs/settings.md names each setting and each option of the file, and its example is accepted."""
    text = (Path(__file__).parents[2] / "docs" / "settings.md").read_text("utf-8")
    assert [name for name in (*DEFAULTS, *OPTIONS) if f"`{name}`" not in text] == []
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    toml(example)
    acme = settings("acme")
    assert acme.endpoint().account == "5001234"
    assert acme.options["map"] == ("username=Extension", "password=SIP secret")


DATABASE = '[database."mysql://pbx.example/asterisk"]\nuser = "reader"\npassword = "canary-5b9e"\n'


def test_logins_of_databases() -> None:
    """A table for each URL; the profile's own replaces it. No repr and nothing shown has the password."""
    toml(DATABASE + '[profile.lab.database."mysql://pbx.example/asterisk"]\nuser = "lab"\n')
    usual, lab = settings(), settings("lab")
    assert [(one.url, one.user, one.password) for one in usual.databases] == [
        ("mysql://pbx.example/asterisk", "reader", CANARY)
    ]
    assert [(one.user, one.password) for one in lab.databases] == [("lab", "")]
    assert usual.shown()[-1] == (
        "database mysql://pbx.example/asterisk", "user reader, password <hidden>", "siproster.toml"
    )  # fmt: skip
    assert CANARY not in repr(usual) + repr(usual.databases) + repr(file.read(None, ""))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_password_that_others_may_read_is_refused(mode: int) -> None:
    """A database's password needs mode 0600, in a profile that isn't used as well; a user name doesn't."""
    toml(f"{DATABASE}", mode)
    assert "can be read by others | run: chmod 600 siproster.toml" in refusal()
    toml('[profile.lab.database."postgresql:///kamailio"]\npassword = "canary-5b9e"\n', mode)
    assert "can be read by others" in refusal()
    toml('[database."mysql://pbx.example/asterisk"]\nuser = "reader"\n', mode)
    assert settings().databases[0].user == "reader"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('database = "mysql://pbx.example/asterisk"', "database is not a table of tables"),
        ('[database]\npassword = "canary-5b9e"', "database is not a table of tables"),
        ('[database."mysql://me:canary-5b9e@pbx.example/asterisk"]', "must be a URL without user, password"),
        ('[database."mysql://me@pbx.example/asterisk"]', "must be a URL without user, password"),
        ('[database."mysql://pbx.example/asterisk?ssl-mode=REQUIRED"]', "a URL without user, password"),
        ('[database."pbx"]\nuser = "me"', 'write [database."mysql://HOST/NAME"]'),
        ('[database."sqlite:///pbx.db"]\nuser = "me"', 'write [database."mysql://HOST/NAME"]'),
        ('[database."mysql://h/d"]\npass = "canary-5b9e"', "pass is not a setting of a database"),
        ('[database."mysql://h/d"]\npassword = ""', "of mysql://h/d must be text in quotes, not empty"),
        ('[database."mysql://h/d"]\npassword = 12345', "password of mysql://h/d must be text in quotes"),
        ('[databases."mysql://h/d"]\npassword = "canary-5b9e"', "did you mean database?"),
    ],
)  # fmt: skip
def test_a_wrong_login_is_refused(text: str, told: str) -> None:
    """The message names the table or the field, and never shows a value."""
    toml(text)
    message = refusal()
    assert told in message
    assert CANARY not in message

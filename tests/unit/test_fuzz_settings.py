"""Any text as a setting or an option: it is taken, or refused with a sentence that keeps secrets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from worker.commands.option_values import max_failed, window
from worker.errors import UsageError
from worker.importing.stop_rules import allowed, is_past
from worker.settings import load
from worker.settings.names import DEFAULTS

CANARY = "Kanarienvogel-3e1"

texts = st.text(max_size=30)
urls = st.tuples(
    st.sampled_from(["redis", "postgresql", "sqlite", "http", "https", "", "\0"]),
    st.sampled_from(["://", ":///", "////", ":", ""]),
    st.sampled_from(["", "[::1", "[::1]:", "host:99999", "~", "~/", "%zz"]),
    texts,
).map("".join)
files = texts.map(lambda text: f"sqlite:///~{text}")
secret_urls = st.tuples(
    st.sampled_from(["redis", "postgresql", "sqlite", "http", "https", "mysql", ""]),
    st.sampled_from([f"://user:{CANARY}@", f":///{CANARY}/@", f"://:{CANARY}@"]),
    st.text("ab1@/:?#%[]", max_size=10),
).map("".join)
names = st.sampled_from(sorted(DEFAULTS))

kinds: st.SearchStrategy[object] = (
    st.booleans() | st.integers() | st.floats() | texts.map(repr) | st.just([]) | st.just({})
)
entries = st.tuples(
    st.sampled_from([*DEFAULTS, "batch-size", "rate", "not_after", "map", "weak", "colour"]), kinds
)


def refusal(attempt: Callable[[], object]) -> str:
    """Return the text of a UsageError, or "" if there is none; any other exception fails the test."""
    try:
        attempt()
    except UsageError as refused:
        return f"{refused.message} {refused.hint}"
    return ""


@given(st.dictionaries(names, texts | urls | files, min_size=1, max_size=4))
@settings(max_examples=300)
def test_any_environment(environ: dict[str, str]) -> None:
    """Variables of any text are taken or refused."""
    refusal(lambda: load({}, environ, None, "").endpoint())


@given(names, secret_urls)
def test_a_password_in_a_url(name: str, value: str) -> None:
    """No message repeats the password of a URL, wherever it is set and however broken the URL is."""
    assert CANARY not in refusal(lambda: load({}, {name: value}, None, "").endpoint())


@given(st.lists(entries, max_size=4), st.binary(max_size=20), texts)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_settings_file(
    tmp_path: Path, lines: list[tuple[str, object]], torn: bytes, profile: str
) -> None:
    """A settings file of any content, and any name of a profile in it, is taken or refused."""
    path = tmp_path / "siproster.toml"
    content = "".join(f"{name} = {str(value).lower()}\n" for name, value in lines)
    path.write_bytes(content.encode("utf-8", "replace") + torn)
    refusal(lambda: load({}, {}, path, profile))


@given(texts | st.from_regex(r"\d{0,5}(\.\d{0,3})?%?", fullmatch=True), st.integers(0, 1_000_000))
def test_any_bound(text: str, rows: int) -> None:
    """A text that passes as --max-failed gives a number of rows, at which the job is stopped."""
    if text and not refusal(lambda: max_failed(text)):
        assert allowed(text, rows) >= 0


@given(texts | st.datetimes().map(str) | st.datetimes().map(lambda moment: f"{moment.isoformat()}+23:59"))
def test_any_time(text: str) -> None:
    """A text that passes as --not-after is a time in the future, which the workers can read."""
    with suppress(UsageError):
        assert not is_past(window({"not_after": text}).not_after)

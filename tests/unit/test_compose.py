"""The compose file and the image name nothing that doesn't exist. No Docker engine is needed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from cli import cli
from worker.settings.names import DEFAULTS, OPTIONS, SECRETS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"] == "siproster"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
INSTRUCTIONS = [(word, rest) for word, _, rest in (line.partition(" ") for line in DOCKERFILE.splitlines())]
DEMO = dict(
    line.split("=", 1)
    for line in (ROOT / ".env.demo").read_text("utf-8").splitlines()
    if line[:1] not in ("", "#")
)


def on_this_machine(service: dict[str, Any], word: str) -> str:
    """A path inside the container as the path here that is mounted on it."""
    for volume in service.get("volumes", []):
        source, target = volume.split(":")[:2]
        if source.startswith(".") and word.startswith(target):
            return str(ROOT / source / word.removeprefix(target).lstrip("/"))
    return word


def accepted(words: list[str]) -> click.Context:
    """The program's own parser on a command's words; click.UsageError where it doesn't know one."""
    group = click.Context(cli, info_name="siproster")
    command = cli.get_command(group, words[0])
    assert command is not None, words[0]
    return command.make_context(words[0], words[1:], parent=group)


@pytest.mark.parametrize("name", OURS)
def test_commands_and_options_exist(name: str) -> None:
    """Each service's command is one that the program accepts, its files being there."""
    words = [on_this_machine(SERVICES[name], word) for word in SERVICES[name]["command"]]
    accepted(words)
    assert all(Path(word).exists() for word in words if word.startswith(str(ROOT)))


def test_an_unknown_option_would_be_seen() -> None:
    """The check above fails for an option that the program doesn't have."""
    with pytest.raises(click.UsageError, match="No such option"):
        accepted(["worker", "--no-such-option"])


def test_commands_in_comments_exist() -> None:
    """The commands in the file's head comment name services, files and commands that exist."""
    told = [
        shlex.split(line.split("  ")[0])
        for line in re.findall(r"^# +docker compose (.*)$", TEXT, re.MULTILINE)
    ]
    assert [words[0] for words in told] == ["up", "--env-file", "run"]
    assert (ROOT / told[1][1]).exists()
    service = next(position for position, word in enumerate(told[2]) if word in SERVICES)
    accepted([*told[2][service + 1 : -1], str(ROOT / "README.md")])


@pytest.mark.parametrize("name", OURS)
def test_variables_are_settings(name: str) -> None:
    """Each variable that a service gets is one that the program reads."""
    assert SERVICES[name]["environment"].keys() <= DEFAULTS.keys()


def test_the_parts_of_a_deployment_are_there() -> None:
    """Redis, PostgreSQL, two workers and two schedulers by default; sandbox and an import for the demo."""
    plain = {name for name, service in SERVICES.items() if "profiles" not in service}
    assert plain == {"redis", "postgres", "worker", "scheduler"}
    assert {name for name in SERVICES if SERVICES[name].get("profiles") == ["demo"]} == {"sandbox", "demo"}
    assert [SERVICES[name]["deploy"]["replicas"] for name in ("worker", "scheduler")] == [2, 2]
    commands = {name: SERVICES[name]["command"][0] for name in OURS}
    assert commands == {"worker": "worker", "scheduler": "scheduler", "sandbox": "sandbox", "demo": "import"}


def test_secrets_come_from_outside() -> None:
    """A missing secret stops Compose with a message, and the file holds none."""
    environment = SERVICES["worker"]["environment"]
    for name in (SECRETS & environment.keys()) | {"BW_ACCOUNT_ID", "BW_CLIENT_ID"}:
        assert re.fullmatch(rf"\$\{{{name}:\?.+\}}", environment[name])
    password = re.escape(SERVICES["postgres"]["environment"]["POSTGRES_PASSWORD"])
    assert password.startswith(r"\$\{POSTGRES_PASSWORD:\?")
    assert re.fullmatch(
        rf"postgresql://siproster:{password}@postgres/siproster", environment["SIPROSTER_LEDGER"]
    )


def test_redis_keeps_what_it_is_told() -> None:
    """Append-only file, no eviction, a volume, and no port that strangers reach."""
    command = SERVICES["redis"]["command"]
    settings = dict(zip(command[1::2], command[2::2], strict=True))
    assert (settings["--appendonly"], settings["--maxmemory-policy"]) == ("yes", "noeviction")
    assert [name for name, service in SERVICES.items() if "ports" in service] == []


def test_servers_are_waited_for() -> None:
    """No service starts before the servers that it depends on answer; data outlives the containers."""
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}, name
            assert SERVICES[needed]["healthcheck"]["test"][0] == "CMD"
    volumes = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])]
    assert {volume for volume in volumes if not volume.startswith(".")} == COMPOSE["volumes"].keys()


def test_the_demo_sets_all_that_is_asked_for() -> None:
    """The demo's file answers every required variable and points at the sandbox service."""
    asked = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert asked <= DEMO.keys()
    port = SERVICES["sandbox"]["command"][-1]
    assert (DEMO["BW_API_URL"], DEMO["COMPOSE_PROFILES"]) == (f"http://sandbox:{port}", "demo")
    assert f":{port}/_sandbox/health" in SERVICES["sandbox"]["healthcheck"]["test"][-1]


def test_the_image_is_built_from_files_that_exist() -> None:
    """Each file that is copied is in the repository and is let through to the build."""
    let_through = {
        line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"
    }
    copied = [
        rest.split()[:-1] for word, rest in INSTRUCTIONS if word == "COPY" and not rest.startswith("--from")
    ]
    names = {name for group in copied for name in group}
    assert names == let_through
    assert all((ROOT / name).exists() for name in names)


def test_the_image_runs_the_program_as_nobody_special() -> None:
    """The image runs the program as its entry point, not as root, in a Python that is supported."""
    last = dict(INSTRUCTIONS)
    assert last["USER"] == "siproster"
    assert last["ENTRYPOINT"] == '["siproster"]'
    bases = {rest.split()[0] for word, rest in INSTRUCTIONS if word == "FROM"}
    assert len(bases) == 1
    assert bases.pop().startswith("python:3.13.")


def test_images_are_pinned() -> None:
    """Images are pinned to a release, not to the newest of a series."""
    bases = {rest.split()[0] for word, rest in INSTRUCTIONS if word == "FROM"}
    images = bases | {service["image"] for service in SERVICES.values()} - {"siproster"}
    assert len(images) == 3
    for image in images:
        assert re.fullmatch(r"[a-z]+:[0-9]+\.[0-9]+(\.[0-9]+)?(-slim)?(@sha256:[0-9a-f]{64})?", image), image


def test_the_file_knows_every_option_of_import() -> None:
    """siproster.toml takes import's options, except those that are given anew each time."""
    each_time = {"account", "config", "debug", "detach", "help", "json", "plan", "profile", "yes"}
    each_time |= {"registrar", "transport", "verify", "log-file"}
    command = cli.get_command(click.Context(cli), "import")
    assert command is not None
    options = {
        word.removeprefix("--")
        for option in command.params
        if isinstance(option, click.Option)
        for word in option.opts
        if word.startswith("--")
    }
    of_others = {"answer-url", "call-from", "call-wait", "exit-on-change", "keep-last", "retention"}
    of_others |= {"four-eyes", "max-upload", "origin", "serve-host", "serve-port", "sign-in"}
    of_others |= {"tls-cert", "tls-key"}
    assert options - each_time == OPTIONS.keys() - of_others

"""Every command with ``--json``, once: ``Program.run`` holds what it prints to its schema in docs/schemas."""

from __future__ import annotations

import shlex
from collections.abc import Callable

from tests import schemas
from tests.program import Program
from tests.sandbox import Sandbox
from tests.system.accounts import APPLICATION, hold
from tests.system.rosters import roster_of, users

OF_NO_COMMAND = {"common", "error", "progress", "run-ended"}

SETTINGS = '[notify.log]\nkind = "command"\nargv = ["true"]\n'

ORDER = f"--from +19195551234 --application {APPLICATION} --answer-url https://example.com/a --yes"

LINES = (
    (0, "keygen"),
    (0, "formats"),
    (0, "formats show freepbx"),
    (0, "explain"),
    (0, "completion bash"),
    (0, "template"),
    (0, "doctor"),
    (0, "init --config new.toml"),
    (0, "realm list"),
    (0, "realm create north"),
    (0, "realm show north"),
    (0, "realm update north --description x"),
    (0, "realm delete north --yes"),
    (10, "plan staff.csv --save --results planned"),
    (0, "cancel latest"),
    (10, "import staff.csv"),
    (0, "status latest"),
    (10, "report latest"),
    (0, "retry latest --on-existing update --yes"),
    (0, "report latest --lineage"),
    (0, "resume latest"),
    (0, "verify staff.csv --registrar 127.0.0.1:{sip_port} --rate 100"),
    (0, "phones staff.csv --registrar 127.0.0.1:5060 --out phones.csv"),
    (10, f"call ext0 {ORDER}"),
    (0, "snapshot before"),
    (0, "undo latest --yes"),
    (10, "diff before"),
    (0, "credential list --show-digests"),
    (0, "credential show ext0"),
    (10, "credential delete ext0 nobody --yes"),
    (0, "schedule add nightly staff.csv --every @daily --notify log --config siproster.toml"),
    (0, "schedule list"),
    (0, "schedule show nightly"),
    (0, "schedule pause nightly"),
    (0, "schedule resume nightly"),
    (0, "schedule test-notify nightly --config siproster.toml"),
    (0, "schedule run nightly --config siproster.toml"),
    (0, "schedule remove nightly --yes"),
    (0, "jobs"),
    (0, "jobs --audit"),
    (0, "jobs purge --older-than 0 --yes"),
    (0, "people add dana"),
    (0, "people renew dana"),
    (0, "people list"),
    (0, "people remove dana --yes"),
    (0, "plan staff.csv --columns"),
    (0, "workers"),
    (0, "hash ext0 --realm office.auth.example.com"),
)
"""Exit codes and command lines, in an order in which each has something to tell."""


def test_each_command_prints_facts_of_its_schema(
    siproster: Program, make_sandbox: Callable[..., Sandbox], redis_url: str
) -> None:
    """Each command with ``--json`` prints facts, not an error, and no command is left out."""
    sandbox = make_sandbox("--sip-port", "0")
    sandbox.knobs(realm_pending=0, call_rings=0, call_talks=0)
    siproster.environment |= sandbox.environment()
    hold(sandbox, [users(1)[0].name])
    roster_of(siproster.work / "staff.csv", users(4))
    (siproster.work / "siproster.toml").write_text(SETTINGS)
    told = set()
    for code, line in LINES:
        words = shlex.split(line.format(sip_port=sandbox.sip_port))
        broker = redis_url if line == "workers" else ""
        stdin = "password" if words[0] == "hash" else ""
        ended = siproster.run(*words, "--json", stdin=stdin, SIPROSTER_BROKER=broker)
        assert (line, ended.code) == (line, code), ended
        assert list(ended.json) != ["error"], line
        told.add(schemas.command_of(words))
    assert told == {path.stem for path in schemas.FOLDER.glob("*.json")} - OF_NO_COMMAND

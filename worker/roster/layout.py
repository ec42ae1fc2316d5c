"""The header row: assigns columns to fields, once for the whole file."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from worker.errors import UsageError
from worker.model import Condition, Options, Problem, Row
from worker.roster.column_names import LAST_CHOICE, may_be_hinted, rank_of, sip_likeness
from worker.roster.header import ALIASES, LISTED, RANKED, SECRETS, Header, plain
from worker.roster.secret import may_be_secret
from worker.roster.selection import Test, cell_test
from worker.roster.technology import no_other_technology
from worker.roster.template import FirstFilled, Template

Filled = Callable[[Collection[int]], set[int]]
"""A function that returns those of the columns, by their positions, that are filled in some record."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """The columns of a format, by the names that its header has; a column that is missing is left out."""

    username: tuple[str, ...]
    """The first of them that is filled in a record is its user name."""
    password: str = ""
    domain: str = ""
    hash1: str = ""
    hash1b: str = ""
    is_domain: Callable[[str], bool] | None = None
    """Tells whether a value of the domain's column is a domain; None: each one is."""
    secrets: tuple[str, ...] = ()
    """Columns with other secrets (voicemail, web login), which the results never show."""
    internal: str = ""
    """A column that the format adds for its judge: nobody is shown it."""
    judge: Callable[[Row, Sequence[str]], None] | None = None
    """Look at a record and its row: ``skip`` or ``refuse`` it, or add to its warnings."""

    @property
    def columns(self) -> Mapping[str, tuple[str, ...]]:
        """Return the columns by field; an empty name stands for none."""
        return {
            "username": self.username, "password": (self.password,), "domain": (self.domain,),
            "hash1": (self.hash1,), "hash1b": (self.hash1b,),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """The position of each field in a record. Positions count from 0; None: there is no such column."""

    width: int
    """Fields in a record, trailing columns without a name included."""
    named: int
    """Fields up to the last named column: a record may end there."""
    exact: int
    """The number of fields that needs no closer look; -1: a surplus field may not be empty."""
    user: int | Template | FirstFilled
    password: int | None
    """None: a roster of digests."""
    domain: int | None
    realm: int | None
    application: int | None
    carried: tuple[int, ...]
    neutralised: tuple[int, ...]
    """Positions whose cells may have our ``'`` before a formula's first character."""
    where: tuple[tuple[int, Test], ...]
    """Positions, and the test that the cell there has to pass for the row to be selected."""
    columns: tuple[str, ...]
    dropped: tuple[str, ...]
    mapping: Mapping[str, str]
    warnings: tuple[Problem, ...]
    hash1: int | None = None
    hash1b: int | None = None
    is_domain: Callable[[str], bool] | None = None
    """Tells whether a value of the domain's column is a domain; None: each one is."""
    judge: Callable[[Row, Sequence[str]], None] | None = None
    """Judges a row by all fields of its record; the roster's format knows how."""
    judges_passwords: bool = False
    """Whether the judge is a format's, which says why a password is missing."""

    @property
    def fields(self) -> frozenset[int]:
        """Return the positions that a row's user name, domain, realm and application are taken from."""
        user = (self.user,) if isinstance(self.user, int) else self.user.positions
        rest = (self.domain, self.realm, self.application)
        return frozenset([*user, *(at for at in rest if at is not None)])


def lay_out(
    cells: Sequence[str],
    place: str,
    options: Options,
    assignment: Assignment | None = None,
    filled: Filled = set,
) -> Layout:
    """Assign columns to fields: by ``assignment``, if the roster is of a format, else by their names.

    ``--map`` overrides both. ``filled`` is asked where several columns could be a field.

    Raises:
        UsageError: a required column is missing, or an option names one that doesn't exist.
    """
    header = Header(cells, place)
    return _Deciding(header, options, assignment, filled).layout()


def overlooked(lack: str, name: str) -> UsageError:
    """Return the error for passwords that are to be generated although a column may have them."""
    return UsageError(
        f"{lack}, but {name!r} may have the passwords",
        f"--map password={name!r} takes it; --map password= generates a password for every row",
    )


class _Deciding:
    """The decisions, in order: the fields first, then the carried columns."""

    def __init__(
        self, header: Header, options: Options, assignment: Assignment | None, filled: Filled
    ) -> None:
        self.header = header
        self.filled = filled
        self.options = options
        self.assignment = assignment
        self.warnings: list[Problem] = []
        self.users: list[int] = []
        self.chosen = self._mapped()
        for field in ALIASES:
            if field in options.map or (field == "username" and options.username):
                continue
            if assignment is None:
                self._choose(field)
            else:
                self._take(field, assignment)
        self._require_password()
        self.secret = self._secret_positions()
        self.user = self._user()

    def layout(self) -> Layout:
        header, chosen = self.header, self.chosen
        carried = [at for at, name in enumerate(header.names) if self._is_carried(at, name)]
        internal = self.assignment.internal if self.assignment else ""
        dropped = [name for at, name in enumerate(header.names) if at in self.secret and name != internal]
        own = any(header.is_own(at) for at in range(len(header.names))) or header.names[:4] == LISTED
        return Layout(
            width=header.width,
            named=header.named,
            exact=header.named if header.named == header.width else -1,
            user=self.user,
            password=chosen.get("password"),
            domain=chosen.get("domain"),
            realm=chosen.get("realm"),
            application=chosen.get("application_id"),
            carried=tuple(carried),
            neutralised=tuple(at for at in range(header.width) if own and at != chosen.get("password")),
            where=tuple((self._selecting(one), cell_test(one)) for one in self.options.where),
            columns=tuple(header.names[at] for at in carried),
            dropped=tuple(dropped),
            mapping=self._mapping(),
            warnings=tuple(self.warnings),
            hash1=chosen.get("hash1"),
            hash1b=chosen.get("hash1b"),
            is_domain=self.assignment.is_domain
            if self.assignment and "domain" not in self.options.map
            else None,
            judge=self.assignment.judge if self.assignment else no_other_technology(header.given),
            judges_passwords=bool(self.assignment and self.assignment.judge),
        )

    def _mapped(self) -> dict[str, int]:
        """Return the fields that ``--map`` assigns."""
        chosen: dict[str, int] = {}
        for field, column in self.options.map.items():
            if not column and field in ALIASES:
                continue
            if field not in ALIASES:
                raise UsageError(
                    f"--map {field}={column}: there is no field {field!r}",
                    f"the fields are: {', '.join(ALIASES)}",
                )
            chosen[field] = self.header.position(column, f"--map {field}")
        shared = [
            field for field in chosen if field in SECRETS and list(chosen.values()).count(chosen[field]) > 1
        ]
        if "password" in chosen:
            self._warn_about_unlikely_password(chosen["password"])
        if shared:
            raise UsageError(
                f"--map takes one column for {shared[0]} and for another field",
                "a secret's column can't be used for another field, which the results show",
            )
        return chosen

    def _take(self, field: str, assignment: Assignment) -> None:
        """Take the field's column as the format has it; the first of several that may have the user name."""
        names = assignment.columns.get(field, ())
        found = [self.header.names.index(name) for name in names if name and name in self.header.names]
        if found:
            self.chosen[field] = found[0]
        self.users = found if field == "username" else self.users

    def _choose(self, field: str) -> None:
        """Choose the field's column by its name; ambiguity gets a warning, for passwords a refusal."""
        found = [at for at in self.header.candidates(field) if at not in self.chosen.values()]
        if len(found) > 1 and field in RANKED:
            found = self._filled_ones(field, found)
        if not found:
            return
        if self._is_ambiguous(field, found):
            raise self._ambiguous(field, found)
        if len(found) > 1:
            names = [self.header.names[at] for at in found]
            text = f"{names[0]} is used for the {field}, not {', '.join(names[1:])}"
            self._warn_about_columns(f"{text}; --map {field}=COLUMN chooses another")
        self.chosen[field] = found[0]

    def _filled_ones(self, field: str, found: list[int]) -> list[int]:
        """Return the candidates that are filled in some row, without the unlikely; the first if none is."""
        filled = self.filled(found)
        kept = [at for at in found if at in filled] or found[:1]
        ranks = {at: rank_of(field, self.header.given[at]) for at in kept}
        if kept[0] != found[0] and ranks[kept[0]] and rank_of(field, self.header.given[found[0]]) == 0:
            empty, used = self.header.names[found[0]], self.header.names[kept[0]]
            self._warn_about_columns(f"{empty} is empty in every row, so {used} is used for the {field}")
        if field == "username" and 0 != ranks[kept[0]] != LAST_CHOICE:
            return [
                at for at in kept if ranks[at] != LAST_CHOICE
            ]  # a number beside an extension is another one
        return kept

    def _is_ambiguous(self, field: str, found: list[int]) -> bool:
        """Return whether a wrong choice would be as likely as a right one."""
        if len(found) < 2 or field == "password":
            return len(found) > 1
        first, second = (self.header.given[at] for at in found[:2])
        if field == "username":
            return rank_of(field, first) in (0, rank_of(field, second))
        return plain(first) == plain(second)

    def _ambiguous(self, field: str, found: list[int]) -> UsageError:
        for at in found:
            if twins := [other for other in self.header.twins(at) if other in found]:
                return self.header.same_name(at, twins[0])
        names = [self.header.names[at] for at in found]
        ways = [f"--map {field}={shlex.quote(name)}" for name in names]
        if rank_of(field, self.header.given[found[0]]) == 0:
            ways[0] += " (the likely one: the name of the other may mean a web login or a mailbox)"
        listed, both = " and ".join(map(repr, names)), "both" if len(names) == 2 else "each"
        return UsageError(
            f"{self.header.place}: {listed} could {both} be the {field}",
            f"choose one: {' or '.join(ways)}",
        )

    def _warn_about_columns(self, text: str) -> None:
        self.warnings.append(Problem("column_ambiguous", text))

    def _warn_about_unlikely_password(self, chosen: int) -> None:
        """Warn where ``--map`` names a column for the password while another's name says that it is it."""
        given = self.header.given
        rank = rank_of("password", given[chosen])
        better = [
            at
            for at in self.header.candidates("password")
            if at != chosen and (rank is None or (rank_of("password", given[at]) or 0) < rank)
        ]
        filled = self.filled(better) if better else set()
        if names := [self.header.names[at] for at in better if at in filled]:
            used = self.header.names[chosen]
            self._warn_about_columns(
                f"--map password={shlex.quote(used)} is used, although {names[0]!r} is the likelier column"
            )

    def _require_password(self) -> None:
        """Require passwords, or both digests; a single digest column is of no use."""
        given = [field for field in ("hash1", "hash1b") if field in self.chosen]
        if len(given) == 2 or (not given and "password" in self.chosen):
            if not given and self.options.generate_passwords and self.assignment is None:
                self._refuse_overlooked_beside(self.chosen["password"])
            return
        if not given:
            if self.options.generate_passwords:
                self._refuse_overlooked(f"{self.header.place} has no password column", self._named_alike())
                return
            if self.options.map.get("password") == "":
                raise UsageError(
                    f"--map password= leaves no passwords: {self.header.place} also has no hash1 and hash1b",
                    "leave it out, or add --generate-passwords FILE",
                )
            raise self._missing("password")
        other = "hash1b" if given == ["hash1"] else "hash1"
        if "password" not in self.chosen:
            raise UsageError(
                f"{self.header.place} has {given[0]}, but neither {other} nor passwords",
                f"name the other one with --map {other}=COLUMN, or the passwords with --map password=COLUMN",
            )
        text = f"{given[0]} is not used: the digests are computed from the passwords"
        self.warnings.append(Problem("hash_not_used", text))

    def _named_alike(self) -> list[int]:
        """Return the columns whose names suggest a secret."""
        every = enumerate(self.header.names)
        return [at for at, name in every if may_be_secret(name) and not self.header.is_own(at)]

    def _refuse_overlooked_beside(self, password: int) -> None:
        """Refuse the same where the password column is empty in every row, and an unknown one isn't.

        The column of a mailbox's PIN or of a web login is not meant.
        """
        if self.filled([password]):
            return
        names = self.header.names
        alike = [at for at in self._named_alike() if at != password and may_be_hinted("password", names[at])]
        filled = self.filled(alike)
        self._refuse_overlooked(
            f"{names[password]!r} is empty in every row", [at for at in alike if at in filled]
        )

    def _refuse_overlooked(self, lack: str, alike: list[int]) -> None:
        """Refuse to generate passwords for all rows where an unknown column may have them."""
        if alike and "password" not in self.options.map:
            raise overlooked(lack, self.header.names[alike[0]])

    def _missing(self, field: str) -> UsageError:
        wanted = ALIASES[field]
        every = range(len(self.header.names))
        if field == "password":
            secrets = filter(may_be_secret, self.header.names)
            wanted = (*sorted(secrets, key=sip_likeness), *wanted)
        empty = set(every) - self.filled(every)
        taken = empty.union(self.chosen.values())
        near = self.header.nearest(wanted, taken, field)
        column = shlex.quote(near) if near else "COLUMN"
        hint = self.header.guess(wanted, taken, field)
        if self.header.may_be_shown:
            hint = f"--map {field}={column} names it; {hint}"
        if doubted := self._doubted_option():
            hint = f"leave out {doubted}, which siproster finds itself; the header may also be missing"
        return UsageError(f"{self.header.place} has no {field} column", hint)

    def _doubted_option(self) -> str:
        """Return the given option that may be why there are no such columns."""
        if self.options.delimiter and self.header.named == 1:
            return "--delimiter"
        return "--header-line" if self.options.header_line else ""

    def _secret_positions(self) -> set[int]:
        """Return columns that surely hold a secret, or do by name unless needed or explicitly carried."""
        sure = {self.chosen[field] for field in SECRETS if field in self.chosen}
        expressly = {self.header.position(name, "--carry") for name in self.options.carry}
        if sure & expressly:
            name = self.header.names[min(sure & expressly)]
            raise UsageError(
                f"--carry {name}: a password or digest never goes into the results", "leave it out"
            )
        if self.assignment:
            names = {*self.assignment.secrets, self.assignment.internal}
            sure |= {at for at, name in enumerate(self.header.names) if name in names}
        used = set(self.chosen.values()) | set(self.users) | expressly
        return sure | (set(self._named_alike()) - used)

    def _public(self, name: str, option: str) -> int:
        """Return the position of a column that is no secret: its values get into names or a job's options."""
        position = self.header.position(name, option)
        if position in self.secret:
            raise UsageError(
                f"{option}: {name!r} contains or may contain a secret, and would be visible in the results",
                f"if it is not a secret, use --carry {name}",
            )
        return position

    def _selecting(self, condition: Condition) -> int:
        """Return the position of a condition's column, whose name may have been cut off at an operator."""
        names, column = self.header.names, condition.column
        typed = f"{column}{condition.operator}{condition.value}"
        longer = [one for one in names if one.startswith(column) and typed.startswith(one)]
        if longer and column not in names:
            raise UsageError(
                f"--where: {column!r} is not a column of {self.header.place}, but {longer[0]!r} is",
                f"put the name in double quotes: --where '\"{longer[0]}\"=VALUE'",
            )
        return self._public(column, "--where")

    def _user(self) -> int | Template | FirstFilled:
        if self.options.username:
            return Template(self.options.username, lambda name: self._public(name, "--username"))
        if "username" not in self.chosen:
            raise self._missing("username")
        if len(self.users) > 1:
            return FirstFilled(tuple(self.users))
        return self.chosen["username"]

    def _is_carried(self, position: int, name: str) -> bool:
        if not name and any(self.header.names[position:]):
            text = f"column {position + 1} has no name and is ignored"
            self.warnings.append(Problem("column_unnamed", text))
        return bool(name) and position not in self.secret and not self.header.is_own(position)

    def _mapping(self) -> dict[str, str]:
        fields = ("username", "password", "domain", "realm", "application_id", "hash1", "hash1b")
        mapping = {field: self.header.names[self.chosen[field]] for field in fields if field in self.chosen}
        if self.options.username:
            return {**mapping, "username": self.options.username}
        if len(self.users) > 1:
            return {**mapping, "username": ", else ".join(self.header.names[at] for at in self.users)}
        return mapping

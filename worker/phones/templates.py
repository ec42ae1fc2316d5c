"""Sets of templates: a folder whose files become a phone's configuration files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from jinja2 import DictLoader, StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from worker.errors import UsageError
from worker.phones.limits import SECONDS, limited
from worker.phones.phone import VARIABLES, Phone
from worker.phones.syntax import FILTERS, Unfit, written
from worker.reasons import reason_of

_BUILT_IN = Path(__file__).parent / "templates"
_END = ".j2"
_MARKUP = (".xml", ".html", ".htm", ".xhtml", ".svg")
_IN_NAMES = ("mac", "MAC", "auth_user", "user", "extension")
"""Words that may stand in braces in a template's file name."""
_tag = re.compile(r"\s*<(?:\?xml|!doctype|[a-z_][\w.-]*[\s/>])", re.IGNORECASE).match
"""Match a text that begins as XML or HTML; ``<sip:…`` is neither."""
_word = re.compile(r"\{([^{}]*)\}")
_safe = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9_+@.~-]{0,127}").fullmatch
"""Match a value that is part of a file's name on every system, and never leads to another folder."""
_LARGEST = 1 << 20
"""Bytes of a template, and characters of a file that one makes."""
_REASONS: Mapping[type[Exception], str] = {
    UndefinedError: "a column or value that isn't there",
    SecurityError: "templates must not do this",
    RecursionError: "it calls itself without end",
    TemplateSyntaxError: "Jinja can't read this",
    ArithmeticError: "a number that is too large, or a division by zero",
    LookupError: "a key or an index that isn't there",
    AttributeError: "an attribute that isn't there",
    TypeError: "a value of the wrong type",
}
"""Why a template fails; else its expression is wrong."""
_FAULTS = (
    TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, RecursionError,
)  # fmt: skip


def built_in() -> list[str]:
    """Return the names of the sets that come with siproster."""
    return sorted(path.name for path in _BUILT_IN.iterdir() if path.is_dir())


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox without powers, which can take hours in a single step that no limit ends."""

    intercepted_binops = frozenset({"**"})

    def call_binop(self, context: Context, operator: str, left: object, right: object) -> object:
        """Refuse an operator in ``intercepted_binops``."""
        raise SecurityError(f"{operator} is not available")


class TemplateSet:
    """The templates of a built-in set, or of a folder of the user's."""

    def __init__(self, name: str) -> None:
        """``name``: a built-in set, else a folder. Raises UsageError, also for a template with a fault."""
        self.name = name
        folder = _BUILT_IN / name if name in built_in() else Path(name)
        if not folder.is_dir():
            raise UsageError(
                f"--template {name}: there is no such template, and no such folder",
                f"templates: {', '.join(built_in())}; or the path of a folder with your own",
            )
        sources = _sources(folder)
        self.names = [one for one in sources if not PurePosixPath(one).name.startswith("_")]
        if not self.names:
            raise UsageError(f"{folder} has no templates", f"their names end in {_END}: {{mac}}.cfg{_END}")
        for one in self.names:
            _check_name(folder, one)
        self._folder = folder
        self._sources = {**_sources(_BUILT_IN, deep=False), **sources}
        self._environment = self._new_environment()
        with self._within_limits():
            self._templates = {one: self._compiled(one) for one in self.names}

    def files(self, phone: Phone) -> dict[str, str]:
        """Return the phone's files by name. Raises Unfit if one can't be written."""
        names = self.file_names(phone)
        return {name: self._rendered(one, name, phone) for one, name in zip(self.names, names, strict=True)}

    def file_names(self, phone: Phone) -> list[str]:
        """Return the names of the phone's files, each another one.

        Raises Unfit if the row lacks what a name needs, or two templates give it the same file.
        """
        values = {**{one: getattr(phone, one) for one in _IN_NAMES if one != "MAC"}, "MAC": phone.mac.upper()}
        names = [_word.sub(lambda found: _part(found[1], values), name)[: -len(_END)] for name in self.names]
        _check_distinct(names)
        return names

    def _new_environment(self) -> _Environment:
        environment = _Environment(
            loader=DictLoader(self._sources), undefined=StrictUndefined, autoescape=self._is_markup,
            finalize=_finalized, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        )  # fmt: skip
        environment.filters.update(FILTERS)
        return environment

    def _is_markup(self, name: str | None) -> bool:
        """Return whether values are escaped: the file is XML or HTML by its name, or by its first tag."""
        source = self._sources.get(name or "", "")
        return (name or "").removesuffix(_END).endswith(_MARKUP) or bool(_tag(source))

    @contextmanager
    def _within_limits(self) -> Iterator[None]:
        """Raise UsageError if a template takes too much time or memory: every row's file would."""
        try:
            with limited():
                yield
        except (TimeoutError, MemoryError) as error:
            much = f"more than {SECONDS:g} s" if isinstance(error, TimeoutError) else "too much memory"
            raise UsageError(
                f"{self._folder}: a template needs {much} for one file",
                "correct it, and name a new folder with --out",
            ) from None

    def _compiled(self, name: str) -> Template:
        try:
            for one in self._parts(name, ()):
                self._environment.get_template(one)  # names the template and the line of a fault
                tree = self._environment.parse(self._sources[one], one)
                unknown = meta.find_undeclared_variables(tree) - VARIABLES - self._environment.globals.keys()
                if unknown:
                    raise UsageError(
                        f"{self._folder / one}: there is no variable {sorted(unknown)[0]}",
                        f"variables: {', '.join(sorted(VARIABLES))}; columns of the roster: row['Column']",
                    )
            return self._environment.get_template(name)
        except TemplateSyntaxError as error:
            where = f"{self._folder / (error.name or name)}, line {error.lineno}"
            raise UsageError(
                f"{where}: {error.message}", "correct the template; nothing was written"
            ) from None

    def _parts(self, name: str, path: tuple[str, ...]) -> set[str]:
        """Return the template and those that it includes. ``path``: the templates that include it."""
        parts = {name}
        for other in meta.find_referenced_templates(self._environment.parse(self._sources[name], name)):
            if other is None or other not in self._sources:
                raise UsageError(
                    f"{self._folder / name} includes a template that is not in its folder",
                    "name one of its files, as it is called there",
                )
            if other in (*path, name):
                raise UsageError(f"{self._folder / other} includes itself", "nothing was written; correct it")
            if other not in parts:
                parts |= self._parts(other, (*path, name))
        return parts

    def _rendered(self, name: str, file_name: str, phone: Phone) -> str:
        try:
            with self._within_limits():
                text = self._templates[name].render(phone.variables())
        except Unfit as error:
            raise Unfit(f"{file_name}: {_field_of(phone, error)}") from None
        except _FAULTS as error:
            # Its message may quote the password: {{ row[password] }}.
            reasons = (reason for kind, reason in _REASONS.items() if isinstance(error, kind))
            raise Unfit(f"{name}{_line_of(error)}: {next(reasons, 'an expression that is wrong')}") from None
        if len(text) > _LARGEST:
            raise Unfit(f"{file_name}: it would have more than {_LARGEST:,} characters")
        return text


def _finalized(value: object) -> object:
    """Return what an expression gives. Raises Unfit for a text with line breaks, in whatever syntax."""
    return written(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _field_of(phone: Phone, error: Unfit) -> str:
    """Return the error with the variable that it is about, if that can be told."""
    named = {**phone.variables(), **phone.row}
    field = next((name for name, value in named.items() if value == error.value), "a value")
    return f"{field} can't be written: {error}"


def _line_of(error: Exception) -> str:
    """Return the line of the template in which an error was raised."""
    line, trace = 0, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == "<template>" or trace.tb_frame.f_globals.get(
            "__jinja_template__"
        ):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}" if line else ""


def _part(word: str, values: Mapping[str, str]) -> str:
    value = values[word]
    if not value:
        raise Unfit(f"it has no {word.lower()}, which the file's name needs")
    if not _safe(value) or value.endswith("."):
        raise Unfit(f"its {word} can't be part of a file's name")
    return value


def _check_distinct(names: Sequence[str]) -> None:
    """Refuse two files with one name, in whatever case, and a file with the name of another's folder."""
    paths = [PurePosixPath(name.casefold()) for name in names]
    taken = Counter([*paths, *{folder for path in paths for folder in path.parents}])
    if twice := next((name for name, path in zip(names, paths, strict=True) if taken[path] > 1), ""):
        raise Unfit(f"two templates give it the same file, {twice}")


def _check_name(folder: Path, name: str) -> None:
    """Refuse a name that is the same for all phones, or has an unknown word."""
    words = _word.findall(name)
    unknown = [word for word in words if word not in _IN_NAMES]
    if unknown or not words:
        reason = f"{{{unknown[0]}}} is unknown" if unknown else "it would be the same for every phone"
        raise UsageError(
            f"{folder / name}: the file's name can't be used: {reason}",
            f"put one of these into it: {', '.join(f'{{{one}}}' for one in _IN_NAMES)}; "
            "a file that is only included begins with _",
        )


def _sources(folder: Path, *, deep: bool = True) -> dict[str, str]:
    """Return the texts of a folder's templates by their path in it."""
    found = sorted(folder.rglob(f"*{_END}") if deep else folder.glob(f"*{_END}"))
    sources = {}
    for path in filter(Path.is_file, found):
        try:
            source = path.read_bytes()
            sources[path.relative_to(folder).as_posix()] = source.decode()
        except (OSError, UnicodeDecodeError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else "it is not UTF-8"
            raise UsageError(f"{path} can't be read: {reason}", "correct it; nothing was written") from None
        if len(source) > _LARGEST:
            raise UsageError(
                f"{path} is larger than {_LARGEST:,} bytes", "nothing was written; is it a template?"
            )
    return sources

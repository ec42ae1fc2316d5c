"""The notification channels of the settings file, as plain values. No secret is in a ``repr``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar


class When(StrEnum):
    """The runs of which a channel tells."""

    ALWAYS = "always"
    ON_TROUBLE = "on-trouble"


class MailTls(StrEnum):
    """The encryption of the connection to a mail server."""

    STARTTLS = "starttls"
    """It begins in clear text and must change to TLS before anything else."""
    TLS = "tls"
    """TLS from the first byte."""
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """The part that every kind has. ``users``: whether it tells the users who are not in place."""

    kind: ClassVar[str] = ""
    seconds: ClassVar[float] = 15.0
    """The longest that one attempt may take."""

    name: str
    when: When = When.ON_TROUBLE
    users: bool = False

    @property
    def deadline(self) -> float:
        """Return the seconds that one attempt may take."""
        return self.seconds

    @property
    def address(self) -> str:
        """Return the channel's address for people, without anything that may be secret."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChannel(Channel):
    """A URL that gets signed requests. ``host`` is its part that isn't secret; ``secrets`` are keys."""

    kind: ClassVar[str] = "webhook"

    url: str = field(repr=False)
    host: str
    secrets: tuple[bytes, ...] = field(repr=False)

    @property
    def address(self) -> str:
        """Return scheme and host: a path may let anybody in who knows it."""
        return self.host


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandChannel(Channel):
    """A program that gets the notification on its standard input."""

    kind: ClassVar[str] = "command"

    argv: tuple[str, ...] = field(repr=False)
    timeout: float = 30.0

    @property
    def deadline(self) -> float:
        """Return the seconds after which the program is killed."""
        return self.timeout

    @property
    def address(self) -> str:
        """Return the program without its arguments."""
        return self.argv[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailChannel(Channel):
    """A mail server and the people who get the mail. Without a ``user`` nobody signs in."""

    kind: ClassVar[str] = "email"
    seconds: ClassVar[float] = 30.0

    host: str
    port: int
    tls: MailTls
    user: str = ""
    password: str = field(default="", repr=False)
    sender: str
    recipients: tuple[str, ...]

    @property
    def address(self) -> str:
        """Return recipients and server."""
        return f"{', '.join(self.recipients)} through {self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AppriseChannel(Channel):
    """Chats and other services, by the URLs of the Apprise library, which hold their secrets."""

    kind: ClassVar[str] = "apprise"
    seconds: ClassVar[float] = 60.0

    urls: tuple[str, ...] = field(repr=False)

    @property
    def address(self) -> str:
        """Return the services' names: the rest of an URL is secret."""
        return ", ".join(url.partition("://")[0] for url in self.urls)

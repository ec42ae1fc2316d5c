"""A registrar that keeps what it is sent, and answers as the service (docs/bandwidth-api.md#credentials)."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tests.unit.jobs import OTHER_REALM, REALM
from worker.errors import AnswerLost, ListRefused, Refused
from worker.model import Answer, Credential, Echo, EntryError, Family, Realm, Row, Stored

Batch = Sequence[Row | Credential]


class Registrar:
    """The service, for one account, in memory (importing.api_protocols.Source). Shared by threads.

    What a test wants to go wrong it sets: ``refuses`` are codes by composite, ``before`` and ``after``
    are called with each batch before and after it is stored, and may raise; ``echo`` and ``error``
    change what an answer says of an entry; ``looking`` is called before each look-up, and ``waiting``
    before a request that writes, as if it had to wait its turn.
    """

    def __init__(self, *, most_entries: int = 1000) -> None:
        self.most_entries = most_entries
        self.stored: dict[tuple[str, str], Stored] = {}
        self.posts: list[list[str]] = []
        """The composites of each list that arrived, in the order of arrival."""
        self.looks: list[str] = []
        self.pages = 0
        """Pages that were listed, of 500 entries each."""
        self.counts = True
        """The realms say how many credentials they hold."""
        self.listing: Callable[[], object] = lambda: None
        """Called before each page is shown."""
        self.lists: Callable[[Stored], Stored | None] = lambda stored: stored
        """How a list shows an entry; None: it doesn't."""
        self.reads: list[str] = []
        self.puts: list[str] = []
        self.deletions: list[str] = []
        self.keeps_applications = False
        """PUT doesn't set an application, whatever it answers."""
        self.refuses: dict[str, str] = {}
        self.waiting: Callable[[], object] = lambda: None
        self.before: Callable[[Batch], object] = lambda batch: None
        self.after: Callable[[Batch], object] = lambda batch: None
        self.looking: Callable[[str], object] = lambda composite: None
        self.echo: Callable[[Echo], Echo | None] = lambda echo: echo
        self.contradicted: frozenset[str] = frozenset()
        """Names of which every answer says that they are stored otherwise than they were sent."""
        self.error: Callable[[EntryError], EntryError | None] = lambda error: error
        self.lag = 0
        """Look-ups that still don't see what is there, unless it is expected to be there."""
        self.denies = 0
        """Deletions of which it says that the user is gone already, without doing them."""
        self.behind = 0
        """Reads that still show how a credential was before it was last set."""
        self._earlier: dict[tuple[str, str], Stored] = {}
        self._ids = itertools.count(1)
        self._lock = threading.Lock()

    def create(self, family: Family, realm: Realm, batch: Batch, permit: Callable[[float], None]) -> Answer:
        """Store what can be stored; one answer about every entry."""
        self.waiting()
        permit(30.0)
        self.posts.append([credential.composite for credential in batch])
        self.before(batch)
        if len(batch) > self.most_entries:
            raise ListRefused("23003", f"more than {self.most_entries} entries", self.most_entries)
        with self._lock:
            answers = [self._take(family, realm, credential) for credential in batch]
        self.after(batch)
        accepted = (self.echo(answer) for answer in answers if isinstance(answer, Echo))
        refused = (self.error(answer) for answer in answers if isinstance(answer, EntryError))
        return Answer(
            tuple(filter(None, accepted)), tuple(filter(None, refused)), contradicted=self.contradicted
        )

    def find(self, family: Family, realm: Realm, composite: str, *, expected: bool = False) -> Stored | None:
        """Return the credential stored under the name, in any case, or None."""
        self.looks.append(composite)
        self.looking(composite)
        if self.lag and not expected:
            self.lag -= 1
            return None
        return self.stored.get(self._place(family, realm, composite))

    def realms(self) -> list[Realm]:
        """The realms that the tests' jobs have."""
        held = Counter(one.realm for one in self.stored.values())
        both = (REALM, OTHER_REALM)
        return [replace(one, credentials=held[one.host] if self.counts else None) for one in both]

    def credentials(self, family: Family, realm: Realm | None) -> Iterator[Stored]:
        """Everything on the account, or on one realm of it, page by page."""
        place = realm.id if realm and family is Family.REALM else ""
        names = [name for name in self.stored if name[0] == place]
        for start in range(0, max(1, len(names)), 500):
            self.pages += 1
            self.listing()
            shown = [self.stored[name] for name in names[start : start + 500] if name in self.stored]
            yield from filter(None, map(self.lists, shown))

    def whole(self, family: Family, realm: Realm | None, stored: Stored) -> Stored:
        """Return an entry of a list with its digests."""
        if stored.hash1 and stored.hash1b:
            return stored
        return self.read(family, realm, stored) or stored

    def read(
        self,
        family: Family,
        realm: Realm | None,
        stored: Stored,
        written: Callable[[Stored | None], bool] | None = None,
    ) -> Stored | None:
        """Return one credential, by what the family calls it; look again while a write doesn't show."""
        self.reads.append(stored.composite)
        self.looking(stored.composite)
        found = self._shown(family, realm, stored)
        for _ in range(3):
            if written is None or written(found):
                break
            found = self._shown(family, realm, stored)
        return found

    def _shown(self, family: Family, realm: Realm | None, stored: Stored) -> Stored | None:
        place = self._place_of(family, realm, stored)
        if place and self.behind and place in self._earlier:
            self.behind -= 1
            return self._earlier[place]
        return self.stored.get(place) if place else None

    def update(
        self,
        family: Family,
        realm: Realm | None,
        stored: Stored,
        credential: Credential,
        permit: Callable[[float], None],
        *,
        clear: bool = False,
    ) -> None:
        """Set digests and application, as the API's client does."""
        self.waiting()
        permit(30.0)
        self.puts.append(credential.composite)
        self.before([credential])
        if code := self.refuses.get(credential.composite):
            raise Refused(code, f"refused with {code}")
        place = self._place_of(family, realm, stored)
        if place is None:
            raise Refused("23007", "not found")
        held = self._earlier[place] = self.stored[place]
        application = credential.application or ("" if clear else stored.application)
        kept = held.application if self.keeps_applications else application
        self.stored[place] = replace(held, hash1=credential.hash1, hash1b=credential.hash1b, application=kept)
        self.after([credential])

    def delete(
        self, family: Family, realm: Realm | None, stored: Stored, permit: Callable[[float], None]
    ) -> bool:
        """Delete it; False: it was gone."""
        self.waiting()
        permit(30.0)
        self.deletions.append(stored.composite)
        self.before([])
        if self.denies:
            self.denies -= 1
            return False
        place = self._place_of(family, realm, stored)
        if place:
            del self.stored[place]
        self.after([])
        return place is not None

    def _place_of(self, family: Family, realm: Realm | None, stored: Stored) -> tuple[str, str] | None:
        if family is Family.ACCOUNT:
            place = ("", stored.composite.casefold())
            return place if place in self.stored else None
        return next((place for place, held in self.stored.items() if held.id == stored.id), None)

    def holds(self, credential: Credential, family: Family = Family.ACCOUNT, realm: str = "") -> None:
        """Store this as somebody else's, before the job."""
        place = self._place(family, Realm(realm, credential.host), credential.composite)
        self.stored[place] = self._made(credential)

    def digests(self) -> dict[str, tuple[str | None, str | None]]:
        """Return both digests of each stored credential, by composite name."""
        return {held.composite: (held.hash1, held.hash1b) for held in self.stored.values()}

    def _take(self, family: Family, realm: Realm, credential: Row | Credential) -> Echo | EntryError:
        place = self._place(family, realm, credential.composite)
        code = self.refuses.get(credential.composite, "")
        if not code and place in self.stored:
            code = "23009" if family is Family.ACCOUNT else "23026"
        if code:
            return EntryError(code, f"refused with {code}", credential.composite, credential.hash1)
        made = self.stored[place] = self._made(credential)
        application = credential.application or None
        return Echo(
            made.id, made.composite, made.realm, credential.hash1, credential.hash1b, application,
            realm.id if family is Family.REALM else None,
        )  # fmt: skip

    def _made(self, credential: Row | Credential) -> Stored:
        c = credential
        return Stored(str(next(self._ids)), c.composite, c.host, c.hash1, c.hash1b, c.application)

    @staticmethod
    def _place(family: Family, realm: Realm, composite: str) -> tuple[str, str]:
        return (realm.id if family is Family.REALM else "", composite.casefold())


def lose(times: int) -> Callable[[Batch], None]:
    """For ``before`` or ``after``: lose so many answers."""
    left = itertools.count(times, -1)

    def lost(batch: Batch) -> None:
        if next(left) > 0:
            raise AnswerLost("a request was sent, and whether the service did it is not known")

    return lost


def in_other_case(echo: Echo) -> Echo:
    """For ``echo``: answer like a service that stores names in another case."""
    return replace(echo, composite=echo.composite.swapcase())


def respells(api: Registrar) -> None:
    """Make the service store names in another case, and say so."""

    def respell(batch: Batch) -> None:
        api.stored = {
            place: replace(one, composite=one.composite.swapcase()) for place, one in api.stored.items()
        }

    api.after, api.echo = respell, in_other_case


def nameless(error: EntryError) -> EntryError:
    """For ``error``: return an echo that has only the digest."""
    return replace(error, composite="")


def without_echo(error: EntryError) -> EntryError:
    """For ``error``: return no echo at all."""
    return replace(error, composite="", hash1="")

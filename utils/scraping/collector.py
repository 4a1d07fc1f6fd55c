"""From a source's lists to pictures on disk: what becomes of each suit."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from utils.common.errors import RunError, UserError
from utils.scraping.collection import Collection
from utils.scraping.journal import Entry
from utils.scraping.manifest import Manifest, describe
from utils.scraping.pages import Page, reason_to_refuse
from utils.scraping.sources import SOURCES
from utils.scraping.sources.source import Options, Suit
from utils.scraping.transport import FetchError

SAVE_INTERVAL = 5.0  # seconds between two writings of the lists while pictures come in


class Collector:
    """Takes suit after suit: keeps its pictures, refuses it, or notes what is missing.

    Args:
        options: what to collect, and from where.
        say: is given every line for the person.
    """

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.options = options
        self.say = say
        limits = (
            f"{options.max_page_mb:g}/{options.max_picture_mb:g} MB, "
            f"{options.captures_from} to {options.captures_to}"
        )
        self.collection = Collection(Path(options.output), limits)
        self.manifest = Manifest(self.collection, options.source)
        self.source = SOURCES[options.source](options, self.collection, say, self.fail)
        self.pages_read = 0
        self.unit_types_seen = 0
        self.last_page = ""
        self.waiting: deque[Suit] = deque()
        self._listed = self.source.suits()
        self._seen: set[str] = set()
        self._twins: dict[str, list[Suit]] = {}  # refused because of a file with the same picture
        self._unreached = 0
        self._saved = time.monotonic()

    def close(self) -> None:
        """Give the connections back, and let others use the folder."""
        self.source.session.close()
        self.collection.close()

    # Suits.

    def read_lists(self) -> Iterator[int]:
        """Read all shows; yields how many suits there are so far."""
        for suit in self._listed:
            self.waiting.append(suit)
            yield len(self.waiting)

    def suits(self) -> Iterator[Suit]:
        """All suits of the source, each once, and those that turn up on the way.

        Shows that have not been read are read when their suits are needed.
        """
        while suit := self.waiting.popleft() if self.waiting else next(self._listed, None):
            if suit.address not in self._seen:
                self._seen.add(suit.address)
                yield suit

    def take(self, suit: Suit) -> None:
        """Look at one suit and keep, refuse or miss its pictures. Only RunError gets out."""
        try:
            page = self.source.read(suit)
            more = self.source.more_suits(suit, page)
            if more:
                self.waiting.extendleft(reversed(more))
            else:
                self._take_page(suit, page)
        except FetchError as error:
            self.fail(suit.address, "page", error)
        except (RunError, UserError):
            raise
        except Exception as error:
            # Hostile pages reach the darker corners of every library; the others are to be read.
            reason = f"unexpected {type(error).__name__}: {error}"[:300]
            self.fail(suit.address, "page", FetchError(reason, final=True))

    def _take_page(self, suit: Suit, page: Page) -> None:
        about = describe(suit, page)
        self.pages_read += 1
        self.last_page = suit.address
        self.unit_types_seen += bool(about["unit_type"])
        pictures = self.selected(page)
        first = self.source.picture_address(pictures[0][0]) if pictures else ""
        reason = reason_to_refuse(page, self.options.unit_types)
        if reason:
            self._unreached = 0
            self.manifest.refuse(about, first, reason)
            # A page that says nothing any more takes nothing away: the site may have changed.
            if about["unit_type"] and pictures:
                self._put_aside(suit.address)
            return
        self.manifest.accept(suit.address, first)
        for addresses in pictures:
            entry = self._fetch(suit, addresses)
            if entry is not None and not self.manifest.keep(about, entry):
                self._twins.setdefault(entry.file, []).append(suit)
            if self.has_enough():
                break

    def selected(self, page: Page) -> list[list[str]]:
        """The pictures to take of a page, each a list of addresses to try."""
        return page.pictures if self.options.variants else page.pictures[:1]

    def has_enough(self) -> bool:
        """Whether there are as many pictures as --limit allows."""
        return 0 < self.options.limit <= self.manifest.kept

    def _fetch(self, suit: Suit, choices: list[str]) -> Entry | None:
        """The picture at the first of a few addresses that has one; a failure if none has."""
        failure = None
        for choice in choices[:4]:
            address = self.source.picture_address(choice)
            try:
                entry = self.source.fetch_picture(address, suit.show)
            except FetchError as error:
                failure = failure or (address, error)
                if error.kept:
                    self.fail(address, "picture", error, kept=True, page_url=suit.address)
                    return error.kept
                if not error.final:
                    break
            else:
                self._unreached = 0
                return entry
        if failure:
            self.fail(failure[0], "picture", failure[1], page_url=suit.address)
        return None

    def _put_aside(self, page_url: str) -> None:
        """Take out the pictures of a page that had been accepted and now is not."""
        for file in self.manifest.take_out(page_url):
            # Suits that were refused because of the file get their turn again.
            for twin in self._twins.pop(file, []):
                self._seen.discard(twin.address)
                self.waiting.append(twin)

    # What is noted.

    def fail(
        self, address: str, what: str, error: FetchError, kept: bool = False, page_url: str = ""
    ) -> None:
        """Note what is missing, and why; with ``kept``, an earlier copy is there.

        Raises:
            RunError: nothing has been reached for a while.
        """
        self.say(f"{address}: {self.manifest.fail(address, what, error, kept, page_url)}")
        self._unreached = 0 if error.final else self._unreached + 1
        if self._unreached >= self.options.give_up_after:
            raise RunError(
                f"{self._unreached} addresses failed one after the other, the last: {address}: "
                f"{error}"
            )

    def save(self, if_older: float = 0.0) -> None:
        """Write the lists if the last time was so many seconds ago; Ctrl-C has to wait."""
        if self.options.dry_run or time.monotonic() - self._saved < if_older:
            return
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            self.manifest.save()
        finally:
            signal.signal(signal.SIGINT, before)
        self._saved = time.monotonic()

"""What the sources share: how a page is fetched, and which shows are selected."""

from __future__ import annotations

import difflib
import functools
import shlex
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

from utils.common.errors import RunError, UserError
from utils.scraping import pages
from utils.scraping.addresses import host_of, is_on, with_and_without_www
from utils.scraping.collection import Ask, Collection
from utils.scraping.journal import Entry
from utils.scraping.pages import Page
from utils.scraping.transport import FetchError
from utils.scraping.web import Session

MB = 2**20
MAX_WAY = 2  # pages that lead to another one, one after the other
MAX_FRAMES = 6


class Options(Protocol):
    """What of the script's options is looked at below it; they are ``Manners`` as well."""

    source: str
    index_url: str
    show: tuple[str, ...]
    unit_types: tuple[str, ...]
    variants: bool
    limit: int
    output: str
    dry_run: bool
    delay: float
    give_up_after: int
    max_page_mb: float
    max_picture_mb: float
    archive_url: str
    captures_from: int
    captures_to: int
    wiki_categories: tuple[str, ...]


@dataclass
class Suit:
    """A page that may show a suit. ``shows`` are the folders of all shows that list it."""

    address: str
    show: str
    shows: list[str]
    page: Page | None = None
    """What the page says, where that is known without asking for it."""
    from_listing: bool = False
    """Found on a page that itself had been taken for a suit's; those are followed no further."""


class Source(ABC):
    """One place with pictures: what it lists, and how it wants to be asked.

    Args:
        options: those of the script.
        collection: keeps pages and pictures.
        say: is given every line for the person.
        fail: is given the address of a page that is missing, "page" and the error.
    """

    INDEX: str
    """Where it begins, if ``--index-url`` says nothing else."""
    unchanging = False
    """Whether what is at an address stays what it is for ever."""

    def __init__(
        self,
        options: Options,
        collection: Collection,
        say: Callable[[str], None],
        fail: Callable[..., None],
    ) -> None:
        self.options = options
        self.collection = collection
        self.say = say
        self.fail = fail
        self.index = options.index_url or self.INDEX
        self.own_hosts = with_and_without_www(host_of(self.index))
        self.session = self.make_session()

    # What each source says for itself.

    @abstractmethod
    def suits(self) -> Iterator[Suit]:
        """Every suit once, show by show; ``shows`` grows while further shows are read.

        Raises:
            RunError: the index is not there, or nothing is listed on it.
            UserError: --show names a show that is not on it.
        """

    def make_session(self) -> Session:
        """The session that asks this source, and no other host."""
        return Session(self.own_hosts, self.options, say=self.say)

    def more_suits(self, suit: Suit, page: Page) -> list[Suit]:
        """The suits on a page that had been taken for a suit's, but lists some."""
        return []

    def page_request(self, address: str) -> str:
        """The address under which the source hands out the page of this address."""
        return address

    def picture_request(self, address: str) -> str:
        """The address under which the source hands out the picture of this address."""
        return self.page_request(address)

    def own_address(self, entry: Entry, asked: str) -> str:
        """The address of a page as the site itself calls it, after redirects."""
        return entry.address or asked

    def checks(self) -> dict[str, Any]:
        """Further arguments of every ``Session.get``."""
        return {}

    # What they share.

    def read(self, suit: Suit) -> Page:
        """What the page of a suit says; raises FetchError."""
        return suit.page or self.fetch_page(suit.address)

    def picture_address(self, address: str) -> str:
        """One address for a picture, however the pages write it."""
        return self.canonical(address) if is_on(address, self.own_hosts) else address

    def canonical(self, address: str) -> str:
        """One address for a page, with or without www, http or https."""
        parts, index = urlsplit(address), urlsplit(self.index)
        return urlunsplit((index.scheme, index.netloc, parts.path, parts.query, ""))

    def fetch_page(self, address: str, way: tuple[str, ...] = ()) -> Page:
        """Read a page, from the store or from the network.

        Args:
            address: its own.
            way: the pages that are nothing but frames, or send browsers on, and led here.

        Raises:
            FetchError: there is none, or it makes no sense.
        """
        request, ask = self.page_request(address), self._ask(self.options.max_page_mb)
        try:
            entry, body = self.collection.page(request, ask, self.unchanging)
        except FetchError as error:
            if not error.kept:
                raise
            self.fail(address, "page", error, kept=True)
            entry, body = error.kept
        if not body.strip():
            self.collection.ask_again(request)
            raise FetchError("an empty page", final=False)
        page = pages.read_page(body, self.own_address(entry, address), entry.content_type)
        if page.is_empty and len(way) < MAX_WAY:
            ours = [each for each in page.elsewhere if is_on(each, self.own_hosts)]
            for inner in map(self.canonical, ours[:MAX_FRAMES]):
                try:
                    page.add(self.fetch_page(inner, (*way, address)))
                except FetchError as error:
                    self.fail(inner, "page", error, page_url=address)
        makes_sense = page.layout and (page.links or page.menu_links or page.fields)
        if not makes_sense and not way:
            path = self.collection.save_unrecognised(address, body)
            raise FetchError(
                f"layout not recognised: expected {pages.EXPECTED}; found {page.found}; saved as "
                f"{path}",
                final=True,
            )
        return page

    def fetch_picture(self, address: str, show: str) -> Entry:
        """The picture at an address, in a file of the collection; raises FetchError."""
        request, ask = self.picture_request(address), self._ask(self.options.max_picture_mb)
        return self.collection.picture(request, ask, address, show, self.unchanging)

    def _ask(self, max_mb: float) -> Ask:
        return functools.partial(self.session.get, max_bytes=int(max_mb * MB), **self.checks())

    def fetch_list(self, request: str, shown: str, **how: Any) -> bytes:
        """What an API answers, or what it answered earlier where that is all there is.

        Args:
            request: the address.
            shown: what messages call it.
            how: further arguments of ``Session.get``.

        Raises:
            RunError: there is nothing.
        """
        ask = functools.partial(self.session.get, max_bytes=64 * MB, **how)
        try:
            return self.collection.page(request, ask)[1]
        except FetchError as error:
            if not error.kept:
                raise RunError(f"{shown}: {error}") from None
            return error.kept[1]

    def save_senseless(self, request: str, name: str, body: bytes) -> Path:
        """Where an answer that makes no sense is kept for a look; it will be asked for again."""
        self.collection.ask_again(request)
        return self.collection.save_unrecognised(name, body)

    def selected(self, shows: dict[str, set[str]]) -> set[str]:
        """The folders that ``--show`` selects.

        Args:
            shows: the titles of each folder, in lower case.

        Raises:
            UserError: a name is not among them.
        """
        if not self.options.show:
            return set(shows)
        selected = set()
        for asked in self.options.show:
            name = pages.one_line(asked).casefold()
            slugs = {slug for slug, titles in shows.items() if name in {slug.casefold(), *titles}}
            if not slugs:
                names = [*shows, *(title for titles in shows.values() for title in titles)]
                close = difflib.get_close_matches(name, names, n=1)
                hint = (
                    f"did you mean {shlex.quote(close[0])}?"
                    if close
                    else f"there are {', '.join(shows)}"
                )
                raise UserError(f"--show {asked}: not on {self.index}; {hint[:400]}")
            selected |= slugs
        return selected


def is_new(suit: Suit, found: dict[str, Suit]) -> bool:
    """Whether a suit was not found before; it is now. One that was gets the further shows."""
    known = found.setdefault(suit.address, suit)
    known.shows += [show for show in suit.shows if show not in known.shows]
    return known is suit

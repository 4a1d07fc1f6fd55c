"""mahq.net: an index lists shows, shows list suits; the old layout and the WordPress one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from utils.common.errors import RunError
from utils.scraping.addresses import folder_of, is_index, is_on, last_part, may_be_page
from utils.scraping.names import folder_name
from utils.scraping.pages import Page
from utils.scraping.sources.source import Source, Suit, is_new
from utils.scraping.transport import FetchError

# Of WordPress itself.
NOT_FLAT = ("/wp-", "/feed", "/category", "/tag", "/author", "/xmlrpc.", "/index.")


@dataclass
class Show:
    """A show on the index: its titles in lower case, its own pages, and suits listed there."""

    titles: set[str] = field(default_factory=set)
    pages: list[str] = field(default_factory=list)
    suits: list[str] = field(default_factory=list)


class Mahq(Source):
    """The live site, in either layout."""

    INDEX = "https://www.mahq.net/gundammain/"

    def suits(self) -> Iterator[Suit]:
        """The suits of every selected show."""
        try:
            index = self.fetch_page(self.index)
        except FetchError as error:
            self.collection.ask_again(self.page_request(self.index))
            raise RunError(f"{self.index}: {error}") from None
        shows = self._shows(index)
        if not shows:
            self.collection.ask_again(self.page_request(self.index))
            raise RunError(
                f"{self.index}: lists no shows: expected links to pages below "
                f"{folder_of(self.index)}; found {index.found}"
            )
        selected = self.selected({slug: show.titles for slug, show in shows.items()})
        found: dict[str, Suit] = {}
        for slug in (slug for slug in shows if slug in selected):
            # The first page of a show lists its suits; what else is linked may be a suit itself.
            first, *others = shows[slug].pages or [""]
            listed = others + shows[slug].suits
            if first:
                listed += self._listed_on_show(first)
            for address in dict.fromkeys(listed):
                suit = Suit(address, self._home(address, shows) or slug, [slug])
                if is_new(suit, found):
                    yield suit

    def more_suits(self, suit: Suit, page: Page) -> list[Suit]:
        """Those on a WordPress page that has no data block."""
        if page.layout != "wordpress" or suit.from_listing or page.fields:
            return []
        if self.canonical(page.address).rstrip("/") != suit.address.rstrip("/"):
            return []  # what is gone is often redirected to the front page, which lists anything
        return [
            Suit(address, suit.show, suit.shows, from_listing=True)
            for address in self._suit_links(page)
        ]

    def _shows(self, index: Page) -> dict[str, Show]:
        """The shows on the index by the names of their folders."""
        shows: dict[str, Show] = {}

        def note(slug: str, title: str, address: str, is_show: bool) -> None:
            show = shows.setdefault(folder_name(slug), Show())
            show.titles.add(title.casefold())
            (show.pages if is_show else show.suits).append(address)

        if index.layout != "wordpress":
            for link in index.links:
                address = self._below(link.address)
                if address:
                    note(_folder(address), link.text, address, is_index(address))
            return shows
        links = [each for each in index.links if self._is_flat(each.address)]
        links = links or [each for each in index.menu_links if self._is_flat(each.address)]
        heads = {each.text for each in links} & {each.group for each in links}
        for link in links:
            is_show = link.text in heads or not link.group
            title = link.text if is_show else link.group
            slug = title.casefold().replace(" ", "-") or last_part(link.address)
            note(slug, title, self.canonical(link.address), is_show)
        return shows

    def _listed_on_show(self, address: str) -> list[str]:
        try:
            page = self.fetch_page(address)
        except FetchError as error:
            self.fail(address, "page", error)
            return []
        if page.layout == "wordpress" and page.value("unit type"):
            return [address]  # the index lists suits next to shows
        return [each for each in self._suit_links(page) if each != address]

    def _suit_links(self, page: Page) -> list[str]:
        if page.layout == "wordpress":
            return [
                self.canonical(link.address) for link in page.links if self._is_flat(link.address)
            ]
        here = folder_of(self.canonical(page.address))
        below = (self._below(link.address) for link in page.links)
        # Indices are those of shows, but for folders within the one of this show.
        return [
            address
            for address in below
            if address and (not is_index(address) or folder_of(address)[:-1].startswith(here))
        ]

    def _home(self, address: str, shows: dict[str, Show]) -> str:
        """The show in whose folder on the site the page lies, or ""."""
        slug = folder_name(_folder(address))
        return slug if slug in shows else ""

    def _below(self, address: str) -> str:
        """The address of a page of the old layout below the index, or ""."""
        if not is_on(address, self.own_hosts):
            return ""
        address = self.canonical(address)
        path, folder = urlsplit(address).path, urlsplit(folder_of(self.index)).path
        inside = path.casefold().startswith(folder.casefold()) and "/../" not in path
        return (
            address
            if inside and may_be_page(address) and address != self.canonical(self.index)
            else ""
        )

    def _is_flat(self, address: str) -> bool:
        """Whether this is the address of a page of the WordPress layout: /designation/."""
        parts = urlsplit(address)
        return (
            is_on(address, self.own_hosts)
            and not parts.query
            and bool(re.fullmatch(r"/[^/]+/?", parts.path))
            and may_be_page(address)
            and not parts.path.startswith(NOT_FLAT)
            and self.canonical(address).rstrip("/") != self.canonical(self.index).rstrip("/")
        )


def _folder(address: str) -> str:
    """The name of the folder of the site that a page lies in."""
    return folder_of(address).rstrip("/").rsplit("/", 1)[-1]

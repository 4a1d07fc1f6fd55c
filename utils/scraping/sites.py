"""Where pictures of robots are listed, and how each place wants to be asked.

A source goes through its lists (``suits``), hands out what the page of a suit says (``read``) and
knows the address to ask for a picture (``picture_request``). A new source is one more class.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import quote, unquote_plus, urlencode, urlsplit, urlunsplit

from utils.common.errors import RunError, UserError
from utils.scraping import pages
from utils.scraping.collection import Collection, Entry, folder_name
from utils.scraping.pages import Page
from utils.scraping.web import (
    Answer,
    FetchError,
    Session,
    host_of,
    is_on,
    with_and_without_www,
)

MB = 2**20

DEFAULT_INDEX = {
    "wayback": "http://www.mahq.net/mecha/gundam/index.htm",
    "mahq": "https://www.mahq.net/gundammain/",
    "wiki": "https://gundam.fandom.com/api.php",
}
WIKI_PICTURE_HOSTS = ("static.wikia.nocookie.net", "vignette.wikia.nocookie.net")


class SourceOptions(Protocol):
    """The options of the script that sources look at; they are ``Manners`` as well."""

    source: str
    index_url: str
    show: tuple[str, ...]
    delay: float
    max_page_mb: float
    archive_url: str
    captures_from: int
    captures_to: int
    wiki_categories: tuple[str, ...]


class Reporter(Protocol):
    """Who is told what goes wrong on the way."""

    def say(self, line: str) -> None:
        """A line for the person."""

    def fail(self, address: str, what: str, error: FetchError, kept: bool = False) -> None:
        """Something is missing."""


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


class UnrecognisedError(FetchError):
    """A page came, but in a layout that says nothing; the message tells where it was saved."""


class Site:
    """mahq.net: an index lists shows, shows list suits; either layout.

    A source has ``suits``, ``read`` and ``more_suits`` for pages, ``picture_request`` for pictures.
    """

    unchanging = False
    """Whether what is at an address stays what it is for ever."""

    def __init__(self, options: SourceOptions, collection: Collection, run: Reporter) -> None:
        self.options = options
        self.collection = collection
        self.run = run
        self.index = options.index_url or DEFAULT_INDEX[options.source]
        self.own_hosts = with_and_without_www(host_of(self.index))
        self.session = self.make_session()

    def make_session(self) -> Session:
        """The session that asks this source, and no other host."""
        return Session(self.own_hosts, self.options, say=self.run.say)

    # How to ask.

    def page_request(self, address: str) -> str:
        """The address under which the source hands out the page of this address."""
        return address

    def picture_request(self, address: str) -> str:
        """The address under which the source hands out the picture of this address."""
        return self.page_request(address)

    def picture_address(self, address: str) -> str:
        """One address for a picture, however the pages write it."""
        return self._canonical(address) if is_on(address, self.own_hosts) else address

    def own_address(self, entry: Entry, asked: str) -> str:
        """The address of a page as the site itself calls it, after redirects."""
        return entry.address or asked

    def checks(self) -> dict[str, Any]:
        """Further arguments of every ``Session.get``."""
        return {}

    def fetch_page(self, address: str) -> Page:
        """Read a page, from the store or from the network.

        Raises:
            FetchError: there is none.
            UnrecognisedError: it makes no sense.
        """
        request = self.page_request(address)
        try:
            entry, body = self.collection.page(
                self.session, request, int(self.options.max_page_mb * MB),
                unchanging=self.unchanging, **self.checks(),
            )  # fmt: skip
        except FetchError as error:
            if not error.kept:
                raise
            self.run.fail(address, "page", error, kept=True)
            entry, body = error.kept
        page = pages.read_page(body, self.own_address(entry, address), entry.content_type)
        if not page.layout or not (page.links or page.menu_links or page.fields):
            path = self.collection.save_unrecognised(address, body)
            raise UnrecognisedError(
                f"layout not recognised: expected {pages.EXPECTED}; found {page.found}; saved as "
                f"{path}",
                final=True,
            )
        return page

    # Which suits there are.

    def suits(self) -> Iterator[Suit]:
        """Every suit once, show by show; ``shows`` grows while further shows are read.

        Raises:
            RunError: the index is not there, or nothing is listed on it.
            UserError: --show names a show that is not on it.
        """
        try:
            index = self.fetch_page(self.index)
        except FetchError as error:
            self.collection.ask_again(self.page_request(self.index))
            raise RunError(f"{self.index}: {error}") from None
        shows = dict(self._shows(index))
        if not shows:
            self.collection.ask_again(self.page_request(self.index))
            raise RunError(
                f"{self.index}: lists no shows: expected links to pages below "
                f"{_directory(self.index)}; found {index.found}"
            )
        wanted = self._wanted({slug: titles for slug, (titles, _, _) in shows.items()})
        found: dict[str, Suit] = {}
        for slug, (_, address, direct) in shows.items():
            if slug not in wanted:
                continue
            listed = list(direct)
            if address:
                listed += self._listed_on_show(address, slug)
            for suit_address in dict.fromkeys(listed):
                home = self._home(suit_address, shows) or slug
                suit = found.get(suit_address)
                if suit is None:
                    suit = found[suit_address] = Suit(suit_address, home, [slug])
                    yield suit
                elif slug not in suit.shows:
                    suit.shows.append(slug)

    def _listed_on_show(self, address: str, slug: str) -> list[str]:
        try:
            page = self.fetch_page(address)
        except FetchError as error:
            self.run.fail(address, "page", error)
            return []
        if page.layout == "wordpress" and page.value("unit type"):
            return [address]  # the index lists suits beside shows
        return [each for each in self._suit_links(page) if each != address]

    def more_suits(self, suit: Suit, page: Page) -> list[Suit]:
        """The suits on a page that had been taken for a suit's, but lists some."""
        if page.layout != "wordpress" or suit.from_listing or page.fields:
            return []
        if self._canonical(page.address).rstrip("/") != suit.address.rstrip("/"):
            return []  # what is gone is often redirected to the front page, which lists anything
        return [
            Suit(address, suit.show, suit.shows, from_listing=True)
            for address in self._suit_links(page)
        ]

    def read(self, suit: Suit) -> Page:
        """What the page of a suit says; raises FetchError."""
        return suit.page or self.fetch_page(suit.address)

    def _wanted(self, shows: dict[str, set[str]]) -> set[str]:
        """The folders of the shows to collect."""
        if not self.options.show:
            return set(shows)
        wanted = set()
        for asked in self.options.show:
            name = pages.one_line(asked).casefold()
            slugs = {slug for slug, titles in shows.items() if name in {slug.casefold(), *titles}}
            if not slugs:
                names = [*shows, *(title for titles in shows.values() for title in titles)]
                close = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(shows)}"
                raise UserError(f"--show {asked}: not on {self.index}; {hint[:400]}")
            wanted |= slugs
        return wanted

    def _shows(self, index: Page) -> Iterator[tuple[str, tuple[set[str], str, list[str]]]]:
        """(folder, (titles, address of its page, suits listed on the index)) of each show."""
        shows: dict[str, tuple[set[str], list[str], list[str]]] = {}

        def entry(slug: str, title: str) -> tuple[set[str], list[str], list[str]]:
            found = shows.setdefault(slug, (set(), [], []))
            found[0].add(title.casefold())
            return found

        if index.layout == "wordpress":
            links = [each for each in index.links if self._flat(each.address)]
            links = links or [each for each in index.menu_links if self._flat(each.address)]
            heads = {each.text for each in links} & {each.group for each in links}
            for link in links:
                own = link.text in heads or not link.group
                title = link.text if own else link.group
                slug = folder_name(title.casefold().replace(" ", "-") or last_part(link.address))
                entry(slug, title)[1 if own else 2].append(self._canonical(link.address))
        else:
            for link in index.links:
                target = self._below(link.address)
                if target:
                    slug = folder_name(_directory(target).rstrip("/").rsplit("/", 1)[-1])
                    entry(slug, link.text)[1 if _is_index(target) else 2].append(target)
        for slug, (titles, own_pages, suits) in shows.items():
            yield slug, (titles, own_pages[0] if own_pages else "", [*own_pages[1:], *suits])

    def _suit_links(self, page: Page) -> list[str]:
        if page.layout == "wordpress":
            return [
                self._canonical(each.address) for each in page.links if self._flat(each.address)
            ]
        below = (self._below(link.address) for link in page.links)
        return [target for target in below if target and not _is_index(target)]

    def _home(self, address: str, shows: dict[str, Any]) -> str:
        """The show in whose folder on the site the page lies."""
        slug = folder_name(_directory(address).rstrip("/").rsplit("/", 1)[-1])
        return slug if slug in shows else ""

    def _canonical(self, address: str) -> str:
        """One address for a page, with or without www, http or https."""
        parts, index = urlsplit(address), urlsplit(self.index)
        return urlunsplit((index.scheme, index.netloc, parts.path, parts.query, ""))

    def _below(self, address: str) -> str:
        """The address of a page of the old layout below the index, or ""."""
        if not is_on(address, self.own_hosts):
            return ""
        target = self._canonical(address)
        path, directory = urlsplit(target).path, urlsplit(_directory(self.index)).path
        inside = path.casefold().startswith(directory.casefold()) and "/../" not in path
        is_page = path.casefold().endswith((".htm", ".html", "/"))
        return target if inside and is_page and target != self._canonical(self.index) else ""

    def _flat(self, address: str) -> bool:
        """Whether this is the address of a page of the WordPress layout: /designation/."""
        parts = urlsplit(address)
        return (
            is_on(address, self.own_hosts)
            and not parts.query
            and bool(re.fullmatch(r"/[^/.]+/?", parts.path))
            and not parts.path.startswith(("/wp-", "/feed", "/category", "/tag", "/author"))
            and self._canonical(address).rstrip("/") != self._canonical(self.index).rstrip("/")
        )


class Wayback(Site):
    """The old pages of mahq.net, each as it was captured last."""

    unchanging = True

    def make_session(self) -> Session:
        """Asks the archive, for pages of the site alone."""
        self.archive = self.options.archive_url.rstrip("/")
        self.captures: dict[str, tuple[str, str]] = {}
        return Session(
            {host_of(self.archive)},
            self.options,
            inner_address=_inside_capture,
            inner_hosts=self.own_hosts,
            rewrite=_raw_capture,
            say=self.run.say,
        )

    def suits(self) -> Iterator[Suit]:
        """As of the site, after the list of captures has been read."""
        self._list_captures()
        yield from super().suits()

    def page_request(self, address: str) -> str:
        """The last capture; where none is listed, the archive is asked for the nearest."""
        timestamp, original = self.captures.get(
            _capture_key(address), (f"{self.options.captures_to}1231235959", address)
        )
        return f"{self.archive}/web/{timestamp}id_/{original}"

    def own_address(self, entry: Entry, asked: str) -> str:
        """The captured address. Links are joined with it, not with that of the capture, in which
        urljoin would make one slash of two.
        """
        return _inside_capture(entry.address) or asked

    def checks(self) -> dict[str, Any]:
        """A replay says which capture it is; what does not is a page of the archive's own."""

        def is_capture(answer: Answer) -> None:
            if answer.status == 200 and "memento-datetime" not in answer.headers:
                raise FetchError("the archive answers with something that is no capture", False)

        return {"check": is_capture}

    def _list_captures(self) -> None:
        parts = urlsplit(_directory(self.index))
        question = {
            "url": parts.netloc.removeprefix("www.") + parts.path,
            "matchType": "prefix",
            "output": "json",
            "fl": "timestamp,original,mimetype,statuscode,digest",
            "filter": "statuscode:200",
            "from": str(self.options.captures_from),
            "to": str(self.options.captures_to),
            # Of captures with the same content in a row only the first is listed.
            "collapse": "digest",
            "limit": "5000",
            "showResumeKey": "true",
        }
        self.run.say(f"{self.archive}: reading its list of captures of {question['url']}")
        seen = set()
        while True:
            rows, key = self._captures_page(
                f"{self.archive}/cdx/search/cdx?{urlencode(question, errors='replace')}"
            )
            for timestamp, original in rows:
                known = self.captures.get(_capture_key(original))
                if known is None or timestamp > known[0]:
                    self.captures[_capture_key(original)] = (timestamp, original)
            if not key or key in seen:
                break
            seen.add(key)
            question["resumeKey"] = unquote_plus(key)  # it comes as it stands in an address
        if not self.captures:
            raise RunError(
                f"{self.archive}: has no captures of {question['url']} from "
                f"{self.options.captures_from} to {self.options.captures_to}"
            )

    def _captures_page(self, request: str) -> tuple[list[tuple[str, str]], str]:
        """(timestamp, address) of some captures, and the key of the next page or ""."""
        try:
            # The archive allows 24 such requests a minute.
            _, body = self.collection.page(
                self.session, request, 64 * MB, pause=2.5 * self.options.delay
            )
        except FetchError as error:
            if not error.kept:
                raise RunError(f"the list of captures, {request}: {error}") from None
            body = error.kept[1]
        try:
            table = json.loads(body) if body.strip() else []
            key = ""
            if len(table) > 1 and table[-2] == [] and len(table[-1]) == 1:
                key = str(table[-1][0])
                table = table[:-2]
            rows = [(str(row[0]), _clean_original(str(row[1]))) for row in table[1:] if row]
        except (ValueError, TypeError, IndexError, KeyError, RecursionError):
            path = self.collection.save_unrecognised("captures", body)
            self.collection.ask_again(request)
            raise RunError(
                f"the list of captures, {request}: expected a JSON table of timestamps and "
                f"addresses; found something else; saved as {path}"
            ) from None
        return [row for row in rows if re.fullmatch(r"\d{14}", row[0]) and _is_address(row[1])], key


class Wiki(Site):
    """The Gundam Wiki, through its API: the members of categories, with their first picture."""

    def make_session(self) -> Session:
        """Asks the wiki, and where a wiki of Fandom has its pictures."""
        hosts = {host_of(self.index)}
        if host_of(self.index).endswith(".fandom.com"):
            hosts |= set(WIKI_PICTURE_HOSTS)
        return Session(hosts, self.options, say=self.run.say)

    def picture_request(self, address: str) -> str:
        """Without this, the wiki may hand out WebP instead of what was uploaded."""
        parts = urlsplit(address)
        query = f"{parts.query}&format=original" if parts.query else "format=original"
        return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))

    def suits(self) -> Iterator[Suit]:
        """Every page of the categories once; a category is a show here."""
        slugs = {}
        for category in self.options.wiki_categories:
            name = pages.one_line(category.removeprefix("Category:"))
            slugs[folder_name(name.casefold().replace(" ", "-"))] = name
        found: dict[str, Suit] = {}
        wanted = self._wanted({slug: {name.casefold()} for slug, name in slugs.items()})
        for slug in (slug for slug in slugs if slug in wanted):
            members = self._members(slugs[slug])
            if not members:
                self.run.say(f"Category:{slugs[slug]}: has no pages; see --wiki-categories")
            for member in members:
                page, address = self._page(member, slugs[slug])
                suit = found.get(address)
                if suit is None:
                    suit = found[address] = Suit(address, slug, [slug], page)
                    yield suit
                elif slug not in suit.shows:
                    suit.shows.append(slug)

    def _members(self, category: str) -> list[dict[str, Any]]:
        question = {
            "action": "query",
            "generator": "categorymembers",
            "gcmtitle": f"Category:{category}",
            "gcmnamespace": "0",
            "gcmlimit": "50",
            "prop": "pageimages|revisions",
            "piprop": "original",
            "pilimit": "50",
            "rvprop": "content",
            "rvslots": "main",
            "format": "json",
            "formatversion": "2",
        }
        members: dict[str, dict[str, Any]] = {}
        further: dict[str, str] = {}
        seen = set()
        while True:
            request = f"{self.index}?{urlencode(question | further, errors='replace')}"
            answer = self._ask(request)
            for member in answer.get("query", {}).get("pages", []):
                # What is left out for want of room comes with a later answer, for the same page.
                key = str(member.get("pageid", member.get("title")))
                members.setdefault(key, {}).update(member)
            further = {str(name): str(value) for name, value in answer.get("continue", {}).items()}
            if not further or request in seen:
                return list(members.values())
            seen.add(request)

    def _ask(self, request: str) -> dict[str, Any]:
        try:
            _, body = self.collection.page(self.session, request, 64 * MB)
        except FetchError as error:
            if not error.kept:
                raise RunError(f"{self.index}: {error}") from None
            body = error.kept[1]
        try:
            answer = json.loads(body)
            if "error" in answer:
                self.collection.ask_again(request)
                raise RunError(f"{self.index}: {str(answer['error'])[:300]}")
            if not all(isinstance(each, dict) for each in answer.get("query", {}).get("pages", [])):
                raise TypeError
            if not isinstance(answer.get("continue", {}), dict):
                raise TypeError
        except (ValueError, TypeError, AttributeError, RecursionError):
            path = self.collection.save_unrecognised("wiki", body)
            self.collection.ask_again(request)
            raise RunError(
                f"{self.index}: expected the answer of a MediaWiki API, found something else; "
                f"saved as {path}"
            ) from None
        return answer

    def _page(self, member: dict[str, Any], category: str) -> tuple[Page, str]:
        title = pages.one_line(str(member.get("title", "")))
        fields: dict[str, str] = {}
        pictures: list[list[str]] = []
        with contextlib.suppress(KeyError, IndexError, TypeError):
            fields = pages.read_infobox(member["revisions"][0]["slots"]["main"]["content"])
        original = member.get("original")
        if isinstance(original, dict) and original.get("source"):
            pictures = [[str(original["source"])]]
        fields = {WIKI_LABELS.get(re.sub(r"[ _]", "", name.casefold()), name): value
                  for name, value in fields.items()}  # fmt: skip
        if "Unit type" not in fields:
            singular = category.casefold().removesuffix("s")
            fields["Unit type"] = f"{singular} (by its category)"
        parts = urlsplit(self.index)
        path = f"/wiki/{quote(title.replace(' ', '_'))}"
        address = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        return Page("wiki", title=title, fields=fields, pictures=pictures), address


WIKI_LABELS = {
    "unittype": "Unit type",
    "type": "Unit type",
    "modelnumber": "Model number",
    "modelnum": "Model number",
    "model": "Model number",
}

SOURCES: dict[str, type[Site]] = {"wayback": Wayback, "mahq": Site, "wiki": Wiki}


def _directory(address: str) -> str:
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rsplit("/", 1)[0] + "/", "", ""))


def last_part(address: str) -> str:
    """The last part of the path of an address, without slashes."""
    return urlsplit(address).path.strip("/").rsplit("/", 1)[-1]


def _is_index(address: str) -> bool:
    return bool(re.search(r"/(index\.html?)?$", urlsplit(address).path, re.IGNORECASE))


CAPTURE = re.compile(r"^(https?://[^/]+/web/\d{1,14})([a-z]{2}_)?/(.+)$")


def _inside_capture(address: str) -> str | None:
    """The captured address within that of a capture; None for other addresses."""
    found = CAPTURE.match(address)
    if not found:
        return None
    inner = re.sub(r"^(https?):/+", r"\1://", found[3])  # a slash gets lost on the way
    return _clean_original(inner if "://" in inner else f"http://{inner}")


def _raw_capture(address: str) -> str:
    """The address that replays a capture as it came, whatever form a redirect gives."""
    found = CAPTURE.match(address)
    return f"{found[1]}id_/{_inside_capture(address)}" if found else address


def _is_address(text: str) -> bool:
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


def _clean_original(address: str) -> str:
    """The archive writes the port 80 into addresses."""
    return re.sub(r"^(https?://[^/:]+):80(?=/|$)", r"\1", address)


def _capture_key(address: str) -> str:
    """What the archive takes for the same address: without scheme and www, in lower case."""
    parts = urlsplit(address)
    host = (parts.hostname or "").removeprefix("www.")
    return f"{host}{parts.path}?{parts.query}".casefold()

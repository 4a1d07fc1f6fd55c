"""The Gundam Wiki, through its API: the members of categories, with their first picture."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from utils.common.errors import RunError
from utils.scraping.addresses import host_of, joined
from utils.scraping.names import folder_name
from utils.scraping.pages import Page, one_line
from utils.scraping.sources.source import Source, Suit, is_new
from utils.scraping.transport import Answer, FetchError, retry_after
from utils.scraping.web import Session

# Errors that MediaWiki hands out for a while.
PASSING = ("maxlag", "ratelimited", "readonly")
PICTURE_HOSTS = ("static.wikia.nocookie.net", "vignette.wikia.nocookie.net")
LABELS = {
    "unittype": "Unit type",
    "type": "Unit type",
    "modelnumber": "Model number",
    "modelnum": "Model number",
    "model": "Model number",
}


class Wiki(Source):
    """A category is a show here."""

    INDEX = "https://gundam.fandom.com/api.php"

    def make_session(self) -> Session:
        """Asks the wiki, and where a wiki of Fandom has its pictures."""
        hosts = {host_of(self.index)}
        if host_of(self.index).endswith(".fandom.com"):
            hosts |= set(PICTURE_HOSTS)
        self._warned: set[str] = set()
        return Session(hosts, self.options, say=self.say)

    def picture_request(self, address: str) -> str:
        """Without this, the wiki may hand out WebP instead of what was uploaded."""
        parts = urlsplit(address)
        query = f"{parts.query}&format=original" if parts.query else "format=original"
        return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))

    def suits(self) -> Iterator[Suit]:
        """The pages of every selected category."""
        slugs = {}
        for category in self.options.wiki_categories:
            name = re.sub(r"^category: *", "", one_line(category), flags=re.IGNORECASE)
            slugs[folder_name(name.casefold().replace(" ", "-"))] = name
        selected = self.selected({slug: {name.casefold()} for slug, name in slugs.items()})
        found: dict[str, Suit] = {}
        for slug in (slug for slug in slugs if slug in selected):
            members = self._members(slugs[slug])
            if not members:
                self.say(f"Category:{slugs[slug]}: has no pages; see --wiki-categories")
            for member in members:
                page, address = self._page(member, slugs[slug])
                suit = Suit(address, slug, [slug], page)
                if is_new(suit, found):
                    yield suit

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
            "pilicense": "any",  # otherwise only free pictures count, which none of a show is
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
            answer = self._query(request)
            for member in answer.get("query", {}).get("pages", []):
                # What is left out for want of room comes with a later answer, for the same page.
                key = str(member.get("pageid", member.get("title")))
                members.setdefault(key, {}).update(member)
            further = {str(name): str(value) for name, value in answer.get("continue", {}).items()}
            if not further or request in seen:
                return list(members.values())
            seen.add(request)

    def _query(self, request: str) -> dict[str, Any]:
        body = self.fetch_list(request, self.index, check=self._is_ready)
        try:
            answer = json.loads(body)
            if "error" in answer:
                self.collection.ask_again(request)
                raise RunError(f"{self.index}: {'; '.join(_texts(answer['error']))[:300]}")
            if not all(isinstance(each, dict) for each in answer.get("query", {}).get("pages", [])):
                raise TypeError
            if not isinstance(answer.get("continue", {}), dict):
                raise TypeError
            warnings = _texts(answer.get("warnings"))
        except (ValueError, TypeError, AttributeError, RecursionError):
            path = self.save_senseless(request, "wiki", body)
            raise RunError(
                f"{self.index}: expected the answer of a MediaWiki API; found something else; "
                f"saved as {path}"
            ) from None
        for warning in warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                self.say(f"{self.index} warns: {warning[:300]}")
        return answer

    def _is_ready(self, answer: Answer) -> None:
        """Raise FetchError for an error, in an answer with status 200, that goes by."""
        code = ""
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            code = str(json.loads(answer.body or b"")["error"]["code"])
        if code in PASSING or code.startswith("internal_api_error"):
            wait = retry_after(answer.headers)
            raise FetchError(f"{self.index} answers {code[:80]}", final=False, wait=wait)

    def _page(self, member: dict[str, Any], category: str) -> tuple[Page, str]:
        """What the API says of a page, and the page's address."""
        title = one_line(str(member.get("title", "")))
        fields: dict[str, str] = {}
        pictures: list[list[str]] = []
        with contextlib.suppress(KeyError, IndexError, TypeError):
            fields = read_infobox(member["revisions"][0]["slots"]["main"]["content"])
        original = member.get("original")
        if isinstance(original, dict) and original.get("source"):
            pictures = [[joined(self.index, str(original["source"]))]]
        fields = {LABELS.get(re.sub(r"[ _]", "", name.casefold()), name): value
                  for name, value in fields.items()}  # fmt: skip
        if "Unit type" not in fields:
            singular = category.casefold().removesuffix("s")
            fields["Unit type"] = f"{singular} (by its category)"
        parts = urlsplit(self.index)
        path = f"/wiki/{quote(title.replace(' ', '_'))}"
        address = urlunsplit((parts.scheme, parts.netloc, path, "", ""))
        return Page("wiki", title=title, fields=fields, pictures=pictures), address


def _texts(message: object) -> list[str]:
    """The sentences of an error or of warnings, in whichever of its formats a wiki puts them."""
    if isinstance(message, str):
        return [one_line(message)]
    if isinstance(message, dict):
        parts = [part for name, part in message.items() if name not in ("module", "docref")]
    else:
        parts = message if isinstance(message, list) else []
    return [text for part in parts for text in _texts(part)]


def read_infobox(wikitext: str) -> dict[str, str]:
    """The parameters of the first template of a page that has more than two, as plain text."""
    text = re.sub(r"<!--.*?-->|<ref[^>]*/>|<ref.*?</ref>", "", wikitext[:50_000], flags=re.S)
    text = re.sub(r"\{\{[^{}|]*(?:\|[^{}=]*)?\}\}", " ", text)
    text = text[: text.rfind("\n}}") + 3]  # what is never closed would be searched over and over
    for template in re.findall(r"\{\{(.*?)\n\}\}", text, flags=re.S):
        # Everything that repeats ends where the next thing must begin, or hostile text takes hours.
        found = re.findall(r"^[ \t]*\|([^=|\n]+)=[ \t]*(.*(?:\n(?![ \t]*\|).*)*)", template, re.M)
        fields = {one_line(name): _plain(value) for name, value in found}
        if len(fields) > 2:
            return {name: value for name, value in fields.items() if value}
    return {}


def _plain(wikitext: str) -> str:
    text = re.sub(r"\[\[(?:[^\[\]|]*\|)?([^\[\]|]*)\]\]", r"\1", wikitext)
    text = re.sub(r"<br\s*/?>", ", ", text, flags=re.I)
    return one_line(re.sub(r"<[^>]*>|'{2,}", "", text))

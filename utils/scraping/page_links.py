"""Where a page leads to: its links, of whichever kind, and where its content is instead."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from utils.scraping.addresses import joined

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, PageElement, Tag

MAX_NODES = 100  # tags and texts in a heading, a label or a link
MAX_PARENTS = 1000
# What is chosen in a menu or given to a script, where it is an address.
CHOICE = re.compile(r"\S*(/|\.\w{2,5}|\.\w{2,5}[?#]\S*)")
# The first text in a script that opens a window.
SCRIPT = re.compile(r"\s*javascript:[^\"']*[\"']([^\"']*)", re.IGNORECASE)
REFRESH = re.compile(r"\s*[\d.]*\s*[;,]\s*(?:url\s*=)?\s*[\"']?([^\"']+)", re.IGNORECASE)


@dataclass(frozen=True)
class Link:
    """A link of a page: where to, what it says, and the menu or heading it stands under."""

    address: str
    text: str
    group: str = ""


def one_line(text: str) -> str:
    """The text with every run of white space, non-breaking spaces included, as one space."""
    text = text.encode("utf-8", "replace").decode()  # JSON can hold halves of characters
    return " ".join(text.replace("\u200b", "").split())


def links_in(root: Tag, base: str) -> list[Link]:
    """The links in a part of a page, those of image maps, menus and scripts among them."""
    links = []
    heading = ""
    for tag in root.find_all(["a", "area", "option", "h2", "h3", "h4"]):
        if tag.name in ("h2", "h3", "h4"):
            heading = text_of(tag)
            continue
        href = str(tag.get("value" if tag.name == "option" else "href", ""))
        script = SCRIPT.match(href)
        href = script[1] if script else href
        is_plain = tag.name != "option" and not script
        address = joined(base, href) if is_plain or CHOICE.fullmatch(href) else ""
        if address:
            text = one_line(str(tag.get("alt", ""))) if tag.name == "area" else text_of(tag)
            links.append(Link(address, text, _group(tag, heading)))
    return links


def maps_of(soup: BeautifulSoup, roots: list[Tag]) -> list[Tag]:
    """The image maps that pictures in these parts of a page use, wherever they stand."""
    used = {str(tag["usemap"]).lstrip("#") for root in roots for tag in root(usemap=True)}
    return [tag for tag in soup("map") if used & {tag.get("name"), tag.get("id")}] if used else []


def elsewhere(soup: BeautifulSoup, base: str) -> list[str]:
    """The frames of a page, and the one that it sends browsers to."""
    found = [str(tag["src"]) for tag in soup(["frame", "iframe"], src=True)]
    for tag in soup("meta", content=True):
        target = REFRESH.match(str(tag["content"]))
        if str(tag.get("http-equiv", "")).casefold() == "refresh" and target:
            found.append(target[1])
    return list(dict.fromkeys(filter(None, (joined(base, each) for each in found))))


def _group(anchor: Tag, heading: str) -> str:
    """What a link stands under: the entry of the outer menu, or the heading before its list."""
    items = [tag for tag in itertools.islice(anchor.parents, MAX_PARENTS) if tag.name == "li"]
    if len(items) < 2:
        return heading if items else ""
    own = [
        child
        for child in itertools.islice(items[-1].children, 20)
        if getattr(child, "name", "") not in ("ul", "ol")
    ]
    return one_line(" ".join(map(text_of, own)))


def text_of(node: PageElement) -> str:
    """The text of a small part of a page, and no more than the beginning of a large one.

    Tags that nobody closes stand in each other, and all their texts together have no end.
    """
    from bs4 import NavigableString, Tag

    if not isinstance(node, Tag):
        return str(node) if type(node) is NavigableString else ""
    inside = itertools.islice(node.descendants, MAX_NODES)
    return one_line(" ".join(str(each) for each in inside if type(each) is NavigableString))

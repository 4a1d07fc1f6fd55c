"""Which pictures of a page show its suit, and where each may be had in full size."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from utils.scraping.addresses import joined

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

PICTURE_SUFFIX = re.compile(r"\.(jpe?g|jpe|gif|png|webp|bmp|avif|tiff?)$", re.IGNORECASE)
# The size that WordPress adds to the names of reduced copies.
SIZED = re.compile(r"-\d{2,4}x\d{2,4}(?=\.\w{3,4}$)")
# An address of a srcset and its width; densities (2x) are in the order of pages.
CANDIDATE = re.compile(r"([^\s,](?:\S*[^\s,])?)(?:\s+(?:(\d+)w|[^,\s])[^,]*)?")
# Where scripts find the picture that they put in the place of src.
LAZY = (
    "data-large-file", "data-orig-file", "data-src", "data-lazy-src", "data-original", "src",
)  # fmt: skip
# What stands between the text and the edges of a page.
DECORATION = re.compile(r"(^|/)(spacer|blank|pixel|clear|trans|dot|bullet|logo|header)[^/]*$", re.I)


def old_pictures(roots: list[Tag], base: str) -> list[str]:
    """The first picture that is no decoration, then those that radio buttons name."""
    pictures = []
    for image in (image for root in roots for image in root.find_all("img")):
        address = next(iter(_sources(image, base)), "")
        path = urlsplit(address).path
        if address and "/picts/" not in path and not DECORATION.search(path):
            pictures.append(address)
            break
    for button in (button for root in roots for button in root.find_all("input", value=True)):
        value = str(button["value"]).strip()
        if str(button.get("type", "")).casefold() == "radio" and PICTURE_SUFFIX.search(value):
            pictures.append(joined(base, value))
    return list(dict.fromkeys(filter(None, pictures)))


def wordpress_pictures(soup: BeautifulSoup, content: Tag, base: str) -> list[list[str]]:
    """The first picture of the content, or the one for sharing; then those of radio buttons."""
    pictures = []
    for image in content.find_all("img"):
        choices = _full_size_first(image, base)
        if choices and not DECORATION.search(urlsplit(choices[0]).path):
            pictures.append(choices)
            break
    if not pictures:
        shared = soup.find("meta", property="og:image", content=True)
        address = joined(base, str(shared["content"])) if shared else ""
        if address:
            pictures.append([address])
    return pictures + [[each] for each in old_pictures([content], base)[1:]]


def _sources(image: Tag, base: str) -> list[str]:
    """The addresses that an image gives, the largest first; lazy ones before those in their place.

    Those of a <picture> count where the image itself has none.
    """
    known: list[tuple[int, str]] = []
    for attribute in ("data-srcset", "data-lazy-srcset", "srcset"):
        for address, width in CANDIDATE.findall(str(image.get(attribute, ""))):
            known.append((int(width[:6] or 0), address))
    known.sort(key=lambda entry: -entry[0])
    for attribute in LAZY:
        known.append((0, str(image.get(attribute, "")).strip()))
    addresses = [joined(base, each) for _, each in known if each and not each.startswith("data:")]
    addresses = [each for each in addresses if each]
    picture = image.find_parent("picture") if image.name == "img" and not addresses else None
    if picture:
        for source in picture.find_all("source"):
            addresses += _sources(source, base)
    return addresses


def _full_size_first(image: Tag, base: str) -> list[str]:
    """Where the picture may be in full size, the likeliest first."""
    addresses = _sources(image, base)
    if not addresses:
        return []
    full = [each for each in addresses if not SIZED.search(each)]
    anchor = image.find_parent("a", href=True)
    linked = joined(base, str(anchor["href"])) if anchor else ""
    if linked and PICTURE_SUFFIX.search(urlsplit(linked).path):
        full.insert(0, linked)
    guessed = [SIZED.sub("", each) for each in addresses]
    return list(dict.fromkeys([*full, *guessed, *addresses]))

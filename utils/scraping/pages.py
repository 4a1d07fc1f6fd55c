"""What a page of mahq.net says, in the old layout or the WordPress one: bytes in, a Page out.

Lenient, because pages written by hand over fifteen years keep to no rule.
"""

from __future__ import annotations

import codecs
import re
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from utils.scraping.addresses import joined
from utils.scraping.page_links import Link, elsewhere, links_in, maps_of, one_line, text_of
from utils.scraping.page_pictures import old_pictures, wordpress_pictures

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

LABELLED_LINE = re.compile(r"(unit type|model number|code name) ?: ?(.+)", re.IGNORECASE)
BLOCKS = re.compile(
    r"(address|article|aside|blockquote|center|d[dlt]|div|fieldset|figure|footer|form|h[1-6]|header"
    r"|hr|li|main|nav|[ou]l|p|pre|section|table|t(body|d|h|head|r))"
)
CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
# Encodings of pages. Python knows others, such as punycode, that take for ever on hostile bytes.
ENCODINGS = re.compile(
    r"(utf-(8|16|32)|iso8859|cp\d|koi8|mac|shift_jis|euc_|gb|big5|iso2022|hz|ascii|tis).*"
)
ENCODINGS_THAT_MEAN_WINDOWS = ("iso8859-1", "ascii", "cp1252")
MAX_VALUE = 1000  # characters of a value that are read
# Beyond all pages that people write, even those who never close a tag.
MAX_DEPTH = 1000
MAX_TAGS = 100_000

EXPECTED = (
    "a cell <td class='shadow-horizontal'> (old layout) or a WordPress page, with links to other "
    "pages or with 'Label: value' lines, 'Unit type:' among them"
)


@dataclass
class Page:
    """What one page says.

    Attributes:
        layout: "old", "wordpress", "wiki", "unknown" (but with data), or "" (nothing recognised).
        address: its own.
        title: the heading of the page; may be empty.
        headline: the <title>, which the old pages took less care of; may be empty.
        fields: the labels (without colon) and values of the data block, in the page's order.
        pictures: main picture first; each a list of addresses to try, the best first.
        links: in the content of the page.
        menu_links: outside of it.
        elsewhere: where its content is instead: in frames, or where it sends browsers to.
        found: what there is instead, for a message.
    """

    layout: str = ""
    address: str = ""
    title: str = ""
    headline: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    pictures: list[list[str]] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    menu_links: list[Link] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    found: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is on it but where its content is instead."""
        return not self.fields and all(link.address in self.elsewhere for link in self.links)

    def add(self, other: Page) -> None:
        """Take what a frame says, or the page that this one sends browsers to."""
        if not self.fields:
            self.layout, self.title = other.layout or self.layout, other.title or self.title
        self.fields = other.fields | self.fields
        self.pictures += other.pictures
        self.links += other.links
        self.menu_links += other.menu_links

    def value(self, *labels: str) -> str:
        """The value of the first of these labels that the page has; letter case is no matter."""
        known = {label.casefold(): value for label, value in reversed(self.fields.items())}
        return next((known[label] for label in labels if label in known), "")


def is_accepted(unit_type: str, accepted: tuple[str, ...]) -> bool:
    """Whether one of the ``accepted`` phrases ends the unit type, letter case aside.

    "mass production mobile suit" is a "mobile suit", a "mobile suit carrier" is not. A remark in
    brackets at the end does not count.
    """
    plain = one_line(unit_type[-MAX_VALUE:]).casefold()
    plain = re.sub(r"\s*[(\[][^()\[\]]*[)\]]$", "", plain.rstrip(" .,;")).rstrip(" .,;")
    return any(
        re.search(rf"(?<!\w){re.escape(one_line(phrase).casefold())}$", plain)
        for phrase in accepted
        if phrase.strip()
    )


def reason_to_refuse(page: Page, accepted: tuple[str, ...]) -> str:
    """Why there is nothing to collect on a page, or ""."""
    unit_type = page.value("unit type")
    if not unit_type:
        return "no unit type on the page"
    if not is_accepted(unit_type, accepted):
        return f"unit type {unit_type!r} ends with none of the accepted"
    return "" if page.pictures else "no picture on the page"


def read_page(body: bytes, address: str, content_type: str = "") -> Page:
    """What a page says; one that makes no sense has an empty ``layout``.

    Args:
        body: the bytes as they came. Nothing in them raises an error.
        address: its own, against which links are joined.
        content_type: of the HTTP header, for its charset.
    """
    text = _decoded(body, content_type)
    try:
        return _read(text, address)
    except (RecursionError, ValueError, AssertionError, TypeError, LookupError) as error:
        # Broken markup reaches the darker corners of the parsers.
        return Page(found=f"a page that cannot be parsed ({type(error).__name__})")


def _decoded(body: bytes, content_type: str) -> str:
    encoding = _declared_encoding(body, content_type)
    try:
        text = body.decode(encoding, "replace") if encoding else body.decode("utf-8")
    except (LookupError, ValueError):
        text = body.decode("cp1252", "replace")
    return text.replace("\0", "")


def _declared_encoding(body: bytes, content_type: str) -> str:
    """The encoding that a page or its header names, or ""."""
    if body.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    found = CHARSET.search(content_type) or CHARSET.search(body[:2048].decode("latin-1"))
    try:
        encoding = codecs.lookup(found[1]).name if found else ""
    except (LookupError, ValueError):
        return ""
    if encoding in ENCODINGS_THAT_MEAN_WINDOWS:
        return "cp1252"  # as browsers do: the apostrophes of such pages are 0x92
    return encoding if ENCODINGS.fullmatch(encoding) else ""


def _read(text: str, address: str) -> Page:
    from bs4 import BeautifulSoup

    # An XML declaration makes the parser refuse text that is decoded already.
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pages that look like XML, or like an address
        soup = BeautifulSoup(text, "lxml")
    if _is_tangled(soup):
        return Page(found="tags in tags in tags without end")
    base_tag = soup.find("base", href=True)
    # One that is broken, or leads to somebody's disk, counts for nothing.
    base = (joined(address, str(base_tag["href"])) if base_tag else "") or address
    for tag in soup(["script", "style", "template"]):
        tag.decompose()

    old = soup.select("td.shadow-horizontal") or soup.select(".mahqbody, .mahqtitle")
    if old:
        page = Page("old", address)
        cells = {id(tag) for tag in old}
        roots = [tag for tag in old if not any(id(parent) in cells for parent in tag.parents)]
    elif _is_wordpress(soup):
        page = Page("wordpress", address)
        roots = [_wordpress_content(soup)]
    else:
        page = Page("unknown", address)
        roots = [soup]
    for root in roots:
        for label, value in _fields(root).items():
            page.fields.setdefault(label, value)
    links = [links_in(root, base) for root in (*roots, *maps_of(soup, roots))]
    page.links = list(dict.fromkeys(link for some in links for link in some))
    if page.layout == "wordpress":
        inside = {link.address for link in page.links}
        page.menu_links = [link for link in links_in(soup, base) if link.address not in inside]
        page.pictures = wordpress_pictures(soup, roots[0], base)
    else:
        page.pictures = [[picture] for picture in old_pictures(roots, base)]
    page.title = _title(soup, roots)
    if page.layout == "unknown" and not page.value("unit type"):
        page.layout = ""
    page.headline = one_line(soup.title.get_text())[:300] if soup.title else ""
    page.elsewhere = elsewhere(soup, base)
    named = f"a page titled {page.headline[:80]!r}" if page.headline else "a page without title"
    page.found = f"{named} with {len(page.links)} links and {len(page.fields)} labels"
    return page


def _is_tangled(soup: BeautifulSoup) -> bool:
    """Whether there are so many tags, so deep, that reading them would take minutes."""
    depths = {id(soup): 0}
    for tag in soup.find_all(True):
        depth = depths[id(tag)] = depths[id(tag.parent)] + 1
        if depth > MAX_DEPTH or len(depths) > MAX_TAGS:
            return True
    return False


def _is_wordpress(soup: BeautifulSoup) -> bool:
    generator = soup.find("meta", attrs={"name": "generator"})
    if generator and "wordpress" in str(generator.get("content", "")).casefold():
        return True
    return bool(soup.select_one(".entry-content, [href*='/wp-content/'], [src*='/wp-content/']"))


def _wordpress_content(soup: BeautifulSoup) -> Tag:
    for selector in (".entry-content", "article", "main", "#content", "body"):
        found = soup.select_one(selector)
        if found:
            return found
    return soup


def _title(soup: BeautifulSoup, roots: list[Tag]) -> str:
    for root in (*roots, soup):
        heading = root.select_one(".mahqtitle, .entry-title") or (
            root.select_one("h1") if root is soup else None
        )
        if heading and text_of(heading):
            return text_of(heading)
    return ""


def _fields(root: Tag) -> dict[str, str]:
    """The data block: labels in bold and the text up to the next, or lines that start with one."""
    from bs4 import CData, NavigableString

    labels = _labels(root)
    fields: dict[str, str] = {}
    lines: list[str] = [""]
    label, value = "", ""

    def finish() -> None:
        nonlocal label, value
        if label and label not in fields:
            fields[label] = one_line(value[:MAX_VALUE]).lstrip(": ")
        label, value = "", ""

    inside: Tag | None = None
    for node in root.descendants:
        if inside is not None and not any(parent is inside for parent in node.parents):
            inside = None
        if id(node) in labels:
            finish()
            label = labels[id(node)]
            inside = node
        elif type(node) in (NavigableString, CData):
            lines[-1] += str(node)
            if inside is None:
                value += str(node)
        elif getattr(node, "name", None) == "br":
            lines.append("")
            value += " "
        elif BLOCKS.fullmatch(getattr(node, "name", None) or ""):
            lines.append("")
            if one_line(value).strip(": "):
                finish()
    finish()
    if not any(label.casefold() == "unit type" for label in fields):
        for line in lines:
            found = LABELLED_LINE.match(one_line(line[:MAX_VALUE]))
            if found:
                fields.setdefault(found[1], found[2])
    return {label: value for label, value in fields.items() if value}


def _labels(root: Tag) -> dict[int, str]:
    """The labels by the ids of their tags: tags are equal when all that is in them is."""
    from bs4 import NavigableString

    labels = {}
    for tag in root.find_all(["strong", "b", "th", "dt"]):
        text = text_of(tag)
        following = tag.next_sibling
        colon_after = isinstance(following, NavigableString) and following.lstrip().startswith(":")
        in_table = tag.name in ("th", "dt") and bool(text)
        if 1 < len(text) <= 60 and (text.endswith(":") or colon_after or in_table):
            labels[id(tag)] = text.rstrip(": ")
    return labels

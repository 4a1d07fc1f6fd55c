"""Parts of addresses, and which host one leads to."""

from __future__ import annotations

import re
from urllib.parse import urldefrag, urljoin, urlsplit, urlunsplit

# Pages have many suffixes, or none; these are other files.
NO_PAGE = re.compile(
    r"\.(jpe?g?|gif|png|webp|bmp|avif|tiff?|ico|svg|psd|pdf|docx?|xlsx?|pptx?|rtf|txt|zip|rar|7z|gz|tar"
    r"|exe|mp[34]|m4[av]|ogg|wav|wma|wmv|avi|mov|mpe?g|flv|swf|rm|ram|midi?|css|js|json|xml|rss)$",
    re.IGNORECASE,
)


def host_of(address: str) -> str:
    """``host`` or ``host:port`` in lower case; the usual ports are left out, and 80 for https too.

    Raises:
        ValueError: no http or https address, or one with a user name in it.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"no address of a page: {address[:200]!r}")
    return parts.hostname if parts.port in (None, 80, 443) else f"{parts.hostname}:{parts.port}"


def as_sent(address: str) -> str:
    """The address as the library sends it: without dot segments, fragment and empty query, and with
    what need not be percent-encoded in the open.

    Raises:
        ValueError: it cannot be sent.
    """
    import requests

    prepared = requests.PreparedRequest()
    for _ in range(2):  # dots that were percent-encoded are segments only then
        prepared.prepare_url(address, None)
        address = urldefrag(prepared.url)[0]
    return address


def is_on(address: str, hosts: set[str]) -> bool:
    """Whether an address is http or https and on one of the hosts."""
    try:
        return host_of(address) in hosts
    except ValueError:
        return False


def with_and_without_www(host: str) -> set[str]:
    """Both names of a site."""
    bare = host.removeprefix("www.")
    return {bare, f"www.{bare}"}


def folder_of(address: str) -> str:
    """The address up to the last slash of its path."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rsplit("/", 1)[0] + "/", "", ""))


def last_part(address: str) -> str:
    """The last part of the path of an address, without slashes."""
    return urlsplit(address).path.strip("/").rsplit("/", 1)[-1]


def is_index(address: str) -> bool:
    """Whether the address is that of a folder or of its index page."""
    parts = urlsplit(address)
    found = re.search(r"/((index|default)\.\w+)?$", parts.path, re.IGNORECASE)
    return bool(found) and not (found[1] and parts.query)


def may_be_page(address: str) -> bool:
    """Whether the name in an address is not that of a file of another kind."""
    return not NO_PAGE.search(urlsplit(address).path)


def joined(base: str, href: str) -> str:
    """The address of a link without its fragment, or "" for no page (mailto, javascript)."""
    try:
        address = urldefrag(urljoin(base, href.strip()))[0]
        scheme = urlsplit(address).scheme
    except ValueError:
        return ""
    return address if scheme in ("http", "https") and address != urldefrag(base)[0] else ""

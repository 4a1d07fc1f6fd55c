"""The old pages of mahq.net, each as the Wayback Machine captured it last."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_plus, urlencode, urlsplit

from utils.common.errors import RunError
from utils.scraping.addresses import folder_of, host_of
from utils.scraping.journal import Entry
from utils.scraping.sources.mahq import Mahq
from utils.scraping.sources.source import Suit
from utils.scraping.transport import Answer, FetchError
from utils.scraping.web import Session

CAPTURE = re.compile(r"^(https?://[^/]+/web/\d{1,14})([a-z]{2}_)?/(.+)$")


class Wayback(Mahq):
    """Reads the list of captures, then the captured site as if it were there."""

    INDEX = "http://www.mahq.net/mecha/gundam/index.htm"
    unchanging = True

    def make_session(self) -> Session:
        """Asks the archive, for pages of the site alone."""
        self.archive = self.options.archive_url.rstrip("/")
        self.captures: dict[str, tuple[str, str]] = {}  # timestamp and address of the last ones
        return Session(
            {host_of(self.archive)},
            self.options,
            inner_address=_inside_capture,
            inner_hosts=self.own_hosts,
            rewrite=_raw_capture,
            say=self.say,
        )

    def suits(self) -> Iterator[Suit]:
        """Those of the site, after the list of captures has been read."""
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
        parts = urlsplit(folder_of(self.index))
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
        self.say(f"{self.archive}: reading its list of captures of {question['url']}")
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
        shown = f"the list of captures, {request}"
        # The archive allows 24 such requests a minute.
        body = self.fetch_list(request, shown, pause=2.5 * self.options.delay)
        try:
            table = json.loads(body) if body.strip() else []
            key = ""
            if len(table) > 1 and table[-2] == [] and len(table[-1]) == 1:
                key = str(table[-1][0])
                table = table[:-2]
            rows = [(str(row[0]), _without_port(str(row[1]))) for row in table[1:] if row]
        except (ValueError, TypeError, IndexError, KeyError, RecursionError):
            path = self.save_senseless(request, "captures", body)
            raise RunError(
                f"{shown}: expected a JSON table of timestamps and addresses; found something "
                f"else; saved as {path}"
            ) from None
        return [row for row in rows if re.fullmatch(r"\d{14}", row[0]) and _is_address(row[1])], key


def _inside_capture(address: str) -> str | None:
    """The captured address within that of a capture; None for other addresses."""
    found = CAPTURE.match(address)
    if not found:
        return None
    inner = re.sub(r"^(https?):/+", r"\1://", found[3])  # a slash gets lost on the way
    return _without_port(inner if "://" in inner else f"http://{inner}")


def _raw_capture(address: str) -> str:
    """The address that replays a capture as it came, whatever form a redirect gives."""
    found = CAPTURE.match(address)
    return f"{found[1]}id_/{_inside_capture(address)}" if found else address


def _is_address(text: str) -> bool:
    try:
        return bool(urlsplit(text).hostname)
    except ValueError:
        return False


def _without_port(address: str) -> str:
    """The address without the port 80 that the archive writes into it."""
    return re.sub(r"^(https?://[^/:]+):80(?=/|$)", r"\1", address)


def _capture_key(address: str) -> str:
    """What the archive takes for the same address: without scheme and www, in lower case."""
    parts = urlsplit(address)
    host = (parts.hostname or "").removeprefix("www.")
    return f"{host}{parts.path}?{parts.query}".casefold()

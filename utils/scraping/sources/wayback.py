"""The old pages of mahq.net, each as the Wayback Machine captured it last."""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, unquote_plus, urlencode, urlsplit

from utils.common.errors import RunError
from utils.scraping.addresses import folder_of, host_of
from utils.scraping.journal import Entry
from utils.scraping.sources.mahq import Mahq
from utils.scraping.sources.source import Suit
from utils.scraping.transport import Answer, FetchError
from utils.scraping.web import Session

CAPTURE = re.compile(r"^(https?://[^/]+/web/([0-9]{1,14}))([a-z]{2}_)?/(.+)$")


class Wayback(Mahq):
    """Reads the list of captures, then the captured site as if it were there."""

    INDEX = "http://www.mahq.net/mecha/gundam/index.htm"
    unchanging = True

    def make_session(self) -> Session:
        """Asks the archive, for pages of the site alone."""
        self.archive = self.options.archive_url.rstrip("/")
        self.captures: dict[str, tuple[str, str]] = {}  # timestamp and address of the last ones
        self.nearest = f"{self.options.captures_to}1231235959"  # asked for where none is listed
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
        timestamp, original = self.captures.get(_capture_key(address), (self.nearest, address))
        return f"{self.archive}/web/{timestamp}id_/{original}"

    def own_address(self, entry: Entry, asked: str) -> str:
        """The captured address. Links are joined with it, not with that of the capture, in which
        urljoin would make one slash of two.
        """
        return _inside_capture(entry.address) or asked

    def checks(self) -> dict[str, Any]:
        """A replay says which capture it is; what does not is a page of the archive's own.

        Where none is listed, the nearest capture may be one of any year.
        """

        def is_capture(answer: Answer) -> None:
            if answer.status != 200:
                return
            found = CAPTURE.match(answer.address)
            if not found or "memento-datetime" not in answer.headers:
                raise FetchError("the archive answers with something that is no capture", False)
            timestamp = found[2]
            if timestamp == self.nearest:  # handed out under the time that was asked for
                timestamp = _timestamp(answer.headers["memento-datetime"]) or timestamp
            if not self._is_asked_for(timestamp):
                raise FetchError(
                    f"captured in {timestamp[:4]}, expected {self.options.captures_from} to "
                    f"{self.options.captures_to} (--captures-from, --captures-to)",
                    final=True,
                )

        return {"check": is_capture}

    def _is_asked_for(self, timestamp: str) -> bool:
        return self.options.captures_from <= int(timestamp[:4]) <= self.options.captures_to

    def _list_captures(self) -> None:
        parts = urlsplit(folder_of(self.index))
        question = {
            "url": parts.netloc.removeprefix("www.") + parts.path,
            "matchType": "prefix",
            "output": "json",
            "fl": "timestamp,original,mimetype,statuscode,digest",
            # A capture that found what an earlier one had is listed as "-". Nothing is collapsed:
            # that would compare neighbours in the list, also those of different addresses.
            "filter": "!statuscode:[1345]..",
            "from": str(self.options.captures_from),
            "to": str(self.options.captures_to),
            "limit": "5000",
            "showResumeKey": "true",
        }
        self.say(f"{self.archive}: reading its list of captures of {question['url']}")
        seen = set()
        # Whether the capture taken has a status, its timestamp, and the digest of its content.
        taken: dict[str, tuple[bool, str, str]] = {}
        while True:
            rows, key = self._captures_page(
                f"{self.archive}/cdx/search/cdx?{urlencode(question, errors='replace')}"
            )
            for timestamp, original, status, digest in rows:
                name, new = _capture_key(original), (status == "200", timestamp, digest)
                known = taken.get(name, (False, "", ""))
                # A later one with the same content would be fetched for nothing.
                is_same = new[::2] == known[::2]
                if new > known and not is_same:
                    taken[name] = new
                    self.captures[name] = (timestamp, original)
            if not key or key in seen:
                break
            seen.add(key)
            question["resumeKey"] = unquote_plus(key)  # it comes as it stands in an address
        if not self.captures:
            raise RunError(
                f"{self.archive}: has no captures of {question['url']} from "
                f"{self.options.captures_from} to {self.options.captures_to}"
            )

    def _captures_page(self, request: str) -> tuple[list[tuple[str, ...]], str]:
        """(timestamp, address, status, digest) of captures, and the key of the next page or ""."""
        shown = f"the list of captures, {request}"
        # The archive allows 24 such requests a minute.
        body = self.fetch_list(request, shown, pause=2.5 * self.options.delay)
        try:
            table = json.loads(body) if body.strip() else []
            key = ""
            if len(table) > 1 and table[-2] == [] and len(table[-1]) == 1:
                key = str(table[-1][0])
                table = table[:-2]
            rows = [
                (str(row[0]), _without_port(str(row[1])), str(row[3]), str(row[4]))
                for row in table[1:]
                if row
            ]
        except (ValueError, TypeError, IndexError, KeyError, RecursionError):
            path = self.save_senseless(request, "captures", body)
            raise RunError(
                f"{shown}: expected a JSON table of timestamps and addresses; found something "
                f"else; saved as {path}"
            ) from None
        return [
            row
            for row in rows
            if re.fullmatch(r"[0-9]{14}", row[0])
            and self._is_asked_for(row[0])
            and _is_address(row[1])
            and row[2] in ("200", "-")
        ], key


def _inside_capture(address: str) -> str | None:
    """The captured address within that of a capture; None for other addresses."""
    found = CAPTURE.match(address)
    if not found:
        return None
    inner = re.sub(r"^(https?):/+", r"\1://", found[4])  # a slash gets lost on the way
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


def _timestamp(date: str) -> str:
    """A date of HTTP as the archive writes it, 20200501000000; "" where it is none."""
    try:
        return email.utils.parsedate_to_datetime(date).strftime("%Y%m%d%H%M%S").zfill(14)
    except ValueError:
        return ""


def _without_port(address: str) -> str:
    """The address without the port 80 that the archive writes into it, or 443."""
    return re.sub(r"^(https?://[^/:]+):(80|443)(?=[/?]|$)", r"\1", address, flags=re.IGNORECASE)


def _capture_key(address: str) -> str:
    """What the archive takes for the same address: without scheme and www, in lower case."""
    parts = urlsplit(address)
    host = (parts.hostname or "").removeprefix("www.")
    return unquote(f"{host}{parts.path}?{parts.query}").casefold()

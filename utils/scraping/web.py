"""Asking other people's servers politely, and believing nothing they answer.

One request at a time with a pause between two, robots.txt obeyed, retries that back off, redirects
followed only to hosts that are allowed.
"""

from __future__ import annotations

import codecs
import contextlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urljoin, urlsplit

from utils.common.errors import RunError
from utils.common.fields import Between, CountOrZero
from utils.scraping.addresses import as_sent, host_of, is_on
from utils.scraping.robots import Robots
from utils.scraping.transport import REDIRECT_STATUS, Answer, FetchError, Transport

MAX_REDIRECTS = 8
# RFC 9309 asks for 500 KiB at least, and for a fresh copy after a day.
MAX_ROBOTS_BYTES = 512 * 1024
ROBOTS_LIFETIME = 24 * 3600.0

Seconds = Annotated[float, Between(0, 3600)]
Timeout = Annotated[float, Between(0.01, 86400)]


@dataclass
class Manners:
    """How a Session behaves; a script that has one makes options of these fields."""

    user_agent: str = "GANdam/1.0 (scrape_mahq.py; collects pictures to train on, one at a time)"
    """How the script introduces itself. Add an address at which you can be reached."""
    delay: Seconds = 1.0
    """Seconds between two requests; more if robots.txt asks for more. 0 is for tests."""
    retries: CountOrZero = 4
    """How often to ask again when a server does not answer, answers 5xx or breaks off."""
    backoff: Seconds = 2.0
    """Seconds before the first retry, doubled for each one after it."""
    timeout: Timeout = 30.0
    """Seconds without a byte after which a request is given up."""
    longest_answer: Timeout = 600.0
    """Seconds after which an answer whose body is still coming is given up."""
    too_many_pause: Seconds = 60.0
    """Seconds to pause, at least, when a server says "too many requests" (429)."""
    longest_pause: Seconds = 900.0
    """Stop if a server or its robots.txt wants a longer pause than that, in seconds."""


class Session:
    """Asks the ``hosts`` it was made for, and nobody else.

    Args:
        hosts: as :func:`~utils.scraping.addresses.host_of` gives them.
        manners: delays, retries and limits.
        inner_address: for servers that carry other sites' addresses within their own: gives the
            one inside, or None. Its host has to be one of ``inner_hosts``.
        inner_hosts: the sites that may be asked for through such a server.
        rewrite: applied to the target of every redirect.
        say: is given a line that says why the session waits.
    """

    def __init__(
        self,
        hosts: set[str],
        manners: Manners,
        inner_address: Callable[[str], str | None] = lambda address: None,
        inner_hosts: set[str] | None = None,
        rewrite: Callable[[str], str] = lambda address: address,
        say: Callable[[str], None] = print,
    ) -> None:
        self.hosts = hosts | {host_of(as_sent(f"http://{host}")) for host in hosts}  # xn-- as well
        self.manners = manners
        self.inner_address = inner_address
        self.inner_hosts = inner_hosts or set()
        self.rewrite = rewrite
        self.say = say
        self.requests_made = 0
        self.delay = manners.delay
        self._robots: dict[str, tuple[float, Callable[[str], bool]]] = {}  # when read, and what
        self._next_request = 0.0
        self._transport = Transport(manners.user_agent, manners.timeout, manners.longest_answer)

    def close(self) -> None:
        """Give the connections back."""
        self._transport.close()

    def get(
        self,
        address: str,
        max_bytes: int,
        headers: dict[str, str] | None = None,
        pause: float = 0.0,
        check: Callable[[Answer], None] = lambda answer: None,
    ) -> Answer:
        """The answer for one address, after as many retries and redirects as it takes.

        Args:
            address: http or https, on one of the hosts.
            max_bytes: a longer body, unpacked, is refused while it comes.
            headers: to send as well, such as ``If-None-Match``.
            pause: the least time since the request before, where that is more than the delay.
            check: raises FetchError for an answer that is not what it should be.

        Raises:
            FetchError: nothing came that can be used.
            RunError: there is no use in asking this server for anything else now: it refuses
                connections, cannot be found, wants a long pause, or its robots.txt is out of order.
        """

        def ask() -> Answer:
            answer = self._follow(address, max_bytes, headers or {}, pause)
            check(answer)
            return answer

        self._check_address(address)
        self._obey_robots(address)
        return self._persistently(ask)

    def _check_address(self, address: str) -> None:
        """Raise a final FetchError for an address on another host, and for none at all."""
        try:
            sent = as_sent(address)
        except ValueError:
            raise FetchError(f"not an address: {address[:200]!r}", final=True) from None
        if not is_on(address, self.hosts) or not is_on(sent, self.hosts):
            raise FetchError(f"leads to another site: {address[:200]}", final=True)
        inner = self.inner_address(sent)
        if inner is not None and not is_on(inner, self.inner_hosts):
            raise FetchError(f"leads to another site: {inner[:200]}", final=True)

    # Retries, redirects, delays.

    def _persistently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask, and ask again while that may help, backing off."""
        attempt = too_many = 0
        while True:
            attempt += 1
            try:
                return ask()
            except FetchError as error:
                if error.final:
                    raise
                wait = self._pause_after(error, too_many)
                too_many += error.status == 429
                if attempt > self.manners.retries:
                    if error.status != 429:
                        raise
                    raise RunError(
                        f"{error}, again and again; wait an hour, then the same command goes on"
                    ) from None
                # Jitter, so that clients that a server has thrown out do not all come back at once.
                backoff = self.manners.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
                wait = max(wait, min(backoff, self.manners.longest_pause))
                if wait >= 10:
                    self.say(f"{error}: waiting {wait:.0f} s")
            self._next_request = max(self._next_request, time.monotonic() + wait)

    def _pause_after(self, error: FetchError, too_many: int) -> float:
        """Seconds that a server wants, after ``too_many`` answers 429."""
        wait = error.wait
        if error.status == 429:
            # The Wayback Machine blocks for an hour who ignores a 429 for a minute, so no shorter
            # Retry-After is believed, and a second 429 doubles the pause.
            wait = max(wait, self.manners.too_many_pause * 2**too_many)
        if wait > self.manners.longest_pause:
            raise RunError(
                f"{error} and asks to wait {wait:.0f} s; the same command goes on after that"
            )
        return wait

    def _follow(
        self, address: str, max_bytes: int, headers: dict[str, str], pause: float = 0.0
    ) -> Answer:
        """Follow redirects, all of them to allowed hosts and addresses."""
        seen = {address}
        for _ in range(MAX_REDIRECTS):
            answer = self._request(address, max_bytes, headers, pause)
            if answer.status not in REDIRECT_STATUS:
                return answer
            address = self.rewrite(_target(address, answer))
            if address in seen:
                raise FetchError("redirects in a circle", final=True)
            seen.add(address)
            self._check_address(address)
            self._obey_robots(address)
        raise FetchError(f"more than {MAX_REDIRECTS} redirects", final=True)

    def _request(
        self,
        address: str,
        max_bytes: int,
        headers: dict[str, str],
        pause: float = 0.0,
        cut: bool = False,
    ) -> Answer:
        """One request, after the delay."""
        earliest = max(self._next_request, self._next_request - self.delay + pause)
        time.sleep(max(0.0, earliest - time.monotonic()))
        self.requests_made += 1
        try:
            return self._transport.ask(address, max_bytes, headers, cut)
        finally:
            self._next_request = time.monotonic() + self.delay

    # robots.txt.

    def _obey_robots(self, address: str) -> None:
        """Raise a final FetchError for what robots.txt forbids, reading it first if need be."""
        parts = urlsplit(as_sent(address))
        root = f"{parts.scheme}://{parts.netloc}"
        read, allows = self._robots.get(root, (-ROBOTS_LIFETIME, None))
        if time.monotonic() - read >= ROBOTS_LIFETIME:
            allows = self._read_robots(f"{root}/robots.txt")
            self._robots[root] = time.monotonic(), allows
        if not allows(address):
            raise FetchError("forbidden by robots.txt", final=True)

    def _read_robots(self, address: str) -> Callable[[str], bool]:
        """Whether the host allows an address, as a function.

        Raises:
            RunError: nothing is known of it now, or it wants too long a delay.
        """
        try:
            answer = self._persistently(lambda: self._follow_robots(address))
        except FetchError as error:
            if error.status in (401, 403):
                return lambda address: False
            if error.final and (error.status == 204 or 400 <= error.status < 500):
                return lambda address: True  # there are no rules
            raise RunError(
                f"{address}: {error}; without knowing what it allows nothing is fetched; try again "
                "later"
            ) from error
        robots = Robots(_robots_text(answer.body), self.manners.user_agent)
        if answer.body.lstrip()[:1] == b"<":
            self.say(f"{address} is a page, not a list of rules; taken as none")
        if robots.delay is not None and robots.delay > self.delay:
            request = f"{address} asks for {robots.delay:g} s between requests"
            if robots.delay > self.manners.longest_pause:
                hint = " (--longest-pause)" if robots.delay <= 3600 else ""
                raise RunError(f"{request}; expected at most {self.manners.longest_pause:g}{hint}")
            self.delay = robots.delay
            self.say(request)
        return robots.allows

    def _follow_robots(self, address: str) -> Answer:
        """A robots.txt, cut off where it is too long, from whichever host redirects lead to."""
        for _ in range(MAX_REDIRECTS):
            answer = self._request(address, MAX_ROBOTS_BYTES, {}, cut=True)
            if answer.status == 304:
                raise FetchError("HTTP 304 without having been asked", final=False)
            if answer.status not in REDIRECT_STATUS:
                return answer
            address = _target(address, answer)
            try:
                host_of(address)
            except ValueError:
                raise FetchError(f"redirects to {address[:200]!r}", final=True) from None
        raise FetchError(f"more than {MAX_REDIRECTS} redirects", final=True)


def _target(address: str, answer: Answer) -> str:
    """Where a redirect leads to."""
    location = answer.headers.get("location", "").strip()
    with contextlib.suppress(UnicodeError):
        # Servers write UTF-8 where the library reads Latin-1.
        location = location.encode("latin-1").decode("utf-8")
    if not location:
        raise FetchError(f"HTTP {answer.status} without a target", final=True)
    try:
        return urljoin(address, location)
    except ValueError:
        raise FetchError(f"redirects to {location[:200]!r}", final=True) from None


def _robots_text(body: bytes) -> str:
    """The text of a robots.txt, without the line in which it was cut off."""
    if len(body) == MAX_ROBOTS_BYTES:
        body = body[: max(body.rfind(b"\n"), body.rfind(b"\r")) + 1]
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return body.decode("utf-16", "replace")
    return body.decode("utf-8", "surrogateescape")

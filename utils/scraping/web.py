"""Asking other people's servers politely, and believing nothing they answer.

One request at a time with a pause between two, robots.txt obeyed, retries that back off, answers
cut off at a size and at a time, redirects followed only to hosts that are allowed. Imports the
libraries it needs when it is used, so that ``--help`` is quick.
"""

from __future__ import annotations

import contextlib
import email.utils
import random
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urljoin, urlsplit

from utils.common.errors import RunError, printable
from utils.scraping.robots import Robots

if TYPE_CHECKING:
    import requests

# What may come right when asked again; everything else of 400 and above is final.
TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524)
REDIRECT_STATUS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 8
MAX_ROBOTS_BYTES = 512 * 1024  # as much as RFC 9309 asks for


class FetchError(Exception):
    """One address gave nothing; the message is the reason in one line, without the address.

    Attributes:
        final: asking again will not help (404, too large, off-site); otherwise it may.
        status: the HTTP status, or 0 where there was none.
        kept: what a collection has of this address from earlier, if anything.
    """

    kept: Any = None

    def __init__(self, reason: str, final: bool, status: int = 0) -> None:
        super().__init__(printable(" ".join(reason.split())))
        self.final = final
        self.status = status


@dataclass
class Answer:
    """What came back: ``body`` is None where the server says that nothing changed (304)."""

    status: int
    address: str
    """Where the last redirect led to."""
    body: bytes | None
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case."""


@dataclass
class Manners:
    """How a Session behaves; a script that has one makes options of these fields."""

    user_agent: str = "GANdam/1.0 (scrape_mahq.py; collects pictures to train on, one at a time)"
    """How the script introduces itself. Add an address at which you can be reached."""
    delay: float = 1.0
    """Seconds between two requests; more if robots.txt asks for more. 0 is for tests."""
    retries: int = 4
    """How often to ask again when a server does not answer, answers 5xx or breaks off."""
    backoff: float = 2.0
    """Seconds before the first retry, doubled for each one after it."""
    timeout: float = 30.0
    """Seconds without a byte after which a request is given up."""
    longest_answer: float = 600.0
    """Seconds after which an answer whose body is still coming is given up."""
    too_many_pause: float = 60.0
    """Seconds to pause, at least, when a server says "too many requests" (429)."""
    longest_pause: float = 900.0
    """Stop if a server or its robots.txt wants a longer pause than that, in seconds."""


class Session:
    """Asks the ``hosts`` it was made for, and nobody else.

    Args:
        hosts: as :func:`host_of` gives them.
        manners: delays, retries and limits.
        inner_address: for servers that carry other sites' addresses within their own: gives the
            one inside, or None. Its host has to be one of ``inner_hosts``.
        inner_hosts: the sites that may be asked for through such a server.
        rewrite: applied to the target of every redirect.
        say: is told in a line why the session waits.
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
        self.hosts = hosts
        self.manners = manners
        self.inner_address = inner_address
        self.inner_hosts = inner_hosts or set()
        self.rewrite = rewrite
        self.say = say
        self.requests_made = 0
        self.delay = manners.delay
        self._robots: dict[str, Callable[[str], bool]] = {}
        self._next_request = 0.0
        self._http = _http_session(manners.user_agent)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def check_address(self, address: str) -> None:
        """Raise a final FetchError for an address that must not be asked for."""
        if not is_on(address, self.hosts):
            raise FetchError(f"leads to another site: {address[:200]}", final=True)
        inner = self.inner_address(address)
        if inner is not None and not is_on(inner, self.inner_hosts):
            raise FetchError(f"leads to another site: {inner[:200]}", final=True)

    def get(
        self,
        address: str,
        max_bytes: int,
        headers: dict[str, str] | None = None,
        pause: float = 0.0,
        check: Callable[[Answer], None] = lambda answer: None,
    ) -> Answer:
        """Ask for one address, with retries.

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
        self.check_address(address)
        self._obey_robots(address)
        return self._persistently(
            lambda: self._follow(address, max_bytes, headers or {}, pause, check)
        )

    def _persistently(self, ask: Callable[[], Answer]) -> Answer:
        """Ask, and ask again while that may help, backing off."""
        too_many = 0
        attempt = 0
        while True:
            try:
                return ask()
            except _AskLaterError as later:
                wait = self._pause_of(later, too_many)
                too_many += later.status == 429
                error: FetchError = later
            except FetchError as transient:
                if transient.final:
                    raise
                wait, error = 0.0, transient
            attempt += 1
            if attempt > self.manners.retries:
                if error.status == 429:
                    raise RunError(
                        f"{error}, again and again; wait an hour, then the same command goes on"
                    )
                raise error
            # Jitter, so that clients that a server has thrown out do not all come back at once.
            backoff = self.manners.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.0)
            wait = max(wait, min(backoff, self.manners.longest_pause))
            if wait >= 10:
                self.say(f"{error}: waiting {wait:.0f} s")
            self._next_request = max(self._next_request, time.monotonic() + wait)

    def _pause_of(self, later: _AskLaterError, too_many: int) -> float:
        """Seconds to wait after 429 or 503."""
        wait = later.seconds or 0.0
        if later.status == 429:
            # Who ignores a 429 for a minute is blocked for an hour, so no Retry-After is believed
            # that is shorter, and a second one in a row doubles the pause.
            wait = max(wait, self.manners.too_many_pause * 2**too_many)
        if wait > self.manners.longest_pause:
            raise RunError(
                f"{later} and asks to wait {wait:.0f} s; the same command goes on after that"
            )
        return wait

    def _follow(
        self,
        address: str,
        max_bytes: int,
        headers: dict[str, str],
        pause: float,
        check: Callable[[Answer], None],
    ) -> Answer:
        """Follow redirects, all of them to allowed hosts."""
        for _ in range(MAX_REDIRECTS):
            answer = self._request(address, max_bytes, headers, pause)
            if answer.status not in REDIRECT_STATUS:
                check(answer)
                return answer
            location = answer.headers.get("location", "")
            with contextlib.suppress(UnicodeError):
                # Servers write UTF-8 where the library reads Latin-1.
                location = location.encode("latin-1").decode("utf-8")
            try:
                address = self.rewrite(urljoin(address, location.strip()))
            except ValueError:
                raise FetchError(f"redirects to {location[:200]!r}", final=True) from None
            self.check_address(address)
            self._obey_robots(address)
        raise FetchError(f"more than {MAX_REDIRECTS} redirects", final=True)

    def _request(
        self, address: str, max_bytes: int, headers: dict[str, str], pause: float
    ) -> Answer:
        """One request, after the delay.

        Raises:
            FetchError: no usable answer.
            RunError: the server refuses connections or cannot be found.
        """
        import requests
        import urllib3

        host = urlsplit(address).netloc
        earliest = max(self._next_request, self._next_request - self.delay + pause)
        time.sleep(max(0.0, earliest - time.monotonic()))
        deadline = time.monotonic() + self.manners.longest_answer
        self.requests_made += 1
        try:
            with self._http.get(
                address,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=self.manners.timeout,
            ) as response:
                found = {name.lower(): value for name, value in response.headers.items()}
                status = response.status_code
                if status in (429, 503):
                    raise _AskLaterError(f"{host} answers {status}", status, _retry_after(found))
                if status in TRANSIENT_STATUS:
                    raise FetchError(f"HTTP {status}", final=False, status=status)
                if status >= 400:
                    raise FetchError(f"HTTP {status}", final=True, status=status)
                if status == 304 or status in REDIRECT_STATUS:
                    return Answer(status, address, None, found)
                if status != 200:
                    raise FetchError(f"HTTP {status}, not 200", final=True, status=status)
                body = _read_body(response, max_bytes, deadline)
                return Answer(status, address, _unpacked(body, max_bytes), found)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._network_error(error, host) from error
        except ValueError as error:  # an address that the library cannot even ask for
            raise FetchError(f"not an address: {error}", final=True) from error
        finally:
            self._next_request = time.monotonic() + self.delay

    def _network_error(self, error: Exception, host: str) -> Exception:
        causes, cause = [], error
        while cause is not None and cause not in causes:
            causes.append(cause)
            inner = [part for part in cause.args if isinstance(part, BaseException)]
            reason = getattr(cause, "reason", None)
            inner += [reason] if isinstance(reason, BaseException) else []
            cause = inner[0] if inner else cause.__context__
        names = {type(each).__name__ for each in causes}
        if "ConnectionRefusedError" in names:
            return RunError(
                f"{host} refuses connections: it is down, or blocks this machine for having asked "
                "too much; wait an hour at least, then the same command goes on"
            )
        if names & {"NameResolutionError", "gaierror"}:
            return RunError(f"{host} cannot be found: no network, or the site has moved")
        if names & {"InvalidURL", "LocationParseError", "InvalidSchema", "LocationValueError"}:
            return FetchError("not an address that can be asked for", final=True)
        if names & {"CertificateError", "SSLCertVerificationError"}:
            return FetchError("the certificate of the server is not valid", final=True)
        if any("timed out" in str(each).lower() for each in causes):
            return FetchError(f"no answer for {self.manners.timeout:g} s", final=False)
        return FetchError(f"connection broken ({type(causes[-1]).__name__})", final=False)

    def _obey_robots(self, address: str) -> None:
        """Raise a final FetchError for what robots.txt forbids, reading it first if need be."""
        parts = urlsplit(address)
        root = f"{parts.scheme}://{parts.netloc}"
        if root not in self._robots:
            self._robots[root] = self._read_robots(root)
        if not self._robots[root](address):
            raise FetchError("forbidden by robots.txt", final=True)

    def _read_robots(self, root: str) -> Callable[[str], bool]:
        def ask() -> Answer:
            address = f"{root}/robots.txt"
            for _ in range(MAX_REDIRECTS):
                answer = self._request(address, MAX_ROBOTS_BYTES, {}, 0.0)
                if answer.status not in REDIRECT_STATUS:
                    return answer
                address = urljoin(address, answer.headers.get("location", ""))
                self.check_address(address)
            raise FetchError("too many redirects", final=True, status=404)

        try:
            body = self._persistently(ask).body or b""
        except FetchError as error:
            if error.status in (401, 403):
                return lambda address: False
            if error.final:  # 404 and its like: there are no rules; too large: nor are these
                return lambda address: True
            raise RunError(
                f"{root}/robots.txt: {error}; without knowing what it allows nothing is fetched; "
                "try again later"
            ) from error
        robots = Robots(body.decode("utf-8-sig", "replace"), self.manners.user_agent)
        if robots.delay is not None and robots.delay > self.delay:
            wanted = f"{root}/robots.txt asks for {robots.delay:g} s between requests"
            if robots.delay > self.manners.longest_pause:
                raise RunError(f"{wanted}; wanted at most {self.manners.longest_pause:g}")
            self.delay = robots.delay
            self.say(wanted)
        return robots.allows


class _AskLaterError(FetchError):
    """429 or 503, with the seconds of Retry-After where it is given."""

    def __init__(self, reason: str, status: int, seconds: float | None) -> None:
        super().__init__(reason, final=False, status=status)
        self.seconds = seconds


def host_of(address: str) -> str:
    """``host`` or ``host:port`` in lower case; the usual ports are left out, and 80 for https too.

    Raises:
        ValueError: no http or https address, or one with a user name in it.
    """
    parts: SplitResult = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"no address of a page: {address[:200]!r}")
    return parts.hostname if parts.port in (None, 80, 443) else f"{parts.hostname}:{parts.port}"


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


def _http_session(user_agent: str) -> requests.Session:
    import http.cookiejar

    import requests

    session = requests.Session()
    session.headers.update(
        {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
    )
    # No cookie is kept, and no password of a .netrc is sent.
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.auth = lambda request: request
    # Asked where a redirect leads, requests reads all of its body first, however large it is.
    session.get_redirect_target = lambda response: None
    return session


def _retry_after(headers: dict[str, str]) -> float | None:
    """Seconds that Retry-After asks for, from a number or a date."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None
    return max(0.0, moment - time.time())


def _read_body(response: requests.Response, max_bytes: int, deadline: float) -> bytes:
    """The body without its Content-Encoding, cut off at a size and at a time.

    Raises:
        FetchError: too large (final), or too slow.
    """
    too_large = FetchError(f"more than {max_bytes / 2**20:g} MB", final=True)
    declared = response.headers.get("Content-Length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:18]) > max_bytes:
        raise too_large
    body = bytearray()
    # read1 gives what is there, so that a server that sends a byte a minute meets the deadline.
    while piece := response.raw.read1(64 * 1024, decode_content=True):
        body += piece
        if len(body) > max_bytes:
            raise too_large
        if time.monotonic() > deadline:
            raise FetchError("the answer does not end", final=False)
    return bytes(body)


def _unpacked(body: bytes, max_bytes: int) -> bytes:
    """The Wayback Machine hands out some bodies gzipped without saying so.

    Raises:
        FetchError: broken, or too large when unpacked.
    """
    for _ in range(2):
        if not body.startswith(b"\x1f\x8b"):
            break
        unpacker = zlib.decompressobj(wbits=31)
        try:
            body = unpacker.decompress(body, max_bytes + 1)
        except zlib.error as error:
            raise FetchError(f"broken gzip: {error}", final=False) from error
        if len(body) > max_bytes:
            raise FetchError(f"more than {max_bytes / 2**20:g} MB unpacked", final=True)
        if not unpacker.eof:
            raise FetchError("gzip cut short", final=False)
    return body

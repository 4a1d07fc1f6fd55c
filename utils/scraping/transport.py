"""One request: its answer, cut off at a size and at a time, or in one line why there is none.

Imports the libraries it needs when it is used, so that ``--help`` is quick.
"""

from __future__ import annotations

import email.utils
import re
import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from utils.common.errors import RunError, printable
from utils.scraping.addresses import as_sent

if TYPE_CHECKING:
    import requests

# What may come right when asked again; everything else of 400 and above is final.
TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524)
REDIRECT_STATUS = (301, 302, 303, 307, 308)
# Ways of packing that are never asked for. Names of no packing, such as "none", change nothing.
UNASKED = {"br", "zstd", "compress", "x-compress", "dcb", "dcz"}
# How pictures and pages begin, and nothing that is packed.
PLAIN = re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF|\s*<(!doctype|html)", re.IGNORECASE)
GZIP = b"\x1f\x8b"
MAX_MEMBERS = 100  # of one gzip file


class FetchError(Exception):
    """One address gave nothing; the message is the reason in one line, without the address.

    Attributes:
        final: asking again will not help (404, too large, off-site); otherwise it may.
        status: the HTTP status, or 0 where there was none.
        wait: seconds that the server asks to wait.
        kept: what a collection has of this address from earlier, if anything.
    """

    kept: Any = None

    def __init__(self, reason: str, final: bool, status: int = 0, wait: float = 0.0) -> None:
        super().__init__(printable(" ".join(reason.split())))
        self.final = final
        self.status = status
        self.wait = wait


@dataclass
class Answer:
    """What came back: ``body`` is None where the server says that nothing changed (304)."""

    status: int
    address: str
    """Where the last redirect led to."""
    body: bytes | None
    headers: dict[str, str] = field(default_factory=dict)
    """Names in lower case."""


class Transport:
    """Connections to servers, which keep no cookies and send no passwords.

    Args:
        user_agent: how each request introduces itself.
        timeout: seconds without a byte after which a request is given up.
        longest_answer: seconds after which an answer whose body is still coming is given up.
    """

    def __init__(self, user_agent: str, timeout: float, longest_answer: float) -> None:
        self.timeout = timeout
        self.longest_answer = longest_answer
        self._session = _session(user_agent)

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def ask(
        self, address: str, max_bytes: int, headers: dict[str, str], cut: bool = False
    ) -> Answer:
        """Make one request. Redirects are answers.

        Args:
            address: http or https.
            max_bytes: a longer body, packed or unpacked, is refused while it comes.
            headers: to send as well.
            cut: a longer body is not refused but cut off there.

        Raises:
            FetchError: no usable answer.
            RunError: the server refuses connections or cannot be found.
        """
        import requests
        import urllib3

        host = urlsplit(address).netloc
        deadline = time.monotonic() + self.longest_answer
        try:
            with self._session.get(
                as_sent(address),
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=self.timeout,
            ) as response:
                status = response.status_code
                found = {name.lower(): value for name, value in response.headers.items()}
                _check_status(status, host, found)
                if status != 200:
                    return Answer(status, address, None, found)
                body = _read_body(response, max_bytes, deadline, cut)
                body = _unpacked(body, found.get("content-encoding", ""), max_bytes, cut)
                return Answer(status, address, body, found)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._explained(error, host) from error
        except ValueError as error:  # an address that the library cannot even ask for
            raise FetchError(f"not an address: {error}", final=True) from error

    def _explained(self, error: Exception, host: str) -> Exception:
        """The error of a library as one of ours."""
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
            return FetchError(f"no answer for {self.timeout:g} s", final=False)
        return FetchError(f"connection broken ({type(causes[-1]).__name__})", final=False)


def _session(user_agent: str) -> requests.Session:
    import http.cookiejar

    import requests

    session = requests.Session()
    session.headers.update(
        {"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": "gzip, deflate"}
    )
    session.cookies.set_policy(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    session.auth = lambda request: request  # otherwise the password of a .netrc is sent
    # Asked where a redirect leads, requests reads all of its body first, however large it is.
    session.get_redirect_target = lambda response: None
    return session


def _check_status(status: int, host: str, headers: dict[str, str]) -> None:
    """Raise FetchError for every status but 200, 304 and redirects."""
    if status in (429, 503):
        raise FetchError(f"{host} answers {status}", False, status, retry_after(headers))
    if status >= 400:
        raise FetchError(f"HTTP {status}", status not in TRANSIENT_STATUS, status)
    if status not in (200, 304, *REDIRECT_STATUS):
        # "Not yet", and a part that nobody asked for.
        raise FetchError(f"HTTP {status}, not 200", final=status not in (202, 206), status=status)


def retry_after(headers: dict[str, str]) -> float:
    """Seconds that Retry-After asks for, from a number or a date; 0 where there is none."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return max(0.0, moment - time.time())


def _read_body(response: requests.Response, max_bytes: int, deadline: float, cut: bool) -> bytes:
    """The body as it comes, packed or not; with ``cut``, no more than max_bytes of it.

    Raises:
        FetchError: too large (final), or too slow.
    """
    too_large = FetchError(f"more than {max_bytes / 2**20:g} MB", final=True)
    declared = response.headers.get("Content-Length", "")
    if not cut and declared.isascii() and declared.isdigit() and int(declared[:18]) > max_bytes:
        raise too_large
    body = bytearray()
    # read1 gives what is there, so that a server that sends a byte a minute meets the deadline.
    # Unpacked later: the library gives up where a body is not packed as its header says.
    while piece := response.raw.read1(64 * 1024, decode_content=False):
        body += piece
        if len(body) > max_bytes and cut:
            break
        if len(body) > max_bytes:
            raise too_large
        if time.monotonic() > deadline:
            raise FetchError("the answer does not end", final=False)
    return bytes(body[:max_bytes])


def _unpacked(body: bytes, encoding: str, max_bytes: int, cut: bool) -> bytes:
    """The body without its Content-Encoding, and without a gzip that the header says nothing of.

    The Wayback Machine hands out both: packed without saying so, and plain where it says gzip.

    Raises:
        FetchError: broken, packed in a way that nobody asked for, or too large when unpacked.
    """
    codings = {coding.strip() for coding in encoding.lower().split(",")}
    if codings & UNASKED and not PLAIN.match(body):
        raise FetchError(f"packed as {encoding[:40]}, which was not asked for", final=False)
    whole = not cut or len(body) < max_bytes
    for _ in range(3):
        if body.startswith(GZIP):
            body = _gunzipped(body, max_bytes, whole)
        elif "deflate" in codings:
            codings.remove("deflate")
            body = _inflated(body, max_bytes, whole)
        else:
            break
        if len(body) > max_bytes and not cut:
            raise FetchError(f"more than {max_bytes / 2**20:g} MB unpacked", final=True)
        body = body[:max_bytes]
    return body


def _gunzipped(body: bytes, max_bytes: int, whole: bool) -> bytes:
    data = b""
    for _ in range(MAX_MEMBERS):
        if not body.startswith(GZIP) or len(data) > max_bytes:
            break  # what follows the last member is nothing, or rubbish
        member, body = _decompressed(body, 31, max_bytes - len(data), whole)
        data += member
    return data


def _inflated(body: bytes, max_bytes: int, whole: bool) -> bytes:
    """The body without "deflate", which is zlib by the book and bare with some servers."""
    if body[:1] and body[0] % 16 == 8 and int.from_bytes(body[:2]) % 31 == 0:
        return _decompressed(body, 15, max_bytes, whole)[0]
    try:
        return _decompressed(body, -15, max_bytes, whole)[0]
    except FetchError:
        return body  # not packed at all


def _decompressed(body: bytes, wbits: int, max_bytes: int, whole: bool) -> tuple[bytes, bytes]:
    """What the first stream of a body unpacks to, a byte more than max_bytes at most, and the rest.

    Raises:
        FetchError: broken, or ``whole`` and it does not end.
    """
    name = "gzip" if wbits == 31 else "deflate"
    unpacker = zlib.decompressobj(wbits=wbits)
    try:
        data = unpacker.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise FetchError(f"broken {name}: {error}", final=False) from error
    if whole and not unpacker.eof and len(data) <= max_bytes:
        raise FetchError(f"{name} cut short", final=False)
    return data, unpacker.unused_data

"""Asking: what becomes of a robots.txt that is odd, and of bodies that are not what they seem."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from tests.fixture_site import FixtureServer, Reply, robot
from utils.common.errors import RunError
from utils.scraping import web
from utils.scraping.sources import wayback
from utils.scraping.transport import FetchError
from utils.scraping.web import Manners, Session

RULES = b"User-agent: *\nDisallow: /secret\n"
PICTURE = robot(1)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[FixtureServer, FixtureServer]]:
    """The server that is asked, and another one."""
    pair = FixtureServer(), FixtureServer()
    yield pair
    for server in pair:
        server.close()


@pytest.fixture
def server(servers) -> FixtureServer:
    server = servers[0]
    server.requests.clear()
    server.routes.clear()
    server.routes["/x"] = server.routes["/secret"] = server.routes["/"] = Reply(PICTURE)
    return server


@pytest.fixture
def session(server) -> Iterator[Session]:
    said = []
    session = Session({server.host}, Manners(delay=0, backoff=0, retries=1), say=said.append)
    session.said = said
    yield session
    session.close()


def moved(to: str) -> Reply:
    return Reply(status=302, headers={"Location": to})


@pytest.mark.parametrize(
    ("reply", "secret", "other"),
    [
        (Reply(RULES), False, True),
        (Reply(b"\xef\xbb\xbf" + RULES), False, True),
        (Reply(RULES.decode().encode("utf-16")), False, True),
        (Reply(gzip.compress(RULES), headers={"Content-Encoding": "gzip"}), False, True),
        (Reply(b""), True, True),
        (Reply(status=404), True, True),
        (Reply(status=410), True, True),
        (Reply(status=204), True, True),
        (Reply(status=401), False, False),
        (Reply(status=403), False, False),
        # As much as is read; the line that is cut in two is left out.
        (Reply(RULES + b"#" * 2**20), False, True),
        (Reply(gzip.compress(RULES + b"\n" * 2**20)), False, True),
        (Reply(b"#" * (web.MAX_ROBOTS_BYTES - 40) + b"\n" + RULES + b"Disallow: /x" * 9), 0, 1),
    ],
)
def test_what_a_robots_txt_allows(server, session, reply, secret, other):
    server.routes["/robots.txt"] = reply
    for path, expected in (("/secret", secret), ("/x", other)):
        if expected:
            assert session.get(f"{server.root}{path}", 10**6).body == PICTURE
        else:
            with pytest.raises(FetchError, match=r"forbidden by robots\.txt"):
                session.get(f"{server.root}{path}", 10**6)
    assert len(server.requests) == 1 + secret + other


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(status=500), "HTTP 500"),
        (Reply(status=501), "HTTP 501"),
        (Reply(status=511), "HTTP 511"),
        (Reply(status=304), "HTTP 304 without having been asked"),
        (Reply(RULES, status=206), "HTTP 206, not 200"),
        (Reply(RULES, behaviour="cut-chunks"), "connection broken"),
        (Reply(RULES, headers={"Content-Encoding": "br"}), "packed as br, which was not asked for"),
        (Reply(behaviour="drop"), "connection broken"),
        (Reply(status=302), "HTTP 302 without a target"),
        (moved("/robots.txt"), "more than 8 redirects"),
        (moved("file:///etc/passwd"), "redirects to 'file:///etc/passwd'"),
    ],
)
def test_without_knowing_what_is_allowed_nothing_is_fetched(server, session, reply, reason):
    server.routes["/robots.txt"] = reply
    with pytest.raises(RunError, match=f"robots.txt: {reason}.*; without knowing what it allows"):
        session.get(f"{server.root}/x", 10**6)
    assert not server.count()


def test_a_robots_txt_on_another_host(servers, server, session):
    """RFC 9309, 2.3.1.2: five redirects and more, and the rules hold for the first host."""
    other = servers[1]
    server.routes |= {"/robots.txt": moved("/1"), "/1": moved("2"), "/2": moved("//[broken/")}
    server.routes["/2"] = moved(f"{other.root}/3")
    other.routes |= {"/3": moved("/4"), "/4": moved("/5"), "/5": Reply(RULES)}
    session.get(f"{server.root}/x", 10**6)
    server.routes["/to-secret"] = moved("/a/../secret?")
    for path in ("/secret", "/to-secret", "/a/../secret"):
        with pytest.raises(FetchError, match="forbidden"):
            session.get(f"{server.root}{path}", 10**6)
    assert "/secret" not in server.count()
    with pytest.raises(FetchError, match="leads to another site"):
        session.get(f"{other.root}/5", 10**6)


def test_the_address_that_is_sent_decides_where_it_leads(server):
    session = Session(
        {server.host, "gündam.example"}, Manners(delay=0),
        inner_address=wayback._inside_capture, inner_hosts={"mahq.net"},
    )  # fmt: skip
    for path in ("/web/./2020id_/http://x.example/", "/a/%2e%2e/web/2020/http://x.example/"):
        with pytest.raises(FetchError, match=r"leads to another site: http://x\.example/"):
            session.get(f"{server.root}{path}", 10**6)
    session._check_address("http://gündam.example/x")
    for address in ("http://[", "http://", "file:///etc/passwd", "http://h@gündam.example/"):
        with pytest.raises(FetchError) as raised:
            session.get(address, 10**6)
        assert raised.value.final
    session.close()
    assert not server.requests


def test_a_page_in_place_of_a_robots_txt_is_said(server, session):
    server.routes["/robots.txt"] = Reply(b" <!DOCTYPE html><p>Not found")
    session.get(f"{server.root}/x", 10**6)
    address = f"{server.root}/robots.txt"
    assert session.said == [f"{address} is a page, not a list of rules; taken as none"]


def test_a_robots_txt_is_read_again_after_a_day(server, session, monkeypatch):
    now = 0.0
    clock = SimpleNamespace(monotonic=lambda: now, sleep=lambda seconds: None, time=time.time)
    monkeypatch.setattr(web, "time", clock)
    server.routes["/robots.txt"] = Reply(b"")
    session.get(f"{server.root}/secret", 10**6)
    server.routes["/robots.txt"] = Reply(RULES)
    now = 24 * 3600 - 1.0
    session.get(f"{server.root}/secret", 10**6)
    now += 1
    with pytest.raises(FetchError, match="forbidden"):
        session.get(f"{server.root}/secret", 10**6)


def bare_deflate(data: bytes) -> bytes:
    return zlib.compress(data)[2:-4]


TWICE = gzip.compress(gzip.compress(PICTURE))
MEMBERS = gzip.compress(PICTURE[:99]) + gzip.compress(PICTURE[99:])


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (PICTURE, "gzip"), (PICTURE, "x-gzip"), (PICTURE, "deflate"), (PICTURE, "br"),
        (PICTURE, "none"), (PICTURE, "utf-8"),
        (gzip.compress(PICTURE), ""), (gzip.compress(PICTURE), "gzip"),
        (gzip.compress(PICTURE), "deflate"), (TWICE, "gzip"), (TWICE, "gzip, gzip"),
        (MEMBERS, "gzip"), (MEMBERS + b"rubbish", "gzip"),
        (zlib.compress(PICTURE), "deflate"), (bare_deflate(PICTURE), "Deflate"),
        (gzip.compress(zlib.compress(PICTURE)), "deflate, gzip"),
        (zlib.compress(gzip.compress(PICTURE)), "gzip, deflate"),
    ],
)  # fmt: skip
def test_content_encodings(server, session, body, encoding):
    server.routes["/x"] = Reply(body, headers={"Content-Encoding": encoding})
    assert session.get(f"{server.root}/x", 10**6).body == PICTURE
    assert sum(server.count().values()) == 1


@pytest.mark.parametrize(
    ("reply", "reason", "final"),
    [
        (Reply(b"\x8b\x03", headers={"Content-Encoding": "br"}), "packed as br, which was", False),
        (Reply(b"(\xb5/\xfd", headers={"Content-Encoding": "gzip, zstd"}), "packed as", False),
        (Reply(gzip.compress(PICTURE)[:-9]), "gzip cut short", False),
        (Reply(zlib.compress(PICTURE)[:-9], headers={"Content-Encoding": "deflate"}),
         "deflate cut short", False),
        (Reply(gzip.compress(PICTURE)[:-8] + bytes(8)), "broken gzip", False),
        (Reply(gzip.compress(bytes(2**21))), "more than 1 MB unpacked", True),
        (Reply(gzip.compress(bytes(2**20)) * 9), "more than 1 MB unpacked", True),
        (Reply(zlib.compress(bytes(2**21)), headers={"Content-Encoding": "deflate"}),
         "more than 1 MB unpacked", True),
        (Reply(PICTURE, behaviour="cut-chunks"), "connection broken", False),
        (Reply(PICTURE, status=206), "HTTP 206, not 200", False),
        (Reply(status=202), "HTTP 202, not 200", False),
        (Reply(status=204), "HTTP 204, not 200", True),
        (moved(""), "HTTP 302 without a target", True),
        (moved("/y"), "redirects in a circle", True),
    ],
)  # fmt: skip
def test_answers_that_are_none(server, session, reply, reason, final):
    """Asked once more where that may help."""
    server.routes["/x"], server.routes["/y"] = reply, moved("/x")
    with pytest.raises(FetchError, match=reason) as raised:
        session.get(f"{server.root}/x", 2**20)
    assert raised.value.final is final
    assert server.count()["/x"] == 2 - final

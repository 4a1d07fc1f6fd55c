"""Doubles of the places that pictures come from, on a real HTTP server on the loopback address.

Pages are made in code, with every oddity that the real ones are known for; pictures are drawn
robots. Nothing here was taken from a real page.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import gzip
import hashlib
import io
import itertools
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote_plus, urlsplit

from PIL import Image

from utils.data import mechas

CHANGED = email.utils.formatdate(1_500_000_000, usegmt=True)


@dataclass
class Reply:
    """What the server answers; ``behaviour`` is how it misbehaves."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    behaviour: str = ""
    validators: bool = True
    """Send ETag and Last-Modified, and answer conditional requests."""


@dataclass
class Request:
    path: str
    status: int
    conditional: bool
    user_agent: str


class FixtureServer:
    """Serves ``routes`` (path with query -> Reply or function) and counts what is asked for."""

    def __init__(self) -> None:
        self.routes: dict[str, Reply | Callable[[str], Reply]] = {}
        self.fallback: Callable[[str], Reply] = lambda path: Reply(b"not here", 404)
        self.requests: list[Request] = []
        self.before: Callable[[str], None] = lambda path: None
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda request, address: None  # clients are killed here
        self.port = self.http.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        self.root = f"http://{self.host}"
        self.ended = threading.Event()
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.ended.set()
        self.http.shutdown()
        self.http.server_close()

    def count(self, **wanted: object) -> Counter[str]:
        """How often each path was asked for, robots.txt aside."""
        return Counter(
            request.path
            for request in self.requests
            if request.path != "/robots.txt"
            and all(getattr(request, name) == value for name, value in wanted.items())
        )

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path
        self.before(path)
        found = self.routes.get(path) or self.fallback
        reply = found(path) if callable(found) else found
        tag = f'"{hashlib.md5(reply.body).hexdigest()}"'
        conditional = bool(
            handler.headers.get("If-None-Match") or handler.headers.get("If-Modified-Since")
        )
        status = reply.status
        if reply.validators and status == 200 and handler.headers.get("If-None-Match") == tag:
            status = 304
        agent = handler.headers.get("User-Agent", "")
        self.requests.append(Request(path, status, conditional, agent))
        with contextlib.suppress(OSError):  # the client has gone
            self.send(handler, reply, status, tag)

    def send(self, handler: BaseHTTPRequestHandler, reply: Reply, status: int, tag: str) -> None:
        body = b"" if status == 304 else reply.body
        if reply.behaviour == "drop":
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
            return
        if reply.behaviour == "stall":
            self.ended.wait(30)
            return
        handler.send_response(status)
        if reply.validators and status in (200, 304):
            handler.send_header("ETag", tag)
            handler.send_header("Last-Modified", CHANGED)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        if reply.behaviour == "cut-chunks":
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
            handler.close_connection = True
            return
        length = {"promise-more": len(body) + 1000, "promise-less": len(body) // 2}.get(
            reply.behaviour, len(body)
        )
        if reply.behaviour in ("endless", "drip"):
            handler.close_connection = True
        elif reply.behaviour == "huge":
            length = 50 * 2**20
            handler.send_header("Content-Length", str(length))
        else:
            handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(body)
        if reply.behaviour == "promise-more":
            handler.wfile.flush()
            handler.connection.shutdown(socket.SHUT_RDWR)
            handler.close_connection = True
        if reply.behaviour in ("endless", "huge"):
            for _ in range(50 * 16):
                handler.wfile.write(b"\xff" * 2**16)
            handler.close_connection = True
        while reply.behaviour == "drip" and not self.ended.wait(0.05):
            handler.wfile.write(b"x")


@functools.cache
def robot(index: int, kind: str = "JPEG", size: int = 64) -> bytes:
    """The bytes of a drawn robot."""
    file = io.BytesIO()
    Image.fromarray(mechas.draw(mechas.design(index, 5), size)).save(file, format=kind)
    return file.getvalue()


def html(text: str, encoding: str = "cp1252") -> Reply:
    return Reply(text.encode(encoding), headers={"Content-Type": "text/html"})


def picture(index: int, kind: str = "JPEG") -> Reply:
    return Reply(robot(index, kind), headers={"Content-Type": "application/octet-stream"})


# ------------------------------------------------------------------------------------------------
# The old layout
# ------------------------------------------------------------------------------------------------


def old_page(content: str, title: str = "MAHQ", depth: int = 2) -> Reply:
    """The skeleton: nested tables, upper case here and there, tags that nobody closes."""
    up = "../" * depth
    return html(
        f"""<!DOCTYPE HTML PUBLIC "-//W3C//DTD HTML 4.01 Transitional//EN">
<html><head><META http-equiv="Content-Type" content="text/html; charset=iso-8859-1">
<title>{title}</title></head><body><center><TABLE width="100%">
<tr><td colspan="2"><script src="{up}header.js"></script></td></tr>
<tr><td colspan="2" class="pagebars"><img src="{up}picts/spacer.gif" alt="image"><br></td></tr>
<tr><td class="sidebar-background"></td><td><table><tr><td width="40" class="pageheight"><br></td>
<TD align="center" valign="top" class="shadow-horizontal">
{content}
</td></tr></table></td></tr>
<tr><td colspan="2" class="shadow-horizontal"><script src="{up}copyright.js"></script></td></tr>
</table></center></body></html>"""
    )


def suit_page(
    title: str,
    unit_type: str,
    image: str,
    radios: tuple[str, ...] = (),
    model_number: str = "XX-1",
    extra: str = "",
) -> Reply:
    buttons = "".join(f'<INPUT TYPE="Radio" value="{value}">' for value in radios)
    shown = f'<img src="{image}" border="1">' if image else ""
    heading = f'<span class="mahqtitle"><strong><u>{title}</u></strong></span>' if title else ""
    return old_page(
        f"""{heading}<br>
<img src="../../../picts/spacer.gif"><br>{shown}
<form>{buttons}</form>
<table><tr><td><strong>General and Technical Data</strong></td></tr><tr><td><p class="mahqbody">
<strong>Model number:</strong> {model_number}<br><strong>Code name:</strong> {title}<br>
<strong>Unit  type:</strong> {unit_type}<br>
<strong>Manufacturer:</strong> Anaheim (original <a href="other.htm">a mobile suit</a>)<br>
<strong>Operator:</strong> Neo Zeon<br><strong>First deployment:</strong> UC 0096<br></p>
<p>A page of a mobile suit<table><tr><td>{extra}</table></td></tr></table>""",
        title=title or "MAHQ",
        depth=3,
    )


BASE = "/mecha/gundam"

# What a run without --variants keeps of the old layout: file -> image it shows, its format.
OLD_KEPT = {
    "msgundam/escape.jpg": (8, "JPEG"),
    "msgundam/ms-06.gif": (2, "GIF"),
    "msgundam/notitle.png": (3, "PNG"),
    "msgundam/rx-78-2.jpg": (1, "JPEG"),
    "wing/gf13-017nj.webp": (7, "WEBP"),
    "zgundam/gat-x105+p204qx.jpg": (11, "JPEG"),
    "zgundam/msz-006.png": (6, "PNG"),
    "zgundam/rms-106.jpg": (4, "JPEG"),
    "zgundam/rx-78-2.jpg": (5, "JPEG"),
    "zgundam/rx-78-2~2.jpg": (9, "JPEG"),
}
OLD_REFUSED = {
    "trailer-eff.htm": "trailer",
    "carrier.htm": "mobile suit carrier",
    "ma-08.htm": "mobile armor",
    "nothing.htm": "no picture",
    "copy.htm": "the same picture as zgundam/rms-106.jpg",
}
OLD_MISSING = {
    "gone.htm": "HTTP 404",
    "no-picture.jpg": "HTTP 404",
    "html.jpg": "HTML",
    "cut.jpg": "broken picture",
    "huge.jpg": "more than",
    "strange.htm": "layout not recognised",
    "foreign.jpg": "another site",
}


def old_site(host: str) -> dict[str, Reply]:
    """The old layout with all its oddities: path -> Reply."""
    index = old_page(
        f"""<table><tr><td><strong>Animation</strong></td></tr><tr><td><p class="mahqbody">
<a href="msgundam/index.htm">Mobile   Suit
    Gundam</a><br><a href="zgundam/index.htm"></a><a name="top">no address</a>
<A HREF="http://www.{host}{BASE}/wing/index.htm#top">Wing</A><br>
<a href="mailto:somebody@example.org">mail</a><a href="javascript:history.go(-1)">back</a>
<a href="http://other.example/mecha/gundam/x/index.htm">elsewhere</a>
<a href="../../index.htm">home</a><a href="http://[broken/">broken</a></p></td></tr></table>"""
    )
    ms = old_page(
        """<span class="mahqtitle"><strong><u>Mobile Suit Gundam</u></strong></span>
<p class="mahqbody"><strong>Mobile Suits</strong><br><a href="rx-78-2.htm">RX-78-2
  Gundam</a><br><a href="ms-06.htm"></a><a href="rx-78-2.htm#armament">again</a>
<a href="../zgundam/rms-106.htm">RMS-106</a><br><a href="nothing.htm">nothing</a>
<a href="notitle.htm">x</a><a href="evil.htm">x</a><a href="gone.htm">x</a>
<a href="no-picture.htm">x</a><a href="html.htm">x</a><a href="cut.htm">x</a>
<a href="huge.htm">x</a><a href="strange.htm">x</a><a href="foreign.htm">x</a>
<strong>Vehicles</strong><br><a href="trailer-eff.htm">Trailer</a><a href="carrier.htm">x</a>
<a href="../index.htm">index</a></p>""",
        depth=3,
    )
    zeta = old_page(
        """<span class="mahqtitle"><strong><u>Zeta</u></strong></span><p class="mahqbody">
<a href="rms-106.htm">RMS-106</a><a href="other.htm">x</a><a href="copy.htm">x</a>
<a href="msz-006.htm">x</a><a href="ma-08.htm">x</a><a href="strike.htm">x</a>
<a href="other2.htm">x</a></p>"""
    )
    wing = old_page('<p class="mahqbody"><a href="./gf13-017nj.htm">Shining</a></p>')
    pages = {
        "index.htm": index,
        "msgundam/index.htm": ms,
        "zgundam/index.htm": zeta,
        "wing/index.htm": wing,
        "msgundam/rx-78-2.htm": suit_page(
            "RX-78-2 Gundam",
            "prototype close combat mobile  \r\n  suit",
            "rx-78-2.jpg",
            model_number="RX-78-2",
        ),
        "msgundam/ms-06.htm": suit_page(
            "MS-06 \x93Zaku II\x94".encode("latin-1").decode("cp1252"),
            "mass&nbsp;production mobile&nbsp; suit (early)",
            "ms-06.gif",
            ("ms-06.gif", "ms-06-2.png", "Yes", "No"),
        ),
        "msgundam/trailer-eff.htm": suit_page(
            "Trailer", "mobile suit trailer", "trailer-eff.jpg", extra="carries a mobile suit"
        ),
        "msgundam/carrier.htm": suit_page("Carrier", "mobile suit carrier", "carrier.jpg"),
        "msgundam/nothing.htm": suit_page("Nothing", "mobile suit", ""),
        "msgundam/notitle.htm": suit_page("", "Mobile Suit", "notitle.jpg", model_number="AB-1"),
        "msgundam/evil.htm": suit_page("Evil", "mobile suit", "..%2F..%2F..%2F..%2Fescape.jpg"),
        "msgundam/no-picture.htm": suit_page("No picture", "mobile suit", "no-picture.jpg"),
        "msgundam/html.htm": suit_page("HTML", "mobile suit", "html.jpg"),
        "msgundam/cut.htm": suit_page("Cut", "mobile suit", "cut.jpg"),
        "msgundam/huge.htm": suit_page("Huge", "mobile suit", "huge.jpg"),
        "msgundam/strange.htm": html("<html><title>New</title><p>We have <b>moved</b>.</html>"),
        "msgundam/foreign.htm": suit_page(
            "Foreign", "mobile suit", "http://other.example/foreign.jpg"
        ),
        "zgundam/rms-106.htm": suit_page("RMS-106 Hi-Zack", "mobile suit", "rms-106.jpg"),
        "zgundam/other.htm": suit_page("Other / second", "mobile suit", "rx-78-2.jpg"),
        "zgundam/other2.htm": suit_page("Other 2", "mobile suit", "alt/rx-78-2.jpg"),
        "zgundam/copy.htm": suit_page("Copy", "mobile suit", "copy.jpg"),
        "zgundam/msz-006.htm": suit_page("Zeta", "transformable mobile armor", "msz-006.png"),
        "zgundam/ma-08.htm": suit_page("Byg Zam", "mobile armor", "ma-08.jpg"),
        "zgundam/strike.htm": suit_page("Strike", "mobile suit", "gat-x105+p204qx.jpg"),
        "wing/gf13-017nj.htm": suit_page(
            "GF13-017NJ Shining", "mobile \xa0 fighter", "gf13-017nj.webp"
        ),
    }
    pictures = {
        "msgundam/rx-78-2.jpg": picture(1),
        "msgundam/ms-06.gif": picture(2, "GIF"),
        "msgundam/ms-06-2.png": picture(12, "PNG"),
        "msgundam/notitle.jpg": picture(3, "PNG"),
        "msgundam/..%2F..%2F..%2F..%2Fescape.jpg": picture(8),
        "msgundam/trailer-eff.jpg": picture(20),
        "msgundam/carrier.jpg": picture(21),
        "msgundam/html.jpg": html("<html><body>Sorry, not here.</body></html>"),
        "msgundam/cut.jpg": Reply(robot(10)[:700]),
        "msgundam/huge.jpg": Reply(robot(10), behaviour="huge"),
        "zgundam/rms-106.jpg": picture(4),
        "zgundam/copy.jpg": picture(4),
        "zgundam/rx-78-2.jpg": picture(5),
        "zgundam/alt/rx-78-2.jpg": picture(9),
        "zgundam/msz-006.png": picture(6, "PNG"),
        "zgundam/ma-08.jpg": picture(22),
        "zgundam/gat-x105+p204qx.jpg": picture(11),
        "wing/gf13-017nj.webp": picture(7, "WEBP"),
    }
    return {f"{BASE}/{name}": reply for name, reply in (pages | pictures).items()}


# ------------------------------------------------------------------------------------------------
# The WordPress layout
# ------------------------------------------------------------------------------------------------

WORDPRESS_KEPT = {
    "mobile-suit-gundam/rx-78-2.jpg": (1, "JPEG"),
    "mobile-suit-gundam/zaku.png": (2, "PNG"),
    "wing/wing-zero-300x300.jpg": (4, "JPEG"),
    "wing/shining.jpg": (3, "JPEG"),
}


def wordpress_page(content: str, title: str, menu: str = "") -> Reply:
    return html(
        f"""<!DOCTYPE html><html lang="en"><head><meta charset="UTF-8">
<meta name="generator" content="WordPress 6.4"><title>{title} \u2013 MAHQ</title></head>
<body class="page"><header><nav><ul><li><a href="/">Home</a></li>{menu}
<li><a href="/news/?page=2">News</a></li></ul></nav>
<img src="/wp-content/uploads/2022/01/logo.png"></header>
<article><h1 class="entry-title">{title}</h1><div class="entry-content">{content}</div></article>
<footer><a href="/contact/">Contact</a></footer></body></html>""",
        "utf-8",
    )


def wordpress_suit(title: str, unit_type: str, image: str) -> Reply:
    return wordpress_page(
        f"""<figure>{image}</figure><p><strong>General and Technical Data</strong></p>
<p><strong>Model number:</strong> {title}<br/><strong>Unit type</strong>: {unit_type}<br/>
<strong>Operator:</strong> Zeon</p><p>It carries a mobile suit.</p>""",
        title,
    )


def wordpress_site(host: str) -> dict[str, Reply]:
    """The WordPress layout: path -> Reply."""
    uploads = "/wp-content/uploads/2022/03"
    menu = f"""<li><a href="/gundammain/">Gundam</a><ul>
<li><a href="https://www.{host}/mobile-suit-gundam/">Mobile Suit Gundam</a><ul>
<li><a href="/rx-78-2/">RX-78-2</a></li><li><a href="/dabude/">Dabude</a></li></ul></li>
</ul></li>"""
    content = f"""<ul><li><a href="/mobile-suit-gundam/">Mobile Suit Gundam</a><ul>
<li><a href="/rx-78-2/">RX-78-2</a></li><li><a href="/dabude/">Dabude</a></li></ul></li>
<li><a href="http://{host}/wing/">Wing</a></li></ul>"""
    small = f"{uploads}/rx-78-2-300x300.jpg"
    return {
        "/gundammain/": wordpress_page(content, "Gundam", menu),
        "/mobile-suit-gundam/": wordpress_page(
            """<p><a href="/rx-78-2/">RX-78-2</a> <a href="/ms-06/">Zaku</a>
<a href="/removed/">removed</a></p>""",
            "Mobile Suit Gundam",
            menu,
        ),
        "/wing/": wordpress_page('<h2>Suits</h2><a href="/wing-suits/">all</a>', "Wing", menu),
        "/removed/": Reply(status=301, headers={"Location": "/"}),
        "/": wordpress_page('<a href="/news-of-today/">News</a>', "Home", menu),
        "/wing-suits/": wordpress_page(
            '<a href="/wing-zero/">Zero</a><a href="/shining/">Shining</a>', "Wing suits", menu
        ),
        "/rx-78-2/": wordpress_suit(
            "RX-78-2",
            "prototype mobile suit",
            f'<img src="{small}" srcset="{small} 300w, {uploads}/rx-78-2.jpg 900w">',
        ),
        "/ms-06/": wordpress_suit(
            "MS-06", "mobile suit", f'<a href="{uploads}/zaku.png"><img src="{small}"></a>'
        ),
        "/dabude/": wordpress_suit("Dabude", "land battleship", f'<img src="{small}">'),
        # The full size is not there, the reduced copy is.
        "/wing-zero/": wordpress_suit(
            "XXXG-00W0",
            "transformable mobile suit",
            f'<img src="data:image/gif;base64,R0" data-src="{uploads}/wing-zero-300x300.jpg">',
        ),
        "/shining/": wordpress_suit(
            "GF13", "mobile fighter", f'<img src="{uploads}/shining-300x300.jpg">'
        ),
        f"{uploads}/rx-78-2.jpg": picture(1),
        f"{uploads}/rx-78-2-300x300.jpg": picture(13),
        f"{uploads}/zaku.png": picture(2, "PNG"),
        f"{uploads}/wing-zero-300x300.jpg": picture(4),
        f"{uploads}/shining.jpg": picture(3),
        f"{uploads}/shining-300x300.jpg": picture(14),
    }


# ------------------------------------------------------------------------------------------------
# The Wayback Machine
# ------------------------------------------------------------------------------------------------


class WaybackDouble:
    """Captures of the old site, made in several years; only those of 2020 are as the site was last.

    Three things are odd on purpose: every fifth body stays gzipped, every fourth capture redirects
    to another one that was made a second later, and one request is answered with 429.
    """

    def __init__(self, server: FixtureServer, page_size: int = 7) -> None:
        self.site = old_site("mahq.net")
        self.site[f"{BASE}/msgundam/moved.htm"] = Reply(status=302)
        self.paths = sorted(self.site)
        self.page_size = page_size
        self.lost_slashes = 0
        self.too_many = 1
        self.cdx_requests = 0
        server.fallback = self.answer

    def answer(self, path: str) -> Reply:
        if path.startswith("/cdx/search/cdx?"):
            return self.cdx({name: values[0] for name, values in parse_qs(path[16:]).items()})
        found = re.fullmatch(r"/web/(\d{14})(id_)?/(https?):/(/?)([^/]+?)(:80)?(/.*)", path)
        if not found:
            return Reply(b"<html>not in the archive</html>", 404)
        timestamp, raw, scheme, slash, host, _, site_path = found.groups()
        if not slash or not raw:
            self.lost_slashes += 1
            return Reply(b"lost", 404)
        if host not in ("www.mahq.net", "mahq.net"):
            return Reply(robot(30), headers={"Memento-Datetime": CHANGED})
        if site_path.endswith("ms-06.htm") and self.too_many:
            self.too_many -= 1
            return Reply(b"slow down", 429, validators=False)
        reply = self.site.get(site_path)
        if reply is None:
            return Reply(b"<html>not in the archive</html>", 404)
        number = self.paths.index(site_path)
        if site_path.endswith("gf13-017nj.webp") and timestamp.startswith("2020"):
            # A capture of a redirect to somewhere else.
            there = f"/web/{timestamp}/http://casino.example/x.webp"
            return Reply(status=302, headers={"Location": there})
        if number % 4 == 0 and timestamp == "20200501000000":
            forms = (f"/web/20200501000001/{scheme}://{host}{site_path}",)
            forms += (f"/web/20200501000001id_/{scheme}:/{host}{site_path}",)
            return Reply(status=302, headers={"Location": forms[number // 4 % 2]})
        if timestamp < "2020":
            return html("<html>an old capture</html>")
        body = gzip.compress(reply.body) if number % 5 == 0 else reply.body
        headers = reply.headers | {"Memento-Datetime": CHANGED}
        return Reply(body, reply.status, headers, reply.behaviour, validators=False)

    def cdx(self, question: dict[str, str]) -> Reply:
        """As the server does it: filtered, then collapsed with the neighbour, then cut in pieces.

        All addresses have the same content, another one each year. Pictures were found unchanged in
        2021, which is listed without a status; of one nothing else is listed. A show was captured
        in 2020 alone.
        """
        self.cdx_requests += 1
        assert question["url"] == "mahq.net/mecha/gundam/", question
        assert question["matchType"] == "prefix", question
        header = ["timestamp", "original", "mimetype", "statuscode", "digest"]
        rows = []
        for path in self.paths:
            if path.endswith("gone.htm"):
                continue
            for timestamp, status in (
                ("20140101000000", "200"),
                ("20160101000000", "200"),
                ("20190101000000", "404"),
                ("20200501000000", "200"),
                ("20200601000000", "200"),
                ("20210501000000", "-"),
                ("20230101000000", "200"),
            ):
                if path.endswith("notitle.jpg"):
                    status = "-" if timestamp < "2021" else "404"
                is_late = path.endswith("zgundam/index.htm") and timestamp < "2020"
                if is_late or (path.endswith("htm") and status == "-"):
                    continue
                if question["from"] <= timestamp[:4] <= question["to"]:
                    kind = "text/html" if path.endswith("htm") else "image/jpeg"
                    kind = "warc/revisit" if status == "-" else kind
                    address = f"http://www.mahq.net:80{path}"
                    rows.append([timestamp, address, kind, status, f"SHA{timestamp[:4]}"])
                    if timestamp.startswith("2021"):
                        rows[-1][-1] = "SHA2020"
        name, _, pattern = question["filter"].removeprefix("!").partition(":")
        rows = [
            row
            for row in rows
            if bool(re.fullmatch(pattern, row[header.index(name)]))
            is (question["filter"][0] != "!")
        ]
        if "collapse" in question:
            column = header.index(question["collapse"].replace("urlkey", "original"))
            rows = [next(group) for _, group in itertools.groupby(rows, lambda row: row[column])]
        keys = [f"net,mahq){row[1].split(':80')[1]} {row[0]}!" for row in rows]
        start = keys.index(question["resumeKey"]) if "resumeKey" in question else 0
        size = min(self.page_size, int(question["limit"]))
        table: list[list[str]] = [header, *rows[start : start + size]]
        if start + size < len(rows):
            table += [[], [quote_plus(keys[start + size])]]
        return Reply(json.dumps(table).encode(), headers={"Content-Type": "application/json"})


# ------------------------------------------------------------------------------------------------
# The wiki
# ------------------------------------------------------------------------------------------------

WIKI_KEPT = {
    "mobile-suits/Rx-78-2.png": (1, "PNG"),
    "mobile-suits/Zaku_II.jpg": (2, "JPEG"),
    "mobile-fighters/Shining.jpg": (3, "JPEG"),
}


class WikiDouble:
    """A MediaWiki API that hands out members in pieces: texts and pictures come apart.

    No picture is a free one.
    """

    def __init__(self, server: FixtureServer) -> None:
        self.root = server.root
        infobox = (
            "{{{{Infobox\n| name = X\n| unit type = [[x|{}]]\n| model number = {}\n}}}}\nText."
        )
        self.members = {
            "Category:Mobile Suits": [
                (
                    "RX-78-2 Gundam",
                    "a/a1/Rx-78-2.png",
                    infobox.format("Prototype Mobile Suit", "RX"),
                ),
                ("Zaku II / F", "b/b1/Zaku_II.jpg", "no infobox here"),
                ("Big Tray", "c/c1/Tray.jpg", infobox.format("Land Battleship", "-")),
                ("Without picture", "", infobox.format("Mobile Suit", "-")),
            ],
            "Category:Mobile Fighters": [
                ("GF13 Shining", "d/d1/Shining.jpg", infobox.format("Mobile Fighter", "GF13")),
                ("RX-78-2 Gundam", "a/a1/Rx-78-2.png", infobox.format("Mobile Suit", "RX")),
            ],
            "Category:Transformable Mobile Armors": [],
        }
        server.fallback = self.answer
        pictures = {"Rx-78-2.png": picture(1, "PNG"), "Zaku_II.jpg": picture(2)}
        pictures |= {"Shining.jpg": picture(3), "Tray.jpg": picture(23)}
        for members in self.members.values():
            for _, image, _ in members:
                if image:
                    path = f"/gundam/images/{image}/revision/latest"
                    name = image.rsplit("/", 1)[1]
                    server.routes[f"{path}?cb=2020&format=original"] = pictures[name]
                    server.routes[f"{path}?cb=2020"] = Reply(robot(40, "WEBP"))

    def answer(self, path: str) -> Reply:
        parts = urlsplit(path)
        if parts.path != "/api.php":
            return Reply(b"", 404)
        question = {name: values[0] for name, values in parse_qs(parts.query).items()}
        members = self.members[question["gcmtitle"]]
        # Two members an answer; of these first the pictures, then, asked again, the texts.
        start = int(question.get("gcmcontinue", "page|0").split("|")[1])
        texts = "rvcontinue" in question
        batch = []
        for number, (title, image, text) in enumerate(members[start : start + 2], start):
            member: dict[str, object] = {"pageid": 100 + number, "ns": 0, "title": title}
            if texts:
                member["revisions"] = [{"slots": {"main": {"content": text}}}]
            elif image and question.get("pilicense") == "any":
                source = f"{self.root}/gundam/images/{image}/revision/latest?cb=2020"
                member["original"] = {"source": source, "width": 64, "height": 64}
            batch.append(member)
        answer: dict[str, object] = {"query": {"pages": batch}}
        if batch and not texts:
            answer["continue"] = {"rvcontinue": "1|2", "continue": "gcmcontinue||pageimages"}
            if start:
                answer["continue"] |= {"gcmcontinue": f"page|{start}"}
        elif start + 2 < len(members):
            answer["continue"] = {"gcmcontinue": f"page|{start + 2}", "continue": "gcmcontinue||"}
        return Reply(json.dumps(answer).encode(), validators=False)

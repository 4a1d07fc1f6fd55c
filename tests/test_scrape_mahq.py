"""Collecting pictures: the real script against real servers that misbehave in every known way."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest

import scrape_mahq
from tests.conftest import REPOSITORY, deadline, run_script
from tests.fixture_site import (
    BASE,
    CHANGED,
    OLD_KEPT,
    OLD_MISSING,
    OLD_REFUSED,
    WIKI_KEPT,
    WORDPRESS_KEPT,
    FixtureServer,
    Reply,
    Request,
    WaybackDouble,
    WikiDouble,
    html,
    old_page,
    old_site,
    picture,
    robot,
    suit_page,
    wordpress_site,
)  # fmt: skip
from utils.common.errors import RunError
from utils.scraping import pages, web
from utils.scraping.addresses import host_of, is_on
from utils.scraping.names import folder_name, picture_name, plain_name
from utils.scraping.sources.wiki import read_infobox
from utils.scraping.transport import FetchError
from utils.scraping.web import Manners, Session

QUICK = ["--delay", "0", "--backoff", "0.01", "--too-many-pause", "0.2"]


# Copies itself at every line that it reads, and the copy becomes the script: libraries are loaded
# once, and each life begins as a process of its own does.
LIVES = """
import json, os, signal, sys
import bs4, lxml.etree, requests, urllib3, scrape_mahq, utils.common.pictures
for line in sys.stdin:
    folder, arguments, first = json.loads(line)
    life = os.fork()
    if life == 0:
        os.chdir(folder)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        exec(first)
        sys.argv = ["scrape_mahq.py", *arguments]
        scrape_mahq.main()
    print(life, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(life, 0)[1]), flush=True)
"""


class Lives:
    """The script in processes of its own, one after the other."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LIVES], cwd=REPOSITORY, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def start(self, folder: Path, arguments: list[str], first: str = "") -> int:
        """Start one, after it has executed ``first``; returns its process id."""
        folder.mkdir(exist_ok=True)
        self.process.stdin.write(json.dumps([str(folder), arguments, first]) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self) -> int:
        """Wait for it; returns its exit code."""
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    lives = Lives()
    yield lives
    lives.process.communicate()


@pytest.fixture(scope="module", autouse=True)
def _no_proxy() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "*")
        yield


@pytest.fixture
def server() -> Iterator[FixtureServer]:
    server = FixtureServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def first_run(
    tmp_path_factory,
) -> Iterator[tuple[FixtureServer, Path, subprocess.CompletedProcess[str], list[Request]]]:
    """A server of the old layout, the folder into which it was collected, and how that went."""
    server = FixtureServer()
    server.routes |= old_site(server.host)
    folder = tmp_path_factory.mktemp("first")
    result = scrape(folder, *old(server))
    yield server, folder, result, server.requests
    server.close()


@pytest.fixture
def site(first_run) -> FixtureServer:
    """A server of the old layout, that was not asked yet."""
    server = first_run[0]
    server.routes = old_site(server.host)
    server.requests = []
    server.before = lambda path: None
    return server


@pytest.fixture
def collected(first_run, site, tmp_path) -> FixtureServer:
    """The same, and what was collected from it in the folder of the test."""
    shutil.copytree(first_run[1], tmp_path, dirs_exist_ok=True)
    return site


def old(server: FixtureServer) -> list[str]:
    return ["--source", "mahq", "--index-url", f"{server.root}{BASE}/index.htm", *QUICK]


def scrape(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the script in this process, which has loaded its libraries."""
    argv = ["scrape_mahq.py", *map(str, arguments)]
    output, errors = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        mock.patch.object(sys, "argv", argv),
    ):
        try:
            scrape_mahq.main()
        except SystemExit as stop:
            code = stop.code
    return subprocess.CompletedProcess(argv, code, output.getvalue(), errors.getvalue())


def lines(folder: Path, name: str) -> list[dict]:
    text = (folder / "data/mahq" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def manifest(folder: Path) -> dict[str, dict]:
    return {line["file"]: line for line in lines(folder, "manifest.jsonl")}


def check_pictures(folder: Path, expected: dict[str, tuple[int, str]]) -> None:
    """Every expected picture is there, its bytes and its line; and nothing else is."""
    root = folder / "data/mahq"
    files = {
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and ".scrape" not in path.parts and path.parent != root
    }
    assert {name for name in files if not name.startswith("unrecognised/")} == set(expected)
    assert not list(root.rglob("*.part*"))
    listed = manifest(folder)
    assert set(listed) == set(expected)
    for file, (number, kind) in expected.items():
        data = (root / file).read_bytes()
        assert data == robot(number, kind), file
        line = listed[file]
        assert line["sha256"] == hashlib.sha256(data).hexdigest()
        assert (line["width"], line["height"], line["format"]) == (64, 64, kind)


def stable(folder: Path) -> list[dict]:
    return [line | {"fetched_at": ""} for line in lines(folder, "manifest.jsonl")]


def test_help_needs_only_the_command_line_and_nothing_needs_keras():
    """What fetches and reads pages is slow to import, and ``--help`` does not."""
    probe = (
        "import sys, contextlib, scrape_mahq; sys.argv = ['scrape_mahq.py', '--help']\n"
        "with contextlib.suppress(SystemExit): scrape_mahq.main()\n"
        "print({'requests', 'bs4', 'lxml', 'numpy', 'PIL', 'h5py'} & set(sys.modules))\n"
        "import utils.scraping.pages, utils.common.pictures, requests, bs4\n"
        "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", probe], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert "--index-url" in result.stdout
    assert result.stdout.endswith("set()\nset()\n")


def test_the_old_layout(first_run):
    site, tmp_path, result, requests = first_run
    check_pictures(tmp_path, OLD_KEPT)
    paths = [request.path for request in requests]
    assert len(paths) == len(set(paths))  # nothing is asked for twice
    assert all(request.user_agent.startswith("GANdam/") for request in requests)
    assert paths[0] == "/robots.txt"
    assert not any("/picts/" in path or "mahq.net" in path for path in paths)

    found = manifest(tmp_path)["zgundam/rms-106.jpg"]
    assert found["shows"] == ["msgundam", "zgundam"]
    assert found["show"] == "zgundam"
    assert found["title"] == "RMS-106 Hi-Zack"
    assert found["image_url"] == f"{site.root}{BASE}/zgundam/rms-106.jpg"
    assert found["page_url"] == f"{site.root}{BASE}/zgundam/rms-106.htm"
    assert found["details"]["Manufacturer"] == "Anaheim (original a mobile suit)"
    assert found["details"]["First deployment"] == "UC 0096"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\+00:00", found["fetched_at"])
    first = manifest(tmp_path)["msgundam/rx-78-2.jpg"]
    assert first["unit_type"] == "prototype close combat mobile suit"
    assert first["model_number"] == "RX-78-2"
    assert manifest(tmp_path)["msgundam/ms-06.gif"]["title"] == "MS-06 \u201cZaku II\u201d"
    assert manifest(tmp_path)["msgundam/notitle.png"]["title"] == "AB-1"
    assert manifest(tmp_path)["zgundam/rx-78-2.jpg"]["title"] == "Other / second"

    rejected = lines(tmp_path, "rejected.jsonl")
    assert {line["page_url"].rsplit("/", 1)[1] for line in rejected} == set(OLD_REFUSED)
    for line in rejected:
        assert OLD_REFUSED[line["page_url"].rsplit("/", 1)[1]] in line["reason"]
    failed = lines(tmp_path, "failed.jsonl")
    assert {line["address"].rsplit("/", 1)[1] for line in failed} == set(OLD_MISSING)
    for line in failed:
        assert OLD_MISSING[line["address"].rsplit("/", 1)[1]] in line["reason"]

    strange = next(line["reason"] for line in failed if line["address"].endswith("strange.htm"))
    assert "expected a cell <td class='shadow-horizontal'>" in strange
    assert "found a page titled 'New' with 0 links and 0 labels" in strange
    saved = Path(tmp_path, strange.split("saved as ")[1])
    assert b"We have <b>moved</b>" in saved.read_bytes()
    assert strange in result.stderr

    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == (
        f"data/mahq: 10 pictures kept, 5 refused, 7 failed, {len(requests)} requests; "
        "missing: 2 pages and 5 pictures (for good), see data/mahq/failed.jsonl"
    )


def test_a_second_run_downloads_only_what_changed(first_run, collected, tmp_path):
    site = collected
    before = manifest(tmp_path)
    site.routes[f"{BASE}/zgundam/rms-106.jpg"] = picture(50)
    site.routes[f"{BASE}/wing/index.htm"] = old_page(
        '<p class="mahqbody"><a href="gf13-017nj.htm">Shining</a><a href="new.htm">new</a></p>'
    )
    site.routes[f"{BASE}/wing/new.htm"] = suit_page("New", "mobile suit", "new.jpg")
    site.routes[f"{BASE}/wing/new.jpg"] = picture(51)
    site.routes[f"{BASE}/msgundam/rx-78-2.jpg"] = Reply(status=404)
    emptied = f"{BASE}/zgundam/msz-006"
    site.routes[f"{emptied}.htm"] = old_page('<a href="index.htm">We have moved</a>')
    result = scrape(tmp_path, *old(site))
    downloaded = set(site.count(status=200))
    assert downloaded == {
        f"{BASE}/wing/index.htm",
        f"{BASE}/wing/new.htm",
        f"{BASE}/wing/new.jpg",
        f"{BASE}/zgundam/rms-106.jpg",
        f"{emptied}.htm",
        # The same picture had been kept once for both addresses; now it needs a file of its own.
        f"{BASE}/zgundam/copy.jpg",
        # Refused for its size before it comes, so that there is nothing to compare.
        f"{BASE}/msgundam/huge.jpg",
    }
    assert set(site.count().values()) == {1}
    first = {request.path for request in first_run[3]} - {"/robots.txt"}
    assert first - set(site.count()) == {f"{emptied}.png"}
    changed = {"zgundam/rms-106.jpg": 50, "wing/new.jpg": 51, "zgundam/copy.jpg": 4}
    check_pictures(
        tmp_path, OLD_KEPT | {name: (number, "JPEG") for name, number in changed.items()}
    )
    after = manifest(tmp_path)
    assert after["wing/new.jpg"]["title"] == "New"
    same = before["zgundam/msz-006.png"]
    assert after["zgundam/msz-006.png"] == same
    # What is gone from the site is not gone from the collection.
    assert after["msgundam/rx-78-2.jpg"] == before["msgundam/rx-78-2.jpg"]
    assert "HTTP 404; the earlier copy is kept" in result.stderr


def test_variants(site, tmp_path):
    scrape(tmp_path, *old(site), "--variants", "--show", "Mobile suit Gundam")
    files = set(manifest(tmp_path))
    assert "msgundam/ms-06-2.png" in files
    assert files == {name for name in OLD_KEPT if name.startswith("msgundam")} | {
        "msgundam/ms-06-2.png", "zgundam/rms-106.jpg",
    }  # fmt: skip


def test_changing_ones_mind_costs_only_the_pictures_in_question(collected, tmp_path):
    site = collected
    types = ["--unit-types", "mobile suit", "transformable mobile armor", "mobile fighter"]
    scrape(tmp_path, *old(site), *types, "mobile armor")
    assert set(site.count()) == {f"{BASE}/zgundam/ma-08.jpg"}
    check_pictures(tmp_path, OLD_KEPT | {"zgundam/ma-08.jpg": (22, "JPEG")})
    assert not any(line["title"] == "Byg Zam" for line in lines(tmp_path, "rejected.jsonl"))
    site.requests.clear()
    scrape(tmp_path, *old(site), "--unit-types", "mobile fighter")
    assert not site.count()
    check_pictures(tmp_path, {"wing/gf13-017nj.webp": (7, "WEBP")})
    scrape(tmp_path, *old(site), *types, "mobile armor", "--limit", "100")
    assert not site.count()
    check_pictures(tmp_path, OLD_KEPT | {"zgundam/ma-08.jpg": (22, "JPEG")})


def test_limit_and_show(site, tmp_path):
    result = scrape(tmp_path, *old(site), "--limit", "2")
    assert set(manifest(tmp_path)) == {"msgundam/rx-78-2.jpg", "msgundam/ms-06.gif"}
    # index, one show, two suits and their pictures: who wants two pictures wants them soon.
    assert sum(site.count().values()) == 6
    assert result.returncode == 0
    assert "nothing is missing" in result.stdout
    result = scrape(tmp_path, *old(site), "--show", "wing")
    assert len(manifest(tmp_path)) == 3
    result = scrape(tmp_path, *old(site), "--show", "wings")
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].endswith("; did you mean wing?")
    result = scrape(tmp_path, *old(site), "--show", "mobil suit gundam")
    assert result.stderr.splitlines()[-1].endswith("; did you mean 'mobile suit gundam'?")
    assert set(site.count().values()) == {1}


def test_dry_run(site, tmp_path):
    result = scrape(tmp_path, *old(site), "--dry-run")
    asked = set(site.count())
    assert asked == {
        f"{BASE}/{name}index.htm" for name in ("", "msgundam/", "zgundam/", "wing/")
    }  # fmt: skip
    printed = result.stdout.splitlines()
    assert f"fetch page {site.root}{BASE}/msgundam/rx-78-2.htm" in printed
    assert printed[-1].startswith("22 suits; 22 addresses to ask for, and a picture of every page")
    assert not (tmp_path / "data/mahq/manifest.jsonl").exists()
    scrape(tmp_path, *old(site), "--limit", "1")
    result = scrape(tmp_path, *old(site), "--dry-run")
    assert f"fetch page {site.root}{BASE}/msgundam/rx-78-2.htm" not in result.stdout
    assert "rx-78-2.jpg" not in result.stdout
    assert set(site.count().values()) == {1}  # the real run goes on from what the dry run has read


def test_dry_run_after_a_run_with_failures(collected, tmp_path):
    failed = lines(tmp_path, "failed.jsonl")
    assert any(line["what"] == "page" and line["final"] for line in failed)
    result = scrape(tmp_path, *old(collected), "--dry-run")
    assert result.stdout.splitlines()[-1].startswith("22 suits; ")


def test_a_full_disk_is_one_line(site, tmp_path):
    # To a program, a limit on the size of files looks as a full disk does.
    result = run_script(
        "scrape_mahq.py", *old(site), folder=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500)),
    )  # fmt: skip
    assert result.returncode == 1
    assert "Traceback" not in result.stderr, result.stderr
    assert "File too large" in result.stderr.splitlines()[-1]
    assert scrape(tmp_path, *old(site)).returncode == 1  # what has failed for good, nothing else
    assert manifest(tmp_path)


def test_the_wordpress_layout(server, tmp_path):
    server.routes |= wordpress_site(server.host)
    index = f"{server.root}/gundammain/"
    result = scrape(tmp_path, "--source", "mahq", "--index-url", index, *QUICK)
    check_pictures(tmp_path, WORDPRESS_KEPT)
    assert set(server.count().values()) == {1}
    assert result.returncode == 0
    assert manifest(tmp_path)["wing/shining.jpg"]["unit_type"] == "mobile fighter"
    refused = {line["title"]: line for line in lines(tmp_path, "rejected.jsonl")}
    assert set(refused) == {"Dabude", "Home"}
    assert refused["Dabude"]["unit_type"] == "land battleship"
    assert refused["Home"]["reason"] == "no unit type on the page"
    # The guess at the full size was wrong; what is shown on the page is there.
    assert "/wp-content/uploads/2022/03/wing-zero.jpg" in server.count(status=404)
    assert not {"/contact/", "/news-of-today/", "/news/?page=2"} & set(server.count())


def test_the_wayback_machine(server, tmp_path):
    double = WaybackDouble(server)
    arguments = ["--archive-url", server.root, *QUICK]
    result = scrape(tmp_path, *arguments)
    expected = {file: what for file, what in OLD_KEPT.items() if not file.startswith("wing")}
    check_pictures(tmp_path, expected)
    assert double.lost_slashes == 0
    assert double.cdx_requests > 2
    twice = {path for path, number in server.count().items() if number > 1}
    assert [path.rsplit("/", 1)[1] for path in twice] == ["ms-06.htm"]  # answered with 429
    assert "casino.example" in result.stderr
    assert not any("/casino.example" in request.path for request in server.requests)
    # The oldest capture in the years asked for is not the one that is taken.
    assert not any("/web/2016" in request.path for request in server.requests)
    assert not any("/web/2023" in request.path for request in server.requests)
    # What is not listed with a status is taken only where there is nothing else.
    assert not any("/web/2021" in path for path in server.count(status=200))
    line = manifest(tmp_path)["msgundam/rx-78-2.jpg"]
    assert line["page_url"] == "http://www.mahq.net/mecha/gundam/msgundam/rx-78-2.htm"
    assert line["fetched_from"].startswith(f"{server.root}/web/20200501")

    # Captures do not change: only the list is asked for again.
    server.requests.clear()
    scrape(tmp_path, *arguments)
    again = {path for path in server.count(status=200) if path.startswith("/web/")}
    assert {path.rsplit("/", 1)[1] for path in again} <= {"html.jpg", "cut.jpg", "huge.jpg"}
    check_pictures(tmp_path, expected)


@pytest.mark.parametrize("is_direct", [False, True])
def test_the_nearest_capture_may_be_of_another_year(server, tmp_path, is_direct):
    WaybackDouble(server)
    there = f"id_/http://www.mahq.net{BASE}/msgundam/gone.htm"
    page = suit_page("Gone", "mobile suit", "rx-78-2.jpg")
    page.headers["Memento-Datetime"] = "Wed, 01 Jan 2014 00:00:00 GMT"
    server.routes[f"/web/20140101000000{there}"] = page
    server.routes[f"/web/20211231235959{there}"] = (
        page
        if is_direct
        else Reply(status=302, headers={"Location": f"/web/20140101000000{there}"})
    )
    arguments = ["--archive-url", server.root, "--show", "msgundam", *QUICK]
    scrape(tmp_path, *arguments)
    reasons = {line["address"]: line["reason"] for line in lines(tmp_path, "failed.jsonl")}
    gone = f"http://www.mahq.net{BASE}/msgundam/gone.htm"
    assert reasons[gone] == (
        "captured in 2014, expected 2015 to 2021 (--captures-from, --captures-to)"
    )
    scrape(tmp_path, *arguments, "--captures-from", "2014")
    assert gone not in {line["address"] for line in lines(tmp_path, "failed.jsonl")}
    assert gone in {line["page_url"] for line in lines(tmp_path, "rejected.jsonl")}


def test_an_archive_that_answers_with_pages_of_its_own(server, tmp_path):
    WaybackDouble(server)
    index = f"/web/20200501000000id_/http://www.mahq.net{BASE}/index.htm"
    server.routes[index] = html("<html>The Wayback Machine is tired</html>")
    result = scrape(tmp_path, "--archive-url", server.root, *QUICK, "--retries", "1")
    assert result.returncode == 1
    assert "something that is no capture" in result.stderr.splitlines()[-1]
    assert server.count()[index] == 2
    server.routes["/about"] = Reply(b"<html>", headers={"Memento-Datetime": CHANGED})
    server.routes[index] = Reply(status=302, headers={"Location": "/about"})
    result = scrape(tmp_path, "--archive-url", server.root, *QUICK, "--retries", "0")
    assert "something that is no capture" in result.stderr.splitlines()[-1]
    server.requests.clear()
    # A capture does not change, but an empty answer is none.
    server.routes[index] = Reply(b"\n", headers={"Memento-Datetime": CHANGED})
    for number in (1, 2):
        result = scrape(tmp_path, "--archive-url", server.root, *QUICK)
        assert "/index.htm: an empty page (0 pictures" in result.stderr.splitlines()[-1]
        assert server.count()[index] == number


def test_the_wiki(server, tmp_path):
    WikiDouble(server)
    api = f"{server.root}/api.php"
    result = scrape(tmp_path, "--source", "wiki", "--index-url", api, *QUICK)
    check_pictures(tmp_path, WIKI_KEPT)
    found = manifest(tmp_path)
    assert found["mobile-suits/Rx-78-2.png"]["unit_type"] == "Prototype Mobile Suit"
    assert found["mobile-suits/Rx-78-2.png"]["shows"] == ["mobile-suits", "mobile-fighters"]
    assert found["mobile-suits/Zaku_II.jpg"]["unit_type"] == "mobile suit (by its category)"
    assert found["mobile-suits/Zaku_II.jpg"]["page_url"] == f"{server.root}/wiki/Zaku_II_/_F"
    reasons = {line["title"]: line["reason"] for line in lines(tmp_path, "rejected.jsonl")}
    assert set(reasons) == {"Big Tray", "Without picture"}
    assert result.returncode == 0
    assert set(server.count().values()) == {1}
    images = [path for path in server.count() if "/images/" in path]
    assert all("format=original" in path for path in images)


@pytest.mark.parametrize(
    "answer",
    [{"continue": []}, {"query": {"pages": [1]}}, {"query": []}, [], {"query": {"pages": {}}}],
)
def test_a_wiki_that_answers_otherwise(server, tmp_path, answer):
    server.fallback = lambda path: Reply(json.dumps(answer).encode())
    api = f"{server.root}/api.php"
    result = scrape(tmp_path, "--source", "wiki", "--index-url", api, *QUICK)
    assert result.returncode in (0, 1)


def test_what_is_odd_in_an_answer_of_a_wiki_is_left_alone(server, tmp_path):
    page = {"pageid": [1], "title": "X", "original": {"source": "http://[x/y.png"}}
    answer = json.dumps({"query": {"pages": [page]}}).encode()
    server.fallback = lambda path: Reply(answer)
    for more in ([], ["--dry-run"]):
        arguments = ["--source", "wiki", "--index-url", f"{server.root}/api.php", *QUICK, *more]
        scrape(tmp_path, *arguments)
    (failed,) = lines(tmp_path, "failed.jsonl")
    assert failed["final"]


@pytest.mark.parametrize(
    "warnings",
    [
        {"query": {"warnings": "Unrecognized value for parameter 'prop': pageimages."}},
        {"query": {"*": "Unrecognized value for parameter 'prop': pageimages."}},
        [{"module": "query", "text": "Unrecognized value for parameter 'prop': pageimages."}],
    ],
)
def test_what_a_wiki_warns_of_is_said(server, tmp_path, warnings):
    """Said once; and where nothing is kept, "nothing is missing" would be no answer."""
    answer = {"warnings": warnings, "query": {"pages": [{"pageid": 1, "title": "X"}]}}
    server.fallback = lambda path: Reply(json.dumps(answer).encode())
    api = f"{server.root}/api.php"
    result = scrape(tmp_path, "--source", "wiki", "--index-url", api, *QUICK)
    warning = f"{api} warns: Unrecognized value for parameter 'prop': pageimages."
    assert result.stderr.splitlines().count(warning) == 1
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == (
        "data/mahq: 0 pictures kept, 1 refused, 0 failed, 4 requests; nothing is kept, see "
        "data/mahq/rejected.jsonl"
    )


@pytest.mark.parametrize("code", ["maxlag", "ratelimited", "readonly", "internal_api_error_X"])
def test_errors_of_a_wiki_that_pass(server, tmp_path, code):
    """They come with status 200."""
    double, errors = WikiDouble(server), [1, 2]
    error = json.dumps({"error": {"code": code, "info": "Waiting."}}).encode()
    server.fallback = lambda path: (
        Reply(error, validators=False) if "api" in path and errors and errors.pop()
        else double.answer(path)
    )  # fmt: skip
    api = f"{server.root}/api.php"
    arguments = ["--source", "wiki", "--index-url", api, *QUICK]
    assert scrape(tmp_path, *arguments, "--retries", "0").stderr.splitlines()[-1] == (
        f"scrape_mahq.py: error: {api}: {api} answers {code} "
        "(0 pictures kept, 0 refused, 0 failed, 2 requests so far)"
    )
    assert scrape(tmp_path, *arguments).returncode == 0
    check_pictures(tmp_path, WIKI_KEPT)


@pytest.mark.parametrize("status", [402, 403])
def test_a_wiki_that_does_not_want_us(server, tmp_path, status):
    server.fallback = lambda path: Reply(b"", status if "api" in path else 404)
    api = f"{server.root}/api.php"
    result = scrape(tmp_path, "--source", "wiki", "--index-url", api, *QUICK)
    assert result.returncode == 1
    assert f"HTTP {status}" in result.stderr
    assert sum(server.count().values()) == 1


def small_site(server: FixtureServer, **replies: Reply) -> list[str]:
    """A show with a good suit and, before it, one for each reply, which is its picture's."""
    names = [*replies, "good"]
    links = "".join(f'<a href="{name}.htm">{name}</a>' for name in names)
    routes = {
        "index.htm": old_page('<a href="show/index.htm">Show</a>'),
        "show/index.htm": old_page(links),
        "show/good.jpg": picture(1),
        **{f"show/{name}.htm": suit_page(name, "mobile suit", f"{name}.jpg") for name in names},
        **{f"show/{name}.jpg": reply for name, reply in replies.items()},
    }
    server.routes |= {f"{BASE}/{name}": reply for name, reply in routes.items()}
    return old(server)


def test_ways_to_a_picture_other_than_an_anchor(server, tmp_path):
    """Frames, an image map, a menu, a refresh; pages with any suffix or none; lazy pictures."""

    def suit(number: int) -> Reply:
        return suit_page(f"Suit {number}", "mobile suit", f"{number}.JPG")

    maps = '<map name="shows"><area href="Show/Default.ASP" alt="The Show"></map>'
    lazy = '<b>Unit type:</b> mobile suit<br><img data-src="5.JPG" src="data:image/gif;base64,R0">'
    routes = {
        "index.htm": html('<frameset><frame src="menu.htm"><frame src="main.php?x=1"></frameset>'),
        "menu.htm": html('<base href="file:///C:/"><a href="../../news.htm">News</a>'),
        "main.php?x=1": old_page(f'<img src="map.gif" usemap="#shows"></td></tr>{maps}<tr><td>'),
        "Show/Default.ASP": old_page(
            """<a href="1.shtml">1</a><a href="2.php">2</a><a href="3.PHP?id=3">3</a>
            <a href="manual.pdf">x</a><a href="1.JPG">x</a>
            <select><option value="">-<option value="4">-<option value="4.asp">4</select>
            <a href="rx-78.2">5</a><a href="JavaScript:open('6/', 'x.htm')">6</a><a href="./">x</a>
            <a href="../index.htm">x</a><a href="javascript:alert('No.')">x</a>"""
        ),
        "Show/1.shtml": suit(1),
        "Show/2.php": html('<meta http-equiv="Refresh" content="0; URL=two">moved'),
        "Show/two": suit(2),
        "Show/3.PHP?id=3": suit(3),
        "Show/4.asp": suit(4),
        "Show/rx-78.2": old_page(lazy),
        "Show/5.JPG": picture(5),
        "Show/6/": suit_page("Suit 6", "mobile suit", "../6.JPG"),
        "Show/6.JPG": picture(6),
        **{f"Show/{number}.JPG": picture(number) for number in range(1, 5)},
    }
    server.routes |= {f"{BASE}/{name}": reply for name, reply in routes.items()}
    result = scrape(tmp_path, *old(server), "--show", "the show")
    check_pictures(tmp_path, {f"Show/{number}.JPG": (number, "JPEG") for number in range(1, 7)})
    assert set(server.count()) == {f"{BASE}/{name}" for name in routes}
    assert result.returncode == 0, result.stderr


def test_a_server_that_misbehaves(server, tmp_path):
    away = {"Location": "http://169.254.169.254/latest/x.jpg"}
    arguments = small_site(
        server,
        drop=Reply(behaviour="drop"),
        stall=Reply(behaviour="stall"),
        drip=Reply(behaviour="drip"),
        endless=Reply(behaviour="endless"),
        more=Reply(robot(2), behaviour="promise-more"),
        less=Reply(robot(3), behaviour="promise-less"),
        away=Reply(status=302, headers=away),
        file=Reply(status=302, headers={"Location": "file:///etc/passwd"}),
        user=Reply(status=302, headers={"Location": f"http://{server.host}@other.example/x.jpg"}),
        loop=Reply(status=302, headers={"Location": "loop.jpg"}),
        nowhere=Reply(status=302),
        # Nobody waits for what stands beside the way to another address, here a 404.
        moved=Reply(status=302, headers={"Location": "nothing.jpg"}, behaviour="drip"),
        error=Reply(status=500),
        bomb=Reply(bomb()),
        gzip=Reply(b"\x1f\x8b" + bytes(50)),
        zip=Reply(gzip_bomb()),
        encoded=Reply(gzip_bomb(), headers={"Content-Encoding": "gzip"}),
        empty=Reply(b""),
    )
    result = scrape(
        tmp_path, *arguments, "--retries", "1", "--timeout", "0.5", "--longest-answer", "1",
        "--max-picture-mb", "2",
    )  # fmt: skip
    # Where it may help, once again, and no more.
    asked = Counter(Path(path).stem for path in server.count().elements() if ".jpg" in path)
    assert {name: number for name, number in asked.items() if number > 1} == {
        "drop": 2, "stall": 2, "drip": 2, "more": 2, "error": 2, "gzip": 2,
    }  # fmt: skip
    assert set(manifest(tmp_path)) == {"show/good.jpg"}
    failed = {Path(line["address"]).stem: line for line in lines(tmp_path, "failed.jsonl")}
    reasons = {name: line["reason"] for name, line in failed.items()}
    final = {name for name, line in failed.items() if line["final"]}
    assert "connection broken" in reasons["drop"]
    assert "no answer for 0.5 s" in reasons["stall"]
    assert "does not end" in reasons["drip"]
    for name in ("endless", "zip", "encoded"):
        assert "more than 2 MB" in reasons[name], (name, reasons[name])
    assert "connection broken" in reasons["more"]
    assert "broken picture" in reasons["less"]
    for name in ("away", "file", "user"):
        assert "leads to another site" in reasons[name]
    assert reasons["loop"] == "redirects in a circle"
    assert reasons["nowhere"] == "HTTP 302 without a target"
    assert "HTTP 500" in reasons["error"]
    assert reasons["moved"] == "HTTP 404"
    assert "100000 x 100000 pixels" in reasons["bomb"] or "many pixels" in reasons["bomb"]
    assert "empty" in reasons["empty"]
    assert set(failed) == set(reasons) == final | {"drop", "stall", "drip", "more", "error", "gzip"}
    assert result.returncode == 1
    assert "(6 may come when the same command is run again)" in result.stdout.splitlines()[-1]

    # Run again, only these are asked for; and what comes now is kept.
    server.requests.clear()
    for name in ("drop", "stall", "drip", "more", "error", "gzip"):
        server.routes[f"{BASE}/show/{name}.jpg"] = picture(100 + sum(name.encode()))
    scrape(tmp_path, *arguments, "--max-picture-mb", "2")
    assert {Path(path).stem for path in server.count()} == {
        "drop", "stall", "drip", "more", "error", "gzip",
    }  # fmt: skip
    assert len(manifest(tmp_path)) == 7


def bomb() -> bytes:
    """A PNG of a few bytes that claims 100,000 x 100,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def gzip_bomb() -> bytes:
    return gzip.compress(bytes(20 * 2**20))


def test_killed_at_random_moments(first_run, site, lives, tmp_path):
    whole = first_run[1]
    site.before = lambda path: time.sleep(0.02)
    chance = random.Random(4)
    kills = 0
    while kills < 12:
        number = len(site.requests)
        life = lives.start(tmp_path, old(site))
        # From the first request on, so that every life gets somewhere.
        while len(site.requests) == number:
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.25))
        with contextlib.suppress(ProcessLookupError):
            os.kill(life, signal.SIGKILL)
        if lives.end() == 1:
            break
        kills += 1
    else:
        scrape(tmp_path, *old(site))
    assert kills >= 3
    check_pictures(tmp_path, OLD_KEPT)
    assert stable(tmp_path) == stable(whole)
    for name in ("rejected.jsonl", "failed.jsonl"):
        assert lines(tmp_path, name) == lines(whole, name)
    # Nothing is fetched twice, but for what was under way in the moment of a kill.
    asked, expected = site.count(), Counter(request.path for request in first_run[3])
    assert set(asked) == set(expected) - {"/robots.txt"}
    assert sum(asked.values()) - len(asked) <= kills


DIES = """
function, calls = os.{0}, {1}
def dying(*arguments):
    global calls
    calls -= 1
    if calls == 0:
        os._exit(9)
    return function(*arguments)
os.{0} = dying
"""


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_killed_at_the_worst_moments(server, lives, tmp_path, function):
    """Between the lines of the journal, the files and their names."""
    arguments = small_site(server, one=picture(2), two=picture(3, "PNG"), three=Reply(status=404))
    deaths, code = -1, 9
    while code == 9:
        deaths += 1
        lives.start(tmp_path, arguments, DIES.format(function, deaths + 1))
        code = lives.end()
    assert deaths > 2
    scrape(tmp_path, *arguments, "--limit", "1000")
    check_pictures(
        tmp_path,
        {"show/good.jpg": (1, "JPEG"), "show/one.jpg": (2, "JPEG"), "show/two.png": (3, "PNG")},
    )
    assert [line["reason"] for line in lines(tmp_path, "failed.jsonl")] == ["HTTP 404"]
    assert sum(server.count().values()) - len(server.count()) <= deaths


def test_ctrl_c(site, lives, tmp_path):
    site.before = lambda path: time.sleep(0.05)
    life = lives.start(tmp_path, old(site))
    while not any(path.endswith("ms-06.gif") for path in site.count()):
        time.sleep(0.01)
    os.kill(life, signal.SIGINT)
    assert lives.end() == 130
    errors = (tmp_path / "stderr").read_text()
    assert "Traceback" not in errors
    assert re.search(r"stopped; [12] pictures? kept, .* the same command goes on\n$", errors)
    assert set(manifest(tmp_path)) <= set(OLD_KEPT)
    assert manifest(tmp_path)
    assert not list((tmp_path / "data").rglob("*.part*"))
    # It does not matter what a torn journal ends with.
    journal = tmp_path / "data/mahq/.scrape/journal.jsonl"
    with open(journal, "ab") as file:
        file.write(b'{"what": "answer", "requ')
    before = site.count()
    site.before = lambda path: None
    scrape(tmp_path, *old(site))
    check_pictures(tmp_path, OLD_KEPT)
    assert sum((site.count() - before).values()) + sum(before.values()) <= len(site.count()) + 1
    assert all(json.loads(line) for line in journal.read_text().splitlines())


@pytest.mark.parametrize("name", ["manifest.jsonl", "rejected.jsonl", ".scrape/journal.jsonl"])
@pytest.mark.parametrize("damage", [b'{"file": "a.jpg", "sho\n', b'{"title": "\xff"}\n', b"[1]\n"])
def test_a_damaged_line_is_named_and_nothing_is_lost(collected, tmp_path, name, damage):
    path = tmp_path / "data/mahq" / name
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, damage, *rest]))
    before = {each: each.read_bytes() for each in tmp_path.rglob("*.jsonl")}
    result = scrape(tmp_path, *old(collected))
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert f"data/mahq/{name}: line 2 is damaged: found {damage.decode(errors='replace')!r}" in line
    needs = " with 'file'" if name == "manifest.jsonl" else ""
    assert f"expected a JSON object{needs}; mend or delete the line; nothing has been" in line
    assert not collected.count()
    assert before == {each: each.read_bytes() for each in tmp_path.rglob("*.jsonl")}
    # Followed, it works; and a file that a person's editor has ended otherwise is read.
    path.write_bytes(b"\n".join([first.strip(), *(line.strip() for line in rest)]))
    scrape(tmp_path, *old(collected))
    check_pictures(tmp_path, OLD_KEPT)


def test_a_picture_that_a_person_changed_or_deleted(server, tmp_path):
    arguments = small_site(server, other=picture(2))
    scrape(tmp_path, *arguments)
    folder = tmp_path / "data/mahq/show"
    (folder / "good.jpg").unlink()
    (folder / "other.jpg").write_bytes(robot(99))
    scrape(tmp_path, *arguments)
    assert (folder / "good.jpg").read_bytes() == robot(1)
    assert (folder / "other.jpg").read_bytes() == robot(99)  # a person's work is left alone
    assert (folder / "other~2.jpg").read_bytes() == robot(2)


def test_the_same_picture_on_a_page_that_is_refused_later(server, tmp_path):
    arguments = small_site(server, one=picture(1), two=picture(2))
    server.routes[f"{BASE}/show/good.htm"] = suit_page("Good", "mobile armor", "good.jpg")
    both = ["--unit-types", "mobile suit", "mobile armor"]
    server.routes[f"{BASE}/show/index.htm"] = old_page(
        '<a href="good.htm">good</a><a href="one.htm">one</a>'
    )
    scrape(tmp_path, *arguments, *both)
    assert manifest(tmp_path)["show/good.jpg"]["title"] == "Good"
    assert [line["title"] for line in lines(tmp_path, "rejected.jsonl")] == ["one"]
    server.routes[f"{BASE}/show/index.htm"] = old_page(
        '<a href="one.htm">one</a><a href="good.htm">good</a>'
    )
    scrape(tmp_path, *arguments, "--refresh")
    assert [line["title"] for line in manifest(tmp_path).values()] == ["one"]
    assert [line["title"] for line in lines(tmp_path, "rejected.jsonl")] == ["Good"]


def test_robots(server, tmp_path):
    arguments = small_site(server, secret=picture(2))
    server.routes["/robots.txt"] = Reply(
        f"User-agent: *\nCrawl-delay: 0.2\nDisallow: {BASE}/show/secret.jpg\n".encode()
    )
    result = scrape(tmp_path, *arguments)
    assert set(manifest(tmp_path)) == {"show/good.jpg"}
    assert f"{BASE}/show/secret.jpg" not in server.count()
    (failed,) = lines(tmp_path, "failed.jsonl")
    assert failed["reason"] == "forbidden by robots.txt"
    assert "asks for 0.2 s between requests" in result.stderr

    server.routes["/robots.txt"] = Reply(b"User-agent: *\nDisallow: //[\nCrawl-delay: 3600\n")
    server.requests.clear()
    result = scrape(tmp_path, "--output", "slow", *arguments)
    assert result.returncode == 1
    assert (
        "robots.txt asks for 3600 s between requests; expected at most 900 (--longest-pause)"
        in result.stderr
    )
    assert not server.count()

    server.routes["/robots.txt"] = Reply(status=503)
    server.requests.clear()
    result = scrape(tmp_path, "--output", "second", *arguments, "--retries", "1")
    assert result.returncode == 1
    assert "/robots.txt: " in result.stderr
    assert "try again later" in result.stderr
    assert not server.count()


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """Seconds that the sessions of this process wait before each request; none of them passes."""
    waits = []
    clock = SimpleNamespace(monotonic=lambda: sum(waits), sleep=waits.append, time=time.time)
    monkeypatch.setattr(web, "time", clock)
    return waits


def test_the_delay(server, waits):
    small_site(server)
    session = Session({server.host}, Manners(delay=3.0))
    for _ in range(2):
        session.get(f"{server.root}{BASE}/show/good.jpg", 10**6)
    session.get(f"{server.root}{BASE}/show/good.jpg", 10**6, pause=7.0)
    session.get(f"{server.root}{BASE}/show/good.jpg", 10**6)
    session.close()
    assert len(waits) == len(server.requests) == 5
    assert waits == [0, 3, 3, 7, 3]  # robots.txt comes first, and is a request as well


def test_the_delay_that_robots_txt_asks_for(server, waits):
    small_site(server)
    server.routes["/robots.txt"] = Reply(b"User-agent: *\nCrawl-delay: 20\n")
    session = Session({server.host}, Manners(delay=3.0))
    for _ in range(3):
        session.get(f"{server.root}{BASE}/show/good.jpg", 10**6)
    session.close()
    assert waits == [0, 3, 20, 20]


def test_too_many_requests(server, tmp_path):
    arguments = small_site(server, busy=Reply(status=429, headers={"Retry-After": "0"}))
    result = scrape(tmp_path, *arguments, "--too-many-pause", "0.1", "--retries", "2")
    assert result.returncode == 1
    assert "again and again" in result.stderr.splitlines()[-1]
    assert server.count()[f"{BASE}/show/busy.jpg"] == 3
    server.routes[f"{BASE}/show/busy.jpg"] = Reply(status=503, headers={"Retry-After": "5000"})
    result = scrape(tmp_path, *arguments)
    assert "asks to wait 5000 s" in result.stderr.splitlines()[-1]
    server.routes[f"{BASE}/show/busy.jpg"] = picture(2)
    assert scrape(tmp_path, *arguments).returncode == 0
    assert len(manifest(tmp_path)) == 2


def test_the_pause_after_too_many_requests_is_doubled(server, waits):
    small_site(server, busy=Reply(status=429, headers={"Retry-After": "5"}))
    session = Session({server.host}, Manners(delay=3.0, too_many_pause=60, retries=2))
    with pytest.raises(RunError, match="again and again"):
        session.get(f"{server.root}{BASE}/show/busy.jpg", 10**6)
    session.close()
    assert waits == [0, 3, 60, 120]


def test_retries_back_off_with_jitter(server, waits):
    small_site(server, error=Reply(status=500))
    session = Session({server.host}, Manners(delay=0.0, backoff=2.0, retries=4))
    with pytest.raises(FetchError, match="HTTP 500"):
        session.get(f"{server.root}{BASE}/show/error.jpg", 10**6)
    session.close()
    assert len(waits) == 6
    for number, wait in enumerate(waits[2:]):
        assert 2**number <= wait <= 2 ** (number + 1)


def test_a_server_that_is_not_there(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/mecha/gundam/index.htm"
        result = scrape(tmp_path, "--source", "mahq", "--index-url", address, *QUICK)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("scrape_mahq.py: error: 127.0.0.1:")
    assert "refuses connections: it is down, or blocks this machine" in last


def test_a_server_that_goes_away(server, tmp_path):
    bad = {f"bad{number}": Reply(status=500) for number in range(6)}
    arguments = small_site(server, **bad)
    result = scrape(tmp_path, *arguments, "--retries", "0", "--give-up-after", "4")
    assert result.returncode == 1
    assert "4 addresses failed one after the other" in result.stderr.splitlines()[-1]
    assert len(lines(tmp_path, "failed.jsonl")) == 4


def test_a_site_that_has_changed(server, tmp_path):
    server.routes[f"{BASE}/index.htm"] = html("<title>Soon</title><div id=app></div>")
    result = scrape(tmp_path, *old(server))
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert "layout not recognised: expected a cell" in last
    assert "found a page titled 'Soon' with 0 links and 0 labels" in last
    assert (tmp_path / re.search(r"saved as (\S+)", last)[1]).exists()
    # What was of no use is asked for again, and when the site is well, so is the collection.
    routes = small_site(server)
    assert scrape(tmp_path, *routes).returncode == 0
    assert set(manifest(tmp_path)) == {"show/good.jpg"}
    # A site in which only the labels have new names.
    server.routes[f"{BASE}/show/good.htm"] = old_page("<b>Kind of robot:</b> mobile suit<br>")
    result = scrape(tmp_path, "--output", "second", *routes)
    assert result.returncode == 1
    assert "none of 1 pages has a unit type" in result.stderr.splitlines()[-1]


def test_two_runs_at_once(site, lives, tmp_path):
    site.before = lambda path: time.sleep(0.1)
    life = lives.start(tmp_path, old(site))
    while not site.count():
        time.sleep(0.01)
    result = scrape(tmp_path, *old(site))
    os.kill(life, signal.SIGKILL)
    lives.end()
    assert result.returncode == 2
    assert "another run is collecting into it" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sauce", "wiki"], "--sauce: no such option; did you mean --source?"),
        (["--source", "web"], "--source web: must be one of wayback, mahq, wiki"),
        (["--limit", "-1"], "--limit -1: must be 0 or more"),
        (["--delay", "nan"], "--delay nan: must be from 0 to 3600"),
        (["--index-url", "www.mahq.net"], "--index-url www.mahq.net: must be an address that"),
        (["--index-url", "file:///etc/passwd"], "--index-url file:///etc/passwd: must be"),
        (["--output", "taken"], "--output taken: is a file, must be a folder"),
        (["--unit-types", " "], "--unit-types: must name at least one"),
        (["--captures-from", "2020", "--captures-to", "2019"], "--captures-from 2020: is later"),
        (["--user-agent", "a\nb"], "--user-agent 'a\\nb': must be plain ASCII"),
    ],
)  # fmt: skip
def test_bad_options(tmp_path, arguments, message):
    (tmp_path / "taken").write_text("")
    result = scrape(tmp_path, *arguments)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"scrape_mahq.py: error: {message}")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("unit_type", "accepted"),
    [
        ("mobile suit", True),
        ("mass production Mobile  Suit", True),
        ("prototype\xa0mobile\r\n suit.", True),
        ("mobile suit (late type)", True),
        ("transformable mobile armor", True),
        ("mobile armor", False),
        ("mobile suit carrier", False),
        ("automobile suit", False),
        ("", False),
        ("(mobile suit)", False),
    ],
)
def test_unit_types(unit_type, accepted):
    types = ("mobile suit", "transformable mobile armor")
    assert pages.is_accepted(unit_type, types) is accepted


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("http://x/gat-x105+p204qx.jpg", "gat-x105+p204qx.jpg"),
        ("http://x/gat%2Bx.jpg?y=1", "gat+x.jpg"),
        ("http://x/..%2f..%2fetc%2fpasswd", "passwd.jpg"),
        ("http://x/..%5c..%5cwin.jpg", "win.jpg"),
        ("http://x/.htaccess", "htaccess.jpg"),
        ("http://x/con.jpg", "_con.jpg"),
        ("http://x/a%00b%0a.jpg", "a_b_.jpg"),
        ("http://x/page.html", "page.html.jpg"),
        ("http://x/really.png", "really.jpg"),
        ("http://x/a/Zaku.jpg/revision/latest?cb=1", "Zaku.jpg"),
        ("http://x/", "picture.jpg"),
        ("http://x/ザク.jpg", "ザク.jpg"),
    ],
)
def test_names_of_pictures(address, name):
    assert picture_name(address, "JPEG") == name


def test_names_stay_short_and_apart():
    names = {plain_name("x" * length) for length in range(100, 400)}
    assert len(names) == 300
    assert max(map(len, names)) <= 120
    assert len(plain_name("ザ" * 300 + ".jpg").encode()) <= 120
    for text in ("", "..", "/", "...", "\ud800", "\u202e"):
        assert plain_name(text)
        assert not plain_name(text).startswith(".")
    assert folder_name("Manifest.jsonl") == "_Manifest.jsonl"
    assert folder_name("unrecognised") == "_unrecognised"
    assert folder_name(".scrape") == "scrape"


def test_hosts():
    hosts = {"www.mahq.net", "mahq.net"}
    for address in ("http://www.mahq.net/x", "https://MAHQ.net:443/", "http://mahq.net:80"):
        assert is_on(address, hosts)
    for address in (
        "http://mahq.net@evil.example/", "http://evil.example/mahq.net", "ftp://mahq.net/",
        "http://mahq.net:22/", "http://mahq.net.evil.example", "//mahq.net/", "http://[", "",
        "http://mahq.net\\.evil.example/", "http://mahq.net:x/",
    ):  # fmt: skip
        assert not is_on(address, hosts)
    assert host_of("http://127.0.0.1:8000/x") == "127.0.0.1:8000"


def test_messages_leave_the_terminal_alone():
    assert str(FetchError("a\x1b[31m\u202eb\r\nc", final=True)) == "a?[31m?b c"


@pytest.mark.parametrize(
    ("declared", "data", "title"),
    [
        ("iso-8859-1", b"Char\x92s Zaku", "Char\u2019s Zaku"),
        ("utf-8", "Ζ Gundam".encode(), "Ζ Gundam"),
        ("", "Ζ Gundam".encode(), "Ζ Gundam"),
        ("", b"Char\x92s", "Char\u2019s"),
        ("shift_jis", "ザク".encode("shift_jis"), "ザク"),
        ("no-such-thing", b"Zaku", "Zaku"),
        ("base64", b"Zaku", "Zaku"),
        ("punycode", b"Zaku", "Zaku"),
    ],
)
def test_encodings(declared, data, title):
    assert pages.read_page(b"", "http://x/").layout == ""
    body = b'<meta charset="%s"><span class=mahqtitle>%s</span>' % (declared.encode(), data)
    assert pages.read_page(body, "http://x/").title == title


@pytest.mark.parametrize(
    ("srcset", "addresses"),
    [
        ("a.jpg 300w, b.jpg 900w", ["b.jpg", "a.jpg"]),
        ("a.jpg 300w,b.jpg 900w", ["b.jpg", "a.jpg"]),
        ("a.jpg, b.jpg 2x", ["a.jpg", "b.jpg"]),
        (" a,b.jpg 1x , c.jpg 2.5x,", ["a,b.jpg", "c.jpg"]),
        ("a.jpg\n1000w 20h,\tb.jpg 2w", ["a.jpg", "b.jpg"]),
        (",", []),
    ],
)
def test_sets_of_sources(srcset, addresses):
    body = f"<div class=entry-content><picture><source srcset='{srcset}'><img src='data:x'>"
    page = pages.read_page(body.encode(), "http://x/y/")
    assert page.pictures == [[f"http://x/y/{each}" for each in addresses]] * bool(addresses)


def test_hostile_pages_are_no_errors():
    chance = random.Random(3)
    pieces = [
        b"<td class=shadow-horizontal>", b"<strong>Unit type:</strong>", b"<b>", b"</table>",
        b"<a href='../x.htm'>", b"<a href='http://[::1'>", b"<li><ul>", b"\0", b"\xff", b"<!--",
        b"<img src=x.jpg srcset=', ,'>", b"<base href='javascript:'>", b"&#0;&#xd800;",
        b"<![CDATA[",
        b"<frame src='?'>", b"<meta http-equiv=refresh content='0;url=//['>", b"<map name=a>",
        b"<img usemap='#a'>", b"<area href>", b"<option value='./'>", b"<picture><source srcset=a>",
        b"<?xml encoding='x'?>", b"<input type=radio value=a.jpg>", b"<p class=mahqbody>",
        b"<div class=entry-content>", b"<h2>", b"<br>", b"mobile suit", b"<svg><title>",
    ]  # fmt: skip
    for _ in range(300):
        body = b"".join(chance.choices(pieces, k=chance.randint(1, 40)))
        pages.read_page(body, "http://x/y.htm", "text/html; charset=utf-8")


@pytest.mark.parametrize(
    ("piece", "tangled"),
    [
        (b"<div>", True), (b"<li><ul>", True), (b"<h2>", True),
        (b"<div class=entry-content>x", True), (b"<strong>a:</strong>", False), (b"<br>", False),
        (b"<td class=shadow-horizontal>", False), (b"<li><a href=x.htm>x</a>", False),
        (b"<p class=mahqbody>", False),
    ],
)  # fmt: skip
def test_what_is_tangled_is_given_up(piece, tangled):
    with deadline():
        page = pages.read_page(b"<h1>\n" + piece * 4000, "http://x/y.htm")
    assert (page.found == "tags in tags in tags without end") == tangled


def test_of_long_values_only_a_part_is_read():
    infobox = "{{Infobox\n| a = b\n| c = d\n| e = f\n}}"
    assert read_infobox(" " * 40_000 + infobox) == {"a": "b", "c": "d", "e": "f"}
    assert read_infobox(" " * 50_000 + infobox) == {}
    remark = "mobile suit (" + "x" * pages.MAX_VALUE
    assert pages.is_accepted(remark[:500] + ")", ("mobile suit",))
    assert not pages.is_accepted(remark + ")", ("mobile suit",))
    with deadline():
        for hostile in (
            "{{" * 20_000 + "<!--" * 10_000 + "\n| a = b" * 1000 + "[[" * 10_000,
            "{{Infobox\n|" + " " * 40_000 + "\n| a = b\n}}",
            "{{Infobox\n" + "| \n" * 15_000 + "\n}}",
        ):
            assert read_infobox(hostile) == {}
        assert not pages.is_accepted("." * 10**6 + "(" * 10**6 + "x", ("mobile suit",))

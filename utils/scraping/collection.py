"""A collection of pictures on disk that can be added to, stopped and gone on with at any moment.

    FOLDER/<show>/<picture>          the pictures
    FOLDER/manifest.jsonl            a line a picture: where it comes from and what it shows
    FOLDER/rejected.jsonl            a line for everything that was refused, and why
    FOLDER/failed.jsonl              a line for everything that is missing, and why
    FOLDER/unrecognised/             pages that nobody could make sense of
    FOLDER/.scrape/journal.jsonl     what was asked for and what came, in the order it happened
    FOLDER/.scrape/pages/            the pages, under the hash of their bytes
    FOLDER/.scrape/set-aside/        pictures that are no longer selected

The journal is the truth: everything else can be made again from it and from the files.
"""

from __future__ import annotations

import codecs
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from utils.common.errors import UserError
from utils.common.files import FolderLock, atomic_path, remove_leftovers
from utils.scraping.journal import Entry, Journal, disk, read_objects
from utils.scraping.names import UNRECOGNISED, plain_name
from utils.scraping.picture_files import PictureFiles, inspect_picture
from utils.scraping.transport import Answer, FetchError

STATE = ".scrape"
Ask = Callable[..., Answer]


class Collection:
    """The folder, and what of it is asked for again.

    Args:
        folder: is made if it is not there.
        limits: on sizes and years. What has failed under others is asked for again.

    Raises:
        UserError: the folder cannot be used, or another run is using it.
    """

    def __init__(self, folder: Path, limits: str = "") -> None:
        self.folder = folder
        self._limits = limits
        self._pages = folder / STATE / "pages"
        try:
            self._pages.parent.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self._pages.parent)
            remove_leftovers(folder, is_locked=True)
            self.journal = Journal(folder / STATE / "journal.jsonl")
        except BlockingIOError:
            raise UserError(f"--output {folder}: another run is collecting into it") from None
        except OSError as error:
            raise UserError(f"--output {folder}: {error.strerror or error}") from error
        self.files = PictureFiles(folder, folder / STATE / "set-aside", self.journal)

    def close(self) -> None:
        """Let others use the folder."""
        self.journal.close()
        self._lock.release()

    # Pages and pictures.

    def page(self, request: str, ask: Ask, unchanging: bool = False) -> tuple[Entry, bytes]:
        """A page, from this round's store or from the network.

        Args:
            request: the address.
            ask: as ``Session.get``; takes ``headers`` of a conditional request.
            unchanging: what was got in any round is as good as in this one.

        Raises:
            FetchError: nothing usable; ``kept`` is an (entry, body) of an earlier round or None.
        """

        def keep(entry: Entry, body: bytes) -> None:
            with disk(self.folder), atomic_path(self._page_file(entry)) as temporary:
                temporary.write_bytes(body)
            self.journal.record(request, entry)

        def stored(entry: Entry) -> tuple[Entry, bytes] | None:
            with suppress(OSError):
                body = self._page_file(entry).read_bytes()
                if _sha256(body) == entry.sha256:
                    return entry, body
            return None

        return self._get(request, ask, unchanging, keep, stored)

    def picture(
        self, request: str, ask: Ask, image_url: str, show: str, unchanging: bool = False
    ) -> Entry:
        """A picture in its file, from this round or from the network.

        Args:
            request: the address to ask for.
            ask: see `page`.
            image_url: the picture's own address, which names the file.
            show: the folder of a picture that is new.
            unchanging: see `page`.

        Raises:
            FetchError: no picture; ``kept`` is the entry of an earlier round or None.
        """

        def keep(entry: Entry, body: bytes) -> None:
            try:
                entry.width, entry.height, entry.format = inspect_picture(body)
            except FetchError as error:
                # With what lets the next round ask whether it still is none.
                self._refuse(request, error, entry)
                raise
            entry.image_url = image_url
            self.files.keep(request, entry, body, show)

        def stored(entry: Entry) -> Entry | None:
            return entry if self.files.has(entry) else None

        return self._get(request, ask, unchanging, keep, stored)

    def _get(
        self,
        request: str,
        ask: Ask,
        unchanging: bool,
        keep: Callable[[Entry, bytes], None],
        stored: Callable[[Entry], Any],
    ) -> Any:
        """What is stored of a request, after asking for it where this round has not.

        ``keep`` stores a new body and records its entry; ``stored`` gives what there is of a good
        entry, or None.
        """
        entry, good = self.journal.entries.get(request), self.journal.good.get(request)
        have = stored(good) if good else None
        # Round 0 is that of `ask_again`.
        is_fresh = good and (good.round == self.journal.round or (unchanging and good.round))
        if have is not None and entry is good and is_fresh:
            return have
        failed = entry if entry and entry.status != 200 else None
        try:
            if failed and (failed.round, failed.limits) == (self.journal.round, self._limits):
                raise FetchError(failed.reason, final=True, status=failed.status)
            known = good if have is not None else failed
            answer = self._ask_if_changed(request, known, ask)
            if answer.status == 304 and known is failed:
                error = FetchError(failed.reason, final=True)
                self._refuse(request, error, failed)
                raise error
            if answer.status == 304:
                new = dataclasses.replace(good, round=self.journal.round)
                self.journal.record(request, new)
            else:
                new = self._entry(answer)
                keep(new, answer.body or b"")
        except FetchError as error:
            error.kept = have
            raise
        return stored(new)

    def _ask_if_changed(self, request: str, known: Entry | None, ask: Ask) -> Answer:
        """The answer of the network: 304 where what is known has not changed."""
        headers = {}
        if known:
            headers = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
            headers = {name: value for name, value in headers.items() if value}
        try:
            answer = ask(request, headers=headers)
        except FetchError as error:
            if error.final:
                self._refuse(request, error)
            raise
        if answer.status == 304 and not headers:
            raise FetchError("HTTP 304 without having been asked", final=False)
        return answer

    def _entry(self, answer: Answer) -> Entry:
        return Entry(
            round=self.journal.round,
            status=200,
            address=answer.address,
            sha256=_sha256(answer.body or b""),
            content_type=answer.headers.get("content-type", "")[:200],
            etag=_header(answer, "etag"),
            last_modified=_header(answer, "last-modified"),
            fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def _refuse(self, request: str, error: FetchError, answer: Entry | None = None) -> None:
        """Note an answer that would be the same if asked for again."""
        status = 0 if error.status == 200 else error.status
        entry = Entry(self.journal.round, status, reason=str(error)[:500], limits=self._limits)
        if answer:
            entry.etag, entry.last_modified = answer.etag, answer.last_modified
        self.journal.record(request, entry)

    def _page_file(self, entry: Entry) -> Path:
        return self._pages / entry.sha256[:2] / entry.sha256

    def has(self, request: str, unchanging: bool = False) -> bool:
        """Whether this would not be asked for: there is an answer of this round."""
        entry, good = self.journal.entries.get(request), self.journal.good.get(request)
        if entry is None:
            return False
        return entry.round == self.journal.round or bool(
            unchanging and entry is good and entry.round
        )

    def ask_again(self, request: str) -> None:
        """What came was of no use, so that it is not to count as the answer of this round."""
        if request in self.journal.entries:
            entry = dataclasses.replace(self.journal.entries[request], round=0)
            self.journal.record(request, entry)

    # Lists.

    def read_lines(self, name: str, **needs: type) -> Iterator[dict[str, Any]]:
        """The objects of a .jsonl file of the folder; a last line that was cut short is left out.

        Args:
            name: of the file.
            needs: the types of what every object has.

        Raises:
            UserError: a line is damaged. Left out, it would be lost with the next writing.
        """
        path = self.folder / name
        try:
            text = path.read_bytes().removeprefix(codecs.BOM_UTF8)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"{path}: {error.strerror or error}") from error
        yield from (value for _, value in read_objects(path, text.splitlines(True), needs))

    def write_lines(self, name: str, lines: list[dict[str, Any]]) -> None:
        """Write a .jsonl file of the folder, whole or not at all."""
        with (
            disk(self.folder),
            atomic_path(self.folder / name) as temporary,
            open(temporary, "w", encoding="utf-8", errors="replace", newline="\n") as file,
        ):
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)

    def save_unrecognised(self, address: str, body: bytes) -> Path:
        """Keep a page for a look; returns where."""
        path = self.folder / UNRECOGNISED / plain_name(urlsplit(address).path.strip("/") or "index")
        # No browser that opens it is to run what is in it, hence no suffix that one would.
        path = path.with_name(f"{path.name}-{_sha256(address.encode())[:6]}.html.txt")
        with disk(self.folder), atomic_path(path) as temporary:
            temporary.write_bytes(body)
        return path


def _header(answer: Answer, name: str) -> str:
    """A header that will be sent back: only what may stand in one."""
    value = answer.headers.get(name, "")
    return value if len(value) <= 300 and value.isascii() and value.isprintable() else ""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

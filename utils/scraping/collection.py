"""A collection of pictures on disk that can be added to, stopped and gone on with at any moment.

    FOLDER/<show>/<picture>          the pictures
    FOLDER/manifest.jsonl            a line a picture: where it comes from and what it shows
    FOLDER/rejected.jsonl            a line for everything that was not wanted, and why
    FOLDER/failed.jsonl              a line for everything that is missing, and why
    FOLDER/unrecognised/             pages that nobody could make sense of
    FOLDER/.scrape/journal.jsonl     what was asked for and what came, in the order it happened
    FOLDER/.scrape/pages/            the pages, under the hash of their bytes
    FOLDER/.scrape/set-aside/        pictures that are no longer wanted

The journal is the truth. A line is written to it, and flushed to the disk, as soon as an answer is
there; everything else can be made again from it and from the files. Where the machine stops between
two of these, the answer counts as not received, and is asked for again.

Answers belong to a round. Within a round nothing is asked for twice; in the next one everything is
asked for again, on the condition that it has changed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from utils.common.errors import RunError, UserError
from utils.common.files import FolderLock, atomic_path, remove_leftovers
from utils.scraping.web import Answer, FetchError, Session

STATE = ".scrape"
UNRECOGNISED = "unrecognised"
MAX_NAME_BYTES = 120
# The suffixes that fit a format; the first is given to files that have none of them.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "DIB": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
    "PPM": (".ppm", ".pgm", ".pbm"),
    "JPEG2000": (".jp2",),
    "PSD": (".psd",),
    "ICO": (".ico",),
}
# Names that Windows keeps for devices.
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


@dataclass
class Entry:
    """What is known of one address: a line of the journal.

    ``status`` is 200 where there is a body, whose SHA-256 is ``sha256``; otherwise the HTTP status
    or 0, and ``reason`` says why there is none. ``address`` is where redirects led to,
    ``fetched_at`` when the body came (not when it was last found unchanged). Pictures have the
    rest: width and height in pixels, format as Pillow calls it, and the file below the folder.
    """

    round: int
    status: int
    address: str = ""
    sha256: str = ""
    content_type: str = ""
    etag: str = ""
    last_modified: str = ""
    fetched_at: str = ""
    reason: str = ""
    limits: str = ""
    image_url: str = ""
    width: int = 0
    height: int = 0
    format: str = ""
    file: str = ""


class Collection:
    """The folder and its journal; see the module.

    Args:
        folder: is made if it is not there.

    Raises:
        UserError: the folder cannot be used, or another run is using it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / STATE
        self.round = 0
        self.limits = ""
        self.entries: dict[str, Entry] = {}
        self._good: dict[str, Entry] = {}
        self._rounds: dict[str, tuple[int, set[str]]] = {}
        self._owners: dict[str, str] = {}
        self._hashes_of: dict[str, set[str]] = {}
        self._file_of_hash: dict[str, str] = {}
        self._on_disk: dict[str, str] = {}
        self._last_round = 0
        try:
            self.state.mkdir(parents=True, exist_ok=True)
            self._lock = FolderLock(self.state)
            remove_leftovers(folder)
            self._journal = open(self.state / "journal.jsonl", "ab+")  # noqa: SIM115
            self._replay()
        except BlockingIOError:
            raise UserError(f"--output {folder}: another run is collecting into it") from None
        except OSError as error:
            raise UserError(f"--output {folder}: {error.strerror or error}") from error

    def close(self) -> None:
        """Let others use the folder."""
        # What a full disk has not taken is still waiting in the file, and was told of already.
        with contextlib.suppress(OSError):
            self._journal.close()
        self._lock.release()

    # The journal.

    def _replay(self) -> None:
        self._journal.seek(0)
        end = 0
        for line in self._journal:
            if not line.endswith(b"\n"):
                break  # the machine stopped while it was written
            end += len(line)
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                self._apply(json.loads(line))
        self._journal.truncate(end)

    def _apply(self, line: dict[str, Any]) -> None:
        match line["what"]:
            case "round":
                self._rounds[line["key"]] = (int(line["round"]), set())
                self._last_round = max(self._last_round, int(line["round"]))
            case "end":
                self._rounds[line["key"]][1].add(line["selection"])
            case "answer":
                request = line["request"]
                del line["what"], line["request"]
                self._remember(request, Entry(**line))

    def _remember(self, request: str, entry: Entry) -> None:
        self.entries[request] = entry
        if entry.status != 200:
            return
        self._good[request] = entry
        if entry.file:
            key = entry.file.casefold()
            self._owners.setdefault(key, entry.image_url)
            self._hashes_of.setdefault(key, set()).add(entry.sha256)
            self._file_of_hash[entry.sha256] = entry.file

    def _write(self, line: dict[str, Any]) -> None:
        line = {name: value for name, value in line.items() if value != ""}
        try:
            self._journal.write(
                json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
            )
            self._journal.flush()
            os.fsync(self._journal.fileno())
        except OSError as error:
            raise RunError(f"{self.state}: {error.strerror or error}") from error

    def _record(self, request: str, entry: Entry) -> None:
        self._write({"what": "answer", "request": request} | dataclasses.asdict(entry))
        self._remember(request, entry)

    # Rounds.

    def begin(self, key: str, selection: str, refresh: bool, look_only: bool = False) -> bool:
        """Go on with the round of this source, or begin the next one.

        Args:
            key: the source.
            selection: what is wanted of it. A round that ended is gone on with for another
                selection, so that wanting something else does not fetch everything again.
            refresh: begin the next round in any case.
            look_only: never begin another than the first.

        Returns:
            Whether everything has been asked for before, in this round or an earlier one.
        """
        known = self._rounds.get(key)
        ended = known is not None and selection in known[1]
        if known is None or ((ended or refresh) and not look_only):
            self._last_round += 1
            self._rounds[key] = (self._last_round, set())
            self._write({"what": "round", "key": key, "round": self._last_round})
        self.round = self._rounds[key][0]
        return ended

    def end(self, key: str, selection: str) -> None:
        """Note that nothing is left to ask for in this round and selection."""
        self._rounds[key][1].add(selection)
        self._write({"what": "end", "key": key, "selection": selection})

    # Asking.

    def page(
        self,
        session: Session,
        request: str,
        max_bytes: int,
        unchanging: bool = False,
        **get: Any,
    ) -> tuple[Entry, bytes]:
        """The answer to a request for a page, from this round's store or from the network.

        Args:
            session: that asks if need be.
            request: the address.
            max_bytes: that a page may have.
            unchanging: what was got in any round is as good as in this one.
            **get: further arguments of ``Session.get``.

        Raises:
            FetchError: nothing usable; ``kept`` is an (entry, body) of an earlier round or None.
        """

        def keep(entry: Entry, answer: Answer) -> None:
            with _disk(self.folder), atomic_path(self._page_file(entry.sha256)) as temporary:
                temporary.write_bytes(answer.body or b"")
            self._record(request, entry)

        def with_body(entry: Entry) -> tuple[Entry, bytes] | None:
            try:
                body = self._page_file(entry.sha256).read_bytes()
            except OSError:
                return None
            return (entry, body) if _sha256(body) == entry.sha256 else None

        return self._get(session, request, max_bytes, unchanging, keep, with_body, get)

    def picture(
        self,
        session: Session,
        request: str,
        image_url: str,
        show: str,
        max_bytes: int,
        unchanging: bool = False,
        **get: Any,
    ) -> Entry:
        """The picture at an address, in its file, from this round or from the network.

        Args:
            session: that asks if need be.
            request: the address to ask for.
            image_url: the picture's own address, which names the file.
            show: the folder of a picture that is new.
            max_bytes: that a picture may have.
            unchanging: what was got in any round is as good as in this one.
            **get: further arguments of ``Session.get``.

        Raises:
            FetchError: no picture; ``kept`` is the entry of an earlier round or None.
        """

        def keep(entry: Entry, answer: Answer) -> None:
            body = answer.body or b""
            try:
                entry.width, entry.height, entry.format = inspect_picture(body)
            except FetchError as error:
                # With what lets the next round ask whether it still is none.
                self._refuse(request, error, entry)
                raise
            entry.image_url = image_url
            entry.file = self._file_for(entry, show)
            target = self.folder / entry.file
            if self._hash_on_disk(entry.file) == entry.sha256:
                self._record(request, entry)
                return
            with _disk(self.folder), atomic_path(target) as temporary:
                temporary.write_bytes(body)
                # The journal first: a file that it does not know would be taken for another's.
                self._record(request, entry)
            self._on_disk[entry.file] = entry.sha256

        def in_file(entry: Entry) -> Entry | None:
            if not entry.file:
                return None
            if self._hash_on_disk(entry.file) == entry.sha256:
                return entry
            aside = self.state / "set-aside" / entry.file
            if not (self.folder / entry.file).exists() and _hash_of(aside) == entry.sha256:
                with _disk(self.folder):
                    (self.folder / entry.file).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(aside, self.folder / entry.file)
                self._on_disk[entry.file] = entry.sha256
                return entry
            return None

        return self._get(session, request, max_bytes, unchanging, keep, in_file, get)

    def _get(
        self,
        session: Session,
        request: str,
        max_bytes: int,
        unchanging: bool,
        keep: Callable[[Entry, Answer], None],
        stored: Callable[[Entry], Any],
        get: dict[str, Any],
    ) -> Any:
        entry, good = self.entries.get(request), self._good.get(request)
        have = stored(good) if good else None
        if have is not None and entry is good and (unchanging or good.round == self.round):
            return have
        if (
            entry
            and entry.status != 200
            and (entry.round, entry.limits)
            == (
                self.round,
                self.limits,
            )
        ):
            raise _with_kept(FetchError(entry.reason, final=True, status=entry.status), have)
        known = good if have is not None else entry if entry and entry.status != 200 else None
        condition = {}
        if known:
            condition = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
            condition = {name: value for name, value in condition.items() if value}
        try:
            answer = session.get(request, max_bytes, headers=condition, **get)
            if answer.status == 304 and not condition:
                raise FetchError("HTTP 304 without having been asked", final=False)
        except FetchError as error:
            if error.final:
                self._refuse(request, error)
            raise _with_kept(error, have) from None
        if answer.status == 304 and known is not good:
            error = FetchError(known.reason, final=True)
            self._refuse(request, error, known)
            raise _with_kept(error, have)
        if answer.status == 304:
            same = dataclasses.replace(good, round=self.round)
            self._record(request, same)
            return stored(same)
        new = Entry(
            round=self.round,
            status=200,
            address=answer.address,
            sha256=_sha256(answer.body or b""),
            content_type=answer.headers.get("content-type", "")[:200],
            etag=_header(answer, "etag"),
            last_modified=_header(answer, "last-modified"),
            fetched_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        try:
            keep(new, answer)
        except FetchError as error:
            raise _with_kept(error, have) from None
        return stored(new)

    def _refuse(self, request: str, error: FetchError, answer: Entry | None = None) -> None:
        """Note an answer that would be the same if asked for again."""
        status = 0 if error.status == 200 else error.status
        entry = Entry(self.round, status, reason=str(error)[:500], limits=self.limits)
        if answer:
            entry.etag, entry.last_modified = answer.etag, answer.last_modified
        self._record(request, entry)

    def _page_file(self, sha256: str) -> Path:
        return self.state / "pages" / sha256[:2] / sha256

    # Names of pictures.

    def _file_for(self, entry: Entry, show: str) -> str:
        """The file for a picture: never one that holds another picture."""
        twin = self._file_of_hash.get(entry.sha256)
        if twin and self._hash_on_disk(twin) == entry.sha256:
            return twin
        for file, owner in self._owners.items():
            # The picture at this address has changed: its file is written anew, unless it is
            # somebody else's or a person has worked on it.
            if owner == entry.image_url:
                names = {good.file for good in self._good.values() if good.file.casefold() == file}
                for name in names:
                    if self._hash_on_disk(name) in self._hashes_of[file] | {None}:
                        return name
        folder, name = show, picture_name(entry.image_url, entry.format)
        stem, suffix = os.path.splitext(name)
        number = 1
        while True:
            file = f"{folder}/{stem}{'' if number == 1 else f'~{number}'}{suffix}"
            found = self._hash_on_disk(file)
            if file.casefold() not in self._owners and found in (None, entry.sha256):
                return file
            number += 1

    def _hash_on_disk(self, file: str) -> str | None:
        """The hash of a file below the folder; read once a run. None where there is none."""
        if file not in self._on_disk:
            found = _hash_of(self.folder / file)
            if found is None:
                return None
            self._on_disk[file] = found
        return self._on_disk[file]

    def has(self, request: str, unchanging: bool = False) -> bool:
        """Whether this would not be asked for: there is an answer of this round."""
        entry, good = self.entries.get(request), self._good.get(request)
        if entry is None or (entry is good and unchanging):
            return entry is not None
        return entry.round == self.round

    def ask_again(self, request: str) -> None:
        """What came was of no use, so that it is not to count as the answer of this round."""
        if request in self.entries:
            self._record(request, dataclasses.replace(self.entries[request], round=0))

    def owns(self, file: str) -> bool:
        """Whether the journal knows of this file."""
        return file.casefold() in self._owners

    def set_aside(self, file: str) -> None:
        """Take a picture that is no longer wanted out of the way, where it is found again."""
        aside = self.state / "set-aside" / file
        with _disk(self.folder):
            aside.parent.mkdir(parents=True, exist_ok=True)
            if (self.folder / file).exists():
                os.replace(self.folder / file, aside)
        self._on_disk.pop(file, None)

    # Lists.

    def read_lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The objects of a .jsonl file of the folder; what is damaged is left out."""
        try:
            with open(self.folder / name, encoding="utf-8", errors="replace") as file:
                for line in file:
                    with contextlib.suppress(ValueError):
                        value = json.loads(line)
                        if isinstance(value, dict):
                            yield value
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"{self.folder / name}: {error.strerror or error}") from error

    def write_lines(self, name: str, lines: list[dict[str, Any]]) -> None:
        """Write a .jsonl file of the folder, whole or not at all."""
        with (
            _disk(self.folder),
            atomic_path(self.folder / name) as temporary,
            open(temporary, "w", encoding="utf-8", errors="replace", newline="\n") as file,
        ):
            file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)

    def save_unrecognised(self, address: str, body: bytes) -> Path:
        """Keep a page for a look; returns where."""
        path = self.folder / UNRECOGNISED / plain_name(urlsplit(address).path.strip("/") or "index")
        # No browser that opens it is to run what is in it, hence no suffix that one would.
        path = path.with_name(f"{path.name}-{_sha256(address.encode())[:6]}.html.txt")
        with _disk(self.folder), atomic_path(path) as temporary:
            temporary.write_bytes(body)
        return path


def inspect_picture(data: bytes) -> tuple[int, int, str]:
    """Width and height in pixels and the format of a picture, which is decoded to the end.

    Raises:
        FetchError: these bytes are no picture, a broken one or too large a one (final).
    """
    from PIL import Image

    from utils.common import pictures

    start = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        raise FetchError("a page of HTML, not a picture", final=True)
    try:
        picture = pictures.read_picture(data)
        with Image.open(io.BytesIO(data), formats=_formats()) as image:
            return picture.width, picture.height, str(image.format)
    except pictures.UnreadablePicture as error:
        raise FetchError(str(error), final=True) from error


def _formats() -> list[str]:
    from PIL import Image

    from utils.common import pictures

    return [name for name in pictures.FORMATS if name in Image.OPEN]


def plain_name(text: str) -> str:
    """A name for a file or folder, on any system: letters, digits and ``+-_.()~``, not empty.

    Nothing that climbs out of a folder, hides or names a device is left of it.
    """
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r"[^\w+.()~-]+", "_", text).strip("_").lstrip(".-~").rstrip(".")
    encoded = text.encode("utf-8", "ignore")
    if len(encoded) > MAX_NAME_BYTES:
        stem, suffix = os.path.splitext(text)
        suffix = suffix if len(suffix) <= 6 else ""
        room = MAX_NAME_BYTES - len(suffix.encode()) - 7
        cut = stem.encode("utf-8", "ignore")[:room].decode("utf-8", "ignore")
        text = f"{cut}-{_sha256(encoded)[:6]}{suffix}"
    else:
        text = encoded.decode()
    return f"_{text}" if not text or DEVICES.match(text) else text


def folder_name(show: str) -> str:
    """The folder of a show, none that the collection needs itself."""
    name = plain_name(show)
    taken = (UNRECOGNISED, "manifest.jsonl", "rejected.jsonl", "failed.jsonl")
    return f"_{name}" if name.casefold() in taken else name


def picture_name(address: str, picture_format: str) -> str:
    """The file name of a picture: that of its address, with a suffix that fits what it is.

    Some addresses go on after the name, as those of wikis do (``x.png/revision/latest``): the last
    part with a suffix of a picture counts.
    """
    parts = [unquote(part) for part in urlsplit(address).path.split("/") if part]
    # A slash that was written as %2F is still one.
    parts = [re.split(r"[/\\]", part)[-1] for part in parts] or ["picture"]
    known = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    named = [part for part in parts if os.path.splitext(part)[1].lower() in known]
    name = plain_name((named or parts)[-1])
    stem, suffix = os.path.splitext(name)
    fitting = SUFFIXES.get(picture_format, (f".{picture_format.lower()}",))
    if suffix.lower() in fitting:
        return name
    return (stem if suffix.lower() in known else name) + fitting[0]


def _with_kept(error: FetchError, kept: Any) -> FetchError:
    error.kept = kept
    return error


def _header(answer: Answer, name: str) -> str:
    """A header that will be sent back: only what may stand in one."""
    value = answer.headers.get(name, "")
    return value if len(value) <= 300 and value.isascii() and value.isprintable() else ""


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _hash_of(path: Path) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RunError(f"{path}: {error.strerror or error}") from error


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """What the disk refuses ends the run in one line."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{error.filename or folder}: {error.strerror or error}") from error

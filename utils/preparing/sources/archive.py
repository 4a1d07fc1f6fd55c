"""A zip archive of pictures, read without unpacking it."""

from __future__ import annotations

import functools
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from utils.common.errors import UserError, printable
from utils.common.pictures import (
    MAX_FILE_BYTES,
    SUFFIXES,
    UnreadablePicture,
    is_picture_signature,
)
from utils.preparing.sources.entries import (
    BOMB_BYTES,
    BOMB_RATIO,
    EXPECTED,
    MAX_ENTRIES,
    Entry,
    text,
    unreadable,
)


class Zip:
    """A zip archive."""

    kind = "zip"

    def __init__(self, path: Path, shown: str, image_column: str = "") -> None:
        self.path = path.resolve()
        try:
            archive = _archive(self.path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, MemoryError) as error:
            reason = printable(" ".join(str(error).split()))
            raise UserError(f"{shown}: a damaged zip archive: {reason}") from error
        members = archive.infolist()
        if len(members) > MAX_ENTRIES:
            raise UserError(f"{shown}: {len(members):,} files, more than {MAX_ENTRIES:,}")
        self.members: list[str] = []
        self.other_files = 0
        for member in members:
            parts = PurePosixPath(member.filename.replace("\\", "/")).parts
            if member.is_dir() or any(p.startswith(".") and p != ".." for p in parts):
                continue
            if "__MACOSX" in parts:
                continue
            if _promises_picture(archive, member):
                self.members.append(member.filename)
            else:
                self.other_files += 1
        if not self.members:
            raise UserError(f"{shown}: no picture among {self.other_files} files; {EXPECTED}")
        self.members.sort()

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """By its signature."""
        return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))

    def __len__(self) -> int:
        return len(self.members)

    def entries(self) -> Iterator[Entry]:
        """The pictures by name."""
        for member in self.members:
            name = text(member)
            parts = PurePosixPath(member.replace("\\", "/")).parts
            if not parts or ".." in parts or parts[0] == "/" or parts[0].endswith(":"):
                read = unreadable("its name leads out of the archive")
            else:
                read = functools.partial(_read_member, self.path, member)
            yield Entry(name=name, file=name, read=read)


def _promises_picture(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    if PurePosixPath(member.filename).suffix.lower() in SUFFIXES:
        return True
    try:
        with archive.open(member) as file:
            return is_picture_signature(file.read(12))
    except Exception:  # damaged, encrypted or of an unknown compression: nothing promises a picture
        return False


@functools.lru_cache(maxsize=4)
def _archive(path: Path) -> zipfile.ZipFile:
    """Opened once in each process."""
    return zipfile.ZipFile(path)


def _read_member(path: Path, name: str) -> bytes:
    try:
        archive = _archive(path)
        member = archive.getinfo(name)
        bomb = BOMB_BYTES < member.file_size > BOMB_RATIO * member.compress_size
        if bomb or member.file_size > MAX_FILE_BYTES:
            raise UnreadablePicture(
                f"unpacks from {member.compress_size:,} to {member.file_size:,} bytes: a zip bomb"
                if bomb
                else f"more than {MAX_FILE_BYTES // 2**20} MB"
            )
        with archive.open(member) as file:
            return file.read(MAX_FILE_BYTES + 1)
    except UnreadablePicture:
        raise
    except Exception as error:
        # BadZipFile, zlib.error, RuntimeError (encrypted), NotImplementedError, EOFError, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadablePicture(f"damaged in the archive: {printable(reason)[:200]}") from error

"""A zip archive of pictures, read without unpacking it; and what it shares with a tar archive."""

from __future__ import annotations

import functools
import re
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from utils.common.errors import UserError, printable
from utils.common.kinds import HEAD_BYTES
from utils.common.pictures import MAX_FILE_BYTES, SUFFIXES, UnreadablePicture
from utils.preparing.sources.beside import (
    PARENT,
    Beside,
    is_table,
    parents,
    stands_beside,
    stems,
)
from utils.preparing.sources.entries import (
    BOMB_BYTES,
    BOMB_RATIO,
    MAX_ENTRIES,
    Entry,
    attributes_of,
    text,
)
from utils.preparing.sources.finding import other_kind

ENCRYPTED = "encrypted; unpack it with its password and name the folder"


class Archive:
    """Pictures in one file, each by its number."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.members: list[tuple[str, int]] = []
        """The name of each picture, and its number in the archive."""
        self.beside = Beside()
        self.left_out = self.beside.left_out

    def holds(self, path: Path) -> bool:
        """Whether it is this very file."""
        return path.exists() and path.samefile(self.path)

    def __len__(self) -> int:
        return len(self.members)

    def entries(self) -> Iterator[Entry]:
        """The pictures; of several members of one name, the second is ``name (2)``."""
        count: Counter[str] = Counter()
        holds = parents(name for name, _ in self.members)
        for (name, _), parent, read in zip(self.members, holds, self.readers(), strict=True):
            count[name] += 1
            file = f"{name} ({count[name]})" if count[name] > 1 else name
            yield entry_of(name, file, read, parent, self.beside)

    def readers(self) -> Iterator[Callable[[], bytes]]:
        """What reads each of the members."""
        raise NotImplementedError


def entry_of(
    file: str, shown: str, read: Callable[[], bytes], parent: str | None, beside: Beside
) -> Entry:
    """A picture with its title and attributes.

    Args:
        file: its path.
        shown: how the person is told of it.
        read: gives its bytes.
        parent: the name of its folder, if that is an attribute.
        beside: what is said of it.
    """
    known = attributes_of({PARENT: parent}) | beside.of(file)
    title = known.get("title")
    return Entry(title if isinstance(title, str) and title else shown, shown, read, known)


class Zip(Archive):
    """A zip archive."""

    kind = "zip"

    def __init__(self, path: Path, shown: str, image_column: str = "") -> None:
        super().__init__(path)
        try:
            archive = _archive(self.path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, MemoryError) as error:
            reason = printable(" ".join(str(error).split()))
            if reason == "File is not a zip file":
                reason = "it has no end, as after a broken download"
            raise UserError(f"{shown}: a damaged zip archive: {reason}") from error
        members = archive.infolist()
        if len(members) > MAX_ENTRIES:
            raise UserError(f"{shown}: {len(members):,} files, more than {MAX_ENTRIES:,}")
        named = []
        for number, name in enumerate(_names(members)):
            if not (name.endswith("/") or (name.endswith("\\") and not members[number].file_size)):
                named.append((number, safe_name(name) or f"{path.stem}-{number:06d}"))
        pictured = stems(name for _, name in named)
        for number, name in named:
            reason = unwanted(name)
            says = is_table(name.rpartition("/")[2]) or stands_beside(name, pictured)
            if says and not reason:
                self._add_beside(archive, members[number], name)
            elif reason := reason or _left_out_as(archive, members[number], name):
                self.left_out.append((name, reason))
            else:
                self.members.append((name, number))
        self.members.sort()
        self.beside.check(name for name, _ in self.members)

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """By its signature."""
        return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))

    def readers(self) -> Iterator[Callable[[], bytes]]:
        """What reads each of the members."""
        for _, number in self.members:
            yield functools.partial(_read_member, self.path, number)

    def _add_beside(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> None:
        try:
            _check_size(member)
            with archive.open(member) as file:
                if is_table(name.rpartition("/")[2]):
                    self.beside.add_table(name, file)
                else:
                    self.beside.add_side(name, file)
        except UnreadablePicture as error:
            self.left_out.append((name, str(error)))
        except Exception as error:
            self.left_out.append((name, _damage(member, error)))


def _names(members: list[zipfile.ZipInfo]) -> list[str]:
    """The names, decoded as what their bytes are where the archive does not say: zipfile does not
    try. Japanese ones hold bytes that would pass for a backslash."""
    names = [member.orig_filename for member in members]
    unmarked = [number for number, member in enumerate(members) if not member.flag_bits & 0x800]
    for encoding in ("utf-8", "cp932"):
        try:
            decoded = [names[number].encode("cp437").decode(encoding) for number in unmarked]
        except UnicodeError:
            continue
        if encoding == "utf-8" or re.search("[\u3040-\u30ff]", "".join(decoded)):
            for number, name in zip(unmarked, decoded, strict=True):
                names[number] = name
            break
    return names


def safe_name(name: str) -> str:
    """The name as a path inside the archive: no root, no drive, no way up."""
    parts = [re.sub("^[A-Za-z]:", "", part) for part in name.replace("\\", "/").split("/")]
    return text("/".join(part for part in parts if part not in ("", ".", "..")))


def unwanted(name: str) -> str:
    """Why a member of this name is left out whatever it is; empty if it is not."""
    parts = PurePosixPath(name).parts
    if "__MACOSX" in parts:
        return "metadata of macOS"
    *folders, last = parts
    is_only_suffix = last.lower() in SUFFIXES  # what is left of ".png" in an unknown alphabet
    if any(each.startswith(".") for each in folders) or (last[0] == "." and not is_only_suffix):
        return "hidden"
    return ""


def _left_out_as(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> str:
    """Why a member is no picture; empty if it promises to be one."""
    if stat.S_ISLNK(member.external_attr >> 16):
        return "a link"
    if name.lower().endswith(SUFFIXES):
        return ""
    try:
        with archive.open(member) as file:
            return other_kind(file.read(HEAD_BYTES))
    except Exception as error:
        return _damage(member, error)


def _archive(path: Path) -> zipfile.ZipFile:
    """Opened once in each process, until it is another."""
    return _opened(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _opened(path: Path, changed: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def _read_member(path: Path, number: int) -> bytes:
    member = None
    try:
        archive = _archive(path)
        member = archive.infolist()[number]
        _check_size(member)
        with archive.open(member) as file:
            return file.read(MAX_FILE_BYTES + 1)
    except UnreadablePicture:
        raise
    except Exception as error:
        raise UnreadablePicture(_damage(member, error)) from error


def _check_size(member: zipfile.ZipInfo) -> None:
    """Raise UnreadablePicture for what would unpack to too much."""
    bomb = BOMB_BYTES < member.file_size > BOMB_RATIO * member.compress_size
    if bomb or member.file_size > MAX_FILE_BYTES:
        raise UnreadablePicture(
            f"unpacks from {member.compress_size:,} to {member.file_size:,} bytes: a zip bomb"
            if bomb
            else f"more than {MAX_FILE_BYTES // 2**20} MB"
        )


def _damage(member: zipfile.ZipInfo | None, error: Exception) -> str:
    # BadZipFile, zlib.error, RuntimeError (encrypted), NotImplementedError, EOFError, ...
    if member is not None and member.flag_bits & 1:
        return ENCRYPTED
    if member is not None and isinstance(error, NotImplementedError):
        method = zipfile.compressor_names.get(member.compress_type, member.compress_type)
        return f"compressed by {method}, which Python's zipfile does not read; pack it with deflate"
    reason = " ".join(str(error).split()).split(" for file ")[0] or type(error).__name__
    return f"damaged in the archive: {printable(reason)[:200]}"

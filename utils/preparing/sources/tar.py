"""A tar archive of pictures, plain or compressed by gzip, read from front to back."""

from __future__ import annotations

import functools
import gzip
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NoReturn

from utils.common.errors import UserError
from utils.common.kinds import HEAD_BYTES
from utils.common.pictures import SUFFIXES
from utils.preparing.sources.archive import Archive, safe_name, unwanted
from utils.preparing.sources.beside import SIDES, is_table, stands_beside, stems
from utils.preparing.sources.entries import (
    BOMB_BYTES,
    BOMB_RATIO,
    MAX_ENTRIES,
    MAX_ROW_BYTES,
    damage_in_one_line,
    unreadable,
)
from utils.preparing.sources.finding import other_kind

# Headers whose text describes the next member.
EXTENDED = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip
GZIP = b"\x1f\x8b"
MAX_HEADER_BYTES = 2**20


class Tar(Archive):
    """A tar archive, as WebDataset has them: files of one stem belong together."""

    kind = "tar"

    def __init__(self, path: Path, shown: str, image_column: str = "") -> None:
        super().__init__(path)
        self.shown = shown
        sides = []
        for number, member, file in self._files():
            name = safe_name(member.name) or f"{path.stem}-{number:06d}"
            reason = unwanted(name)
            if reason or not member.isreg():
                is_link = member.issym() or member.islnk()
                self.left_out.append((name, reason or ("a link" if is_link else "no regular file")))
            elif is_table(name.rpartition("/")[2]):
                self.beside.add_table(name, file)
            elif name.lower().endswith(SIDES):
                sides.append(name)
                self.beside.add_side(name, file)
            elif not name.lower().endswith(SUFFIXES) and (
                kind := other_kind(file.read(HEAD_BYTES))
            ):
                self.left_out.append((name, kind))
            else:
                self.members.append((name, number))
        self.beside.check(name for name, _ in self.members)
        pictured, told = stems(name for name, _ in self.members), dict(self.left_out)
        self.left_out += [
            (name, "a text file")
            for name in sides
            if name not in told and not stands_beside(name, pictured)
        ]

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """By the checksum of its first header."""
        try:
            block = zlib.decompressobj(31).decompress(head, 512) if head[:2] == GZIP else head[:512]
            tarfile.TarInfo.frombuf(block, "utf-8", "replace")
        except (tarfile.HeaderError, zlib.error):
            return False
        return True

    def readers(self) -> Iterator[Callable[[], bytes]]:
        """What holds the bytes of each of the members: in a compressed file none can be sought."""
        numbers = {number for _, number in self.members}
        for number, member, file in self._files():
            if number in numbers and member.size > MAX_ROW_BYTES:
                yield unreadable(f"more than {MAX_ROW_BYTES // 2**20} MB")
            elif number in numbers:
                yield functools.partial(bytes, file.read(member.size))

    def _files(self) -> Iterator[tuple[int, tarfile.TarInfo, IO[bytes]]]:
        """The number, the header and the bytes of all in it but folders."""
        with damage_in_one_line(self.shown, "tar archive"), open(self.path, "rb") as raw:
            is_compressed = raw.read(2) == GZIP
            raw.seek(0)
            stream = _Limited(gzip.GzipFile(fileobj=raw) if is_compressed else raw, self.path)
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive:
                number = 0
                while (member := archive.next()) is not None:
                    archive.members = []  # which would grow
                    if member.isdir():
                        continue
                    if number == MAX_ENTRIES:
                        raise UserError(f"{self.shown}: more than {MAX_ENTRIES:,} files")
                    file = archive.extractfile(member) if member.isreg() else io.BytesIO()
                    yield number, member, file
                    number += 1
                # What a broken download lacks or has too much of, and gzip's checksum.
                while rest := archive.fileobj.read(2**16):
                    if rest.strip(b"\0"):
                        raise tarfile.ReadError("there is more behind its end")


class _Limited:
    """A stream of which a small file cannot give without end."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self.stream = stream
        self.left = max(BOMB_BYTES, BOMB_RATIO * path.stat().st_size)

    def read(self, size: int) -> bytes:
        data = self.stream.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise ValueError(f"it unpacks to more than {BOMB_RATIO} times its size: a bomb")
        return data


class _Header(tarfile.TarInfo):
    """A header of which nothing large is read into memory, and that is whole or an error.

    To the library, a damaged one is the end of the archive.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """The next header."""
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:
            raise
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError):
            raise tarfile.ReadError("it has no end, as after a broken download") from None
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {archive.offset:,}") from None

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in EXTENDED and not 0 <= self.size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        if self.type == tarfile.GNUTYPE_SPARSE:
            self._refuse_sparse()
        return super()._proc_member(archive)

    def _refuse_sparse(self, *_: object) -> NoReturn:
        raise tarfile.ReadError("a sparse file, which is not read")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse

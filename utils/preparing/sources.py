"""Where pictures come from: a folder (with a scraper's manifest), a zip archive, a parquet file.

Each kind is a class that lists its pictures and says how to read one. A new kind is one more class
and a line in :func:`open_source`. Nothing is ever unpacked to disk; names and sizes that a file
claims are not believed.
"""

from __future__ import annotations

import functools
import json
import math
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from utils.common.errors import UserError
from utils.common.pictures import (
    MAX_FILE_BYTES,
    SUFFIXES,
    UnreadablePicture,
    is_picture_signature,
    read_file,
)
from utils.data.datasets import find_pictures, printable

WANTED = "wanted a folder, a .zip or a .parquet file of pictures"

MAX_ENTRIES = 1_000_000
MAX_TEXT = 500  # characters kept of a name or an attribute
MAX_LABEL = 60  # and of an attribute's name
MAX_ATTRIBUTES = 64
MAX_MANIFEST_LINE = 2**20

# Pictures are compressed already; what still shrinks a hundredfold is a bomb, or a blank BMP.
BOMB_BYTES = 32 * 2**20
BOMB_RATIO = 100
MAX_GROUP_BYTES = 4 * 2**30
MAX_ROW_BYTES = 32 * 2**20  # some rows wait for a process to take them

MANIFEST = "manifest.jsonl"
# What a manifest says that the picture itself says better.
NOT_ATTRIBUTES = ("file", "sha256", "width", "height", "format")

Attribute = str | int | float


@dataclass(slots=True)
class Entry:
    """One picture of a source, not read yet."""

    name: str
    """A title where one is known, otherwise the file."""
    file: str
    """Its path inside the source."""
    attributes: dict[str, Attribute] = field(default_factory=dict)
    """What the source tells of it."""
    archive: str = ""
    """The zip archive it lies in."""
    path: str = ""
    """Where it lies: a path, or a member of the archive."""
    data: bytes | None = None
    """The file itself, where it can only be read in order."""
    problem: str = ""
    """Why it cannot be read, where that is known already."""

    def read(self) -> bytes:
        """The bytes of the picture's file.

        Raises:
            UnreadablePicture: there is no such file, or it is too large or damaged.
        """
        if self.problem:
            raise UnreadablePicture(self.problem)
        if self.data is not None:
            return self.data
        return _read_member(self.archive, self.path) if self.archive else read_file(Path(self.path))


class Source(Protocol):
    """A place that pictures come from."""

    kind: str
    """In a word: folder, zip or parquet."""
    other_files: int
    """How many files in it do not even promise to be a picture; known after the listing."""

    def __len__(self) -> int:
        """How many pictures there are."""

    def entries(self) -> Iterator[Entry]:
        """The pictures, always in the same order."""


def open_source(source: str, image_column: str = "") -> Source:
    """Open what a person named as a source.

    Args:
        source: a path.
        image_column: of a parquet file; found by itself if there is but one.

    Raises:
        UserError: nothing there, or nothing that can be a source.
    """
    path, shown = Path(os.path.expanduser(source)), printable(source)
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            return Folder(path, shown)
        if not stat.S_ISREG(mode):
            raise UserError(f"{shown}: neither a file nor a folder; {WANTED}")
        with open(path, "rb") as file:
            head = file.read(12)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{shown}: {reason.lower()}; {WANTED}") from error
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Zip(path, shown)
    if head.startswith(b"PAR1"):
        return Parquet(path, shown, image_column)
    kinds = {
        b"\x89HDF": "an HDF5 file, prepared already: train with --data on it",
        b"": "an empty file",
    }
    kind = kinds.get(head[:4], "a picture" if is_picture_signature(head) else "of another kind")
    raise UserError(f"{shown}: {kind}; {WANTED}")


def text(value: object, depth: int = 0) -> str:
    """A value of a manifest or table as one short printable line."""
    if isinstance(value, (list, tuple)):
        value = "; ".join(text(each, depth + 1) for each in value[:20]) if depth < 3 else "…"
    return printable(" ".join(str(value)[: 4 * MAX_TEXT].split()))[:MAX_TEXT]


def _attributes(pairs: dict[str, Any]) -> dict[str, Attribute]:
    attributes: dict[str, Attribute] = {}
    for label, value in pairs.items():
        if value is None or len(attributes) == MAX_ATTRIBUTES:
            continue
        if isinstance(value, dict):
            attributes |= _attributes(
                {
                    f"{label} {key}": each
                    for key, each in value.items()
                    if not isinstance(each, dict)
                }
            )
        elif (type(value) is float and math.isfinite(value)) or (
            type(value) is int and abs(value) < 2**63
        ):
            attributes[text(label)[:MAX_LABEL]] = value
        else:
            attributes[text(label)[:MAX_LABEL]] = text(value)
    return attributes


# ------------------------------------------------------------------------------------------------
# A folder
# ------------------------------------------------------------------------------------------------


class Folder:
    """A folder and all those in it; titles and attributes from a manifest where there is one."""

    kind = "folder"

    def __init__(self, path: Path, shown: str) -> None:
        self.path = path
        found, paths, self.problems = find_pictures(path)
        if not paths and not self.problems:
            kinds = {each.suffix for each in path.iterdir()} & {".parquet", ".zip"}
            hint = f"; name the {' and '.join(sorted(kinds))} files in it" if kinds else ""
            raise UserError(f"{shown}: no picture among {found} files{hint or '; ' + WANTED}")
        self.files = [each.relative_to(path).as_posix() for each in paths]
        self.other_files = found - len(paths)
        self.manifest = _Manifest(path / MANIFEST)

    def __len__(self) -> int:
        return len(self.files) + len(self.problems)

    def entries(self) -> Iterator[Entry]:
        """The pictures by path; folders that cannot be opened come last."""
        for file in self.files:
            known = self.manifest.lookup(file)
            title, shown = known.get("title"), text(file)
            yield Entry(
                name=(text(title) if isinstance(title, str) else "") or shown,
                file=shown,
                attributes=_attributes({k: v for k, v in known.items() if k not in NOT_ATTRIBUTES}),
                path=str(self.path / file),
            )
        for path, reason in self.problems:
            file = text(os.path.relpath(path, self.path))
            yield Entry(name=file, file=file, problem=reason)


class _Manifest:
    """A file of JSON lines, one a picture, of which only the places of the lines are kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places: dict[str, int] = {}
        try:
            with open(path, "rb") as file:
                place = 0
                for line in iter(lambda: file.readline(MAX_MANIFEST_LINE), b""):
                    known = _json_object(line)
                    if isinstance(known.get("file"), str):
                        self.places[PurePosixPath(known["file"]).as_posix()] = place
                    place += len(line)
        except OSError:
            pass  # most folders have none

    def lookup(self, file: str) -> dict[str, Any]:
        """What the manifest knows of a file; nothing is fine."""
        if file not in self.places:
            return {}
        with open(self.path, "rb") as manifest:
            manifest.seek(self.places[file])
            return _json_object(manifest.readline(MAX_MANIFEST_LINE))


def _json_object(line: bytes) -> dict[str, Any]:
    try:
        known = json.loads(line.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return {}
    return known if isinstance(known, dict) else {}


# ------------------------------------------------------------------------------------------------
# A zip archive
# ------------------------------------------------------------------------------------------------


class Zip:
    """A zip archive, read without unpacking it."""

    kind = "zip"

    def __init__(self, path: Path, shown: str) -> None:
        self.path = path
        try:
            archive = _archive(str(path))
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
            raise UserError(f"{shown}: no picture among {self.other_files} files; {WANTED}")
        self.members.sort()

    def __len__(self) -> int:
        return len(self.members)

    def entries(self) -> Iterator[Entry]:
        """The pictures by name."""
        for member in self.members:
            name = text(member)
            entry = Entry(name=name, file=name, archive=str(self.path), path=member)
            parts = PurePosixPath(member.replace("\\", "/")).parts
            if not parts or ".." in parts or parts[0] == "/" or parts[0].endswith(":"):
                entry.problem = "its name leads out of the archive"
            yield entry


def _promises_picture(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    if PurePosixPath(member.filename).suffix.lower() in SUFFIXES:
        return True
    try:
        with archive.open(member) as file:
            return is_picture_signature(file.read(12))
    except Exception:  # damaged, encrypted or of an unknown compression: nothing promises a picture
        return False


@functools.lru_cache(maxsize=4)
def _archive(path: str) -> zipfile.ZipFile:
    """Opened once in each process."""
    return zipfile.ZipFile(path)


def _read_member(path: str, name: str) -> bytes:
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


# ------------------------------------------------------------------------------------------------
# A parquet file
# ------------------------------------------------------------------------------------------------


class Parquet:
    """A table with a column of picture files, as data sets are published."""

    kind = "parquet"
    other_files = 0

    def __init__(self, path: Path, shown: str, image_column: str) -> None:
        self.path, self.shown = path, shown
        with self._one_line():
            file = self._open()
            self.count = file.metadata.num_rows
            if self.count > MAX_ENTRIES:
                raise UserError(f"{shown}: {self.count:,} rows, more than {MAX_ENTRIES:,}")
            for group in range(file.metadata.num_row_groups):
                size = file.metadata.row_group(group).total_byte_size
                if size > MAX_GROUP_BYTES or BOMB_BYTES < size > BOMB_RATIO * path.stat().st_size:
                    raise UserError(
                        f"{shown}: row group {group} unpacks to {size:,} bytes; wanted at most "
                        f"{MAX_GROUP_BYTES // 2**30} GB, and {BOMB_RATIO} times the file"
                    )
            schema = file.schema_arrow
        self.image_column = self._find_image_column(schema, image_column)
        others = [
            each.name
            for each in schema
            if each.name != self.image_column and "." not in each.name and _is_scalar(each.type)
        ]
        self.columns = [self.image_column, *others[:MAX_ATTRIBUTES]]
        if not self.count:
            raise UserError(f"{shown}: a parquet file without rows; {WANTED}")

    def __len__(self) -> int:
        return self.count

    def entries(self) -> Iterator[Entry]:
        """The rows in order."""
        row = 0
        with self._one_line():
            # One row at a time: a few bytes of a dictionary can stand for a large value many times.
            batches = self._open().iter_batches(1, columns=self.columns, use_threads=False)
            for batch in batches:
                for values in batch.to_pylist():
                    yield self._entry(row, values)
                    row += 1
        if row != self.count:
            raise UserError(f"{self.shown}: found {row} rows where it promises {self.count}")

    def _entry(self, row: int, values: dict[str, Any]) -> Entry:
        value = values.pop(self.image_column)
        found, data = "", value
        if isinstance(value, dict):
            found, data = text(value.get("path") or ""), value.get("bytes")
        file = found or f"{self.path.stem}-{row:06d}"
        entry = Entry(name=file, file=file, attributes=_attributes(values))
        if not isinstance(data, bytes):
            entry.problem = "a row without picture"
        elif len(data) > MAX_ROW_BYTES:
            entry.problem = f"more than {MAX_ROW_BYTES // 2**20} MB"
        else:
            entry.data = data
        return entry

    def _open(self) -> Any:
        import pyarrow.parquet  # takes as long as everything else together, and few need it

        return pyarrow.parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=2**20)

    def _one_line(self) -> _ParquetErrors:
        return _ParquetErrors(self.shown)

    def _find_image_column(self, schema: Any, wanted: str) -> str:
        names = [each.name for each in schema if _holds_files(each.type)]
        listed = ", ".join(map(text, names)) or "none"
        if wanted:
            if wanted not in names:
                raise UserError(
                    f"--image-column {printable(wanted)}: {self.shown} has no such column of "
                    f"picture files; found {listed}"
                )
            return wanted
        usual = [name for name in names if name.lower() in ("image", "img", "picture")]
        if len(usual) == 1 or len(names) == 1:
            return (usual or names)[0]
        raise UserError(
            f"{self.shown}: wanted one column of picture files (bytes, or a struct with a field "
            f"'bytes'), found {listed}" + ("; choose with --image-column" if names else "")
        )


class _ParquetErrors:
    """Whatever a damaged table makes of the library, one line names the file."""

    def __init__(self, shown: str) -> None:
        self.shown = shown

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, ModuleNotFoundError):
            raise UserError(
                f"{self.shown}: a parquet file, which pyarrow reads: pip install pyarrow"
            ) from error
        if isinstance(error, Exception) and not isinstance(error, UserError):
            reason = printable(" ".join(str(error).split()))[:200]
            raise UserError(f"{self.shown}: a damaged parquet file: {reason}") from error


def _plain(kind: Any) -> str:
    """The name of a type, or of what a dictionary of values stands for."""
    name = str(kind)
    return str(kind.value_type) if name.startswith("dictionary<") else name


def _is_binary(kind: Any) -> bool:
    return _plain(kind) in ("binary", "large_binary", "binary_view")


def _holds_files(kind: Any) -> bool:
    if str(kind).startswith("struct<"):
        fields = [kind.field(index) for index in range(kind.num_fields)]
        return any(each.name == "bytes" and _is_binary(each.type) for each in fields)
    return _is_binary(kind)


def _is_scalar(kind: Any) -> bool:
    name = _plain(kind)
    return name in ("string", "large_string", "string_view", "bool", "double") or name.startswith(
        ("int", "uint", "float", "halffloat", "timestamp", "date")
    )

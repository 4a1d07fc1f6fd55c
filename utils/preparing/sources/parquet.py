"""A parquet file with a column of pictures, as data sets are published."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from utils.common.errors import UserError, printable
from utils.preparing.sources.entries import (
    BOMB_BYTES,
    BOMB_RATIO,
    MAX_ATTRIBUTES,
    MAX_ENTRIES,
    Entry,
    attributes_of,
    text,
    unreadable,
)

MAX_GROUP_BYTES = 4 * 2**30
USUAL = ("image", "img", "picture", "photo")
MAX_ROW_BYTES = 32 * 2**20  # some rows wait for a process to take them


class Parquet:
    """A table with a column of picture files."""

    kind = "parquet"

    def __init__(self, path: Path, shown: str, image_column: str = "") -> None:
        self.path, self.shown = path, shown
        with _damage_in_one_line(shown):
            file = self._open()
            self.count = self.rows = file.metadata.num_rows
            if self.rows > MAX_ENTRIES:
                raise UserError(f"{shown}: {self.rows:,} rows, more than {MAX_ENTRIES:,}")
            for group in range(file.metadata.num_row_groups):
                size = file.metadata.row_group(group).total_byte_size
                if size > MAX_GROUP_BYTES or BOMB_BYTES < size > BOMB_RATIO * path.stat().st_size:
                    raise UserError(
                        f"{shown}: row group {group} unpacks to {size:,} bytes; expected at most "
                        f"{MAX_GROUP_BYTES // 2**30} GB, and {BOMB_RATIO} times the file"
                    )
            schema = file.schema_arrow
        self.image_column = _find_image_column(schema, image_column, shown)
        self.columns = [self.image_column]
        self.left_out: list[tuple[str, str]] = []
        for each in schema:
            if each.name == self.image_column:
                continue
            reason = f"a column of {_plain(each.type)}" if _has_bytes(each.type) else ""
            if schema.names.count(each.name) > 1:
                reason = "a column of several of one name"
            if len(self.columns) > MAX_ATTRIBUTES:
                reason = f"a column after the first {MAX_ATTRIBUTES}"
            if reason:
                self.left_out.append((text(each.name), reason))
            else:
                self.columns.append(each.name)

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """By its signature."""
        return head.startswith(b"PAR1")

    def holds(self, path: Path) -> bool:
        """Whether it is this very file."""
        return path.exists() and path.samefile(self.path)

    def __len__(self) -> int:
        return self.count

    def entries(self) -> Iterator[Entry]:
        """The rows in order."""
        row = given = 0
        with _damage_in_one_line(self.shown):
            # One row at a time: a few bytes of a dictionary can stand for a large value many times.
            batches = self._open().iter_batches(1, columns=self.columns, use_threads=False)
            for batch in batches:
                value, *others = (_as_python(batch.column(name)[0]) for name in self.columns)
                known = dict(zip(self.columns[1:], others, strict=True))
                pictures = value if isinstance(value, list) else [value]
                for number, picture in enumerate(pictures):
                    place = f"{row:06d}" + f"-{number}" * isinstance(value, list)
                    yield self._entry(place, picture, known)
                row += 1
                given += len(pictures)
        if row != self.rows:
            raise UserError(f"{self.shown}: found {row} rows where it promises {self.rows}")
        self.count = given

    def _entry(self, place: str, value: Any, values: dict[str, Any]) -> Entry:
        found, data = "", value
        if isinstance(value, dict):
            found, data = text(value.get("path") or ""), value.get("bytes")
        if not isinstance(data, bytes):
            elsewhere = ", only its place" if found else ""
            read = unreadable(f"a row without the bytes of its picture{elsewhere}")
        elif len(data) > MAX_ROW_BYTES:
            read = unreadable(f"more than {MAX_ROW_BYTES // 2**20} MB")
        else:
            read = functools.partial(bytes, data)
        file = found or f"{self.path.stem}-{place}"
        return Entry(name=file, file=file, read=read, attributes=attributes_of(values))

    def _open(self) -> Any:
        import pyarrow.parquet  # takes as long as everything else together, and few need it

        return pyarrow.parquet.ParquetFile(self.path, pre_buffer=False, buffer_size=2**20)


@contextlib.contextmanager
def _damage_in_one_line(shown: str) -> Iterator[None]:
    """Turn whatever a damaged table makes pyarrow raise into one line that names the file."""
    try:
        yield
    except UserError:
        raise
    except ModuleNotFoundError as error:
        raise UserError(
            f"{shown}: a parquet file, which pyarrow reads: pip install pyarrow"
        ) from error
    except Exception as error:
        reason = printable(" ".join(str(error).split()))[:200]
        raise UserError(f"{shown}: a damaged parquet file: {reason}") from error


def _find_image_column(schema: Any, asked_for: str, shown: str) -> str:
    """The column of pictures; where no column has one a row, that of lists of them."""
    single = [each.name for each in schema if _holds_files(each.type)]
    lists = [
        each.name for each in schema if _is_list(each.type) and _holds_files(each.type.value_type)
    ]
    if asked_for:
        if asked_for not in single + lists:
            raise UserError(
                f"--image-column {printable(asked_for)}: {shown} has no such column of picture "
                f"files; found {_listed(single + lists)}"
            )
        return asked_for
    names = single or lists
    usual = [name for name in names if name.lower().removesuffix("s") in USUAL]
    if len(usual) == 1 or len(names) == 1:
        return (usual or names)[0]
    columns = [f"{each.name} ({_plain(each.type)})" for each in schema]
    raise UserError(
        f"{shown}: expected one column of picture files (bytes, or a struct with a field "
        "'bytes'), found "
        + (f"{_listed(names)}; choose with --image-column" if names else _listed(columns))
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(map(text, names[:10])) + more or "none"


def _as_python(value: Any) -> Any:
    """A value of a table; a time that Python has no type for, as text."""
    try:
        return value.as_py()
    except ValueError:
        return value.cast("string").as_py()


def _plain(kind: Any) -> str:
    """The name of a type; of a dictionary, that of its values, and of an extension, its own."""
    name = str(kind)
    if name.startswith("dictionary<"):
        return _plain(kind.value_type)
    return name.removeprefix("extension<").removesuffix(">") if "extension<" in name else name


def _is_binary(kind: Any) -> bool:
    return _plain(kind) in ("binary", "large_binary", "binary_view")


def _is_list(kind: Any) -> bool:
    return str(kind).startswith(("list<", "large_list<", "fixed_size_list<", "list_view<"))


def _holds_files(kind: Any) -> bool:
    if str(kind).startswith("struct<"):
        fields = [kind.field(index) for index in range(kind.num_fields)]
        return any(each.name == "bytes" and _is_binary(each.type) for each in fields)
    return _is_binary(kind)


def _has_bytes(kind: Any) -> bool:
    """Whether a type has bytes in it, which are neither text nor number; a UUID has none."""
    name = str(kind)
    return not name.startswith("extension<") and "binary" in name

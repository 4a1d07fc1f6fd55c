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
    EXPECTED,
    MAX_ATTRIBUTES,
    MAX_ENTRIES,
    Entry,
    attributes_of,
    text,
    unreadable,
)

MAX_GROUP_BYTES = 4 * 2**30
MAX_ROW_BYTES = 32 * 2**20  # some rows wait for a process to take them


class Parquet:
    """A table with a column of picture files."""

    kind = "parquet"
    other_files = 0

    def __init__(self, path: Path, shown: str, image_column: str = "") -> None:
        self.path, self.shown = path, shown
        with _damage_in_one_line(shown):
            file = self._open()
            self.count = file.metadata.num_rows
            if self.count > MAX_ENTRIES:
                raise UserError(f"{shown}: {self.count:,} rows, more than {MAX_ENTRIES:,}")
            for group in range(file.metadata.num_row_groups):
                size = file.metadata.row_group(group).total_byte_size
                if size > MAX_GROUP_BYTES or BOMB_BYTES < size > BOMB_RATIO * path.stat().st_size:
                    raise UserError(
                        f"{shown}: row group {group} unpacks to {size:,} bytes; expected at most "
                        f"{MAX_GROUP_BYTES // 2**30} GB, and {BOMB_RATIO} times the file"
                    )
            schema = file.schema_arrow
        self.image_column = _find_image_column(schema, image_column, shown)
        others = [
            each.name
            for each in schema
            if each.name != self.image_column and "." not in each.name and _is_scalar(each.type)
        ]
        self.columns = [self.image_column, *others[:MAX_ATTRIBUTES]]
        if not self.count:
            raise UserError(f"{shown}: a parquet file without rows; {EXPECTED}")

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """By its signature."""
        return head.startswith(b"PAR1")

    def __len__(self) -> int:
        return self.count

    def entries(self) -> Iterator[Entry]:
        """The rows in order."""
        row = 0
        with _damage_in_one_line(self.shown):
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
        if not isinstance(data, bytes):
            read = unreadable("a row without picture")
        elif len(data) > MAX_ROW_BYTES:
            read = unreadable(f"more than {MAX_ROW_BYTES // 2**20} MB")
        else:
            read = functools.partial(bytes, data)
        file = found or f"{self.path.stem}-{row:06d}"
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
    names = [each.name for each in schema if _holds_files(each.type)]
    listed = ", ".join(map(text, names)) or "none"
    if asked_for:
        if asked_for not in names:
            raise UserError(
                f"--image-column {printable(asked_for)}: {shown} has no such column of picture "
                f"files; found {listed}"
            )
        return asked_for
    usual = [name for name in names if name.lower() in ("image", "img", "picture")]
    if len(usual) == 1 or len(names) == 1:
        return (usual or names)[0]
    raise UserError(
        f"{shown}: expected one column of picture files (bytes, or a struct with a field "
        f"'bytes'), found {listed}" + ("; choose with --image-column" if names else "")
    )


def _plain(kind: Any) -> str:
    """The name of a type; of a dictionary, that of its values."""
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

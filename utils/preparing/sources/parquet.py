"""A parquet file with a column of pictures, as data sets are published."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from utils.common.errors import UserError, printable
from utils.preparing.sources.entries import (
    BOMB_BYTES,
    BOMB_RATIO,
    MAX_ATTRIBUTES,
    MAX_ENTRIES,
    MAX_ROW_BYTES,
    Entry,
    attributes_of,
    damage_in_one_line,
    listed,
    text,
    unreadable,
    usual,
)

MAX_GROUP_BYTES = 4 * 2**30


class Parquet:
    """A table with a column of picture files."""

    kind = "parquet"

    def __init__(self, path: Path, shown: str, image_column: str = "") -> None:
        self.path, self.shown = path, shown
        with damage_in_one_line(shown, "parquet file"):
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
        self.class_names = _class_names(schema)
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
        with damage_in_one_line(self.shown, "parquet file"):
            # One row at a time: a few bytes of a dictionary can stand for a large value many times.
            batches = self._open().iter_batches(1, columns=self.columns, use_threads=False)
            for batch in batches:
                value, *others = (_as_python(batch.column(name)[0]) for name in self.columns)
                known = {
                    name: _named(value, self.class_names.get(name))
                    for name, value in zip(self.columns[1:], others, strict=True)
                }
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
                f"files; found {listed(single + lists)}"
            )
        return asked_for
    names = single or lists
    if found := usual(names):
        return found
    columns = [f"{each.name} ({_plain(each.type)})" for each in schema]
    raise UserError(
        f"{shown}: expected one column of picture files (bytes, or a struct with a field "
        "'bytes'), found "
        + (
            f"{listed(names)}; choose with prepare_dataset.py --image-column"
            if names
            else listed(columns)
        )
    )


def _class_names(schema: Any) -> dict[str, list[str]]:
    """The names of classes by column, where Hugging Face's schema has them for their numbers."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        labels = {name: each for name, each in features.items() if "names" in each}
        return {
            name: list(map(str, each["names"]))
            for name, each in labels.items()
            if each["_type"] == "ClassLabel"
        }
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _named(value: Any, names: list[str] | None) -> Any:
    """The name of a class whose number a value is, otherwise the value."""
    is_number = names and isinstance(value, int) and 0 <= value < len(names)
    return names[value] if is_number else value


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

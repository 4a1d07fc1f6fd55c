"""CSV files that grow with a run."""

from __future__ import annotations

import csv
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from utils.common.errors import UserError
from utils.common.files import atomic_path

MOST_POINTS = 2000
"""Longer curves are drawn through means of neighbouring points."""


def read_table(
    path: Path,
    step: float,
    texts: Mapping[str, Collection[str]] | None = None,
    required: Sequence[str] = ("step",),
) -> tuple[list[str], list[dict[str, Any]]]:
    """The columns of a `Table` and its rows up to ``step``, each by its columns; none without file.

    Args:
        path: a CSV file whose first column is the step.
        step: later rows are left out, as is half a line at the end, left by a killed run.
        texts: columns that hold no numbers, and what may stand in them.
        required: the first columns.

    Raises:
        UserError: a line holds something else than these, or the file cannot be read.
    """
    try:
        first, *lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; expected a table") from None
    header, rows, before = [], [], 0.0
    try:
        header = _cells(first.removeprefix(b"\xef\xbb\xbf"))
        if header[: len(required)] != list(required) or len(set(header)) < len(header):
            raise ValueError(f"expected names of columns, first {','.join(required)}")
        if odd := [name for name in header if not name.isidentifier()]:
            raise ValueError(f"{odd[0]!r} is no name of a column")
    except ValueError as error:
        raise _damaged(path, 1, error) from None
    for number, line in enumerate(lines, start=2):
        try:
            cells = _cells(line)
            row_step = float(cells[0])
            if not row_step.is_integer() or row_step < before:
                raise ValueError(f"{cells[0]} is no step from {before:.0f} up")
            if row_step <= step:
                rows.append(_row(header, cells, texts or {}))
            before = row_step
        except ValueError as error:
            if number <= len(lines):
                raise _damaged(path, number, error) from None
    return header, rows


def read_rows(
    path: Path, step: float, texts: Mapping[str, Collection[str]] | None = None
) -> list[dict[str, Any]]:
    """The rows of `read_table`."""
    return read_table(path, step, texts)[1]


def _cells(line: bytes) -> list[str]:
    # Not the csv module's: a stray quote would make one cell of all lines up to the next.
    try:
        return line.removesuffix(b"\r").decode().split(",")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {line[error.start]:#04x} is no UTF-8") from None


def _row(
    header: Sequence[str], cells: Sequence[str], texts: Mapping[str, Collection[str]]
) -> dict[str, Any]:
    if len(cells) != len(header):
        raise ValueError(f"{len(cells)} cells, expected {len(header)}")
    for name, cell in zip(header, cells, strict=True):
        if name in texts and cell not in texts[name]:
            raise ValueError(f"{cell!r} is no {name}, expected {' or '.join(texts[name])}")
    return {
        name: cell if name in texts else float(cell)
        for name, cell in zip(header, cells, strict=True)
    }


def _damaged(path: Path, line: int, error: ValueError) -> UserError:
    remedy = "mend it or move the file away" if line == 1 else "mend or delete the line"
    return UserError(f"{path}: line {line} is damaged: {error}; {remedy}; nothing was changed")


class Table(ABC):
    """A CSV file that grows with a run; its first column is the step."""

    TEXTS: ClassVar[Mapping[str, Collection[str]]] = {}
    """Columns that hold no numbers, and what may stand in them."""
    FIRST: ClassVar[tuple[str, ...]] = ("step",)
    """The columns that every such file begins with."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = list(columns)
        self.rows: list[list[Any]] = []
        """As the file has them, rounded: a resumed run goes by the same numbers."""

    def read(self, step: float = math.inf) -> None:
        """Read the rows of the file, if there is one, up to ``step``; see `read_table`.

        Columns that are no longer measured come after the others.
        """
        header, rows = read_table(self.path, step, self.TEXTS, self.FIRST)
        self.columns += [name for name in header if name not in self.columns]
        self.rows = [[row.get(name, math.nan) for name in self.columns] for row in rows]

    def resume(self, step: int) -> None:
        """Read the rows up to ``step``, and drop later ones from the file.

        Raises:
            UserError: the file is damaged; it stays as it is.
        """
        self.read(step)
        with atomic_path(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows(self._format(row) for row in self.rows)

    def append(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows to the file and flush it to the disk: a checkpoint relies on them."""
        lines = [self._format([*row, *[math.nan] * (len(self.columns) - len(row))]) for row in rows]
        for cells in lines:
            self.rows.append(list(_row(self.columns, cells, self.TEXTS).values()))
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(lines)
            file.flush()
            os.fsync(file.fileno())

    @abstractmethod
    def _format(self, row: Sequence[Any]) -> list[str]:
        """The cells of a row in the file."""


def thin(table: np.ndarray) -> np.ndarray:
    """Average neighbouring rows of (rows, columns) until at most MOST_POINTS are left."""
    span = -(-len(table) // MOST_POINTS)
    if span <= 1:
        return table
    whole = len(table) // span * span
    groups = table[:whole].reshape(-1, span, table.shape[1])
    known = np.isfinite(groups)
    with np.errstate(invalid="ignore"):
        return np.where(known, groups, 0).sum(axis=1) / known.sum(axis=1)

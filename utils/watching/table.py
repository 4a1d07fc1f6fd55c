"""CSV files that grow with a run."""

from __future__ import annotations

import csv
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from utils.common.errors import UserError
from utils.common.files import atomic_path

MOST_POINTS = 2000
"""Longer curves are drawn through means of neighbouring points."""


def read_rows(path: Path, step: int, texts: Collection[str] = ()) -> list[dict[str, Any]]:
    """The rows of a `Table` up to ``step``, each by its columns; none without a file.

    Args:
        path: a CSV file whose first column is the step.
        step: later rows are left out, as is half a line at the end, left by a killed run.
        texts: columns that hold no numbers.

    Raises:
        UserError: a line before the last holds something other than numbers.
    """
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        header, *lines = list(csv.reader(file)) or [[]]
    rows = []
    for number, line in enumerate(lines, start=2):
        try:
            if len(line) == len(header) and float(line[0]) <= step:
                rows.append(
                    {
                        name: value if name in texts else float(value)
                        for name, value in zip(header, line, strict=True)
                    }
                )
        except ValueError as error:
            if number <= len(lines):
                raise UserError(f"{path}: line {number} is damaged: {error}") from None
    return rows


class Table(ABC):
    """A CSV file that grows with a run; its first column is the step."""

    TEXTS: ClassVar[tuple[str, ...]] = ()
    """Columns that hold no numbers."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.columns = list(columns)
        self.rows: list[list[Any]] = []

    def read(self, step: float = math.inf) -> None:
        """Read the rows of the file, if there is one, up to ``step``."""
        for known in read_rows(self.path, step, self.TEXTS):
            self.rows.append([known.get(name, math.nan) for name in self.columns])

    def resume(self, step: int) -> None:
        """Read the rows up to ``step``, and drop later ones from the file.

        Columns that are no longer measured stay, after the others.
        """
        known = read_rows(self.path, step, self.TEXTS)
        self.columns += [name for name in (known[0] if known else ()) if name not in self.columns]
        self.read(step)
        with atomic_path(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows(self._format(row) for row in self.rows)

    def append(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows to the file and flush it to the disk: a checkpoint relies on them."""
        rows = [[*row, *[math.nan] * (len(self.columns) - len(row))] for row in rows]
        self.rows += rows
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(self._format(row) for row in rows)
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

"""What runs leave on the disk, read back and compared."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file, by their columns."""
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def read_history(run: Path) -> list[dict[str, str]]:
    """Rows of history.csv without the timing column."""
    rows = read_rows(run / "history.csv")
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


def read_answers(run: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Rows of answers.csv by step and kind, each of them once."""
    rows = read_rows(run / "answers.csv")
    by_key = {(row["step"], row["kind"]): row for row in rows}
    assert len(by_key) == len(rows)
    return by_key


def read_state(checkpoint: Path) -> dict[str, np.ndarray]:
    """Everything in a checkpoint that is not a time."""
    with np.load(checkpoint, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files if name != "loop/seconds"}


def assert_same_state(one: Path, other: Path) -> None:
    left, right = read_state(one), read_state(other)
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)

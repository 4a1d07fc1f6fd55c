"""Classes of pictures: the values of one attribute of a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from utils.common.errors import UserError, printable
from utils.data.dataset import Dataset, in_words

FEWEST = 20
"""Pictures of a value that make it a class; those of rarer values are of no class."""
NO_CLASS = -1
"""The label of a picture without a value, or with a rare one."""


def values_of(dataset: Dataset, attribute: str) -> list[str]:
    """The value of each picture, as a text; empty where it has none.

    Raises:
        UserError: no such attribute, or one of several numbers a picture.
    """
    shown = f"--classes {printable(attribute)}"
    known = {name: array for name, array in dataset.attributes.items() if array.ndim == 1}
    if attribute not in known:
        there = printable(", ".join(sorted(known))) or "none"
        raise UserError(
            f"{shown}: {printable(dataset.source)} has no attribute of that name; there is {there}"
        )
    array = known[attribute]
    if array.dtype.kind == "f":
        return ["" if np.isnan(value) else in_words(value) for value in array]
    return [in_words(value).strip() for value in array]


def class_names(dataset: Dataset, attribute: str) -> dict[str, int]:
    """The values with `FEWEST` pictures or more, and their numbers of pictures, most first.

    Raises:
        UserError: see `values_of`; or fewer than two are left.
    """
    values = values_of(dataset, attribute)
    counts = Counter(value for value in values if value)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    found = {name: count for name, count in ordered if count >= FEWEST}
    if len(found) < 2:
        most = ", ".join(f"{printable(name)[:40]} ({count})" for name, count in ordered[:3])
        raise UserError(
            f"--classes {attribute}: {len(found)} of its {len(counts)} values "
            f"{'has' if len(found) == 1 else 'have'} {FEWEST} pictures or more, expected 2 at "
            f"least; most pictures: {most or 'no picture has a value'}"
        )
    return found


def labels(dataset: Dataset, attribute: str, names: Sequence[str]) -> np.ndarray:
    """The class of each picture: its place in ``names``, or `NO_CLASS`; int32 (N,).

    Raises:
        UserError: see `values_of`.
    """
    places = {name: place for place, name in enumerate(names)}
    values = values_of(dataset, attribute)
    return np.array([places.get(value, NO_CLASS) for value in values], np.int32)


def one_hot(labels: np.ndarray, count: int, share: float = 1.0) -> np.ndarray:
    """What networks take of labels (N,): float32 (N, count).

    ``share`` at the place of the class and 0 elsewhere; all 0 for a picture of no class.
    """
    weights = np.zeros((len(labels), count), np.float32)
    rows = np.flatnonzero(np.asarray(labels) >= 0)
    weights[rows, np.asarray(labels)[rows]] = share
    return weights


def described(classes: dict[str, int], pictures: int) -> str:
    """A line about classes with their numbers of pictures, of so many pictures in all."""
    shown = [f"{printable(name)[:40]} {count}" for name, count in classes.items()]
    if len(shown) > 12:
        shown = [*shown[:10], "...", shown[-1]]
    line = f"{len(classes)} classes: {', '.join(shown)}"
    rest = pictures - sum(classes.values())
    if rest:
        line += (
            f"; {rest} pictures without a value, or with one of fewer than {FEWEST} pictures, are "
            "of no class"
        )
    return line

"""What is known of each picture, as columns of a data set."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from utils.data.dataset import in_words
from utils.data.hdf5 import MAX_COLUMN_BYTES
from utils.preparing.sources.entries import MAX_ATTRIBUTES, MAX_TEXT, Attribute


def attribute_columns(
    known: Callable[[int], dict[str, Attribute]], numbers: Sequence[int]
) -> dict[str, np.ndarray]:
    """Attributes of the rows of a data set.

    Args:
        known: what is known of the picture of a number.
        numbers: those of the rows.
    """
    table = table_of(known, numbers, ())
    return {label: to_array(column, longest_text(len(numbers))) for label, column in table.items()}


def longest_text(count: int) -> int:
    """How many characters of a text a column of so many rows can have."""
    return min(MAX_TEXT, MAX_COLUMN_BYTES // (8 * count))


def table_of(
    known: Callable[[int], dict[str, Attribute]], numbers: Sequence[int], taken: tuple[str, ...]
) -> dict[str, list[Attribute | None]]:
    """The values of the commonest attributes, in the order of the first picture that has them.

    Args:
        known: what is known of the picture of a number.
        numbers: those of the rows.
        taken: names of other columns, which none of these gets.

    Returns:
        For each attribute, a value for each row; None where nothing is known.
    """

    def labelled(number: int) -> dict[str, Attribute]:
        return {_label(label, taken): value for label, value in known(number).items()}

    labels: Counter[str] = Counter()
    for number in numbers:
        labels.update(list(labelled(number)))
    common = {label for label, _ in labels.most_common(MAX_ATTRIBUTES)}
    table: dict[str, list[Attribute | None]] = {label: [] for label in labels if label in common}
    for number in numbers:
        values = labelled(number)
        for label, column in table.items():
            column.append(values.get(label))
    return table


def _label(label: str, taken: tuple[str, ...]) -> str:
    word = re.sub(r"\W+", "_", label.lower()).strip("_") or "unnamed"
    return f"{word}_2" if word in taken else word


def to_array(column: list[Any], longest: int) -> np.ndarray:
    """Integers or floats if every picture has one, otherwise strings, empty for what is unknown."""
    kinds = {type(value) for value in column}
    if kinds == {int}:
        return np.array(column, np.int64)
    if kinds and kinds <= {int, float}:
        return np.array(column, np.float64)
    texts = ["" if value is None else in_words(value)[:longest] for value in column]
    return np.array(texts, dtype=object)

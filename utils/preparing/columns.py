"""The names and attributes that a data set stores with its pictures."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.data.hdf5 import MAX_COLUMN_BYTES
from utils.preparing.decisions import Picture
from utils.preparing.scratch import Heap
from utils.preparing.sources.entries import MAX_ATTRIBUTES, MAX_TEXT

MIRRORED = " (mirrored)"


def columns(
    pictures: Sequence[Picture], kept: np.ndarray, sources: int, mirror: bool, heap: Heap
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names and attributes of the rows of the data set.

    Returns:
        The names; and for each attribute an array: of integers or floats if every picture has one,
        otherwise of strings, empty where nothing is known.
    """
    names = [pictures[number].examined.name for number in kept]
    ours: dict[str, list[Any]] = {
        "file": [pictures[number].examined.file for number in kept],
        "sha256": [pictures[number].examined.sha256.hex() for number in kept],
    }
    if sources > 1:
        ours["source"] = [pictures[number].examined.source for number in kept]

    def known(number: int) -> dict[str, Any]:
        attributes = heap.get(pictures[number].details)[1]
        return {_label(label, (*ours, "mirrored")): value for label, value in attributes.items()}

    labels: Counter[str] = Counter()
    for number in kept:
        labels.update(list(known(number)))
    # The most common ones; their order is that of the first picture that has them.
    common = {label for label, _ in labels.most_common(MAX_ATTRIBUTES)}
    table: dict[str, list[Any]] = {label: [] for label in labels if label in common}
    for number in kept:
        values = known(number)
        for label, column in table.items():
            column.append(values.get(label))
    longest = min(MAX_TEXT, MAX_COLUMN_BYTES // (8 * len(kept)))
    names = [name[: longest - len(MIRRORED)] for name in names]
    attributes = {label: _array(column, longest) for label, column in (ours | table).items()}
    mirrored = np.array([pictures[number].mirrored for number in kept])
    if mirror:
        names += [name + MIRRORED for name in names]
        attributes = {name: np.concatenate([a, a]) for name, a in attributes.items()}
        mirrored = np.concatenate([mirrored, ~mirrored])
    return names, attributes | {"mirrored": mirrored}


def _label(label: str, taken: tuple[str, ...]) -> str:
    word = re.sub(r"\W+", "_", label.lower()).strip("_") or "unnamed"
    return f"{word}_2" if word in taken else word


def _array(column: list[Any], longest: int) -> np.ndarray:
    kinds = {type(value) for value in column}
    if kinds == {int}:
        return np.array(column, np.int64)
    if kinds and kinds <= {int, float}:
        return np.array(column, np.float64)
    texts = ["" if value is None else str(value)[:longest].replace("\0", "") for value in column]
    return np.array(texts, dtype=object)

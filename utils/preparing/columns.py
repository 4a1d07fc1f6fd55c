"""The names and attributes that a data set stores with its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.preparing.attributes import longest_text, table_of, to_array
from utils.preparing.decisions import Picture
from utils.preparing.scratch import Heap

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

    table = table_of(
        lambda number: heap.get(pictures[number].details)[1], kept, (*ours, "mirrored")
    )
    longest = longest_text(len(kept))
    names = [name[: longest - len(MIRRORED)] for name in names]
    attributes = {label: to_array(column, longest) for label, column in (ours | table).items()}
    mirrored = np.array([pictures[number].mirrored for number in kept])
    if mirror:
        names += [name + MIRRORED for name in names]
        attributes = {name: np.concatenate([a, a]) for name, a in attributes.items()}
        mirrored = np.concatenate([mirrored, ~mirrored])
    return names, attributes | {"mirrored": mirrored}

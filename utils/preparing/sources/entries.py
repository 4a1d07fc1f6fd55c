"""What all sources give: pictures that any process can read, and what is known of them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn, Protocol

from utils.common.errors import printable
from utils.common.pictures import UnreadablePicture

EXPECTED = "expected a folder, a .zip or a .parquet file of pictures"

MAX_ENTRIES = 1_000_000
MAX_TEXT = 500  # characters kept of a name or an attribute
MAX_LABEL = 60  # and of an attribute's name
MAX_ATTRIBUTES = 64

# Pictures are compressed already; what still shrinks a hundredfold is a bomb, or a blank BMP.
BOMB_BYTES = 32 * 2**20
BOMB_RATIO = 100

Attribute = str | int | float


@dataclass(slots=True)
class Entry:
    """One picture of a source, not read yet."""

    name: str
    """A title where one is known, otherwise the file."""
    file: str
    """Its path inside the source."""
    read: Callable[[], bytes]
    """Returns the bytes of its file, in any process; raises UnreadablePicture."""
    attributes: dict[str, Attribute] = field(default_factory=dict)
    """What the source says of it."""


class Source(Protocol):
    """A place that pictures come from."""

    kind: str
    """In a word: folder, zip or parquet."""
    left_out: list[tuple[str, str]]
    """What it holds and does not give: names, each with a reason."""

    def __init__(self, path: Path, shown: str, image_column: str) -> None:
        """List the pictures.

        Args:
            path: the file or folder.
            shown: how error messages name it.
            image_column: of a table; others ignore it.

        Raises:
            UserError: damaged, or a table without a column of pictures.
        """

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Whether a file that begins with ``head`` (12 bytes), or a folder, is of this kind."""

    def holds(self, path: Path) -> bool:
        """Whether a file at this path would be, or be in, the source."""

    def __len__(self) -> int:
        """How many pictures there are; of lists, the rows until all `entries` are read."""

    def entries(self) -> Iterator[Entry]:
        """The pictures, always in the same order."""


def unreadable(reason: str) -> Callable[[], NoReturn]:
    """For ``Entry.read``: raises UnreadablePicture with this reason."""
    return functools.partial(_raise_unreadable, reason)


def _raise_unreadable(reason: str) -> NoReturn:
    raise UnreadablePicture(reason)


def text(value: object, depth: int = 0) -> str:
    """A value of a manifest or table as one short printable line."""
    if isinstance(value, dict):
        value = [f"{text(key)}: {text(each, depth + 1)}" for key, each in [*value.items()][:21]]
    if isinstance(value, (list, tuple)):
        more = ("…",) * (len(value) > 20)
        words = (text(each, depth + 1) for each in value[:20])
        value = "; ".join((*words, *more)) if depth < 3 else "…"
    return printable(" ".join(str(value)[: 4 * MAX_TEXT].split()))[:MAX_TEXT]


def scalar(value: object) -> Attribute:
    """A value as a number where it is one that nothing is lost of, otherwise as text."""
    if isinstance(value, Decimal) and value.is_finite() and Decimal(repr(float(value))) == value:
        return float(value)
    if (type(value) is float and math.isfinite(value)) or (
        type(value) is int and abs(value) < 2**63
    ):
        return value
    return text(value)


def attributes_of(pairs: dict[str, Any]) -> dict[str, Attribute]:
    """Numbers and short texts; a nested mapping becomes one attribute for each of its keys."""
    attributes: dict[str, Attribute] = {}
    for label, value in pairs.items():
        if value is None or len(attributes) == MAX_ATTRIBUTES:
            continue
        if isinstance(value, dict):
            attributes |= attributes_of(
                {
                    f"{label} {key}": text(each) if isinstance(each, dict) else each
                    for key, each in value.items()
                }
            )
        else:
            attributes[text(label)[:MAX_LABEL]] = scalar(value)
    return attributes

"""What all sources give: pictures that any process can read, and what is known of them."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn, Protocol

from utils.common.errors import UserError, printable
from utils.common.pictures import UnreadablePicture

EXPECTED = "expected a folder, .zip, .tar, .tar.gz, .parquet, .npz, .npy or .h5 file of pictures"

USUAL = ("image", "img", "picture", "photo", "x")  # names of what holds the pictures

MAX_ENTRIES = 1_000_000
MAX_TEXT = 500  # characters kept of a name or an attribute
MAX_LABEL = 60  # and of an attribute's name
MAX_ATTRIBUTES = 64

# Pictures are compressed already; what still shrinks a hundredfold is a bomb, or a blank BMP.
BOMB_BYTES = 32 * 2**20
BOMB_RATIO = 100
MAX_ROW_BYTES = 32 * 2**20  # of what is read in order: some pictures wait for a process

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
    """In a word, such as folder or zip, and what was found out of it."""
    left_out: list[tuple[str, str]]
    """What it holds and does not give: names, each with a reason."""

    def __init__(self, path: Path, shown: str, image_column: str) -> None:
        """List the pictures.

        Args:
            path: the file or folder.
            shown: how error messages name it.
            image_column: of a table, or an array of several; others ignore it.

        Raises:
            UserError: damaged, or a table without a column of pictures.
        """

    @staticmethod
    def recognises(path: Path, head: bytes) -> bool:
        """Whether a file that begins with ``head`` (4,096 bytes), or a folder, is of this kind."""

    def holds(self, path: Path) -> bool:
        """Whether a file at this path would be, or be in, the source."""

    def __len__(self) -> int:
        """How many pictures there are; of lists, the rows until all `entries` are read."""

    def entries(self) -> Iterator[Entry]:
        """The pictures, always in the same order."""


@contextlib.contextmanager
def damage_in_one_line(shown: str, kind: str) -> Iterator[None]:
    """Turn whatever a damaged file makes a library raise into one line that names the file."""
    try:
        yield
    except (UserError, UnreadablePicture):
        raise
    except ModuleNotFoundError as error:
        raise UserError(
            f"{shown}: a {kind}, which {error.name} reads: pip install {error.name}"
        ) from error
    except Exception as error:
        reason = printable(" ".join(str(error).split()))[:200] or type(error).__name__
        raise UserError(f"{shown}: a damaged {kind}: {reason}") from error


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
        is_missing = value is None or (isinstance(value, float) and math.isnan(value))
        if is_missing or len(attributes) == MAX_ATTRIBUTES:
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


def usual(names: list[str]) -> str:
    """Of names of columns, the one that is usual for pictures, or the only one; else empty."""
    found = [name for name in names if name.lower().rpartition("/")[2].removesuffix("s") in USUAL]
    return (found or names)[0] if 1 in (len(found), len(names)) else ""


def listed(names: list[str]) -> str:
    """The names of columns for a message: "a, b and 4 more"."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(map(text, names[:10])) + more or "none"

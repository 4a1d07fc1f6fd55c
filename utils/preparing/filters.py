"""Which pictures stay out of a data set, and why: plain numbers read off a picture, and thresholds.

What is measured is meant for drawings of machines on a plain ground. Sides and boxes are in pixels,
everything else is a share between 0 and 1 unless said otherwise.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from utils.common.errors import UserError
from utils.common.pictures import Colour, figure_box, figure_mask, place
from utils.data.datasets import printable

MEASURED_SIDE = 256  # measured on a picture no larger than this
HASHED_SIDE = 128

# Steps between neighbouring pixels, of 255 levels: below the first nothing, up to the second a
# gentle slope, above the third an outline.
GENTLE, STEEP, OUTLINE = 3, 16, 40

MAX_INK_CHROMA = 0.2  # more, and the darkest tone is no ink but the figure's colour


class Measures(NamedTuple):
    """What is read off a picture."""

    colour: float
    """How colourful the most colourful 2 % of the figure are, beside the tones between its ground
    and its darkest tone: brown ink on yellowed paper is black and white as well."""
    plainness: float
    """How much of the picture's border is of one colour."""
    lightness: float
    """How light that colour is."""
    photo: float
    """How many of the slopes in the figure are gentle ones, as of a lit body, and not outlines."""
    aspect: float
    """Height of the figure's box divided by its width."""


def measure(image: Image.Image, ground: Colour) -> Measures:
    """Measure an RGB picture whose ground is of the colour ``ground``."""
    longer = max(image.size)
    if longer > MEASURED_SIDE:
        size = tuple(max(1, round(side * MEASURED_SIDE / longer)) for side in image.size)
        image = image.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    pixels = np.asarray(image)
    figure = figure_mask(pixels, ground)
    border = np.concatenate([figure[0], figure[-1], figure[1:-1, 0], figure[1:-1, -1]])
    left, top, right, bottom = figure_box(image, ground)
    if figure.mean() < 0.005:
        figure[:] = True  # nothing stands out: judge all of it
    # In the light of the ground; a dark or colourful ground is not what lights the picture.
    light = np.asarray(ground, np.float32)
    if light.min() < 160:
        light = np.full(3, 255, np.float32)
    lit = np.minimum(pixels[figure] / light, 1)
    red, green, blue = ground
    return Measures(
        colour=_colour(lit),
        plainness=float(1 - border.mean()),
        lightness=(0.299 * red + 0.587 * green + 0.114 * blue) / 255,
        photo=_photo(image, figure),
        aspect=(bottom - top) / (right - left),
    )


def _colour(lit: np.ndarray) -> float:
    """How far the colours, float (N, 3) with a white ground of 1, are from one ink on paper."""
    brightness = lit.sum(axis=1)
    ink = lit[brightness <= np.percentile(brightness, 2)].mean(axis=0)
    if ink.max() - ink.min() > MAX_INK_CHROMA:
        ink = np.zeros(3, np.float32)
    # What is left of each colour beside the line from paper to ink, e.g. the shades of sepia.
    line = ink - 1
    along = (lit - 1) @ (line / max(1e-6, float(line @ line)))
    red, green, blue = (lit[:, channel] - 1 - along * line[channel] for channel in range(3))
    chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return float(np.percentile(chroma, 98))


def _photo(image: Image.Image, figure: np.ndarray) -> float:
    """The share of gentle slopes among slopes and outlines; 0 where there is neither."""
    if min(image.size) < 5:
        return 0.0
    planes = np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
    # The median takes the noise of a camera and the halos of JPEG, and leaves slopes and outlines.
    smooth = _median(planes)
    steps = (_largest(smooth) - _smallest(smooth)).max(axis=0)[figure[2:-2, 2:-2]]
    gentle = np.count_nonzero((steps > GENTLE) & (steps <= STEEP))
    outlines = np.count_nonzero(steps > OUTLINE)
    return gentle / max(1, gentle + outlines)


def _largest(planes: np.ndarray) -> np.ndarray:
    """Of 3 x 3 neighbours, without the border: uint8 (C, H, W) -> (C, H - 2, W - 2)."""
    rows = np.maximum(np.maximum(planes[:, :-2], planes[:, 1:-1]), planes[:, 2:])
    return np.maximum(np.maximum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])


def _smallest(planes: np.ndarray) -> np.ndarray:
    rows = np.minimum(np.minimum(planes[:, :-2], planes[:, 1:-1]), planes[:, 2:])
    return np.minimum(np.minimum(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])


def _median(planes: np.ndarray) -> np.ndarray:
    """As ``_largest``; from the columns of three, sorted: a tenth of the time of Pillow's filter.

    The median of nine is that of the largest of the smallest of each column, the median of their
    middles, and the smallest of their largest.
    """
    above, here, below = planes[:, :-2], planes[:, 1:-1], planes[:, 2:]
    low, high = np.minimum(above, here), np.maximum(above, here)
    smallest = np.minimum(low, below)
    middle = np.maximum(low, np.minimum(high, below))
    largest = np.maximum(high, below)

    def columns(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return values[:, :, :-2], values[:, :, 1:-1], values[:, :, 2:]

    left, centre, right = columns(smallest)
    of_smallest = np.maximum(np.maximum(left, centre), right)
    left, centre, right = columns(largest)
    of_largest = np.minimum(np.minimum(left, centre), right)
    return _middle(of_smallest, _middle(*columns(middle)), of_largest)


def _middle(first: np.ndarray, second: np.ndarray, third: np.ndarray) -> np.ndarray:
    low, high = np.minimum(first, second), np.maximum(first, second)
    return np.maximum(low, np.minimum(high, third))


# ------------------------------------------------------------------------------------------------
# Thresholds
# ------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Thresholds:
    """Where the filters reject; None switches one off."""

    min_colour: float | None = None
    min_plainness: float | None = None
    min_lightness: float | None = None
    max_photo: float | None = None
    min_aspect: float | None = None
    max_aspect: float | None = None
    near_duplicates: int | None = None
    """Bits of 256 in which the hashes of two pictures may differ for one to be rejected."""


MECHA = Thresholds(
    min_colour=0.06,
    min_plainness=0.65,
    min_lightness=0.7,
    max_photo=0.62,
    min_aspect=0.7,
    max_aspect=3.5,
    near_duplicates=8,
)
"""What ``--filters mecha`` sets. The README says what each was chosen on."""

# The filter's name in reports, its measure, and what is wrong, told with value and threshold.
_FILTERS = {
    "min_colour": ("black and white", "colour", "colours reach {:.2f}, wanted {:.2f}"),
    "min_plainness": (
        "background not plain", "plainness", "{:.0%} of the border in one colour, wanted {:.0%}",
    ),
    "min_lightness": ("background not light", "lightness", "lightness {:.2f}, wanted {:.2f}"),
    "max_photo": ("photograph", "photo", "{:.2f} of its slopes are gentle, wanted at most {:.2f}"),
    "min_aspect": (
        "shape of no biped", "aspect", "{:.2f} times as tall as wide, wanted {:.2f} or more",
    ),
    "max_aspect": (
        "shape of no biped", "aspect", "{:.2f} times as tall as wide, wanted {:.2f} or less",
    ),
}  # fmt: skip

FILTER_NAMES = (
    "unreadable", "too small", "exact duplicate", *dict.fromkeys(f[0] for f in _FILTERS.values()),
    "near duplicate", "excluded",
)  # fmt: skip


def judge(measures: Measures, thresholds: Thresholds) -> tuple[str, str] | None:
    """The first filter that rejects a picture and its reason in words, or None."""
    for option, (name, measured, sentence) in _FILTERS.items():
        threshold = getattr(thresholds, option)
        value = getattr(measures, measured)
        if threshold is not None and _excess(option, value, threshold) > 0:
            return name, sentence.format(value, threshold)
    return None


def suspicion(measures: Measures, thresholds: Thresholds) -> float:
    """How near a picture comes to being rejected: 0 at a threshold, above it beyond.

    Filters that are off count with what ``--filters mecha`` would set.
    """
    return max(
        _excess(
            option,
            getattr(measures, measured),
            getattr(MECHA if getattr(thresholds, option) is None else thresholds, option),
        )
        for option, (_, measured, _) in _FILTERS.items()
    )


def _excess(option: str, value: float, threshold: float) -> float:
    excess = value - threshold if option.startswith("max") else threshold - value
    return excess / 4 if option == "max_aspect" else excess


# ------------------------------------------------------------------------------------------------
# Near duplicates
# ------------------------------------------------------------------------------------------------


def hashes(image: Image.Image, ground: Colour) -> bytes:
    """Perceptual hashes of a picture, of its figure, and of both mirrored, 32 bytes each.

    That of the picture hardly changes when it is saved or resized again, that of the figure when
    it is given another margin.
    """
    import imagehash  # only where near duplicates are looked for

    found = []
    for mirrored in (False, True):
        if mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for box in ((0, 0, *image.size), figure_box(image, ground)):
            small = place(image, box, HASHED_SIDE, HASHED_SIDE - 8, ground)
            found.append(imagehash.phash(small, hash_size=16).hash.ravel())
    return np.packbits(np.concatenate(found)).tobytes()


class NearDuplicates:
    """Pictures kept so far, to be compared with the next."""

    def __init__(self, capacity: int, threshold: int) -> None:
        self.threshold = threshold
        self.known = np.empty((2, 4, capacity), np.uint64)  # of a picture and of its figure
        self.indices = np.empty(capacity, np.int64)
        self.count = 0

    def find(self, found: bytes) -> tuple[int, int, bool] | None:
        """The nearest known picture: its index, the bits that differ, whether it is mirrored.

        The lesser of the differences of pictures and figures counts.
        """
        best = None
        for number, words in enumerate(np.frombuffer(found, np.uint64).reshape(4, 4)):
            bits = np.zeros(self.count, np.uint16)
            for known, word in zip(self.known[number % 2, :, : self.count], words, strict=True):
                bits += np.bitwise_count(known ^ word)
            if len(bits) and (best is None or bits.min() < best[1]):
                nearest = int(bits.argmin())
                best = int(self.indices[nearest]), int(bits[nearest]), number >= 2
        return best if best is not None and best[1] <= self.threshold else None

    def add(self, index: int, found: bytes) -> None:
        """Let further pictures be compared with this one."""
        words = np.frombuffer(found, np.uint64).reshape(4, 4)
        self.known[:, :, self.count] = words[:2]
        self.indices[self.count] = index
        self.count += 1


# ------------------------------------------------------------------------------------------------
# What a person decided
# ------------------------------------------------------------------------------------------------


class Named(NamedTuple):
    """What identifies a picture to a person."""

    name: str
    file: str
    sha256: str
    """Of the file, hexadecimal; empty if it could not be read."""


class Decisions:
    """The pictures named by an ``exclude.txt`` or ``include.txt``.

    A line is the SHA-256 of a picture's file, or its name (its title, or its file with or without
    folders), or both, hash first. Both include this very picture, even if others are copies of it,
    but exclude all of its copies: one of them would take its place.
    Empty lines and those that start with ``#`` say nothing.

    Raises:
        UserError: the file cannot be read.
    """

    def __init__(self, option: str, path: str) -> None:
        self.option, self.path = option, path
        self.by_hash: dict[str, dict[str, int]] = {}  # hash -> name or "" -> line
        self.by_name: dict[str, int] = {}
        self.lines: dict[int, str] = {}
        if path:
            self._read(Path(path).expanduser(), f"{option} {printable(path)}")
        self.unused = set(self.lines)

    def _read(self, path: Path, shown: str) -> None:
        try:
            with open(path, "rb") as file:
                data = file.read(64 * 2**20)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"{shown}: {reason.lower()}; wanted a file of names or hashes, one a line"
            ) from error
        if b"\0" in data:
            raise UserError(f"{shown}: not a text; wanted names or hashes, one a line")
        for number, line in enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1):
            line = " ".join(line.split())
            if not line or line.startswith("#"):
                continue
            self.lines[number] = line
            found = re.fullmatch(r"([0-9a-fA-F]{64})(?: \*?(.+))?", line)
            if found:
                self.by_hash.setdefault(found[1].lower(), {})[found[2] or ""] = number
            else:
                self.by_name[line] = number

    def settle(self, pictures: Iterable[Named]) -> None:
        """Let a line whose name no picture has any more mean every picture of its hash."""
        lonely = {
            (digest, name): line
            for digest, names in self.by_hash.items()
            for name, line in names.items()
            if name
        }
        for picture in pictures if lonely else ():
            for name in (picture.name, picture.file):
                lonely.pop((picture.sha256, " ".join(name.split())), None)
        for (digest, _), line in lonely.items():
            self.by_hash[digest][""] = line
        if self.option == "--exclude":
            for names in self.by_hash.values():
                names.setdefault("", next(iter(names.values())))

    def match(self, picture: Named) -> str:
        """``name`` if this very picture is meant, ``hash`` if any of its bytes, or nothing."""
        names = (picture.name, picture.file, picture.file.rsplit("/", 1)[-1])
        names = [" ".join(name.split()) for name in names]
        of_hash = self.by_hash.get(picture.sha256, {})
        for name in names:
            line = of_hash.get(name, self.by_name.get(name))
            if line is not None:
                self.unused.discard(line)
                return "name"
        if "" in of_hash:
            self.unused.discard(of_hash[""])
            return "hash"
        return ""

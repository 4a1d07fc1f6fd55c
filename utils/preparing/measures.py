"""Five numbers read off a picture, which the filters compare with thresholds.

They are made for drawings of machines on a plain background; each is a share between 0 and 1 unless
said otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from utils.common.pictures import Colour, box_of, figure_mask

MEASURED_SIDE = 256  # measured on a picture no larger than this

# Steps between neighbouring pixels, of 255 levels: below the first nothing, up to the second a
# gentle slope, above the third an outline.
GENTLE, STEEP, OUTLINE = 3, 16, 40

MAX_INK_CHROMA = 0.2  # more, and the darkest tone is no ink but the figure's colour


class Measures(NamedTuple):
    """What is read off a picture."""

    colour: float
    """How colourful the most colourful 2 % of the figure are, compared with the tones between its
    background and its darkest tone: brown ink on yellowed paper is black and white as well."""
    plainness: float
    """How much of the picture's border is of one colour."""
    lightness: float
    """How light that colour is."""
    photo: float
    """The share of gentle slopes, as of a lit body, among slopes and outlines of the figure."""
    aspect: float
    """Height of the figure's box divided by its width."""


def measure(image: Image.Image, background: Colour) -> Measures:
    """The measures of an RGB picture with a background of this colour."""
    longer = max(image.size)
    if longer > MEASURED_SIDE:
        size = tuple(max(1, round(side * MEASURED_SIDE / longer)) for side in image.size)
        image = image.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    pixels = np.asarray(image)
    figure = figure_mask(pixels, background)
    border = np.concatenate([figure[0], figure[-1], figure[1:-1, 0], figure[1:-1, -1]])
    left, top, right, bottom = box_of(figure)
    if figure.mean() < 0.005:
        figure[:] = True  # nothing stands out: measure all of it
    # Colours are divided by that of the paper; a dark or colourful background is no paper.
    light = np.asarray(background, np.float32)
    if light.min() < 160:
        light = np.full(3, 255, np.float32)
    lit = np.minimum(pixels[figure] / light, 1)
    red, green, blue = background
    return Measures(
        colour=_colour(lit),
        plainness=float(1 - border.mean()),
        lightness=(0.299 * red + 0.587 * green + 0.114 * blue) / 255,
        photo=_photo(image, figure),
        aspect=(bottom - top) / (right - left),
    )


def _colour(lit: np.ndarray) -> float:
    """How far the colours, float (N, 3) with white paper at 1, are from one ink on it."""
    brightness = lit.sum(axis=1)
    ink = lit[brightness <= np.percentile(brightness, 2)].mean(axis=0)
    if ink.max() - ink.min() > MAX_INK_CHROMA:
        ink = np.zeros(3, np.float32)
    # What is left of each colour off the line from paper to ink, e.g. the shades of sepia.
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

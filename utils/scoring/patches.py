"""Sets of images, compared by their details: sliced Wasserstein distance and sharpness."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from utils.common.processes import cores
from utils.scoring.images import (
    channels_first,
    check_counts,
    check_images,
    chunks,
    content_order,
    filtered,
    images_at_once,
)
from utils.scoring.registry import NothingToCompareError, Score, metric

PATCH = 7
COARSEST_LEVEL = 16
PROJECTED_VALUES = 8 * 2**20
"""Projections that are sorted at once."""
LEAST_DIRECTIONS = 16
"""Each product reads all patches, which with half a dozen directions at once takes longer than
sorting what comes of it."""


@metric(
    Score("swd", "distance of patches, all sizes", "less", decimals=1, chooses=True),
    needs=("images", "seed"),
)
def swd(
    fakes: np.ndarray,
    reals: np.ndarray,
    seed: int = 0,
    patches: int = 128,
    repeats: int = 4,
    directions: int = 128,
) -> dict[str, float]:
    """Sliced Wasserstein distance between patches of two sets, for each level of a pyramid.

    Karras, Aila, Laine, Lehtinen: Progressive Growing of GANs, 2018, section 5. A Laplacian pyramid
    down to 16 px; 7x7 patches of each image and level; each channel normalised by the mean and
    deviation of its set; patches projected on random directions, sorted and subtracted. The finest
    level sees pixels and speckle, the coarsest (16 px) the figure's shape. As contrast and colour
    cast of a whole set are normalised away, and patches know neither their place nor their image, a
    good SWD alone does not make a good robot.

    Patches are at the same places in both sets, and the images sorted by content before the places
    are drawn: the order of the images does not matter, and a set has distance 0 to itself.

    Args:
        fakes: uint8 (N, H, H, 3), H a power of two, at least 16.
        reals: as many.
        seed: of places and directions.
        patches: of each image and level.
        repeats: times that ``directions`` directions are drawn.
        directions: a time.

    Returns:
        The distance x 1000, ``swd``, the mean over its levels ``swd_64``, ``swd_32``, ... (finest
        first); 0 is best. What reals get against other reals is a few units and grows as images get
        fewer.

    Raises:
        ValueError: numbers or sizes of the images that differ, or a size that does not fit.
    """
    check_images(fakes=fakes, reals=reals)
    check_counts(fakes, reals)
    size = fakes.shape[1]
    if fakes.shape[2] != size or size < COARSEST_LEVEL or size & (size - 1):
        raise ValueError(
            f"expected square images of {COARSEST_LEVEL}, 32, 64, ... px, found "
            f"{fakes.shape[1]}x{fakes.shape[2]}"
        )
    orders = content_order(fakes), content_order(reals)
    levels = {}
    level = size
    while level >= COARSEST_LEVEL:
        first, second = (
            _descriptors(images, order, level, patches, seed)
            for images, order in zip((fakes, reals), orders, strict=True)
        )
        random = np.random.default_rng([seed, level, 1])
        lines = random.standard_normal((repeats * directions, first.shape[1]))
        lines = (lines / np.linalg.norm(lines, axis=1, keepdims=True)).astype(np.float32)
        levels[f"swd_{level}"] = _sliced_distance(first, second, lines)
        # Or they would be held while those of the next level are made.
        del first, second
        level //= 2
    return {"swd": float(np.mean(list(levels.values())))} | levels


def _sliced_distance(first: np.ndarray, second: np.ndarray, lines: np.ndarray) -> float:
    """1000 x the mean difference of the sorted projections of two sets of points on the lines."""
    block = max(LEAST_DIRECTIONS, PROJECTED_VALUES // len(first))
    total = 0.0
    for start in range(0, len(lines), block):
        some = lines[start : start + block]
        # Lines by rows: a sort along memory is several times as fast as across it.
        difference, other = some @ first.T, some @ second.T
        parts = [part for each in (difference, other) for part in np.array_split(each, cores())]
        with ThreadPoolExecutor(cores()) as threads:  # a sort lets other threads run
            list(threads.map(functools.partial(np.ndarray.sort, axis=1), parts))
        difference -= other
        total += float(np.abs(difference, out=difference).sum(dtype=np.float64))
    return 1000 * total / (len(lines) * len(first))


def _descriptors(
    images: np.ndarray, order: np.ndarray, level: int, patches: int, seed: int
) -> np.ndarray:
    """Normalised patches of one level, float32 (N * patches, C * 7 * 7)."""
    random = np.random.default_rng([seed, level, 0])
    channels = images.shape[-1]
    result = np.empty((len(images) * patches, channels, PATCH, PATCH), np.float32)
    sums = np.zeros((2, channels))
    places = random.integers(0, level - PATCH + 1, (len(images), 2, patches), np.int16)
    rows = images_at_once(images, 4)
    for start in range(0, len(order), rows):
        chunk = channels_first(images[order[start : start + rows]], np.float32)
        while chunk.shape[-1] > level:
            chunk = _halved(chunk)
        if level > COARSEST_LEVEL:
            chunk = _detail(chunk)
        count = len(chunk)
        top, left = places[start : start + count].transpose(1, 0, 2).reshape(2, -1)
        windows = np.lib.stride_tricks.sliding_window_view(chunk, (PATCH, PATCH), (2, 3))
        part = windows[np.repeat(np.arange(count), patches), :, top, left]
        sums += part.sum((0, 2, 3), dtype=np.float64), (part.astype(np.float64) ** 2).sum((0, 2, 3))
        result[start * patches : (start + count) * patches] = part
    mean, square = sums / (len(result) * PATCH**2)
    deviation = np.sqrt(np.maximum(square - mean**2, 0))
    # A channel that is the same everywhere has nothing to compare.
    deviation = np.where(deviation < 1e-3, np.inf, deviation)
    result -= mean.astype(np.float32)[:, None, None]
    result /= deviation.astype(np.float32)[:, None, None]
    return result.reshape(len(result), -1)


def detail_share(images: np.ndarray) -> float:
    """Share of the pictures' energy that is in their finest details, in [0, 1].

    The energy of the finest level of a Laplacian pyramid (above about half of the frequencies that
    pixels can show) over the energy around each image's mean, both summed over the set. 0 for
    images of one colour.

    Args:
        images: uint8 (N, H, W, 3), sides even and at least 4 px.

    Raises:
        ValueError: shapes that do not fit.
    """
    check_images(images=images)
    if any(side % 2 or side < 4 for side in images.shape[1:3]):
        raise ValueError(f"expected even sides of at least 4 px, found {images.shape[1:3]}")
    energy = np.zeros(2)
    for chunk in chunks(images):
        pixels = channels_first(chunk)
        pixels -= pixels.mean((2, 3), keepdims=True)
        energy += np.sum(_detail(pixels) ** 2), np.sum(pixels**2)
    return float(energy[0] / energy[1]) if energy[1] > 1e-6 else 0.0


@metric(
    Score("sharpness", "fine detail, of reals 1; less is smudged, more speckled"),
    needs=("images",),
    of_reals=detail_share,
)
def sharpness(fakes: np.ndarray, reals: np.ndarray, share_of_reals: float | None = None) -> float:
    """`detail_share` of the fakes over that of the reals.

    1 is as sharp as the reals, 0.5 visibly smudged. More than 1 is speckle, noise or chequered
    patterns rather than sharper lines.

    Args:
        fakes: uint8 (N, H, W, 3), sides even and at least 4 px.
        reals: uint8 (M, H, W, 3).
        share_of_reals: if it is known already.

    Raises:
        ValueError: shapes that do not fit.
        NothingToCompareError: the reals are of one colour each.
    """
    check_images(fakes=fakes, reals=reals)
    share = detail_share(reals) if share_of_reals is None else share_of_reals
    if not share:
        raise NothingToCompareError("reals: no details at all to compare with")
    return detail_share(fakes) / share


def _halved(images: np.ndarray) -> np.ndarray:
    """The next level of the Gaussian pyramid: (..., H, W) to (..., H / 2, W / 2)."""
    height, width = images.shape[-2:]
    return filtered(images, _halving(height, images.dtype), _halving(width, images.dtype))


def _detail(images: np.ndarray) -> np.ndarray:
    """What halving loses: a level of the Laplacian pyramid, (..., H, W)."""
    height, width = images.shape[-2:]
    coarse = _halved(images)
    return images - filtered(
        coarse, _doubling(height, images.dtype), _doubling(width, images.dtype)
    )


@functools.cache
def _halving(size: int, dtype: type) -> np.ndarray:
    return _binomial(size)[::2].astype(dtype)


@functools.cache
def _doubling(size: int, dtype: type) -> np.ndarray:
    """From size / 2 to size: zeros in between, filtered, at twice the height."""
    return 2 * _binomial(size)[:, ::2].astype(dtype)


@functools.cache
def _binomial(size: int) -> np.ndarray:
    """The pyramid's filter, (1, 4, 6, 4, 1) / 16 mirrored at the borders: (size, size)."""
    matrix = np.zeros((size, size))
    for offset, tap in zip(range(-2, 3), (1, 4, 6, 4, 1), strict=True):
        source = np.abs(np.arange(size) + offset)
        source = np.where(source >= size, 2 * (size - 1) - source, source)
        np.add.at(matrix, (np.arange(size), source), tap / 16)
    return matrix

"""How alike two images are, SSIM and MS-SSIM, and the images of one set."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from utils.scoring.images import channels_first, check_images, chunks, content_order, filtered
from utils.scoring.registry import Score, metric

WINDOW = 11
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Published with MS-SSIM, the finest scale first."""
PAIR_BYTES = 128 * 2**20
"""Of the first images of the pairs that are gathered at once."""


def ssim(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Structural similarity of each image with its counterpart.

    Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment, 2004, equation 13, with an 11x11
    Gaussian window (sigma 1.5) that stays inside the image, K = 0.01 and 0.03, for each channel of
    0 to 255; the mean over channels and places.

    Args:
        images: uint8 (N, H, W, 3), at least 11 px.
        others: as many, of the same size.

    Returns:
        float64 (N,) in [-1, 1]; 1 is the same picture, 0 nothing in common.

    Raises:
        ValueError: shapes that differ, or images under 11 px.
    """
    return np.concatenate(
        [_similarity(*pair)[0].mean(1) for pair in _paired_chunks(images, others)]
    )


def ms_ssim(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Multi-scale structural similarity of each image with its counterpart.

    Wang, Simoncelli, Bovik: Multiscale structural similarity, 2003, equation 7. Below 176 px there
    is no room for five scales: the number is `scales` of the smaller side, and the weights of those
    that are left are divided by their sum. So values compare at one image size only. Negative terms
    count as 0.

    Args:
        images: uint8 (N, H, W, 3), at least 11 px; both sides divisible by 2 ** (scales - 1).
        others: as many, of the same size.

    Returns:
        float64 (N,) in [0, 1]; 1 is the same picture.

    Raises:
        ValueError: shapes that differ, or a size that does not fit.
    """
    pairs = _paired_chunks(images, others)
    count = scales(min(images.shape[1:3]))
    if any(side % 2 ** (count - 1) for side in images.shape[1:3]):
        raise ValueError(
            f"{count} scales need sides divisible by {2 ** (count - 1)}, found {images.shape[1:3]}"
        )
    weights = np.array(SCALE_WEIGHTS[:count]) / sum(SCALE_WEIGHTS[:count])
    results = []
    for first, second in pairs:
        product = np.ones(first.shape[:2])
        for scale, weight in enumerate(weights):
            similarity, structure = _similarity(first, second)
            term = similarity if scale == count - 1 else structure
            product *= np.maximum(term, 0) ** weight
            first, second = _pooled(first), _pooled(second)
        results.append(product.mean(1))
    return np.concatenate(results)


def scales(size: int) -> int:
    """How many scales MS-SSIM has for images of ``size`` px, at most 5.

    The 11x11 window must fit in the coarsest: 5 from 176 px, 4 from 88 px, 3 from 44 px, 2 from
    22 px, else 1.
    """
    return next(n for n in range(5, 0, -1) if n == 1 or size // 2 ** (n - 1) >= WINDOW)


class Similarity(NamedTuple):
    """How alike the images of a set are."""

    mean: float
    """Mean MS-SSIM over the pairs, in [0, 1]."""
    error: float
    """Standard error of that mean."""


def mean_similarity(images: np.ndarray, pairs: int = 1000, seed: int = 0) -> Similarity:
    """Mean MS-SSIM over pairs of different images of one set, chosen by ``seed``.

    Odena, Olah, Shlens: Conditional Image Synthesis with Auxiliary Classifier GANs, 2017, section
    4.2.

    Args:
        images: uint8 (N, H, W, 3), at least two; sizes as for `ms_ssim`.
        pairs: how many.
        seed: of the choice.

    Raises:
        ValueError: fewer than two images, or a size that does not fit.
    """
    check_images(least=2, images=images)
    order = content_order(images)
    random = np.random.default_rng(seed)
    first = random.integers(0, len(images), pairs)
    second = (first + random.integers(1, len(images), pairs)) % len(images)
    block = max(1, PAIR_BYTES // images[0].size)
    values = np.concatenate(
        [
            ms_ssim(images[order[first[i : i + block]]], images[order[second[i : i + block]]])
            for i in range(0, pairs, block)
        ]
    )
    return Similarity(float(values.mean()), float(values.std() / np.sqrt(pairs)))


@metric(
    Score("likeness", "how alike two images are; as for reals is right, 1 is all the same"),
    needs=("images", "seed", "pairs"),
    of_reals=mean_similarity,
)
def likeness(
    fakes: np.ndarray,
    reals: np.ndarray,
    similarity_of_reals: Similarity | None = None,
    pairs: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """`mean_similarity` of the fakes, with the error of the mean, and of the reals.

    About equal is good; higher by several errors means samples that look alike (1: they are all the
    same). White backgrounds put both far above 0. Lower than the reals is not better: noise is very
    diverse.

    Args:
        fakes: uint8 (N, H, W, 3), at least two; sizes as for `ms_ssim`.
        reals: as many, or the values do not compare.
        similarity_of_reals: if it is known already.
        pairs: of images of one set.
        seed: of the choice of pairs.

    Raises:
        ValueError: fewer than two images, or a size that does not fit.
    """
    mean, error = mean_similarity(fakes, pairs, seed)
    known = similarity_of_reals or mean_similarity(reals, pairs, seed)
    return {"likeness": mean, "likeness_spread": error, "likeness_reals": known.mean}


def alikeness(scores: Mapping[str, float]) -> float:
    """How much more alike generated images are than reals: 0 as reals are, 1 all the same.

    (l - r) / (1 - r), where l is the ``likeness`` of generated images and r that of reals. If the
    images were only k different ones, each as often, a share 1 / k of the pairs would be twice the
    same one, with an MS-SSIM of 1, so that this would be 1 / k. NaN where the reals are
    all the same.
    """
    reals = scores["likeness_reals"]
    return (scores["likeness"] - reals) / (1 - reals) if reals < 1 - 1e-9 else math.nan


def _paired_chunks(
    images: np.ndarray, others: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    check_images(images=images, others=others)
    if len(images) != len(others):
        raise ValueError(f"expected pairs, found {len(images)} images and {len(others)} others")
    if min(images.shape[1:3]) < WINDOW:
        raise ValueError(
            f"expected images of at least {WINDOW} px, found {images.shape[1]}x{images.shape[2]}"
        )
    return (
        (channels_first(first), channels_first(second))
        for first, second in zip(chunks(images), chunks(others), strict=True)
    )


def _similarity(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SSIM and its contrast-structure term, means over places: (n, C, H, W) to two of (n, C)."""
    rows, columns = _window(first.shape[-2]), _window(first.shape[-1])
    mean_1, mean_2 = filtered(first, rows, columns), filtered(second, rows, columns)
    means = mean_1**2 + mean_2**2
    variances = filtered(first**2 + second**2, rows, columns) - means
    covariance = filtered(first * second, rows, columns) - mean_1 * mean_2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    structure = (2 * covariance + c2) / (variances + c2)
    similarity = structure * (2 * mean_1 * mean_2 + c1) / (means + c1)
    return similarity.mean((2, 3)), structure.mean((2, 3))


@functools.cache
def _window(size: int) -> np.ndarray:
    """The Gaussian window of SSIM, only where it lies inside: (size - 10, size)."""
    taps = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * 1.5**2))
    matrix = np.zeros((size - WINDOW + 1, size))
    for row, line in enumerate(matrix):
        line[row : row + WINDOW] = taps / taps.sum()
    return matrix


def _pooled(images: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels; a last odd row or column is left out."""
    height, width = (side // 2 * 2 for side in images.shape[-2:])
    images = images[..., :height, :width]
    return (
        images[..., ::2, ::2]
        + images[..., 1::2, ::2]
        + images[..., ::2, 1::2]
        + images[..., 1::2, 1::2]
    ) / 4

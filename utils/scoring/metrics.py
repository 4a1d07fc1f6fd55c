"""Scores of generated images against real ones, computed from the pictures alone.

    scorer = Scorer(held_out, training=training_images)
    scores, floor = scorer.score(generated), scorer.floor()

Every function takes uint8 images (N, H, W, 3), or features (N, D), and can be called by itself;
`Scorer` keeps what depends on the reals alone. A score means little without its floor: what other
real pictures, as many, get in the same place.

Nothing here is downloaded. ``random`` features come from three convolutional networks with random
weights, which see colours, textures and layout but know no objects; so their numbers compare
generators on one data set, never data sets or papers. ``inception`` features are those of Keras'
InceptionV3, where its weights are there already.

The order of the images does not matter: whatever is drawn at random (patches, pairs) is drawn after
sorting them by content. Sums are in float64. Memory stays bounded, whatever the size of the
images: 10,000 against 10,000 of 64 px took 2.0 GB beyond the images for SWD (all patches of a
level, in float32), 1.2 GB for the neighbourhoods and 1.0 GB for KID, a `Scorer`'s own copy of the
images, in order, included; docs/metrics.md has more.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from utils import backend  # noqa: F401 - before Keras: it keeps its start quiet
from utils.common.errors import UserError

# isort: split
import keras
from keras import ops

FeatureKind = Literal["random", "inception"]

GROUPS = ("kid", "fid", "neighbours", "copies", "swd", "diversity", "sharpness")
"""What `Scorer` can compute, in the order in which its scores stand."""

# Wang, Simoncelli, Bovik (2003), the finest scale first.
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW = 11
PATCH = 7
COARSEST_LEVEL = 16
NETWORKS = 3
# Of the random networks, stage by stage; later stages keep the last.
WIDTHS = (32, 64, 128)

INCEPTION_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
INCEPTION_ADDRESS = (
    f"https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/{INCEPTION_FILE}"
)

# Images, and numbers, that are worked on at once.
IMAGE_BYTES = 32 * 2**20
BLOCK_VALUES = 4 * 2**20
LEAST_LINES = 16
# From this side on, a BLAS takes several threads for the product with a single image.
THREADED_SIDE = 128


# ------------------------------------------------------------------------------------------------
# Images: checks, order, chunks, filters
# ------------------------------------------------------------------------------------------------


def _check_images(least: int = 1, **images: np.ndarray) -> None:
    """Raise ValueError unless every argument is uint8 (N, H, W, 3) of one size, N >= least."""
    sizes = set()
    for name, array in images.items():
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
            raise ValueError(
                f"{name}: found {array.dtype} {array.shape}, wanted uint8 (N, H, W, 3)"
            )
        if len(array) < least:
            raise ValueError(f"{name}: found {len(array)} images, wanted at least {least}")
        sizes.add(array.shape[1:3])
    if len(sizes) > 1:
        found = " and ".join(f"{name} {array.shape[1:3]}" for name, array in images.items())
        raise ValueError(f"images of one size wanted, found {found}")


def _check_counts(fakes: np.ndarray, reals: np.ndarray) -> None:
    if len(fakes) != len(reals):
        raise ValueError(
            f"as many fakes as reals wanted, found {len(fakes)} and {len(reals)}: scores depend on "
            "the number of images"
        )


def _check_features(least: int, **features: np.ndarray) -> None:
    widths = set()
    for name, array in features.items():
        if array.ndim != 2:
            raise ValueError(f"{name}: found features of shape {array.shape}, wanted (N, D)")
        if len(array) < least:
            raise ValueError(f"{name}: found {len(array)} images, wanted at least {least}")
        widths.add(array.shape[1])
    if len(widths) > 1:
        raise ValueError(f"features of one width wanted, found {sorted(widths)}")


def content_order(images: np.ndarray) -> np.ndarray:
    """Indices (N,) that sort images by a hash of their pixels.

    Two sets of the same images, in whatever order, are the same sequence afterwards. The order has
    nothing to do with what the pictures show, so its first half is a fair half.
    """
    digests = [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
    return np.array(sorted(range(len(images)), key=digests.__getitem__), dtype=np.int64)


def _sorted(images: np.ndarray) -> np.ndarray:
    return images[content_order(images)]


def _chunks(images: np.ndarray, bytes_per_value: int = 8) -> Iterator[np.ndarray]:
    rows = max(1, IMAGE_BYTES // (images[0].size * bytes_per_value))
    for start in range(0, len(images), rows):
        yield images[start : start + rows]


def _channels_first(images: np.ndarray, dtype: type = np.float64) -> np.ndarray:
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype)


def _filtered(images: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A separable filter as two matrix products: (..., H, W) to (..., len(rows), len(columns))."""
    height, width = images.shape[-2:]
    if max(height, width) < THREADED_SIDE:
        return rows @ images @ columns.T
    # NumPy multiplies image by image, and of large ones each would wake all threads for a moment:
    # at 256 px, one product of all images takes a twentieth of the time.
    across = images.reshape(-1, width) @ columns.T
    across = across.reshape(*images.shape[:-1], len(columns)).swapaxes(-1, -2)
    down = across.reshape(-1, height) @ rows.T
    return down.reshape(*across.shape[:-1], len(rows)).swapaxes(-1, -2)


@functools.cache
def _window(size: int) -> np.ndarray:
    """The Gaussian window of SSIM, sigma 1.5, only where it lies inside: (size - 10, size)."""
    taps = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * 1.5**2))
    matrix = np.zeros((size - WINDOW + 1, size))
    for row, line in enumerate(matrix):
        line[row : row + WINDOW] = taps / taps.sum()
    return matrix


@functools.cache
def _binomial(size: int) -> np.ndarray:
    """The pyramid's filter, (1, 4, 6, 4, 1) / 16 mirrored at the borders: (size, size)."""
    matrix = np.zeros((size, size))
    for offset, tap in zip(range(-2, 3), (1, 4, 6, 4, 1), strict=True):
        source = np.abs(np.arange(size) + offset)
        source = np.where(source >= size, 2 * (size - 1) - source, source)
        np.add.at(matrix, (np.arange(size), source), tap / 16)
    return matrix


@functools.cache
def _halving(size: int, dtype: type) -> np.ndarray:
    return _binomial(size)[::2].astype(dtype)


@functools.cache
def _doubling(size: int, dtype: type) -> np.ndarray:
    """From size / 2 to size: zeros in between, filtered, at twice the height."""
    return 2 * _binomial(size)[:, ::2].astype(dtype)


def _halved(images: np.ndarray) -> np.ndarray:
    height, width = images.shape[-2:]
    return _filtered(images, _halving(height, images.dtype), _halving(width, images.dtype))


def _detail(images: np.ndarray) -> np.ndarray:
    """What halving loses: a level of the Laplacian pyramid, (..., H, W)."""
    height, width = images.shape[-2:]
    coarse = _halved(images)
    return images - _filtered(
        coarse, _doubling(height, images.dtype), _doubling(width, images.dtype)
    )


# ------------------------------------------------------------------------------------------------
# Pairs of images: SSIM
# ------------------------------------------------------------------------------------------------


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
    _check_pairs(images, others)
    return np.concatenate(
        [_similarity(*pair)[0].mean(1) for pair in _paired_chunks(images, others)]
    )


def scales(size: int) -> int:
    """How many scales MS-SSIM has for images of ``size`` px, at most 5.

    The 11x11 window must fit in the coarsest: 5 from 176 px, 4 from 88 px, 3 from 44 px, 2 from
    22 px, else 1.
    """
    return next(n for n in range(5, 0, -1) if n == 1 or size // 2 ** (n - 1) >= WINDOW)


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
    _check_pairs(images, others)
    count = scales(min(images.shape[1:3]))
    if any(side % 2 ** (count - 1) for side in images.shape[1:3]):
        raise ValueError(
            f"{count} scales want sides divisible by {2 ** (count - 1)}, found {images.shape[1:3]}"
        )
    weights = np.array(SCALE_WEIGHTS[:count]) / sum(SCALE_WEIGHTS[:count])
    results = []
    for first, second in _paired_chunks(images, others):
        product = np.ones(first.shape[:2])
        for scale, weight in enumerate(weights):
            similarity, structure = _similarity(first, second)
            term = similarity if scale == count - 1 else structure
            product *= np.maximum(term, 0) ** weight
            first, second = _pooled(first), _pooled(second)
        results.append(product.mean(1))
    return np.concatenate(results)


def _check_pairs(images: np.ndarray, others: np.ndarray) -> None:
    _check_images(images=images, others=others)
    if len(images) != len(others):
        raise ValueError(f"pairs wanted, found {len(images)} images and {len(others)} others")
    if min(images.shape[1:3]) < WINDOW:
        raise ValueError(
            f"images of at least {WINDOW} px wanted, found {images.shape[1]}x{images.shape[2]}"
        )


def _paired_chunks(
    images: np.ndarray, others: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first, second in zip(_chunks(images), _chunks(others), strict=True):
        yield _channels_first(first), _channels_first(second)


def _similarity(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SSIM and its contrast-structure term, means over places: (n, 3, H, W) to two of (n, 3)."""
    rows, columns = _window(first.shape[-2]), _window(first.shape[-1])
    mean_1, mean_2 = _filtered(first, rows, columns), _filtered(second, rows, columns)
    means = mean_1**2 + mean_2**2
    variances = _filtered(first**2 + second**2, rows, columns) - means
    covariance = _filtered(first * second, rows, columns) - mean_1 * mean_2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    structure = (2 * covariance + c2) / (variances + c2)
    similarity = structure * (2 * mean_1 * mean_2 + c1) / (means + c1)
    return similarity.mean((2, 3)), structure.mean((2, 3))


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


class Diversity(NamedTuple):
    """How alike the images of a set are."""

    mean: float
    """Mean MS-SSIM over the pairs, in [0, 1]."""
    error: float
    """Standard error of that mean."""


def diversity(images: np.ndarray, pairs: int = 1000, seed: int = 0) -> Diversity:
    """Mean MS-SSIM over pairs of different images of one set, chosen by ``seed``.

    Odena, Olah, Shlens: Conditional Image Synthesis with Auxiliary Classifier GANs, 2017, section
    4.2. Compare it with the same number of real images: about equal is good; higher by several
    errors means samples that look alike (1: they are all the same). White backgrounds put it far
    above 0 even for reals. Lower than the reals is not better: noise is very diverse.

    Args:
        images: uint8 (N, H, W, 3), at least two; sizes as for `ms_ssim`.
        pairs: how many.
        seed: of the choice.

    Raises:
        ValueError: fewer than two images, or a size that does not fit.
    """
    _check_images(least=2, images=images)
    order = content_order(images)
    random = np.random.default_rng(seed)
    first = random.integers(0, len(images), pairs)
    second = (first + random.integers(1, len(images), pairs)) % len(images)
    block = max(1, 4 * IMAGE_BYTES // images[0].size)
    values = np.concatenate(
        [
            ms_ssim(images[order[first[i : i + block]]], images[order[second[i : i + block]]])
            for i in range(0, pairs, block)
        ]
    )
    return Diversity(float(values.mean()), float(values.std() / np.sqrt(pairs)))


# ------------------------------------------------------------------------------------------------
# Sets of images without features: SWD, sharpness
# ------------------------------------------------------------------------------------------------


def swd(
    fakes: np.ndarray,
    reals: np.ndarray,
    seed: int = 0,
    patches: int = 128,
    repeats: int = 4,
    directions: int = 128,
) -> dict[int, float]:
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
        The distance x 1000 for each level's size, finest first; 0 is best. What reals get against
        other reals is a few units and grows as images get fewer.

    Raises:
        ValueError: numbers or sizes of the images that differ, or a size that does not fit.
    """
    _check_images(fakes=fakes, reals=reals)
    _check_counts(fakes, reals)
    size = fakes.shape[1]
    if fakes.shape[2] != size or size < COARSEST_LEVEL or size & (size - 1):
        raise ValueError(
            f"square images of {COARSEST_LEVEL}, 32, 64, ... px wanted, found "
            f"{fakes.shape[1]}x{fakes.shape[2]}"
        )
    orders = content_order(fakes), content_order(reals)
    result = {}
    level = size
    while level >= COARSEST_LEVEL:
        first, second = (
            _descriptors(images, order, level, patches, seed)
            for images, order in zip((fakes, reals), orders, strict=True)
        )
        random = np.random.default_rng([seed, level, 1])
        lines = random.standard_normal((repeats * directions, first.shape[1]))
        lines = (lines / np.linalg.norm(lines, axis=1, keepdims=True)).astype(np.float32)
        # Each product reads all patches, which with half a dozen lines at once takes longer than
        # sorting what comes of it.
        block = max(LEAST_LINES, BLOCK_VALUES * 2 // len(first))
        total = 0.0
        for start in range(0, len(lines), block):
            some = lines[start : start + block]
            # Lines by rows: a sort along memory is several times as fast as across it.
            difference = np.sort(some @ first.T, axis=1)
            difference -= np.sort(some @ second.T, axis=1)
            total += float(np.abs(difference, out=difference).sum(dtype=np.float64))
        result[level] = 1000 * total / (len(lines) * len(first))
        # Or they would be held while those of the next level are made.
        del first, second
        level //= 2
    return result


def _descriptors(
    images: np.ndarray, order: np.ndarray, level: int, patches: int, seed: int
) -> np.ndarray:
    """Normalised patches of one level, float32 (N * patches, 3 * 7 * 7)."""
    random = np.random.default_rng([seed, level, 0])
    result = np.empty((len(images) * patches, 3, PATCH, PATCH), np.float32)
    sums = np.zeros((2, 3))
    places = random.integers(0, level - PATCH + 1, (len(images), 2, patches), np.int16)
    rows = max(1, IMAGE_BYTES // (images[0].size * 4))
    for start in range(0, len(order), rows):
        chunk = _channels_first(images[order[start : start + rows]], np.float32)
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
    _check_images(images=images)
    if any(side % 2 or side < 4 for side in images.shape[1:3]):
        raise ValueError(f"even sides of at least 4 px wanted, found {images.shape[1:3]}")
    energy = np.zeros(2)
    for chunk in _chunks(images):
        pixels = _channels_first(chunk)
        pixels -= pixels.mean((2, 3), keepdims=True)
        energy += np.sum(_detail(pixels) ** 2), np.sum(pixels**2)
    return float(energy[0] / energy[1]) if energy[1] > 1e-6 else 0.0


def sharpness(fakes: np.ndarray, reals: np.ndarray) -> float:
    """`detail_share` of the fakes over that of the reals.

    1 is as sharp as the reals, 0.5 visibly smudged. More than 1 is speckle, noise or chequered
    patterns rather than sharper lines.

    Args:
        fakes: uint8 (N, H, W, 3), sides even and at least 4 px.
        reals: uint8 (M, H, W, 3).

    Raises:
        ValueError: shapes that do not fit, or reals of one colour each.
    """
    _check_images(fakes=fakes, reals=reals)
    share = detail_share(reals)
    if not share:
        raise ValueError("reals: no details at all to compare with")
    return detail_share(fakes) / share


# ------------------------------------------------------------------------------------------------
# Sets of features: KID, FID, neighbourhoods, copies
# ------------------------------------------------------------------------------------------------


def _distances(features: np.ndarray, others: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances to all others, float64 (n, M), for slices of the features."""
    # Around one centre: what two sets have in common would only cost digits.
    centre = others.mean(0, dtype=np.float64)
    turned = np.ascontiguousarray((others - centre).T)
    other_squares = np.einsum("ij,ij->j", turned, turned)
    rows = max(1, BLOCK_VALUES // max(len(others), others.shape[1]))
    for start in range(0, len(features), rows):
        block = features[start : start + rows] - centre
        squares = np.einsum("ij,ij->i", block, block)[:, None] + other_squares
        distances = block @ turned
        distances *= -2
        distances += squares
        # The same features twice are at a distance of exactly 0, whatever rounding left.
        distances[distances < 1e-12 * squares] = 0
        yield slice(start, start + len(block)), distances


def radii(features: np.ndarray, k: int = 5) -> np.ndarray:
    """Squared distance of each feature to its k-th nearest other one, float64 (N,).

    Raises:
        ValueError: not more than ``k`` features.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, found {k}")
    _check_features(k + 1, features=features)
    result = np.empty(len(features))
    for rows, distances in _distances(features, features):
        distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = -1
        result[rows] = np.partition(distances, k, axis=1)[:, k]
    return result


def neighbour_scores(
    fakes: np.ndarray, reals: np.ndarray, k: int = 5, real_radii: np.ndarray | None = None
) -> dict[str, float]:
    """Precision, recall, their harmonic mean, density and coverage from balls around the features.

    The ball of a feature reaches to its k-th nearest neighbour in its own set.

    * ``precision``: share of the fakes in the ball of any real one; ``recall``: share of the reals
      in the ball of any fake. In [0, 1], 1 is best. Kynkäänniemi, Karras, Laine, Lehtinen, Aila:
      Improved Precision and Recall Metric, 2019, equations 1 and 2. Both believe outliers, whose
      balls are large.
    * ``f_score``: the harmonic mean of these two, in [0, 1]; 1 is best. It is low where either is:
      for the same good picture again and again, and for noise. Of all scores here it follows best
      what one sees late in a training; early on it is 0 for good and bad alike.
    * ``density``: how many balls of reals a fake is in, over k; 0 at worst, 1 expected for a
      perfect generator, more where fakes crowd in dense regions. ``coverage``: share of the reals
      with a fake in their ball; 1 - 2 ** -k expected at best for equal large numbers (0.969 for
      k = 5), and it falls with every kind of picture that the generator lacks. Naeem, Oh, Uh,
      Choi, Yoo: Reliable Fidelity and Diversity Metrics, 2020, equations 3 and 5.

    Args:
        fakes: features (N, D), N > k.
        reals: features (M, D), M > k.
        k: which neighbour.
        real_radii: `radii` of the reals if they are known already.

    Raises:
        ValueError: too few features, or of different widths.
    """
    _check_features(k + 1, fakes=fakes, reals=reals)
    if real_radii is None:
        real_radii = radii(reals, k)
    fake_radii = radii(fakes, k)
    precise = hits = 0
    recalled = np.zeros(len(reals), bool)
    covered = np.zeros(len(reals), bool)
    for rows, distances in _distances(fakes, reals):
        inside = distances <= real_radii
        precise += int(inside.any(1).sum())
        hits += int(inside.sum())
        covered |= inside.any(0)
        recalled |= (distances <= fake_radii[rows, None]).any(0)
    precision, recall = precise / len(fakes), float(recalled.mean())
    return {
        "f_score": 2 * precision * recall / (precision + recall) if precise else 0.0,
        "precision": precision,
        "recall": recall,
        "density": hits / (k * len(fakes)),
        "coverage": float(covered.mean()),
    }


def _kernel_sum(features: np.ndarray, others: np.ndarray) -> float:
    """Sum over all pairs of (x.y / D + 1) ** 3."""
    turned = others.T.astype(np.float64)
    rows = max(1, BLOCK_VALUES // max(len(others), others.shape[1]))
    total = 0.0
    for start in range(0, len(features), rows):
        products = features[start : start + rows].astype(np.float64) @ turned
        products /= features.shape[1]
        products += 1
        total += float(np.einsum("ij,ij,ij->", products, products, products))
    return total


def _kernel_mean(features: np.ndarray) -> float:
    """Mean kernel over pairs of different features of one set."""
    count, width = features.shape
    squares = np.einsum("ij,ij->i", features, features, dtype=np.float64)
    own = float(np.sum((squares / width + 1) ** 3))
    return (_kernel_sum(features, features) - own) / (count * (count - 1))


def kid(fakes: np.ndarray, reals: np.ndarray, real_mean: float | None = None) -> float:
    """Kernel inception distance: the unbiased squared MMD with a cubic kernel.

    Bińkowski, Sutherland, Arbel, Gretton: Demystifying MMD GANs, 2018, section 4: the kernel is
    (x.y / D + 1) ** 3, all pairs are used. Its expectation does not depend on the numbers of
    images; between two sets of one kind it scatters around 0 and may be negative.

    Args:
        fakes: features (N, D), at least two.
        reals: features (M, D), at least two.
        real_mean: the mean kernel among the reals, if it is known already.

    Returns:
        The squared MMD (papers often give it x 1000); about 0 is best, larger is worse.

    Raises:
        ValueError: fewer than two features, or of different widths.
    """
    _check_features(2, fakes=fakes, reals=reals)
    if real_mean is None:
        real_mean = _kernel_mean(reals)
    between = _kernel_sum(fakes, reals) / (len(fakes) * len(reals))
    return _kernel_mean(fakes) + real_mean - 2 * between


def fid(fakes: np.ndarray, reals: np.ndarray) -> float:
    """Fréchet distance between Gaussians fitted to two sets of features.

    Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter: GANs Trained by a Two Time-Scale Update
    Rule, 2017, equation 6. Biased: with few images it is far too large (2,048 Inception features
    want 10,000 images or more), so compare it at equal numbers only.

    Args:
        fakes: features (N, D), at least two.
        reals: features (M, D), at least two.

    Returns:
        0 for equal means and covariances, else more.

    Raises:
        ValueError: fewer than two features, or of different widths.
    """
    _check_features(2, fakes=fakes, reals=reals)
    (mean_1, root_1), (mean_2, root_2) = (_moments(features) for features in (fakes, reals))
    # tr (A B) ** (1/2) is the sum of the singular values of A ** (1/2) B ** (1/2).
    overlap = np.linalg.svd(root_1 @ root_2, compute_uv=False).sum()
    spread = np.sum(root_1**2) + np.sum(root_2**2) - 2 * overlap
    return float(max(0.0, np.sum((mean_1 - mean_2) ** 2) + spread))


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and the symmetric root of the covariance (D, D)."""
    mean = features.mean(0, dtype=np.float64)
    covariance = np.zeros((features.shape[1],) * 2)
    for start in range(0, len(features), 2048):
        block = features[start : start + 2048] - mean
        covariance += block.T @ block
    values, vectors = np.linalg.eigh(covariance / (len(features) - 1))
    return mean, (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


class Nearest(NamedTuple):
    """For each of some features, the nearest one of another set."""

    indices: np.ndarray
    """int64 (N,), of the other set."""
    distances: np.ndarray
    """float64 (N,), Euclidean."""


def nearest(features: np.ndarray, others: np.ndarray) -> Nearest:
    """The nearest of the others to each feature, both (., D).

    Raises:
        ValueError: no features, or of different widths.
    """
    _check_features(1, features=features, others=others)
    indices = np.empty(len(features), np.int64)
    distances = np.empty(len(features))
    for rows, squares in _distances(features, others):
        indices[rows] = squares.argmin(1)
        distances[rows] = np.sqrt(squares.min(1))
    return Nearest(indices, distances)


class Copies(NamedTuple):
    """How near samples are to training images."""

    share: float
    """Of the samples that are suspiciously near to one, in [0, 1]."""
    closeness: float
    """Median distance of samples over that of reals; 1 is like fresh reals, 0 a copy."""


def copies(
    samples: np.ndarray,
    training: np.ndarray,
    reals: np.ndarray | None = None,
    share: float = 0.5,
    real_distance: float | None = None,
) -> Copies:
    """Whether samples are copies of training images.

    A sample is suspicious if its nearest training image is nearer than ``share`` of the usual (the
    median) distance of a real picture outside the training to its nearest training image. A
    threshold by the median rather than by the nearest pairs does not mind that a data set holds a
    few pictures twice. Look at the pairs (`nearest`) before believing it: to a mirrored or shifted
    copy the features are blind.

    Args:
        samples: features (N, D) of generated images.
        training: features (M, D) of the images that the generator has seen.
        reals: features (K, D) of images that it has not seen.
        share: of the usual distance, below which a sample is suspicious.
        real_distance: the usual distance, if it is known already; then ``reals`` is not needed.

    Raises:
        ValueError: neither ``reals`` nor ``real_distance``; no features, or of different widths; or
            reals that are copies of training images themselves.
    """
    if real_distance is None:
        if reals is None:
            raise ValueError("copies wants reals or their real_distance")
        real_distance = float(np.median(nearest(reals, training).distances))
    if real_distance <= 0:
        raise ValueError("reals: most of them are in the training set, nothing to compare with")
    distances = nearest(samples, training).distances / real_distance
    return Copies(float((distances < share).mean()), float(np.median(distances)))


# ------------------------------------------------------------------------------------------------
# Features
# ------------------------------------------------------------------------------------------------


class RandomNetwork:
    """A convolutional network with random weights that stay as they are.

    Strided 3x3 convolutions and leaky ReLUs halve the image down to 4 px. The features are, of
    every stage, mean and deviation of each channel over the image (colours and textures of that
    scale), and the last map as it is (the layout).

    Weights are uniform numbers made of NumPy's raw random bits with exact arithmetic: the same on
    every machine and backend. The forward pass is in float32 on the backend's device, so features
    agree between backends to about six digits (fewer where a GPU rounds to TF32).
    """

    def __init__(self, image_size: int, seed: int = 0) -> None:
        """Draw the weights.

        Args:
            image_size: height and width of the images, a power of two, at least 16.
            seed: which network.

        Raises:
            ValueError: the size does not fit.
        """
        if image_size < 16 or image_size & (image_size - 1):
            raise ValueError(f"image_size must be 16, 32, 64, ..., found {image_size}")
        bits = np.random.PCG64(seed)
        self.image_size = image_size
        self.weights: list[tuple[np.ndarray, np.ndarray]] = []
        channels = 3
        for stage in range(image_size.bit_length() - 3):
            width = WIDTHS[min(stage, len(WIDTHS) - 1)]
            kernel = _uniform(bits, (3, 3, channels, width)) * np.sqrt(6 / (9 * channels))
            bias = _uniform(bits, (width,)) * 0.5
            self.weights.append((kernel.astype(np.float32), bias.astype(np.float32)))
            channels = width
        widths = [2 * len(bias) for _, bias in self.weights] + [16 * channels]
        self.groups = np.split(np.arange(sum(widths)), np.cumsum(widths)[:-1])
        self.centre = np.zeros(sum(widths), np.float32)
        self.scale = np.ones(sum(widths), np.float32)

    def fit(self, images: np.ndarray) -> np.ndarray:
        """Centre the features and scale them by these images; return theirs, as `__call__` does.

        Every group of features (a stage's means and deviations, the layout) gets the same variance
        in total, so that none decides alone, and the mean of the squared features is 1, which is
        where a cubic kernel bends. A group has one factor: one for each feature would blow up those
        that hardly vary, like a corner of a white background.
        """
        self.centre[:], self.scale[:] = 0, 1
        features = self(images)
        self.centre[:] = features.mean(0, dtype=np.float64)
        features -= self.centre
        for group in self.groups:
            variance = float(np.square(features[:, group], dtype=np.float64).sum(1).mean())
            share = len(self.centre) / len(self.groups)
            self.scale[group] = np.sqrt(share / variance) if variance > 1e-9 else 0
        features *= self.scale
        return features

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 images (N, H, H, 3): float32 (N, D), centred and scaled by `fit`."""
        _check_images(images=images)
        if images.shape[1:3] != (self.image_size, self.image_size):
            raise ValueError(f"images of {self.image_size} px wanted, found {images.shape[1:3]}")
        parts = [self._forward(chunk) for chunk in _chunks(images, bytes_per_value=64)]
        return (np.concatenate(parts) - self.centre) * self.scale

    def _forward(self, images: np.ndarray) -> np.ndarray:
        x = ops.cast(ops.convert_to_tensor(images), "float32") / 127.5 - 1.0
        found = []
        for kernel, bias in self.weights:
            x = ops.conv(
                x, ops.convert_to_tensor(kernel), strides=2, padding="same",
                data_format="channels_last",
            )  # fmt: skip
            x = ops.leaky_relu(x + ops.convert_to_tensor(bias), 0.2)
            mean = ops.mean(x, (1, 2), keepdims=True)
            found += [mean[:, 0, 0], ops.sqrt(ops.mean(ops.square(x - mean), (1, 2)) + 1e-8)]
        found.append(ops.reshape(x, (len(images), -1)))
        return np.concatenate([ops.convert_to_numpy(part) for part in found], axis=1)


def _uniform(bits: np.random.PCG64, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform in [-1, 1), float64, bit for bit the same everywhere."""
    raw = bits.random_raw(int(np.prod(shape)))
    return ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0).reshape(shape)


class InceptionNetwork:
    """Keras' InceptionV3 with ImageNet weights, up to its global average: 2,048 features.

    Images are resized to 299 px (bilinear). Keras' weights are not those of the graph that most
    papers use: numbers belong beside others made in the same way. Tested with stand-ins only; with
    the real weights, which were not at hand, nothing has ever been computed here.
    """

    def __init__(self) -> None:
        """Load the network.

        Raises:
            UserError: the weights are not in Keras' cache, or damaged.
        """
        folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
        path = folder / "models" / INCEPTION_FILE
        if not path.is_file():
            raise UserError(
                f"--features inception: {path} is missing; nothing is downloaded here: get it from "
                f"{INCEPTION_ADDRESS} (88 MB) and put it there, or take --features random"
            )
        try:
            self.network = keras.applications.InceptionV3(
                include_top=False, weights=str(path), pooling="avg", input_shape=(299, 299, 3)
            )
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"--features inception: {path} cannot be read: {reason}") from error

    def fit(self, images: np.ndarray) -> np.ndarray:
        """Features of the images; nothing is scaled, so that numbers compare with papers."""
        return self(images)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 images (N, H, W, 3): float32 (N, 2048)."""
        _check_images(images=images)
        parts = []
        for start in range(0, len(images), 32):
            x = ops.cast(ops.convert_to_tensor(images[start : start + 32]), "float32")
            x = ops.image.resize(
                x, (299, 299), interpolation="bilinear", data_format="channels_last"
            )
            x = self.network(x / 127.5 - 1.0, training=False)
            parts.append(np.asarray(ops.convert_to_numpy(x), np.float32))
        return np.concatenate(parts)


def feature_networks(
    kind: FeatureKind, image_size: int
) -> Sequence[RandomNetwork] | Sequence[InceptionNetwork]:
    """The three random networks, or Inception alone.

    Raises:
        UserError: another kind, or Inception's weights are not there.
    """
    if kind == "random":
        return [RandomNetwork(image_size, seed) for seed in range(NETWORKS)]
    if kind == "inception":
        return [InceptionNetwork()]
    raise UserError(f"--features {kind}: wanted random or inception")


# ------------------------------------------------------------------------------------------------
# All of them
# ------------------------------------------------------------------------------------------------


class Scorer:
    """Scores generated images against the same reals again and again.

    What depends on the reals alone is computed once, when it is first needed, and kept: features
    (2,500 numbers an image and network), neighbourhoods, distances to the training images.
    """

    def __init__(
        self,
        reals: np.ndarray,
        training: np.ndarray | None = None,
        features: FeatureKind = "random",
        seed: int = 0,
        k: int = 5,
        pairs: int = 1000,
    ) -> None:
        """Say what is compared with.

        Args:
            reals: uint8 (N, H, H, 3), best kept out of the training; H a power of two, N > k.
            training: uint8 (M, H, H, 3), the images that the generator learns from: for `copies`
                and for the floor.
            features: ``random`` or ``inception``.
            seed: of patches, pairs and the choice of images for the floor.
            k: which neighbour is the radius of a neighbourhood.
            pairs: of images, for the diversity.

        Raises:
            ValueError: shapes or numbers that do not fit.
            UserError: Inception's weights are not there.
        """
        given = {"reals": reals} if training is None else {"reals": reals, "training": training}
        _check_images(least=1, **given)
        if len(reals) <= k:
            raise ValueError(f"reals: found {len(reals)} images, wanted at least {k + 1}")
        self.reals = _sorted(reals)
        self.training = None if training is None else _sorted(training)
        self.kind: FeatureKind = features
        self.seed, self.k, self.pairs = seed, k, pairs
        self.networks = feature_networks(features, reals.shape[1])
        self._cache: dict[Any, Any] = {}

    @property
    def groups(self) -> tuple[str, ...]:
        """What `score` computes unless told otherwise: `GROUPS` without what has no basis here."""
        missing = {"fid"} if self.kind == "random" else set()
        if self.training is None:
            missing.add("copies")
        if not self._detail_share():
            missing.add("sharpness")  # pictures of one colour each
        return tuple(group for group in GROUPS if group not in missing)

    def score(self, fakes: np.ndarray, groups: Collection[str] | None = None) -> dict[str, float]:
        """Every score of the fakes.

        Args:
            fakes: uint8 (N, H, H, 3), as many as there are reals.
            groups: names of `GROUPS`; by default `groups`. ``("neighbours", "kid")`` are cheap
                enough to be called during a training.

        Returns:
            ``kid`` (x 1000), ``fid``, ``f_score``, ``precision``, ``recall``, ``density``,
            ``coverage``, ``copies`` and ``closeness``, each the mean over the random networks and,
            as ``..._spread``, the standard deviation over them (none with Inception); ``swd`` and
            ``swd_64``, ``swd_32``, ... its levels; ``diversity`` with ``diversity_spread``, the
            error of the mean, and ``diversity_reals``; ``sharpness``.

        Raises:
            ValueError: shapes, numbers or groups that do not fit.
        """
        _check_images(fakes=fakes, reals=self.reals)
        _check_counts(fakes, self.reals)
        groups = self._checked(groups)
        fakes = _sorted(fakes)
        scores: dict[str, float] = {}
        if {"kid", "fid", "neighbours", "copies"} & set(groups):
            scores |= self._feature_scores(fakes, groups)
        if "swd" in groups:
            levels = swd(fakes, self.reals, self.seed)
            scores["swd"] = float(np.mean(list(levels.values())))
            scores |= {f"swd_{level}": value for level, value in levels.items()}
        if "diversity" in groups:
            of_fakes = diversity(fakes, self.pairs, self.seed)
            scores["diversity"], scores["diversity_spread"] = of_fakes
            scores["diversity_reals"] = self._kept(
                "diversity", lambda: diversity(self.reals, self.pairs, self.seed).mean
            )
        if "sharpness" in groups:
            share = self._detail_share()
            if not share:
                raise ValueError("reals: no details at all to compare with")
            scores["sharpness"] = detail_share(fakes) / share
        return scores

    def floor(self, groups: Collection[str] | None = None) -> dict[str, float]:
        """What other reals get: as many training images, chosen by the seed, in place of fakes.

        For the copies it is what the reals themselves get; there are none where most of the reals
        are training images as well.

        Raises:
            ValueError: fewer training images than reals, or groups that do not fit.
        """
        groups = self._checked(groups)
        found = 0 if self.training is None else len(self.training)
        if found < len(self.reals):
            raise ValueError(
                f"the floor of {len(self.reals)} reals wants as many training images, found {found}"
            )
        chosen = np.random.default_rng(self.seed).permutation(found)[: len(self.reals)]
        scores = self.score(self.training[chosen], [group for group in groups if group != "copies"])
        if "copies" in groups:
            scores |= self._feature_scores(self.reals, ["copies"])
        return scores

    def _checked(self, groups: Collection[str] | None) -> Collection[str]:
        if groups is None:
            return self.groups
        unknown = [group for group in groups if group not in GROUPS]
        if unknown:
            raise ValueError(f"groups: found {unknown[0]!r}, wanted some of {', '.join(GROUPS)}")
        if "copies" in groups and self.training is None:
            raise ValueError("groups: copies wants the training images")
        return groups

    def _detail_share(self) -> float:
        return self._kept("sharpness", lambda: detail_share(self.reals))

    def _kept(self, key: Any, compute: Any) -> Any:
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]

    def _feature_scores(self, fakes: np.ndarray, groups: Collection[str]) -> dict[str, float]:
        rows = [
            self._network_scores(number, network, fakes, groups)
            for number, network in enumerate(self.networks)
        ]
        scores = {}
        for name in rows[0]:
            if any(name not in row for row in rows):
                continue
            values = [row[name] for row in rows]
            scores[name] = float(np.mean(values))
            if len(values) > 1:
                scores[f"{name}_spread"] = float(np.std(values, ddof=1))
        return scores

    def _network_scores(
        self,
        number: int,
        network: RandomNetwork | InceptionNetwork,
        fakes: np.ndarray,
        groups: Collection[str],
    ) -> dict[str, float]:
        # The reals first: the network's scale is theirs.
        reals = self._kept((number, "reals"), lambda: network.fit(self.reals))
        features = network(fakes)
        scores = {}
        if "kid" in groups:
            mean = self._kept((number, "kid"), lambda: _kernel_mean(reals))
            scores["kid"] = 1000 * kid(features, reals, mean)
        if "fid" in groups:
            scores["fid"] = fid(features, reals)
        if "neighbours" in groups:
            known = self._kept((number, "radii"), lambda: radii(reals, self.k))
            scores |= neighbour_scores(features, reals, self.k, known)
        if "copies" in groups:
            training = self._kept((number, "training"), lambda: network(self.training))
            usual = self._kept(
                (number, "usual"), lambda: float(np.median(nearest(reals, training).distances))
            )
            if usual > 0:  # otherwise most of the reals are in the training set as well
                found = copies(features, training, real_distance=usual)
                scores |= {"copies": found.share, "closeness": found.closeness}
        return scores

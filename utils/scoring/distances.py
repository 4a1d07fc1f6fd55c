"""Sets of features, compared: KID, FID, neighbourhoods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from utils.scoring.registry import NothingToCompareError, Score, metric

BLOCK_VALUES = 4 * 2**20
"""Numbers that are worked on at once."""


# KID ----------------------------------------------------------------------------------------------


def kernel_mean(features: np.ndarray) -> float:
    """Mean of KID's kernel over pairs of different features of one set."""
    return float(_kernel_sums_within(features).sum()) / (len(features) * (len(features) - 1))


def _kernel_sums_within(features: np.ndarray) -> np.ndarray:
    """Sum of the kernel over each feature's pairs with the others of its set, float64 (N,)."""
    squares = np.einsum("ij,ij->i", features, features, dtype=np.float64)
    return _kernel_sums(features, features) - (squares / features.shape[1] + 1) ** 3


def _kernel_sums(features: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Sum of (x.y / D + 1) ** 3 over each feature's pairs with all others, float64 (N,)."""
    turned = others.T.astype(np.float64)
    rows = max(1, BLOCK_VALUES // max(len(others), others.shape[1]))
    sums = np.empty(len(features))
    for start in range(0, len(features), rows):
        products = features[start : start + rows].astype(np.float64) @ turned
        products /= features.shape[1]
        products += 1
        sums[start : start + rows] = np.einsum("ij,ij,ij->i", products, products, products)
    return sums


@metric(
    Score("kid", "distance of the distributions, x 1000", "less", decimals=0, chooses=True),
    needs=("features",),
    of_reals=kernel_mean,
)
def kid(
    fakes: np.ndarray, reals: np.ndarray, mean_of_reals: float | None = None
) -> dict[str, float]:
    """Kernel inception distance: the unbiased squared MMD with a cubic kernel, x 1000.

    Bińkowski, Sutherland, Arbel, Gretton: Demystifying MMD GANs, 2018, section 4: the kernel is
    (x.y / D + 1) ** 3, all pairs are used. Its expectation does not depend on the numbers of
    images; between two sets of one kind it scatters around 0 and may be negative.

    Args:
        fakes: features (N, D), at least three.
        reals: features (M, D), at least two.
        mean_of_reals: their `kernel_mean`, if it is known already.

    Returns:
        ``kid``, about 0 at best, larger is worse; ``kid_spread``, its standard deviation for
        other fakes of the same generator against the same reals, by the jackknife.

    Raises:
        ValueError: fewer features than that, or of different widths.
    """
    check_features(3, fakes=fakes)
    check_features(2, fakes=fakes, reals=reals)
    if mean_of_reals is None:
        mean_of_reals = kernel_mean(reals)
    number = len(fakes)
    within, between = _kernel_sums_within(fakes), _kernel_sums(fakes, reals) / len(reals)

    def distance(pairs: Any, products: Any, count: int) -> Any:
        return 1000 * (pairs / (count * (count - 1)) + mean_of_reals - 2 * products / count)

    # What it would be without each of the fakes.
    without = distance(within.sum() - 2 * within, between.sum() - between, number - 1)
    return {
        "kid": float(distance(within.sum(), between.sum(), number)),
        "kid_spread": float(np.sqrt((number - 1) * np.var(without))),
    }


# FID ----------------------------------------------------------------------------------------------


@metric(
    Score("fid", "Fréchet distance of Keras' Inception features", "less", decimals=1),
    needs=("features", "inception"),
)
def fid(fakes: np.ndarray, reals: np.ndarray) -> float:
    """Fréchet distance between Gaussians fitted to two sets of features.

    Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter: GANs Trained by a Two Time-Scale Update
    Rule, 2017, equation 6. Biased: with few images it is far too large (2,048 Inception features
    need 10,000 images or more), so compare it at equal numbers only.

    Args:
        fakes: features (N, D), at least two.
        reals: features (M, D), at least two.

    Returns:
        0 for equal means and covariances, else more.

    Raises:
        ValueError: fewer than two features, or of different widths.
    """
    check_features(2, fakes=fakes, reals=reals)
    (mean_1, root_1), (mean_2, root_2) = (_moments(features) for features in (fakes, reals))
    # tr (A B) ** (1/2) is the sum of the singular values of A ** (1/2) B ** (1/2).
    overlap = np.linalg.svd(root_1 @ root_2, compute_uv=False).sum()
    spread = np.sum(root_1**2) + np.sum(root_2**2) - 2 * overlap
    return float(max(0.0, np.sum((mean_1 - mean_2) ** 2) + spread))


@metric(
    Score("fd", "Fréchet distance of ImageNet features", "less", decimals=1),
    needs=("features", "imagenet"),
)
def fd(fakes: np.ndarray, reals: np.ndarray) -> float:
    """`fid` of other features than Inception's.

    Raises:
        NothingToCompareError: with no more images than features, a covariance is not known.
    """
    if min(len(fakes), len(reals)) <= fakes.shape[1]:
        raise NothingToCompareError(f"fd: expected more than {fakes.shape[1]} images of both")
    return fid(fakes, reals)


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and the symmetric root of the covariance (D, D)."""
    mean = features.mean(0, dtype=np.float64)
    covariance = np.zeros((features.shape[1],) * 2)
    for start in range(0, len(features), 2048):
        block = features[start : start + 2048] - mean
        covariance += block.T @ block
    values, vectors = np.linalg.eigh(covariance / (len(features) - 1))
    return mean, (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


# Neighbourhoods -----------------------------------------------------------------------------------


def radii(features: np.ndarray, k: int = 5) -> np.ndarray:
    """Squared distance of each feature to its k-th nearest other one, float64 (N,).

    Raises:
        ValueError: not more than ``k`` features.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, found {k}")
    check_features(k + 1, features=features)
    result = np.empty(len(features))
    for rows, distances in _distances(features, features):
        distances[np.arange(len(distances)), np.arange(rows.start, rows.stop)] = -1
        result[rows] = np.partition(distances, k, axis=1)[:, k]
    return result


@metric(
    Score("f_score", "precision and recall in one", "more"),
    Score("precision", "share of images that look real", "more"),
    Score("recall", "share of reals that could be generated", "more"),
    Score("density", "how deep among the reals; 1 is right"),
    Score(
        "coverage", "share of reals with an image nearby", "more", chooses=True, tie_break="kid"
    ),
    name="neighbours",
    needs=("features",),
    of_reals=radii,
)  # fmt: skip
def neighbour_scores(
    fakes: np.ndarray, reals: np.ndarray, radii_of_reals: np.ndarray | None = None, k: int = 5
) -> dict[str, float]:
    """Precision, recall, their harmonic mean, density and coverage from balls around the features.

    The ball of a feature reaches to its k-th nearest neighbour in its own set.

    * ``precision``: share of the fakes in the ball of any real one; ``recall``: share of the reals
      in the ball of any fake. In [0, 1], 1 is best. Kynkäänniemi, Karras, Laine, Lehtinen, Aila:
      Improved Precision and Recall Metric, 2019, equations 1 and 2. Outliers, whose balls are
      large, raise both.
    * ``f_score``: the harmonic mean of these two, in [0, 1]; 1 is best. It is low where either is:
      for the same good picture again and again, and for noise.
    * ``density``: how many balls of reals a fake is in, over k; 0 at worst, 1 expected for a
      perfect generator, more where fakes crowd in dense regions. ``coverage``: share of the reals
      with a fake in their ball; 1 - 2 ** -k expected at best for equal large numbers (0.969 for
      k = 5), and it falls with every kind of picture that the generator lacks. Naeem, Oh, Uh,
      Choi, Yoo: Reliable Fidelity and Diversity Metrics, 2020, equations 3 and 5.

    Args:
        fakes: features (N, D), N > k.
        reals: features (M, D), M > k.
        radii_of_reals: their `radii`, if they are known already.
        k: which neighbour.

    Raises:
        ValueError: too few features, or of different widths.
    """
    check_features(k + 1, fakes=fakes, reals=reals)
    if radii_of_reals is None:
        radii_of_reals = radii(reals, k)
    radii_of_fakes = radii(fakes, k)
    precise = hits = 0
    recalled = np.zeros(len(reals), bool)
    covered = np.zeros(len(reals), bool)
    for rows, distances in _distances(fakes, reals):
        inside = distances <= radii_of_reals
        precise += int(inside.any(1).sum())
        hits += int(inside.sum())
        covered |= inside.any(0)
        recalled |= (distances <= radii_of_fakes[rows, None]).any(0)
    precision, recall = precise / len(fakes), float(recalled.mean())
    return {
        "f_score": 2 * precision * recall / (precision + recall) if precise else 0.0,
        "precision": precision,
        "recall": recall,
        "density": hits / (k * len(fakes)),
        "coverage": float(covered.mean()),
    }


# Nearest ----------------------------------------------------------------------------------------


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
    check_features(1, features=features, others=others)
    indices = np.empty(len(features), np.int64)
    distances = np.empty(len(features))
    for rows, squares in _distances(features, others):
        indices[rows] = squares.argmin(1)
        distances[rows] = np.sqrt(squares.min(1))
    return Nearest(indices, distances)


# All of them --------------------------------------------------------------------------------------


def check_features(least: int, **features: np.ndarray) -> None:
    """Raise ValueError unless every argument is (N, D) of one width, N >= least."""
    widths = set()
    for name, array in features.items():
        if array.ndim != 2:
            raise ValueError(f"{name}: found features of shape {array.shape}, expected (N, D)")
        if len(array) < least:
            raise ValueError(f"{name}: found {len(array)} images, expected at least {least}")
        widths.add(array.shape[1])
    if len(widths) > 1:
        raise ValueError(f"expected features of one width, found {sorted(widths)}")


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

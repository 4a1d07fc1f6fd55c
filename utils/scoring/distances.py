"""Sets of features: KID, FID, neighbourhoods, copies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

# Numbers that are worked on at once.
BLOCK_VALUES = 4 * 2**20


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


def kernel_mean(features: np.ndarray) -> float:
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
        real_mean = kernel_mean(reals)
    between = _kernel_sum(fakes, reals) / (len(fakes) * len(reals))
    return kernel_mean(fakes) + real_mean - 2 * between


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

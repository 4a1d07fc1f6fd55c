"""Scores of each class: is it the class that was asked for, and is it as varied as the real one?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from utils.scoring.distances import kid
from utils.scoring.features import FeatureNetwork, feature_networks
from utils.scoring.images import views

GENERATED = 100
"""Images of each class."""
RIDGE = 0.1
"""Of the classifier: of 0.001 to 1, it is right most often on held-out robots (docs/classes.md)."""


class Labelled(NamedTuple):
    """Images, and the class of each."""

    images: np.ndarray
    """uint8 (N, H, W, C)."""
    labels: np.ndarray
    """From 0 up; negative ones are of no class, (N,)."""


class Recogniser:
    """A linear classifier of features: ridge regression, every class weighing the same."""

    def __init__(self, features: np.ndarray, labels: np.ndarray, count: int) -> None:
        """Train it.

        Args:
            features: (N, D).
            labels: from 0 to count - 1, (N,); negative ones are left out.
            count: of the classes.
        """
        features, labels = features[labels >= 0].astype(np.float64), labels[labels >= 0]
        targets = np.eye(count)[labels]
        commonness = targets.sum(0)[labels] / len(labels) * count
        self._mean = np.average(features, axis=0, weights=1 / commonness)
        self._offset = np.average(targets, axis=0, weights=1 / commonness)
        self._features = features - self._mean
        self._scale = np.mean(np.sum(self._features**2, axis=1)) or 1.0
        products = self._features @ self._features.T / self._scale
        products += RIDGE * np.diag(commonness)
        self._weights = np.linalg.solve(products, targets - self._offset)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """The label of each of (M, D), (M,)."""
        products = (features - self._mean) @ self._features.T / self._scale
        return np.argmax(products @ self._weights + self._offset, axis=1)


def mean_distance(features: np.ndarray) -> float:
    """Mean Euclidean distance between pairs of features (N, D); 0 of a single one."""
    features = features.astype(np.float64)
    squares = np.sum(features**2, axis=1)
    distances = np.sqrt(np.maximum(squares + squares[:, None] - 2 * features @ features.T, 0))
    np.fill_diagonal(distances, 0)
    return float(distances.sum() / max(1, len(features) * (len(features) - 1)))


def class_scores(
    network: FeatureNetwork,
    training: Labelled,
    held_out: Labelled,
    generated: Labelled,
    names: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Scores by class, and their means over all classes under ``all``.

    Args:
        network: of the features, of which ``kid`` and ``diversity`` are.
        training: what the classifier learns from; its own features are also random ones, which see
            colours better.
        held_out: other real pictures.
        generated: their labels are what was asked for.
        names: of the classes.

    Returns:
        By name: ``pictures`` held out; ``recognised``, the share of generated images whose class
        the classifier sees, and ``recognised_reals`` of held-out ones; ``diversity``, the mean
        distance between generated images divided by that between all real ones; ``kid`` of
        generated compared with held-out ones, where there are two.
    """
    kinds = [each._replace(images=views(each.images)) for each in (training, held_out, generated)]
    _, size, _, channels = kinds[0].images.shape
    colours = feature_networks("random", size, channels // 3)[0]
    colours.fit(kinds[0].images)
    shapes = [network(each.images) for each in kinds]
    scale = np.sqrt(np.mean((shapes[0] - shapes[0].mean(0)) ** 2)) or 1.0
    both = [
        np.concatenate([shape / scale, colours(each.images)], axis=1)
        for shape, each in zip(shapes, kinds, strict=True)
    ]
    recognise = Recogniser(both[0], training.labels, len(names))
    found = [recognise(features) for features in both[1:]]
    reals = np.concatenate(shapes[:2])
    real_labels = np.concatenate([training.labels, held_out.labels])
    scores: dict[str, dict[str, float]] = {}
    for label, name in enumerate(names):
        kept, asked = held_out.labels == label, generated.labels == label
        real_distance = mean_distance(reals[real_labels == label])
        row = {
            "pictures": float(kept.sum()),
            "recognised": float(np.mean(found[1][asked] == label)),
            "diversity": mean_distance(shapes[2][asked]) / (real_distance or 1.0),
        }
        if kept.any():
            row["recognised_reals"] = float(np.mean(found[0][kept] == label))
        if kept.sum() > 1:
            row["kid"] = kid(shapes[2][asked], shapes[1][kept])["kid"]
        scores[name] = row
    return scores | {"all": _means(scores)}


def _means(scores: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in scores.values() for name in row)
    means = {
        name: float(np.mean([row[name] for row in scores.values() if name in row]))
        for name in names
    }
    return means | {"pictures": sum(row["pictures"] for row in scores.values())}

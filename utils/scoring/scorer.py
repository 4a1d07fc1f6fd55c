"""All scores of generated images against the same real ones.

    scorer = Scorer(held_out, training=training_images)
    scores, floor = scorer.score(generated), scorer.floor()

A score means little without its floor: what other real pictures, as many, get in the same place.
Every metric is a function of arrays that can be called by itself (`distances`, `patches`,
`similarity`); `registry` lists them.

The order of the images does not matter: whatever is drawn at random (patches, pairs) is drawn after
sorting them by content. Sums are in float64. Memory stays bounded, whatever the size of the images:
docs/metrics.md has figures.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from utils.scoring.features import feature_networks
from utils.scoring.images import check_counts, check_images, in_order, views
from utils.scoring.registry import METRICS, FeatureKind, Metric, NothingToCompareError


class Scorer:
    """Scores generated images against the same reals again and again.

    What depends on the reals alone is computed once, when it is first needed, and kept: features
    (2,500 numbers an image and network), neighbourhoods, distances to the training images.
    """

    def __init__(
        self,
        reals: np.ndarray,
        training: np.ndarray | None = None,
        features: FeatureKind = "imagenet",
        seed: int = 0,
        pairs: int = 1000,
    ) -> None:
        """Nothing is computed yet.

        Args:
            reals: uint8 (N, H, H, C), best kept out of the training; H a power of two.
            training: uint8 (M, H, H, C), the images that the generator learns from: for copies and
                for the floor.
            features: what metrics that need features see.
            seed: of patches, pairs and the choice of images for the floor.
            pairs: of images, for the likeness.

        Raises:
            ValueError: shapes or numbers that do not fit.
            UserError: the weights of these features are not there.
        """
        given = {"reals": reals} if training is None else {"reals": reals, "training": training}
        given = {name: views(images) for name, images in given.items()}
        check_images(**given)
        reals, training = given["reals"], given.get("training")
        self.reals = in_order(reals)
        self.training = None if training is None else in_order(training)
        self.networks = feature_networks(features, reals.shape[1], reals.shape[3] // 3)
        self.features = self.networks[0].name
        """What decides the features: scores compare where it is the same."""
        self.seed, self.pairs = seed, pairs
        available = {"images", "features", features, "seed", "pairs"}
        if training is not None:
            available.add("training")
        self.metrics = tuple(each.name for each in METRICS.values() if available >= {*each.needs})
        """What `score` computes unless told otherwise: all that there is a basis for."""
        self._known: dict[Any, Any] = {}

    def score(self, fakes: np.ndarray, metrics: Collection[str] | None = None) -> dict[str, float]:
        """Every score of the fakes.

        Args:
            fakes: uint8 (N, H, H, C), as many as there are reals.
            metrics: names of `METRICS`; by default ``self.metrics``.

        Returns:
            What these metrics give, but for those that mean nothing with these images. Scores of
            features are the mean over the networks and, as ``..._spread``, the standard deviation
            over them (none with a single network), unless the metric gives a spread of its own.

        Raises:
            ValueError: shapes, numbers or metrics that do not fit.
        """
        return self._score(views(fakes), metrics)

    def _score(self, fakes: np.ndarray, metrics: Collection[str] | None) -> dict[str, float]:
        """`score`, of views."""
        check_images(fakes=fakes, reals=self.reals)
        check_counts(fakes, self.reals)
        chosen = self._chosen(metrics)
        fakes = in_order(fakes)
        scores = self._of_features(fakes, [each for each in chosen if each.sees_features])
        for each in chosen:
            if not each.sees_features:
                scores |= self._compute(each, fakes, self.reals, self.training)
        return scores

    def floor(self, metrics: Collection[str] | None = None) -> dict[str, float]:
        """What other reals get: as many training images, chosen by the seed, in place of fakes.

        What needs the training images, such as copies, is computed of the reals themselves.

        Raises:
            ValueError: fewer training images than reals, or metrics that do not fit.
        """
        chosen = self._chosen(metrics)
        found = 0 if self.training is None else len(self.training)
        if found < len(self.reals):
            raise ValueError(
                f"the floor of {len(self.reals)} reals needs as many training images, found {found}"
            )
        order = np.random.default_rng(self.seed).permutation(found)
        others = self.training[order[: len(self.reals)]]
        against_training = [each.name for each in chosen if "training" in each.needs]
        rest = [each.name for each in chosen if "training" not in each.needs]
        return self._score(others, rest) | self._score(self.reals, against_training)

    def _chosen(self, metrics: Collection[str] | None) -> list[Metric]:
        names = self.metrics if metrics is None else metrics
        for name in names:
            if name not in METRICS:
                raise ValueError(f"metrics: found {name!r}, expected some of {', '.join(METRICS)}")
            if "training" in METRICS[name].needs and self.training is None:
                raise ValueError(f"metrics: {name} needs the training images")
        return [each for name, each in METRICS.items() if name in names]

    def _of_features(self, fakes: np.ndarray, metrics: list[Metric]) -> dict[str, float]:
        """Means and spreads over the networks."""
        if not metrics:
            return {}
        rows = []
        for number, network in enumerate(self.networks):
            # The reals first: the network's scale is theirs.
            reals = self._once((number, "reals"), network.fit, self.reals)
            features, training = network(fakes), None
            if any("training" in each.needs for each in metrics):
                training = self._once((number, "training"), network, self.training)
            rows.append({})
            for each in metrics:
                rows[-1] |= self._compute(each, features, reals, training, number)
        scores = {}
        for name in rows[0]:
            if any(name not in row for row in rows):
                continue
            values = [row[name] for row in rows]
            scores[name] = float(np.mean(values))
            if len(values) > 1 and f"{name}_spread" not in rows[0] and not name.endswith("_spread"):
                scores[f"{name}_spread"] = float(np.std(values, ddof=1))
        return scores

    def _compute(
        self,
        metric: Metric,
        fakes: np.ndarray,
        reals: np.ndarray,
        training: np.ndarray | None,
        network: int | None = None,
    ) -> dict[str, float]:
        """What one metric gives for images, or for the features of a network."""
        settings = {"training": training, "seed": self.seed, "pairs": self.pairs}
        needed = {name: value for name, value in settings.items() if name in metric.needs}
        arguments = [fakes, reals]
        if metric.of_reals is not None:
            known = self._once((network, metric.name), metric.of_reals, reals, **needed)
            arguments.append(known)
        try:
            found = metric.function(*arguments, **needed)
        except NothingToCompareError:
            return {}
        return found if isinstance(found, dict) else {metric.scores[0].name: found}

    def _once(self, key: Any, compute: Callable[..., Any], *arguments: Any, **needed: Any) -> Any:
        if key not in self._known:
            self._known[key] = compute(*arguments, **needed)
        return self._known[key]

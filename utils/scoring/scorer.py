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

from collections.abc import Collection
from typing import Any

import numpy as np

from utils.scoring.distances import copies, fid, kernel_mean, kid, nearest, neighbour_scores, radii
from utils.scoring.features import FeatureKind, InceptionNetwork, RandomNetwork, feature_networks
from utils.scoring.images import check_counts, check_images, in_order
from utils.scoring.patches import detail_share, swd
from utils.scoring.similarity import diversity

GROUPS = ("kid", "fid", "neighbours", "copies", "swd", "diversity", "sharpness")
"""What `Scorer` can compute, in the order in which its scores stand."""


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
        check_images(least=1, **given)
        if len(reals) <= k:
            raise ValueError(f"reals: found {len(reals)} images, wanted at least {k + 1}")
        self.reals = in_order(reals)
        self.training = None if training is None else in_order(training)
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
        check_images(fakes=fakes, reals=self.reals)
        check_counts(fakes, self.reals)
        groups = self._checked(groups)
        fakes = in_order(fakes)
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
            mean = self._kept((number, "kid"), lambda: kernel_mean(reals))
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

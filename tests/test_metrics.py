"""Scores with known answers, and every formula next to another way to compute it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

import keras
import numpy as np
import pytest
from PIL import Image, ImageFilter

from tests.conftest import blobs
from utils.common.errors import UserError
from utils.data import mechas
from utils.scoring import distances, patches, registry, similarity
from utils.scoring import images as scoring_images
from utils.scoring.copies import copies
from utils.scoring.distances import fid, kid, nearest, neighbour_scores, radii
from utils.scoring.features import INCEPTION_FILE, InceptionNetwork, RandomNetwork, feature_networks
from utils.scoring.images import filtered
from utils.scoring.patches import _detail, _halved, detail_share, sharpness, swd
from utils.scoring.registry import Score, metric
from utils.scoring.report import table
from utils.scoring.scorer import Scorer
from utils.scoring.similarity import (
    SCALE_WEIGHTS,
    likeness,
    mean_similarity,
    ms_ssim,
    scales,
    ssim,
)

# Sides whose colours can be told apart, and how many robots of each.
FACTIONS = ("ace", "arctic", "heavy", "dominion")
OF_EACH = 40


@pytest.fixture(scope="module")
def robots() -> tuple[np.ndarray, np.ndarray]:
    """Robots of four factions, uint8 (160, 32, 32, 3), and their factions."""
    images, factions = [], []
    missing = dict.fromkeys(FACTIONS, OF_EACH)
    designs = (mechas.design(index) for index in itertools.count())
    while any(missing.values()):
        design = next(designs)
        if missing.get(design.faction, 0):
            missing[design.faction] -= 1
            images.append(mechas.draw(design, 32))
            factions.append(design.faction)
    return np.stack(images), np.array(factions)


@pytest.fixture(scope="module")
def halves(robots) -> tuple[np.ndarray, np.ndarray]:
    images, _ = robots
    return images[::2], images[1::2]


@pytest.fixture(scope="module")
def scorer(halves) -> Scorer:
    """The first half as reals, the second as training images."""
    return Scorer(halves[0], halves[1], "random", pairs=100)


@pytest.fixture(scope="module")
def large() -> tuple[np.ndarray, np.ndarray]:
    """Two halves of other robots, with three levels of the pyramid: uint8 (24, 64, 64, 3) each."""
    images = np.stack([mechas.draw(mechas.design(index), 64) for index in range(48)])
    return images[::2], images[1::2]


def noise(count: int, size: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def noised(images: np.ndarray, deviation: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.clip(images + random.normal(0, deviation, images.shape), 0, 255).astype(np.uint8)


def blurred(images: np.ndarray, radius: float) -> np.ndarray:
    blur = ImageFilter.GaussianBlur(radius)
    return np.stack([np.asarray(Image.fromarray(image).filter(blur)) for image in images])


def gaussian(count: int, width: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, width))


# Known answers ----------------------------------------------------------------------------------


def test_identical_sets_get_the_best_scores(scorer, halves) -> None:
    scores = scorer.score(halves[0])
    assert scores["swd"] == scores["swd_32"] == scores["swd_16"] == 0
    assert scores["precision"] == scores["recall"] == scores["coverage"] == 1
    assert scores["density"] > 1
    assert scores["kid"] < 0  # unbiased: the same images twice are nearer than chance
    assert scores["sharpness"] == 1
    assert scores["likeness"] == scores["likeness_reals"]
    # Names as they stand in files, and plain numbers.
    networks = ("kid", "f_score", "precision", "recall", "density", "coverage")
    assert set(scores) == {
        *networks, *(f"{name}_spread" for name in networks), "swd", "swd_32", "swd_16",
        "likeness", "likeness_spread", "likeness_reals", "sharpness", "copies", "originality",
    }  # fmt: skip
    assert all(type(value) is float for value in scores.values())


def test_disjoint_sets_get_the_worst_scores(scorer) -> None:
    scores = scorer.score(noise(len(scorer.reals)))
    assert scores["precision"] == scores["recall"] == scores["f_score"] == 0
    assert scores["density"] == scores["coverage"] == 0
    assert scores["kid"] > 1e6
    assert scores["swd"] > 100
    assert scores["likeness"] < 0.05 < scores["likeness_reals"]
    assert scores["sharpness"] > 4


def test_two_halves_of_a_set_are_at_the_floor(scorer, halves) -> None:
    floor = scorer.floor()
    assert abs(floor["kid"]) < 60  # a generator far from done gets thousands
    assert floor["swd"] < 30
    for name in ("precision", "recall", "coverage"):
        assert floor[name] > 0.9
    assert 0.85 < floor["density"] < 1.2  # 1 is expected, and one draw scatters
    assert floor["sharpness"] == pytest.approx(1, abs=0.05)
    assert floor["likeness"] == pytest.approx(floor["likeness_reals"], abs=0.03)
    assert floor["copies"] < 0.03
    assert floor["originality"] == pytest.approx(1, abs=0.01)
    # As many training images as reals: all of them, here, so that nothing is left to chance.
    scores = scorer.score(halves[1], ("kid", "neighbours", "sharpness"))
    assert scores == {name: floor[name] for name in scores}


def test_coverage_and_recall_fall_with_every_mode_dropped(robots, scorer) -> None:
    images, factions = robots
    pool, kinds = images[1::2], factions[1::2]
    real_kinds = factions[::2]
    shares, rows = [], []
    for dropped in range(len(FACTIONS)):
        kept = pool[~np.isin(kinds, FACTIONS[:dropped])]
        fakes = kept[np.resize(np.arange(len(kept)), len(pool))]
        shares.append(np.mean(~np.isin(real_kinds, FACTIONS[:dropped])))
        rows.append(scorer.score(fakes, ("neighbours", "kid")))
    coverage = np.array([row["coverage"] for row in rows])
    recall = np.array([row["recall"] for row in rows])
    # Both stay above the share that is left: balls of the rest reach over to other colours, the
    # more the fewer robots there are.
    np.testing.assert_allclose(recall, shares, atol=0.17)
    assert np.all(coverage > np.array(shares) * 0.9)
    assert np.all(coverage < np.array(shares) + 0.3)
    assert np.all(np.diff(coverage) < -0.08)
    # What is generated is as good as ever.
    assert min(row["precision"] for row in rows) > 0.85
    assert [row["kid"] for row in rows] == sorted(row["kid"] for row in rows)


def levels(fakes: np.ndarray, reals: np.ndarray) -> np.ndarray:
    """The distance at 64, 32 and 16 px, of few directions."""
    found = swd(fakes, reals, repeats=1, directions=64)
    return np.array([found[f"swd_{level}"] for level in (64, 32, 16)])


def test_damage_shows_where_it_is(large) -> None:
    reals, others = large
    floor = levels(others, reals)
    # Blur: in the fine levels, and in the sharpness.
    sharp = 1.0
    for radius in (0.5, 1, 2):
        images = blurred(others, radius)
        assert sharpness(images, reals) < sharp * 0.8
        sharp = sharpness(images, reals)
        rise = levels(images, reals) - floor
        assert rise[0] > rise[1] > rise[2], (radius, rise)
    assert sharp < 0.1
    # Noise: in the finest level, and in the sharpness.
    noisy = noised(others, 20)
    rise = levels(noisy, reals) / floor
    assert rise[0] > 1.5 > 1.2 > rise[2], rise
    assert sharpness(noisy, reals) > 1.1
    # A wrong shape: in the coarsest level.
    clouds = blurred(noise(len(others), 4).repeat(16, 1).repeat(16, 2), 6)
    rise = levels((others * 0.5 + clouds * 0.5).astype(np.uint8), reals) / floor
    assert rise[2] > rise[0], rise
    assert rise[2] > 1.2, rise


def test_where_the_reals_are_training_images_copies_mean_nothing(halves) -> None:
    scorer = Scorer(halves[0][:20], np.concatenate([halves[1], halves[0]]), "random")
    for found in (scorer.score(halves[1][:20], ("kid", "copies")), scorer.floor(("kid", "copies"))):
        assert set(found) == {"kid", "kid_spread"}


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
@pytest.mark.parametrize(
    "changed",
    [lambda x: x, lambda x: noised(x, 20), lambda x: blurred(x, 0.5), lambda x: x[:, :, ::-1]],
    ids=["as they are", "noised", "blurred", "mirrored"],
)
def test_copies_of_training_images_are_found(scorer, halves, share, changed) -> None:
    fakes = halves[0].copy()
    count = round(share * len(fakes))
    fakes[:count] = halves[1][:count]
    scores = scorer.score(changed(fakes), ("copies",))
    assert scores["copies"] == pytest.approx(share, abs=0.03)
    assert (scores["originality"] < 0.4) == (share == 1)


def test_nearest_finds_the_original(halves) -> None:
    network = RandomNetwork(32)
    training = network.fit(halves[1])
    order = np.random.default_rng(0).permutation(len(training))[:50]
    found = nearest(network(noised(halves[1][order], 3)), training)
    np.testing.assert_array_equal(found.indices, order)
    exact = nearest(training[order], training)
    np.testing.assert_array_equal(exact.indices, order)
    np.testing.assert_array_equal(exact.distances, 0)


def test_density_and_coverage_of_one_distribution() -> None:
    density, coverage = [], []
    for draw in range(10):
        fakes, reals = gaussian(400, seed=2 * draw), gaussian(400, seed=2 * draw + 1)
        scores = neighbour_scores(fakes, reals)
        density.append(scores["density"])
        coverage.append(scores["coverage"])
    assert np.mean(density) == pytest.approx(1, abs=0.05)
    assert np.mean(coverage) == pytest.approx(1 - 2**-5, abs=0.008)


def test_similarity_of_one_picture_is_one() -> None:
    same = np.repeat(blobs(1), 10, axis=0)
    assert mean_similarity(same, pairs=20).mean == pytest.approx(1, abs=1e-12)
    assert mean_similarity(blobs(30), pairs=200).mean < 0.9


def test_pairs_are_of_different_images() -> None:
    # Of two images there is but one pair.
    two = blobs(2)
    expected = ms_ssim(two[:1], two[1:])[0]
    assert mean_similarity(two, pairs=50).mean == pytest.approx(expected, rel=1e-12)


def test_likeness_is_the_similarity_of_both_sets() -> None:
    fakes, reals = blobs(10), blobs(10, seed=1)
    mean, error = mean_similarity(fakes, 20, 3)
    expected = mean_similarity(reals, 20, 3).mean
    assert likeness(fakes, reals, pairs=20, seed=3) == {
        "likeness": mean, "likeness_spread": error, "likeness_reals": expected,
    }  # fmt: skip
    assert mean != expected


def test_the_order_of_the_images_does_not_matter(halves) -> None:
    def scores(seed: int) -> dict[str, float]:
        random = np.random.default_rng(seed)
        reals, training, fakes = (
            images[random.permutation(16)]
            for images in (halves[0][:16], halves[1][:16], blurred(halves[1][16:32], 1))
        )
        scorer = Scorer(reals, training, "random", pairs=30)
        return {f"floor {k}": v for k, v in scorer.floor().items()} | scorer.score(fakes)

    assert scores(1) == scores(2)


def test_another_seed_draws_other_patches_and_pairs(halves) -> None:
    fakes, reals = halves[1][:30], halves[0][:30]
    first, second = (
        Scorer(reals, features="random", seed=seed, pairs=100).score(fakes, ("swd", "likeness"))
        for seed in (0, 1)
    )
    for level in ("swd_32", "swd_16"):
        assert 0 < abs(first[level] - second[level]) < 0.3 * first[level]
    for name in ("likeness", "likeness_reals"):
        errors = first["likeness_spread"] + second["likeness_spread"]
        assert 0 < abs(first[name] - second[name]) < 5 * errors


def test_the_reals_are_computed_once(scorer, monkeypatch) -> None:
    fakes = noise(len(scorer.reals))
    expected = scorer.score(fakes, ("kid",))
    for network in scorer.networks:
        monkeypatch.setattr(network, "fit", None)
    assert scorer.score(fakes, ("kid",)) == expected
    assert sorted(expected) == ["kid", "kid_spread"]


# The registry ------------------------------------------------------------------------------------


@pytest.fixture
def more_metrics() -> Iterator[None]:
    """What a test registers is gone after it."""
    known = registry.METRICS.copy(), registry.SCORES.copy()
    yield
    for names, before in zip((registry.METRICS, registry.SCORES), known, strict=True):
        names.clear()
        names.update(before)


def test_a_new_metric_is_one_function(more_metrics) -> None:
    calls = []

    def brightness(reals: np.ndarray) -> float:
        calls.append(len(reals))
        return float(reals.mean())

    @metric(Score("glow", "how much brighter", "less"), needs=("images",), of_reals=brightness)
    def glow(fakes: np.ndarray, reals: np.ndarray, of_reals: float) -> float:
        return float(fakes.mean()) - of_reals

    @metric(Score("reach", "of features"), name="far", needs=("features", "training", "seed"))
    def far(fakes: np.ndarray, reals: np.ndarray, training: np.ndarray, seed: int) -> dict:
        return {"reach": float(len(training)), "reach_seed": float(seed + fakes.shape[1] * 0)}

    images = np.full((12, 16, 16, 3), 100, np.uint8)
    scorer = Scorer(images, blobs(20, 16), "random", seed=7)
    for brighter in (3, 5):
        scores = scorer.score(images + np.uint8(brighter), ("far", "glow"))
        assert scores == {
            "reach": 20, "reach_spread": 0, "reach_seed": 7, "reach_seed_spread": 0,
            "glow": brighter,
        }  # fmt: skip
    assert calls == [12]
    assert {"far", "glow"} <= set(scorer.metrics)
    assert "far" not in Scorer(images, features="random").metrics
    assert table({"run": scores}).splitlines()[1:] == [
        "reach       20 ± 0  of features",
        "reach_seed   7 ± 0",
        "glow             5  how much brighter; less is better",
    ]
    assert registry.metrics_of(("reach", "glow", "recall")) == ("neighbours", "glow", "far")


@pytest.mark.parametrize(
    ("score", "better", "worse"),
    [
        ("kid", {"kid": 1}, {"kid": 9}),
        ("kid", {"kid": -1}, {"kid": 0}),
        ("swd", {"swd": 1}, {"swd": 9}),
        ("coverage", {"coverage": 0.9, "kid": 9}, {"coverage": 0.8, "kid": 9}),
        ("coverage", {"coverage": 0.8, "kid": 1}, {"coverage": 0.8, "kid": 9}),
    ],
)
def test_a_better_network_ranks_higher(score, better, worse) -> None:
    assert registry.rank(score, better) > registry.rank(score, worse)
    assert registry.ranking(score) == tuple(better)


def test_what_can_choose_the_best_networks() -> None:
    assert set(registry.choices()) == {"kid", "swd", "coverage"}
    assert registry.ranking("none") == registry.rank("none", {}) == ()


# The formulas ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [11, 32, 64])
def test_ssim_agrees_with_scikit_image(size) -> None:
    module = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    images = noise(4, size, seed=1)
    others = blurred(images, 0.7)
    others[1] = noise(1, size, seed=2)[0]
    expected = [
        module.structural_similarity(
            *pair, channel_axis=2, data_range=255, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )
        for pair in zip(images, others, strict=True)
    ]  # fmt: skip
    np.testing.assert_allclose(ssim(images, others), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("size", [16, 32, 64, 128, 176, 256])
def test_ms_ssim_agrees_with_tensorflow(size) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    images = blobs(4, size)
    others = noised(images, 30)
    others[3] = blobs(1, size, seed=9)[0]
    count = scales(size)
    assert count == {16: 1, 32: 2, 64: 3, 128: 4, 176: 5, 256: 5}[size]
    weights = np.array(SCALE_WEIGHTS[:count])
    expected = tensorflow.image.ssim_multiscale(
        *(tensorflow.constant(each, "float32") for each in (images, others)),
        max_val=255,
        power_factors=tuple(weights / weights.sum()),
    )
    np.testing.assert_allclose(ms_ssim(images, others), expected, atol=2e-4)


def test_sums_do_not_depend_on_the_chunks(halves, monkeypatch) -> None:
    fakes, reals = halves[1][:40], halves[0][:40]
    features = gaussian(80, 20), gaussian(90, 20, seed=1)

    def results() -> list[float]:
        return [
            *swd(fakes, reals, patches=16, repeats=1, directions=32).values(),
            *mean_similarity(reals, 30),
            detail_share(reals), *kid(*features).values(),
            *neighbour_scores(*features).values(),
            nearest(*features).distances.sum(),
            *RandomNetwork(32)(reals)[:, ::100].ravel(),
        ]  # fmt: skip

    whole = results()
    monkeypatch.setattr(scoring_images, "IMAGE_BYTES", 500_000)
    monkeypatch.setattr(similarity, "PAIR_BYTES", 30_000)
    monkeypatch.setattr(patches, "PROJECTED_VALUES", 2000)
    monkeypatch.setattr(patches, "LEAST_DIRECTIONS", 3)
    monkeypatch.setattr(distances, "BLOCK_VALUES", 1000)
    np.testing.assert_allclose(results(), whole, rtol=1e-4, atol=1e-6)


def test_kid_is_a_double_sum() -> None:
    fakes, reals = gaussian(12, 5), gaussian(9, 5, seed=1) + 0.3

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((np.dot(x, y) / 5 + 1) ** 3)

    expected = 1000 * (
        np.mean([kernel(x, y) for x, y in itertools.permutations(fakes, 2)])
        + np.mean([kernel(x, y) for x, y in itertools.permutations(reals, 2)])
        - 2 * np.mean([kernel(x, y) for x in fakes for y in reals])
    )
    found = kid(fakes, reals)
    assert found["kid"] == pytest.approx(expected, rel=1e-12)
    without = [kid(np.delete(fakes, i, 0), reals)["kid"] for i in range(12)]
    assert found["kid_spread"] == pytest.approx(np.sqrt(11 * np.var(without)), rel=1e-9)


def test_kid_of_one_distribution_is_zero_on_average() -> None:
    values = [
        kid(gaussian(count, 8, seed=2 * i), gaussian(count, 8, seed=2 * i + 1))["kid"]
        for count in (20, 100)
        for i in range(60)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))


def test_fid_is_the_distance_of_two_gaussians() -> None:
    first, second = gaussian(300, 6), gaussian(200, 6, seed=1) @ gaussian(6, 6, seed=2) + 1
    covariances = [np.cov(each.T) for each in (first, second)]
    root = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real).sum()
    expected = (
        np.sum((first.mean(0) - second.mean(0)) ** 2)
        + np.trace(covariances[0] + covariances[1])
        - 2 * root
    )
    assert fid(first, second) == pytest.approx(expected, rel=1e-9)
    assert fid(first, first) == pytest.approx(0, abs=1e-9)
    assert fid(first + 2, first) == pytest.approx(6 * 4, rel=1e-9)


def test_neighbour_scores_are_what_loops_find() -> None:
    fakes, reals, k = gaussian(25, 3), gaussian(30, 3, seed=1) * 1.3, 3

    def radius(points: np.ndarray, index: int) -> float:
        distances = [np.linalg.norm(points[index] - other) for other in points]
        return sorted(distances)[k]  # the first is its own

    real_radii = [radius(reals, i) for i in range(len(reals))]
    fake_radii = [radius(fakes, i) for i in range(len(fakes))]
    in_real_ball = [
        [np.linalg.norm(fake - real) <= r for real, r in zip(reals, real_radii, strict=True)]
        for fake in fakes
    ]
    in_fake_ball = [
        [np.linalg.norm(fake - real) <= r for fake, r in zip(fakes, fake_radii, strict=True)]
        for real in reals
    ]
    precision = np.mean([any(row) for row in in_real_ball])
    recall = np.mean([any(row) for row in in_fake_ball])
    assert neighbour_scores(fakes, reals, k=k) == pytest.approx(
        {
            "f_score": 2 / (1 / precision + 1 / recall),
            "precision": precision,
            "recall": recall,
            "density": sum(map(sum, in_real_ball)) / (k * len(fakes)),
            "coverage": np.mean([any(column) for column in zip(*in_real_ball, strict=True)]),
        }
    )
    np.testing.assert_allclose(np.sqrt(radii(reals, k)), real_radii, rtol=1e-9)


def test_swd_of_one_patch_and_direction_is_a_sorted_difference() -> None:
    # Of images of one colour each, a normalised patch is one number three times, and the
    # coarsest level of 16 px is the image.
    values = np.random.default_rng(0).integers(0, 256, (2, 20))
    fakes, reals = (
        np.full((20, 16, 16, 3), each[:, None, None, None], np.uint8) for each in values
    )
    found = swd(fakes, reals, patches=2, repeats=200, directions=10)
    first, second = (np.sort((each - each.mean()) / each.std()) for each in values)
    # The mean of |sum of a direction's 147 numbers| is that of a normal number.
    expected = 1000 * np.abs(first - second).mean() * np.sqrt(2 / np.pi)
    assert found == {name: pytest.approx(expected, rel=0.06) for name in ("swd", "swd_16")}


def test_a_level_of_the_pyramid_is_what_halving_loses() -> None:
    flat = np.full((1, 3, 32, 32), 7.0)
    np.testing.assert_allclose(_halved(flat), flat[..., ::2, ::2], rtol=1e-12)
    np.testing.assert_allclose(_detail(flat), 0, atol=1e-12)
    ramp = np.broadcast_to(np.arange(32.0), (1, 3, 32, 32))
    np.testing.assert_allclose(_detail(ramp)[..., 8:-8, 8:-8], 0, atol=1e-12)
    chequered = np.indices((32, 32)).sum(0) % 2.0
    np.testing.assert_allclose(_halved(chequered), 0.5, atol=1e-12)


def test_large_images_are_filtered_all_at_once_as_one_by_one(monkeypatch) -> None:
    images = np.random.default_rng(0).random((2, 3, 20, 16))
    rows, columns = (np.random.default_rng(1).random((5, side)) for side in (20, 16))
    alone = filtered(images, rows, columns)
    monkeypatch.setattr(scoring_images, "THREADED_SIDE", 16)
    together = filtered(images, rows, columns)
    expected = np.einsum("ncij,ai,bj->ncab", images, rows, columns)
    np.testing.assert_allclose(alone, expected, rtol=1e-12)
    np.testing.assert_allclose(together, expected, rtol=1e-12)


def test_pictures_of_one_colour_have_no_details() -> None:
    plain = np.full((6, 32, 32, 3), 200, np.uint8)
    assert detail_share(plain) == 0
    assert swd(plain, plain) == {"swd": 0, "swd_32": 0, "swd_16": 0}
    assert np.isfinite(list(swd(plain, blobs(6)).values())).all()


# Features ----------------------------------------------------------------------------------------


def test_random_weights_are_the_same_everywhere() -> None:
    network = RandomNetwork(64, seed=1)
    digest = hashlib.sha256()
    for array in itertools.chain.from_iterable(network.weights):
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    assert digest.hexdigest()[:16] == "a5b11d8976cd5742"
    assert [kernel.shape for kernel, _ in network.weights] == [
        (3, 3, 3, 32), (3, 3, 32, 64), (3, 3, 64, 128), (3, 3, 128, 128),
    ]  # fmt: skip


def test_features_are_scaled_by_the_reals(halves) -> None:
    network = RandomNetwork(32)
    features = network.fit(halves[0])
    assert features.dtype == np.float32
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-4)
    assert np.square(features).mean() == pytest.approx(1, rel=1e-4)
    energies = [np.square(features[:, group]).sum(1).mean() for group in network.groups]
    np.testing.assert_allclose(energies, energies[0], rtol=1e-4)
    np.testing.assert_array_equal(network(halves[0]), features)
    assert not np.array_equal(RandomNetwork(32, seed=1).fit(halves[0]), features)


@pytest.fixture
def inception_file(tmp_path, monkeypatch):
    """Where Inception's weights belong, and a small network in its place."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    network = keras.Sequential(
        [keras.Input((299, 299, 3)), keras.layers.AveragePooling2D(149), keras.layers.Flatten()]
    )

    def small(*, weights: str, **options: object) -> keras.Model:
        assert options == {
            "include_top": False, "pooling": "avg", "input_shape": (299, 299, 3),
        }  # fmt: skip
        assert weights.startswith(str(tmp_path / "models"))
        if weights.endswith("damaged.h5"):
            network.load_weights(weights)
        return network

    monkeypatch.setattr(keras.applications, "InceptionV3", small)
    path = tmp_path / "models" / INCEPTION_FILE
    path.parent.mkdir()
    return path


def test_inception_says_which_file_is_missing(inception_file) -> None:
    with pytest.raises(UserError) as error:
        Scorer(blobs(6), features="inception")
    assert str(error.value) == (
        f"--features inception: {inception_file} is missing; nothing is downloaded here: "
        "get it from https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/"
        "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5 (88 MB) and put it there, or "
        "take --features imagenet"
    )


def test_inception_says_that_its_file_is_damaged(inception_file, monkeypatch) -> None:
    name = "damaged.h5"
    monkeypatch.setattr("utils.scoring.features.INCEPTION_FILE", name)
    inception_file.with_name(name).write_bytes(b"not HDF5")
    with pytest.raises(UserError, match=r"damaged\.h5 cannot be read: ") as error:
        InceptionNetwork()
    assert "\n" not in str(error.value)


def test_inception_gives_a_fid(inception_file) -> None:
    inception_file.touch()
    scorer = Scorer(blobs(8), training=blobs(40, seed=1), features="inception")
    scores = scorer.floor()
    assert scores["fid"] > 0
    assert not any(name.startswith("fid_") for name in scores)
    white, black = (
        scorer.networks[0](np.full((1, 32, 32, 3), value, np.uint8)) for value in (255, 0)
    )
    np.testing.assert_allclose(white, 1, rtol=1e-6)
    np.testing.assert_allclose(black, -1, rtol=1e-6)


# Errors ------------------------------------------------------------------------------------------

TWELVE = blobs(12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: ssim(TWELVE / 255, TWELVE),
            "images: found float64 (12, 32, 32, 3), expected uint8 (N, H, W, 3 or 6)",
        ),
        (
            lambda: detail_share(TWELVE[..., 0]),
            "images: found uint8 (12, 32, 32), expected uint8 (N, H, W, 3 or 6)",
        ),
        (
            lambda: ssim(TWELVE, blobs(12, 64)),
            "expected images of one size, found images (32, 32, 3) and others (64, 64, 3)",
        ),
        (lambda: ssim(TWELVE, TWELVE[:5]), "expected pairs, found 12 images and 5 others"),
        (
            lambda: ms_ssim(TWELVE[:, :8], TWELVE[:, :8]),
            "expected images of at least 11 px, found 8x32",
        ),
        (
            lambda: ms_ssim(TWELVE[:, :, :31], TWELVE[:, :, :31]),
            "2 scales need sides divisible by 2, found (32, 31)",
        ),
        (lambda: mean_similarity(TWELVE[:1]), "images: found 1 images, expected at least 2"),
        (
            lambda: swd(TWELVE, TWELVE[:5]),
            "expected as many fakes as reals, found 12 and 5: scores depend on the number of "
            "images",
        ),
        (
            lambda: swd(TWELVE[:, :, :16], TWELVE[:, :, :16]),
            "expected square images of 16, 32, 64, ... px, found 32x16",
        ),
        (
            lambda: detail_share(TWELVE[:, :31]),
            "expected even sides of at least 4 px, found (31, 32)",
        ),
        (
            lambda: sharpness(TWELVE, np.zeros_like(TWELVE)),
            "reals: no details at all to compare with",
        ),
        (lambda: radii(gaussian(5)), "features: found 5 images, expected at least 6"),
        (lambda: radii(gaussian(5), 0), "k must be at least 1, found 0"),
        (
            lambda: kid(gaussian(5, 3), gaussian(5, 4)),
            "expected features of one width, found [3, 4]",
        ),
        (
            lambda: kid(gaussian(5)[0], gaussian(5)),
            "fakes: found features of shape (64,), expected (N, D)",
        ),
        (
            lambda: copies(TWELVE, TWELVE, training=TWELVE),
            "reals: most of them are in the training set",
        ),
        (lambda: RandomNetwork(48), "image_size must be 16, 32, 64, ..., found 48"),
        (
            lambda: RandomNetwork(64)(TWELVE),
            "expected images of 64 px, found (32, 32)",
        ),
        (
            lambda: Scorer(TWELVE[:5], features="random").score(TWELVE[:5], ["neighbours"]),
            "features: found 5 images, expected at least 6",
        ),
        (
            lambda: Scorer(TWELVE, features="random").score(TWELVE[:6]),
            "expected as many fakes as reals, found 6 and 12: scores depend on the number of "
            "images",
        ),
        (
            lambda: Scorer(TWELVE, features="random").score(TWELVE, ["swd", "is"]),
            "metrics: found 'is', expected some of kid, fid, fd, neighbours, copies, swd, "
            "sharpness, likeness",
        ),
        (
            lambda: Scorer(TWELVE, features="random").score(TWELVE, ["copies"]),
            "metrics: copies needs the training images",
        ),
        (
            lambda: Scorer(TWELVE, TWELVE[:5], "random").floor(["swd"]),
            "the floor of 12 reals needs as many training images, found 5",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(call, message) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        call()
    assert str(error.value) == message


def test_unknown_features_are_named() -> None:
    with pytest.raises(UserError) as error:
        feature_networks("vgg", 64)
    assert str(error.value) == "--features vgg: expected imagenet, random, inception"

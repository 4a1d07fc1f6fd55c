"""What the discriminator is shown: formulas, gradients, draws, and the scripts that use it."""

from __future__ import annotations

import csv
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

import dcgan
import wgan
from tests.conftest import REPOSITORY, TINY, blobs, run_script
from tests.run_files import assert_same_state
from tests.test_alternation import tiny_method
from tests.test_backends import BACKENDS, OTHERS, assert_same_results
from tests.test_wgan import TINY as TINY_WGAN
from tests.test_wgan import tiny_method as tiny_wgan
from utils import backend
from utils.models import augmentation
from utils.models.augmentation import (
    KINDS,
    Augmentation,
    change_colors,
    cut_out,
    draw_examples,
    farthest_translation,
    hole_side,
    translate,
)
from utils.training import adapt as adapting
from utils.training.run import run
from utils.watching.answers import KINDS as ANSWERED
from utils.watching.answers import overfitting

ON = ["--augmentation", *KINDS]


def images_of(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def augment(kinds: tuple[str, ...], images: np.ndarray, seed: int = 0) -> np.ndarray:
    layer = Augmentation(kinds, keras.random.SeedGenerator(seed))
    return ops.convert_to_numpy(layer(images.astype(np.float32)))


# Formulas, number by number ---------------------------------------------------------------------


def colors_by_hand(images: np.ndarray, draws: np.ndarray) -> np.ndarray:
    result = images.copy()
    for image, (brightness, saturation, contrast) in zip(
        result, draws.reshape(3, -1).T, strict=True
    ):
        image += brightness - 0.5
        for pixel in image.reshape(-1, image.shape[-1]):
            mean = sum(pixel) / len(pixel)
            pixel[:] = [(channel - mean) * 2 * saturation + mean for channel in pixel]
        mean = image.sum() / image.size
        image[:] = (image - mean) * (contrast + 0.5) + mean
    return result


@pytest.mark.parametrize("strength", [0.3, 0.0])
def test_color_goes_as_far_as_it_is_told(strength):
    images = images_of(3, 4, 4, 3)
    draws = np.asarray(keras.random.uniform((3, 3, 1, 1, 1), seed=keras.random.SeedGenerator(0)))
    layer = Augmentation(("color",), keras.random.SeedGenerator(0), color_strength=strength)
    found = ops.convert_to_numpy(layer(images.astype(np.float32)))
    expected = colors_by_hand(images, 0.5 + strength * (draws - 0.5))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found - images).max() < (0.6 if strength else 1e-5)


def translated_by_hand(images: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    result = np.zeros_like(images)
    for number, row, column in np.ndindex(images.shape[:3]):
        to = row + offsets[0, number], column + offsets[1, number]
        if 0 <= to[0] < images.shape[1] and 0 <= to[1] < images.shape[2]:
            result[number, to[0], to[1]] = images[number, row, column]
    return result


def cut_by_hand(images: np.ndarray, centers: np.ndarray, side: int) -> np.ndarray:
    result = images.copy()
    for image, row, column in zip(result, *centers, strict=True):
        top, left = max(0, row - side // 2), max(0, column - side // 2)
        image[top : row - side // 2 + side, left : column - side // 2 + side] = 0
    return result


def given(size: int = 6, count: int = 5) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(1)
    return (
        images_of(count, size, size, 3),
        random.uniform(size=(3, count, 1, 1, 1)),
        random.integers(-2, 3, (2, count)).astype(np.int32),
        random.integers(0, size + 1, (2, count)).astype(np.int32),
    )


def test_colors_are_their_formulas():
    images, draws, _, _ = given()
    found = ops.convert_to_numpy(change_colors(images, draws))
    assert np.abs(found).max() > 1  # nothing is clipped
    np.testing.assert_allclose(found, colors_by_hand(images, draws), atol=1e-12)


def color_draws(brightness: float = 0.5, saturation: float = 0.5, contrast: float = 0.5):
    return np.array([brightness, saturation, contrast]).reshape(3, 1, 1, 1, 1)


def test_known_colors():
    images = images_of(2, 4, 4, 3)

    def changed(**draws: float) -> np.ndarray:
        return ops.convert_to_numpy(change_colors(images, color_draws(**draws)))

    np.testing.assert_allclose(changed(), images, atol=1e-12)
    np.testing.assert_allclose(changed(brightness=0.9), images + 0.4, atol=1e-12)
    grey = changed(saturation=0.0)
    np.testing.assert_allclose(np.ptp(grey, axis=-1), 0, atol=1e-12)
    for draw in (0.0, 1.0):
        saturated = changed(saturation=draw)
        np.testing.assert_allclose(saturated.mean(-1), images.mean(-1), atol=1e-12)
        contrasted = changed(contrast=draw)
        np.testing.assert_allclose(contrasted.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=1e-12)
        np.testing.assert_allclose(
            contrasted.std((1, 2, 3)), images.std((1, 2, 3)) * (draw + 0.5), atol=1e-12
        )
    # Each mean is of the image itself, not of the batch.
    darker = ops.convert_to_numpy(
        change_colors(np.concatenate([images[:1], images[:1] - 5]), color_draws(contrast=1.0))
    )
    np.testing.assert_allclose(darker[1], darker[0] - 5, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 6, 6, 3), (5, 4, 7, 2)])
def test_translation_is_exact(shape):
    images, offsets = images_of(*shape), given()[2]
    assert {-2, 2} <= set(offsets.ravel())
    found = ops.convert_to_numpy(translate(images, offsets))
    np.testing.assert_array_equal(found, translated_by_hand(images, offsets))


def test_known_translations():
    image = np.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    moved = ops.convert_to_numpy(translate(image, np.array([[1], [-1]], np.int32)))
    np.testing.assert_array_equal(moved[0, ..., 0], [[0, 0, 0], [2, 3, 0], [5, 6, 0]])
    stays = ops.convert_to_numpy(translate(image, np.array([[0], [0]], np.int32)))
    np.testing.assert_array_equal(stays, image)
    leaves = ops.convert_to_numpy(translate(image, np.array([[0], [3]], np.int32)))
    assert not leaves.any()


@pytest.mark.parametrize(("size", "side"), [(6, 3), (8, 4), (7, 4), (5, 3)])
def test_cutout_is_exact(size, side):
    assert hole_side(size) == side
    centers = np.array(list(itertools.product(range(size + 1), repeat=2)), np.int32).T
    images = images_of(centers.shape[1], size, size, 3)
    found = ops.convert_to_numpy(cut_out(images, centers))
    np.testing.assert_array_equal(found, cut_by_hand(images, centers, side))


def test_known_holes_at_the_borders():
    centers = np.array([[0, 4, 8, 8], [0, 4, 8, 2]], np.int32)
    kept = ops.convert_to_numpy(cut_out(np.ones((4, 8, 8, 1)), centers))[..., 0]
    for image, (rows, columns) in zip(
        kept, [((0, 2), (0, 2)), ((2, 6), (2, 6)), ((6, 8), (6, 8)), ((6, 8), (0, 4))], strict=True
    ):
        hole = np.zeros((8, 8))
        hole[slice(*rows), slice(*columns)] = 1
        np.testing.assert_array_equal(image, 1 - hole)


@pytest.mark.parametrize(("size", "most", "side"), [(32, 4, 16), (64, 8, 32), (20, 3, 10)])
def test_distances_grow_with_the_images(size, most, side):
    assert (farthest_translation(size), hole_side(size)) == (most, side)


# Draws ------------------------------------------------------------------------------------------


def test_translations_reach_both_ends_and_no_further():
    image = np.arange(1.0, 16 * 16 + 1).reshape(1, 16, 16, 1)
    moved = augment(("translation",), np.repeat(image, 500, axis=0))
    offsets = {tuple(np.argwhere(each[..., 0] == image[0, 8, 8, 0])[0] - 8) for each in moved}
    assert offsets == set(itertools.product(range(-2, 3), repeat=2))


@pytest.mark.parametrize(("size", "ends"), [(8, 9), (5, 5)])
def test_holes_are_as_likely_at_both_borders(size, ends):
    kept = augment(("cutout",), np.ones((3000, size, size, 1)))[..., 0]
    found = {image.tobytes() for image in kept}
    centers = np.array(list(itertools.product(range(ends), repeat=2)), np.int32).T
    possible = cut_by_hand(np.ones((ends**2, size, size), np.float32), centers, hole_side(size))
    assert found == {image.tobytes() for image in possible}
    np.testing.assert_allclose(kept.mean(0), kept.mean(0)[::-1, ::-1], atol=0.06)


def test_colors_are_drawn_for_each_image_and_number():
    changed = augment(("color",), np.zeros((400, 2, 2, 3)))
    assert np.ptp(changed, axis=(1, 2, 3)).max() < 1e-6  # a grey image stays one
    brightness = changed.mean((1, 2, 3))
    assert -0.5 <= brightness.min() < -0.48
    assert 0.48 < brightness.max() < 0.5
    image = np.zeros((400, 1, 2, 3))
    image[:, :, 0] = [1, 0, -1]  # saturation and contrast scale the distance of these
    changed = augment(("color",), image)
    distances = (changed[:, 0, 0, 0] - changed[:, 0, 0, 2]) / 2
    assert 0 <= distances.min() < 0.05  # from 0 times 0.5 ...
    assert 2.5 < distances.max() < 3  # ... to 2 times 1.5
    assert len(np.unique(distances)) == 400
    assert abs(np.corrcoef(distances, changed.mean((1, 2, 3)))[0, 1]) < 0.15


def test_kinds_are_applied_in_their_order_whatever_is_asked():
    images = images_of(6, 8, 8, 3)
    np.testing.assert_array_equal(augment(KINDS, images), augment(KINDS[::-1], images))
    # Cutout comes last: its hole is 0, though brightness would have moved it.
    zeros = (augment(KINDS, images) == 0).all(-1).sum((1, 2))
    assert (zeros >= 4).all()


def test_without_kinds_nothing_happens_and_nothing_is_drawn():
    seed_generator = keras.random.SeedGenerator(0)
    before = ops.convert_to_numpy(seed_generator.state).copy()
    images = ops.convert_to_tensor(images_of(2, 8, 8, 3).astype(np.float32))
    assert Augmentation((), seed_generator)(images) is images
    np.testing.assert_array_equal(ops.convert_to_numpy(seed_generator.state), before)


def test_each_kind_is_done_with_its_probability_and_the_others_are_left():
    """Told apart by what they do to a bright image: its colour, its border, its middle."""
    images = np.ones((3000, 8, 8, 3), np.float32)
    layer = Augmentation(KINDS, keras.random.SeedGenerator(0), probability=0.3)
    found = ops.convert_to_numpy(layer(images))
    filled = (found != 0).all(-1)
    is_changed = np.abs(found.max((1, 2, 3)) - 1) > 1e-6
    # A hole that a translation of at most a pixel leaves: wide inside.
    has_hole = (~filled[:, 1:-1, 1:-1]).any((1, 2))
    rows, columns = (~filled).all(2), (~filled).all(1)
    is_moved = rows[:, [0, -1]].any(1) | columns[:, [0, -1]].any(1)
    assert is_changed.mean() == pytest.approx(0.3, abs=0.03)
    assert has_hole.mean() == pytest.approx(0.3, abs=0.03)
    assert is_moved.mean() == pytest.approx(0.3 * (1 - 1 / 9), abs=0.03)
    together = np.corrcoef([is_changed, has_hole, is_moved])
    assert np.abs(together[np.triu_indices(3, 1)]).max() < 0.06  # each by itself
    untouched = ~(is_changed | has_hole | is_moved)
    np.testing.assert_array_equal(found[untouched], images[untouched])


def test_a_probability_of_none_and_of_all():
    images = images_of(6, 8, 8, 3).astype(np.float32)
    layer = Augmentation(KINDS, keras.random.SeedGenerator(0), probability=0.0)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(images)), images, atol=1e-6)
    # Of all, nothing is drawn besides: runs from before there was a probability go on as they were.
    generators = [keras.random.SeedGenerator(0) for _ in range(2)]
    Augmentation(("color",), generators[0], probability=1.0)(images)
    keras.random.uniform((1,), seed=generators[1])
    np.testing.assert_array_equal(*(ops.convert_to_numpy(x.state) for x in generators))


def test_the_probability_rises_while_the_task_is_too_easy():
    seed_generator = keras.random.SeedGenerator(0)
    layer = Augmentation(KINDS, seed_generator, probability=0.75, adapts=True)
    assert layer.trainable_variables == []
    found = []
    # What measures are above their targets by, and images since the last time.
    for excesses, images in (
        ([0.1], 4000), ([np.nan], 4000), ([], 4000), ([0.7, -0.1], 2000), ([-0.1, 0.01], 2000),
        ([np.nan, 0.1], 2000), ([-0.1, np.nan], 4000), ([-2.0, -0.1], 100_000), ([0.01], 100_000),
    ):  # fmt: skip
        layer.adapt(excesses, images)
        found.append(layer.current_probability())
    # A fifth of a percent for every 400 images, whatever the excess; from 0.75 to 1.
    assert found == pytest.approx([0.77, 0.77, 0.77, 0.78, 0.79, 0.8, 0.78, 0.75, 1.0])
    layer.resume(0.9, began=0.5)
    assert layer.current_probability() == pytest.approx(0.9)
    layer.resume(0.1, began=0.05)  # a run that is told to begin higher than it was
    assert layer.current_probability() == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("was", "began", "now"),
    [(0.9, 0.75, 0.9), (0.9, 0.5, 0.75), (0.75, 0.75, 0.75), (1.0, 1.0, 0.75)],
    ids=["keeps what it had", "another is given", "never moved", "never moved, another is given"],
)
def test_a_probability_that_moves_no_longer(was, began, now):
    layer = Augmentation(KINDS, keras.random.SeedGenerator(0), probability=0.75)
    layer.resume(was, began)
    assert layer.current_probability() == pytest.approx(now)


def test_where_the_probability_is_moved():
    def adapts(**values: object) -> bool:
        return dcgan.Hyperparameters(**values).adapts_augmentation()

    not_by_confidence = {"augmentation_confidence": 1.0}
    assert adapts()
    for values in ({"augmentation": ()}, {"augmentation_probability": 1.0}):
        assert not adapts(**values)
    assert adapts(**not_by_confidence)
    # Nobody is asked; how sure the discriminator is is known all the same.
    for values in ({"augmentation_target": 0.0}, {"holdout": 0.0}):
        assert adapts(**values)
        assert not adapts(**values, **not_by_confidence)
    # A critic's answers are no probabilities.
    assert not wgan.Hyperparameters(augmentation=("color",), holdout=0.0).adapts_augmentation()


@pytest.mark.parametrize(
    ("shift", "expected"), [(0.0, 0.25), (100.0, 0.25), (-3.0, 0.25), (None, np.nan)]
)
def test_overfitting_is_how_far_held_out_pictures_have_gone(shift, expected):
    """Whatever zero is: a critic's answers have none."""
    spread = np.resize([-1.0, 1.0], 64)
    answers = {"training": spread + 4.0, "held out": spread + 3.0, "generated": spread}
    if shift is None:
        del answers["held out"]
    answers = {kind: values + (shift or 0.0) for kind, values in answers.items()}
    np.testing.assert_allclose(overfitting(answers), expected)
    # Four standard errors of the difference are 0.71.
    near = {kind: values * 0.0 + spread for kind, values in answers.items()} | {
        "training": spread + 0.3
    }
    assert np.isnan(overfitting(near))


def train(*arguments: str) -> None:
    """Run dcgan.py in this process, where a test can look on."""
    keras.utils.clear_session()
    run(dcgan.DCGAN, dcgan.Hyperparameters, "", list(arguments))


def assert_ended_alike(models: Path, probability: float) -> None:
    """The runs ``whole`` and ``halves``, of seven steps."""
    whole, halves = (
        models / name / "checkpoints" / "step_0000007.npz" for name in ("whole", "halves")
    )
    assert_same_state(whole, halves)
    with np.load(whole) as archive:
        assert archive["loop/augmentation_probability"] == pytest.approx(probability)


def test_a_run_moves_the_probability_and_goes_on_with_it(tmp_path, data_file, monkeypatch):
    """As often as it is told, by what the discriminator answers, the same when it is resumed."""
    asked = []

    def known(answers: dict[str, np.ndarray]) -> float:
        assert {kind: len(x) for kind, x in answers.items()}.keys() == set(ANSWERED)
        asked.append(answers)
        return 0.1 if len(asked) == 1 else 0.5

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(adapting, "IMAGES_TO_ADAPT", 8)
    monkeypatch.setattr(adapting, "overfitting", known)
    monkeypatch.setattr(augmentation, "IMAGES_FROM_0_TO_1", 80)
    tiny = [*TINY, "--holdout", "0.3", "--score", "none", "--data", str(data_file)]
    tiny += ["--augmentation-confidence=1", "--history-interval=1"]

    train(*tiny, "--run-name", "whole", "--steps", "7")
    assert len(asked) == 3  # every second step
    with open(tmp_path / "images" / "whole" / "history.csv", newline="") as file:
        found = [float(row["augmentation_probability"]) for row in csv.DictReader(file)]
    assert found == pytest.approx([0.75, 0.75, 0.75, 0.85, 0.85, 0.95, 0.95])
    asked.clear()
    train(*tiny, "--run-name", "halves", "--steps", "5")
    train("--resume", "halves", "--steps", "7")
    assert_ended_alike(tmp_path / "saved_models", probability=0.95)


@pytest.mark.parametrize(("holdout", "smoothing"), [("0.3", "0"), ("0", "0.2")])
def test_a_run_measures_how_sure_its_discriminator_is(
    holdout, smoothing, tmp_path, data_file, monkeypatch
):
    """By all steps since the last time, those before a resume included, and by its labels."""
    measured = []
    move = Augmentation.adapt

    def adapt(self: Augmentation, excesses: list[float], images: int) -> None:
        measured.append((*excesses, images))
        move(self, excesses, images)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(adapting, "IMAGES_TO_ADAPT", 12)
    monkeypatch.setattr(adapting, "overfitting", lambda answers: -1.0)
    monkeypatch.setattr(augmentation, "IMAGES_FROM_0_TO_1", 240)
    monkeypatch.setattr(Augmentation, "adapt", adapt)
    tiny = [*TINY, "--holdout", holdout, "--score", "none", "--data", str(data_file)]
    tiny += [
        "--augmentation-confidence=0.4",
        "--history-interval=1",
        "--label-smoothing",
        smoothing,
    ]

    def run(*arguments: str) -> list[tuple[float, ...]]:
        measured.clear()
        train(*arguments)
        return list(measured)

    whole = run(*tiny, "--run-name", "whole", "--steps", "7")
    with open(tmp_path / "images" / "whole" / "history.csv", newline="") as file:
        sure = [float(row["d_real"]) for row in csv.DictReader(file)]
    assert len(whole) == 2  # every third step
    for found, expected in zip(whole, (sure[:3], sure[3:6]), strict=True):
        *by_heart, excess, images = found
        assert by_heart == ([pytest.approx(-1.2)] if holdout == "0.3" else [])
        assert excess == pytest.approx(np.mean(expected) / (1 - float(smoothing)) - 0.4, abs=1e-6)
        assert excess > 0
        assert images == 12
    halves = run(*tiny, "--run-name", "halves", "--steps", "5")
    assert halves + run("--resume", "halves", "--steps", "7") == whole
    assert_ended_alike(tmp_path / "saved_models", probability=0.85)


def test_a_few_steps_are_not_enough_to_say_how_sure_it_is(tmp_path, data_file, monkeypatch):
    """Of a run that is told to look at it, or no longer, between two adaptations."""
    measured = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(adapting, "IMAGES_TO_ADAPT", 24)
    monkeypatch.setattr(Augmentation, "adapt", lambda self, *found: measured.append(found))

    def run(confidence: str, steps: int, *arguments: str) -> int:
        train(*arguments, f"--augmentation-confidence={confidence}", f"--steps={steps}")
        path = tmp_path / "saved_models" / "few" / "checkpoints" / f"step_{steps:07}.npz"
        with np.load(path) as archive:
            return archive["loop/d_real"].size

    # A twentieth of a picture is none.
    tiny = [*TINY, "--holdout=0.01", "--score=none", f"--data={data_file}", "--run-name=few"]
    assert run("0.4", 1, *tiny) == 1
    assert run("1", 4, "--resume=few") == 0
    assert run("0.4", 6, "--resume=few") == 0
    assert measured == [([], 24)]


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"^Augmentation: colour, must be one of color, trans"):
        Augmentation(("colour",), keras.random.SeedGenerator(0))


def test_it_computes_in_float32_whatever_the_networks_do():
    images = images_of(4, 16, 16, 3)
    expected = augment(KINDS, images)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = augment(KINDS, images)
    finally:
        keras.config.set_dtype_policy("float32")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


# Gradients --------------------------------------------------------------------------------------


def augmented(images: object) -> object:
    """All three, on given draws."""
    _, draws, offsets, centers = given()
    return cut_out(translate(change_colors(images, draws), offsets), centers)


WEIGHTS = images_of(5, 6, 6, 3, seed=2)


def answers_to(images: object) -> object:
    """(B, H, W, C) to a number for each image that is not linear in what is seen."""
    return ops.sum(ops.tanh(augmented(images)) * WEIGHTS, axis=(1, 2, 3))


def slopes(function, at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences."""
    found = np.zeros_like(at)
    for place in np.ndindex(at.shape):
        moved = [at.copy(), at.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        found[place] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return found


def test_gradients_are_slopes():
    images = given()[0]
    _, gradient = backend.input_gradient(answers_to, ops.convert_to_tensor(images))
    expected = slopes(lambda x: float(ops.sum(answers_to(ops.convert_to_tensor(x)))), images)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(ops.convert_to_numpy(gradient), expected, atol=1e-8)


def test_gradients_of_a_penalty_are_slopes():
    images = ops.convert_to_tensor(given()[0])
    scale = keras.Variable(np.array([0.7, 1.0, 1.4]), dtype="float64")

    def penalty() -> tuple[object, None]:
        _, gradient = backend.input_gradient(lambda x: answers_to(x * scale.value), images)
        return ops.sum(gradient**2), None

    def at(value: np.ndarray) -> float:
        scale.assign(value)
        return float(penalty()[0])

    start = ops.convert_to_numpy(scale.value).copy()
    _, (gradient,) = backend.value_and_grad(penalty, [scale])
    expected = slopes(at, start)
    assert np.abs(expected).min() > 0.1
    np.testing.assert_allclose(ops.convert_to_numpy(gradient), expected, rtol=1e-6)


# On every backend -------------------------------------------------------------------------------


def probe(name: str, result: Path) -> dict[str, np.ndarray]:
    subprocess.run(
        [sys.executable, "-m", "tests.augmentation_probe", result],
        cwd=REPOSITORY, check=True, env=os.environ | {"KERAS_BACKEND": name},
    )  # fmt: skip
    with np.load(result) as archive:
        return dict(archive.items())


@pytest.mark.parametrize("name", OTHERS)
def test_backends_agree(name, tmp_path):
    expected = probe("tensorflow", tmp_path / "expected.npz")
    assert np.abs(expected["all second"]).max() > 0.1
    assert (expected["changed at 0"], expected["changed at 1"]) == (0, 1)
    assert_same_results(probe(name, tmp_path / "found.npz"), expected)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_resumed_run_is_exact(name, tmp_path, data_file):
    assert_resumes_exactly("dcgan.py", TINY, name, tmp_path, data_file)


def test_a_resumed_wgan_is_exact(tmp_path, data_file):
    assert_resumes_exactly("wgan.py", TINY_WGAN, "tensorflow", tmp_path, data_file)


def assert_resumes_exactly(
    script: str, tiny: list[str], name: str, tmp_path: Path, data_file: Path
) -> None:
    def run(*arguments: object) -> None:
        result = run_script(
            script, *arguments, folder=tmp_path, environment={"KERAS_BACKEND": name}
        )
        assert result.returncode == 0, result.stderr

    run(*tiny, *ON, "--data", data_file, "--steps", 6, "--run-name", "whole")
    run(*tiny, *ON, "--data", data_file, "--steps", 3, "--run-name", "halves")
    run("--resume", "halves", "--steps", 6)
    models = tmp_path / "saved_models"
    last = Path("checkpoints", "step_0000006.npz")
    assert_same_state(models / "whole" / last, models / "halves" / last)


# In a step --------------------------------------------------------------------------------------

BATCHES = blobs(12, 16).reshape(3, 4, 16, 16, 3)


def after_two_steps(method: dcgan.DCGAN | wgan.WGAN) -> list[np.ndarray]:
    variables = [v for group in method.state().values() for v in group]
    step = backend.compile_step(method.train_step, variables)
    for _ in range(2):
        step(BATCHES[: method.h.batches_per_step])
    return [np.array(ops.convert_to_numpy(v)) for v in variables]


@pytest.mark.parametrize("build", [tiny_method, tiny_wgan])
def test_off_a_step_is_what_it_is_without_the_layer(build):
    found = after_two_steps(build(augmentation=()))
    method = build(augmentation=KINDS)
    method.augment = method.combined.augment = lambda images: images
    for one, other in zip(found, after_two_steps(method), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("build", [tiny_method, tiny_wgan])
def test_on_both_networks_learn(build):
    method = build(augmentation=KINDS)
    trained = {
        name: [np.array(ops.convert_to_numpy(v)) for v in network.trainable_variables]
        for name, network in method.networks.items()
        if name != "generator"
    }
    after_two_steps(method)
    for name, before in trained.items():
        after = method.networks[name].trainable_variables
        for variable, value in zip(after, before, strict=True):
            # An offset of the critic's answers is in neither loss: it cancels.
            if (name, variable.path) != ("critic", "answers/bias"):
                assert np.any(ops.convert_to_numpy(variable) != value), variable.path


@pytest.mark.parametrize(
    ("build", "changes", "passes"),
    [
        (tiny_method, {}, 3),  # real and generated images, and the generator's update
        (tiny_method, {"discriminator_updates": "separate"}, 3),
        (tiny_method, {"feature_matching": 1.0}, 4),
        (tiny_wgan, {}, 2 * 3 + 1),
        (tiny_wgan, {"constraint": "clip"}, 2 * 3 + 1),
    ],
)
def test_all_that_is_seen_is_augmented_and_each_pass_anew(build, changes, passes, monkeypatch):
    shown = []

    class Recorded(Augmentation):
        def call(self, images):
            shown.append(super().call(images))
            return shown[-1]

    for script in (dcgan, wgan):
        monkeypatch.setattr(script, "Augmentation", Recorded)
    method = build(augmentation=("cutout",), augmentation_probability=1.0, **changes)
    discriminator = method.networks.get("discriminator") or method.networks["critic"]
    seen, call = [], discriminator.call
    monkeypatch.setattr(
        discriminator, "call", lambda x, **options: (seen.append(x), call(x, **options))[1]
    )
    number = method.h.batches_per_step
    shown.clear()
    method.train_step(ops.convert_to_tensor(BATCHES[:number]))  # as it stands, not compiled
    assert len(shown) == passes
    shown_arrays = [ops.convert_to_numpy(x) for x in shown]
    holes = {(x == 0).all(-1).tobytes() for x in shown_arrays}
    assert len(holes) == passes
    for images in shown_arrays:
        assert ((images == 0).all(-1).sum((1, 2)) >= 16).all()


def test_the_critics_penalty_is_at_interpolates_of_augmented_images(monkeypatch):
    asked = []
    original = backend.input_gradient

    def input_gradient(function, inputs):
        asked.append(ops.convert_to_numpy(inputs))
        return original(function, inputs)

    monkeypatch.setattr(backend, "input_gradient", input_gradient)
    method = tiny_wgan(augmentation=("cutout",))
    method.augment.call = lambda images: images * 0 + 7
    method.train_step(ops.convert_to_tensor(BATCHES))
    assert len(asked) == 3
    for images in asked:
        np.testing.assert_allclose(images, 7, atol=1e-5)


# The scripts ------------------------------------------------------------------------------------


def test_the_picture_has_the_original_each_kind_and_all_of_them():
    images = blobs(3, 32)
    picture = draw_examples(images, KINDS, seed=0)
    assert picture.dtype == np.uint8
    height = picture.shape[0] - (3 * 130 + 2)
    assert 0 < height < 40
    assert picture.shape[1:] == (8 * 130 + 2, 3)

    def cell(row: int, column: int) -> np.ndarray:
        top, left = height + 2 + 130 * row, 2 + 130 * column
        return picture[top : top + 128 : 4, left : left + 128 : 4]

    bands = [32 * down + (32 - down) * right for down, right in np.ndindex(5, 5)]
    for row in range(3):
        np.testing.assert_array_equal(cell(row, 0), images[row])
        assert (cell(row, 2) == 128).all(-1).sum() in bands
        assert (cell(row, 3) == 128).all(-1).sum() >= 64  # a hole
        for column in range(4, 8):
            assert (cell(row, column) == 128).all(-1).sum() >= 64
    assert draw_examples(images[:1], ("cutout",), seed=0).shape[1] == picture.shape[1]
    # The columns of a kind alone show it; those of all together, with their probability.
    picture = draw_examples(images, KINDS, seed=0, probability=0.0)
    for row in range(3):
        assert (cell(row, 3) == 128).all(-1).sum() >= 64
        for column in range(4, 8):
            assert np.abs(cell(row, column) - images[row].astype(int)).max() <= 1


def test_it_is_chosen_and_changed_on_the_command_line(tmp_path, data_file):
    def run(*arguments: object) -> dict[str, object]:
        result = run_script("dcgan.py", *arguments, folder=tmp_path)
        assert result.returncode == 0, result.stderr
        config = json.loads((tmp_path / "saved_models" / "a" / "config.json").read_text())
        return config["hyperparameters"]

    picture = tmp_path / "images" / "a" / "augmented.png"
    values = run(*TINY, "--data", data_file, "--steps", 2, "--run-name", "a", "--augmentation")
    assert values["augmentation"] == []
    assert not picture.exists()
    values = run("--resume", "a", "--steps", 4, "--augmentation", "cutout", "color")
    assert values["augmentation"] == ["cutout", "color"]
    with Image.open(picture) as image:
        assert image.size[0] == 8 * 130 + 2
    assert run("--resume", "a", "--steps", 6)["augmentation"] == ["cutout", "color"]
    assert run("--resume", "a", "--steps", 8, "--augmentation")["augmentation"] == []

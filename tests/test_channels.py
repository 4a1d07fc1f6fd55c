"""Grey and transparent images: what files, networks, scores and pictures make of them."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

import dcgan
import evaluate
import r3gan
import wgan
from tests.conftest import blobs, sprites
from tests.saved_run import generated, run_sample, write_run
from tests.stub import train
from utils.common import grids
from utils.common.channels import CHEQUERED, as_rgb, premultiplied, straight
from utils.common.errors import UserError
from utils.data.hdf5 import read_dataset, write_dataset
from utils.models.augmentation import KINDS, Augmentation, change_colors
from utils.scoring.classes import Labelled, class_scores
from utils.scoring.features import feature_networks
from utils.scoring.images import views
from utils.scoring.scorer import Scorer
from utils.training.run import run

GREY = blobs(4)[..., :1]


def with_alpha(opaque: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Premultiplied RGBA in [-1, 1] of RGB in [-1, 1] and alpha in [0, 1]."""
    return np.concatenate([alpha * (opaque + 1) - 1, 2 * alpha - 1], -1).astype(np.float32)


# Arrays and pictures ----------------------------------------------------------------------------


def test_colours_are_multiplied_as_pillow_does_it_and_come_back():
    every = np.stack(np.meshgrid(*[np.arange(256, dtype=np.uint8)] * 2), -1)
    images = every[..., [0, 0, 0, 1]]  # every colour with every alpha
    found = premultiplied(images)
    assert np.array_equal(found, np.asarray(Image.fromarray(images).convert("RGBa")))
    assert np.array_equal(premultiplied(straight(found)), found)
    assert straight(np.array([[[9, 200, 50, 100], [7, 7, 7, 0]]], np.uint8)).tolist() == [
        [[23, 255, 128, 100], [0, 0, 0, 0]]
    ]
    for other in (GREY, blobs(1)):
        assert premultiplied(other) is straight(other) is other


def test_a_background_shows_through():
    drawn = sprites(2)
    for colour in ((255, 255, 255), (10, 200, 30)):
        behind = Image.new("RGBA", (32, 32), colour)
        for image in drawn:
            expected = Image.alpha_composite(behind, Image.fromarray(image)).convert("RGB")
            found = as_rgb(premultiplied(image), colour)
            assert np.abs(found - np.asarray(expected, np.int16)).max() <= 1
    empty = as_rgb(np.zeros((2, 32, 48, 4), np.uint8))
    found = [tuple(empty[place]) for place in ((0, 0, 0), (1, 4, 4), (1, 0, 4), (0, 31, 0))]
    light, dark = CHEQUERED
    assert found == [light, light, dark, dark]
    assert np.array_equal(as_rgb(GREY), GREY.repeat(3, -1))


@pytest.mark.parametrize(("images", "mode"), [(GREY, "L"), (sprites(4), "RGBA")])
def test_pictures_have_the_channels_of_images_and_grids_are_rgb(images, mode, tmp_path):
    seen = premultiplied(images)
    grids.save_png(tmp_path / "one.png", seen[0])
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.mode == mode
        kept = np.asarray(picture).reshape(images[0].shape)
        assert np.array_equal(premultiplied(kept), seen[0])
        # What is hidden is not written either.
        assert mode == "L" or not kept[kept[..., 3] == 0].any()
    grid = grids.tile(seen, 2, padding=0)
    assert np.array_equal(grid[:32, 32:], as_rgb(seen[1]))


# Data sets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [None, 10_000])
def test_what_hides_under_alpha_0_is_not_in_a_data_set(budget, tmp_path):
    images = sprites(5)
    assert images[images[..., 3] == 0].any()
    emptied = images * (images[..., 3:] > 0)
    found = []
    for name, each in (("a.h5", images), ("b.h5", emptied)):
        write_dataset(tmp_path / name, each, [""] * 5)
        found.append(read_dataset(tmp_path / name, memory_budget=budget))
        assert (found[-1].channels, found[-1].is_streamed) == (4, budget is not None)
        assert np.array_equal(found[-1].take(np.arange(5)), premultiplied(images))
    assert found[0].fingerprint() == found[1].fingerprint()


def test_a_grey_data_set(tmp_path):
    write_dataset(tmp_path / "a.h5", GREY, [""] * 4)
    found = read_dataset(tmp_path / "a.h5")
    assert found.channels == 1
    assert np.array_equal(found.images, GREY)


# Networks and what the discriminator is shown ----------------------------------------------------


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize(
    ("script", "other", "changes"),
    [
        (dcgan, dcgan.build_discriminator, {}),
        (dcgan, dcgan.build_discriminator, {"generator_architecture": "plain"}),
        (wgan, wgan.build_critic, {}),
        (r3gan, r3gan.build_discriminator, {"generator_filters": (2, 2, 2, 2)}),
    ],
)
def test_networks_have_the_channels_of_the_data_set(script, other, changes, channels):
    h = script.Hyperparameters(image_size=32, **({"generator_filters": (8, 4, 2)} | changes))
    h.channels = channels
    generator = script.build_generator(h)
    assert generator.output_shape == (None, 32, 32, channels)
    assert other(h).input_shape == (None, 32, 32, channels)


def test_colors_change_where_there_are_any_and_alpha_stays():
    random = np.random.default_rng(0)
    opaque = random.uniform(-1, 1, (3, 8, 8, 3)).astype(np.float32)
    draws = random.uniform(size=(3, 3, 1, 1, 1)).astype(np.float32)

    def change(images: np.ndarray) -> np.ndarray:
        return ops.convert_to_numpy(change_colors(ops.convert_to_tensor(images), draws))

    solid = with_alpha(opaque, np.ones((3, 8, 8, 1)))
    np.testing.assert_allclose(change(solid)[..., :3], change(opaque), atol=1e-6)
    # A part of each image, all of it opaque, changes like an image of its own.
    alpha = np.zeros((3, 8, 8, 1))
    alpha[:, 2:6, 1:7] = 1
    found, part = change(with_alpha(opaque, alpha)), opaque[:, 2:6, 1:7]
    np.testing.assert_allclose(found[:, 2:6, 1:7, :3], change(part), atol=1e-6)
    assert np.array_equal(found[..., 3:], 2 * alpha - 1)
    assert (found[:, :2] == -1).all()
    # Half as opaque, each colour is changed as it is, and multiplied by its alpha again.
    half = change(with_alpha(opaque, alpha / 2))
    np.testing.assert_allclose(half[..., :3] + 1, (found[..., :3] + 1) / 2, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_picture_is_transparent(kind):
    images = np.ones((8, 16, 16, 4), np.float32)
    layer = Augmentation((kind,), keras.random.SeedGenerator(0))
    found = ops.convert_to_numpy(layer(images))
    is_empty = found[..., 3] == -1
    assert is_empty.any() == (kind != "color")
    assert (found[is_empty] == -1).all()
    assert (found[~is_empty][:, 3] == 1).all()


# Runs -------------------------------------------------------------------------------------------


def test_a_run_has_the_channels_of_its_data_set(place, data_file):
    write_dataset("sprites.h5", sprites(130), [""] * 130)
    arguments = ["--data", "sprites.h5", "--holdout", 0.4, "--augmentation", *KINDS]
    train(*arguments, "--steps", 2, "--score-interval", 2, "--score", "kid")
    models, images = Path("saved_models/stub-1"), Path("images/stub-1")
    assert json.loads((models / "config.json").read_text())["data_set"]["channels"] == 4
    assert (models / "best" / "generator.keras").exists()
    for name in ("reals.png", "step_0000002.png", "augmented.png", "best-worst.png"):
        picture = np.asarray(Image.open(images / name))
        assert picture.shape[2] == 3
        assert (picture == CHEQUERED[1]).all(-1).any() or name[0] in "sb", name
    with pytest.raises(UserError) as error:
        train("--resume", "stub-1", "--data", data_file, "--steps", 4)
    assert str(error.value) == (
        f"--data {data_file}: holds RGB images, expected RGBA as of run stub-1; "
        "prepare_dataset.py --alpha makes them"
    )


def test_another_run_begins_with_networks_of_the_same_channels(place, sprite_file):
    write_run(place, "one", dcgan.Hyperparameters(image_size=32, generator_filters=(4,)))
    with pytest.raises(UserError) as error:
        run(
            dcgan.DCGAN, dcgan.Hyperparameters, "",
            ["--data", str(sprite_file), "--start-from", "one", "--batch-size", "4",
             "--score", "none", "--precision", "float32"],
        )  # fmt: skip
    assert str(error.value) == (
        f"--start-from one: its images are RGB, and those of --data {sprite_file} RGBA; expected "
        "a data set of the same channels"
    )
    assert not Path("saved_models/dcgan-1").exists()


def test_samples_are_transparent_and_grids_have_a_background(tmp_path, monkeypatch):
    h = dcgan.Hyperparameters(image_size=32, latent_dim=5, generator_filters=(4,))
    h.channels = 4
    write_run(tmp_path, "one", h)
    monkeypatch.chdir(tmp_path)

    _, printed, _ = run_sample(tmp_path, "one", "--single", "--count", 2, "--background", "#102030")
    grid, *alone = printed.split()
    assert grid == "images/one/samples/one-grid-seed-0-count-2-background-_102030-e9c9.png"
    assert [Path(each).name for each in alone] == [f"one-sample-seed-0-0000{n}.png" for n in (0, 1)]
    vectors = np.random.default_rng(0).standard_normal((2, 5), dtype=np.float32)
    expected = generated(tmp_path, vectors)
    assert expected[..., 3].std() > 20
    drawn = grids.grid(expected, 8, background=(16, 32, 48))
    assert np.abs(np.asarray(Image.open(grid), int) - drawn).max() <= 1
    for path, image in zip(alone, expected, strict=True):
        with Image.open(path) as picture:
            assert picture.mode == "RGBA"
            found = premultiplied(np.asarray(picture)).astype(int)
        image[..., :3] = np.minimum(image[..., :3], image[..., 3:])
        assert np.abs(found - image).max() <= 1
    _, printed, _ = run_sample(tmp_path, "one", "--interpolate", "--points", 2, "--frames", 2)
    with Image.open(printed.split()[1]) as frames:
        assert frames.n_frames == 4  # there and back

    config = Path("saved_models/one/config.json")
    config.write_text(config.read_text().replace('"channels": 4', '"channels": 1'))
    for colour, message in (
        ("white", "the images of one are grey, not transparent; expected no --background"),
        ("lilac", "expected a colour such as white or #f0f0f0"),
    ):
        code, _, errors = run_sample(tmp_path, "one", "--background", colour)
        assert (code, errors) == (2, f"sample.py: error: --background {colour}: {message}\n")


# Scores -----------------------------------------------------------------------------------------


def test_scores_see_rgba_on_black_and_on_white():
    drawn = premultiplied(sprites(60))
    seen = views(drawn)
    assert seen.shape == (60, 32, 32, 6)
    assert np.array_equal(seen[..., :3], as_rgb(drawn, (0, 0, 0)))
    assert np.array_equal(seen[..., 3:], as_rgb(drawn, (255, 255, 255)))
    scorer, fakes = Scorer(drawn[:20], features="random"), drawn[20:40]
    clean = scorer.score(fakes, ("kid",))["kid"]
    for shade in (0, 255):
        # What is painted around them does not show on a background of its colour.
        painted = np.where(fakes[..., 3:] == 0, (shade, shade, shade, 255), fakes).astype(np.uint8)
        assert np.array_equal(as_rgb(painted, (shade,) * 3), as_rgb(fakes, (shade,) * 3))
        assert scorer.score(painted, ("kid",))["kid"] > 3 * abs(clean)


def test_grey_images_score_like_the_same_in_rgb():
    images = blobs(40)[..., :1]
    found, expected = (
        Scorer(each[:20], each[20:], "random", pairs=20).score(each[20:])
        for each in (images, images.repeat(3, -1))
    )
    assert found == expected
    with pytest.raises(ValueError, match="expected images of one size, found fakes"):
        Scorer(sprites(20), features="random").score(images[:20])


def test_the_nearest_pictures_and_classes_of_sprites(tmp_path):
    drawn = premultiplied(sprites(30))
    evaluate.draw_nearest(tmp_path / "nearest.png", drawn[:10], drawn)
    pairs = np.asarray(Image.open(tmp_path / "nearest.png"))
    assert (pairs == CHEQUERED[1]).all(-1).any()
    parts = [Labelled(each, np.arange(len(each)) % 2) for each in (drawn, drawn[:10], drawn[10:])]
    scores = class_scores(feature_networks("random", 32, 2)[0], *parts, ["a", "b"])
    assert scores["all"]["pictures"] == 10

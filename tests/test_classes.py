"""Classes: labels, how they are let in, projection, and a run with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from keras import ops

import dcgan
import r3gan
import wgan
from tests.conftest import TINY, blobs
from tests.run_files import assert_same_state
from utils.common.errors import UserError
from utils.data import classes
from utils.data.dataset import Dataset
from utils.data.hdf5 import write_dataset
from utils.models.classes import is_of_classes, share_at
from utils.scoring.classes import Labelled, Recogniser, class_scores, mean_distance
from utils.scoring.features import RandomNetwork
from utils.scoring.report import class_table
from utils.training.classes import RunClasses
from utils.training.config import saved_classes
from utils.training.progress import Progress
from utils.training.run import run
from utils.training.split import choose_classes

VALUES = ["red"] * 21 + ["blue"] * 24 + ["rare"] * 3 + [""] * 2
METHODS = {
    "dcgan": (dcgan.DCGAN, dcgan.Hyperparameters),
    "wgan": (wgan.WGAN, wgan.Hyperparameters),
    "r3gan": (r3gan.R3GAN, r3gan.Hyperparameters),
}


def dataset(values: list[Any] | np.ndarray) -> Dataset:
    array = np.array(values)
    return Dataset(blobs(len(array)), [], {"colour": array, "box": np.zeros((len(array), 4))}, "a")


# Labels -----------------------------------------------------------------------------------------


def test_classes_are_the_values_with_twenty_pictures():
    data = dataset(VALUES)
    names = classes.class_names(data, "colour")
    assert list(names.items()) == [("blue", 24), ("red", 21)]
    labels = classes.labels(data, "colour", list(names))
    assert labels.tolist() == [1] * 21 + [0] * 24 + [-1] * 5
    assert classes.one_hot(labels[[0, 30, 49]], 2, 0.25).tolist() == [[0, 0.25], [0.25, 0], [0, 0]]
    assert classes.described(names, 50) == (
        "2 classes: blue 24, red 21; 5 pictures without a value, or with one of fewer than 20 "
        "pictures, are of no class"
    )


def test_numbers_and_truths_are_values_as_well():
    numbers = dataset(np.array([1979.0] * 20 + [1988.0] * 20 + [np.nan]))
    assert classes.class_names(numbers, "colour") == {"1979": 20, "1988": 20}
    days = dataset(np.array([20200101.0] * 20 + [20200102.0] * 20 + [0.1] * 20, np.float64))
    assert [*classes.class_names(days, "colour")] == ["0.1", "20200101", "20200102"]
    truths = dataset(np.array([True] * 20 + [False] * 30))
    assert classes.class_names(truths, "colour") == {"False": 30, "True": 20}


def test_what_makes_no_classes():
    with pytest.raises(UserError) as error:
        classes.class_names(dataset(VALUES), "box")
    assert str(error.value) == ("--classes box: a has no attribute of that name; there is colour")
    with pytest.raises(UserError) as error:
        classes.class_names(dataset(VALUES[20:]), "colour")
    assert str(error.value) == (
        "--classes colour: 1 of its 3 values has 20 pictures or more, expected 2 at least; most "
        "pictures: blue (24), rare (3), red (1)"
    )
    h = dcgan.Hyperparameters(classes="colour", data="a.h5", run_name="one")
    config = {"hyperparameters": {"classes": "colour"},
              "data_set": {"classes": {"green": 30, "pink": 20}}}  # fmt: skip
    with pytest.raises(UserError) as error:
        choose_classes(h, dataset(VALUES), config)
    assert str(error.value) == (
        "--classes colour: no picture of a.h5 is of the run's classes, green, pink"
    )


def test_real_pictures_of_a_grid_are_of_the_class_of_their_row():
    """None twice where there are enough, and none where a resumed run has no picture of a class."""
    data = dataset(["red"] * 6 + ["blue"] * 2 + [""])
    h = dcgan.Hyperparameters(classes="colour", sample_columns=3)
    h.class_names = ("red", "gone", "blue")
    images = RunClasses(h, data, Progress(9, 0, 1)).reals_of_grid(data)
    expected = [data.images[0], data.images[2], data.images[5], *np.zeros_like(data.images[:3]),
                data.images[6], data.images[6], data.images[7]]  # fmt: skip
    np.testing.assert_array_equal(images, expected)


@pytest.mark.parametrize(
    ("attribute", "found", "reason"),
    [
        ("colour", ["red"], "classes of data_set: expected names with numbers of pictures"),
        ("colour", {"red": "24"}, "classes of data_set: expected names with numbers of pictures"),
        ("colour", {}, "found 0 classes in data_set and --classes 'colour', expected both or "
         "neither"),
        ("", {"red": 24}, "found 1 classes in data_set and --classes '', expected both or neither"),
    ],
)  # fmt: skip
def test_damaged_classes_of_a_run(attribute, found, reason):
    config = {"hyperparameters": {"classes": attribute}, "data_set": {"classes": found}}
    with pytest.raises(UserError) as error:
        saved_classes("RUN one", config)
    assert str(error.value) == f"RUN one: its config.json is damaged: {reason}"


# The formulas -----------------------------------------------------------------------------------


def test_classes_are_let_in_on_a_straight_line():
    steps = np.arange(0, 80, 10)
    expected = np.clip((steps - 20) / (60 - 20), 0, 1)
    np.testing.assert_allclose([share_at(int(step), 20, 60) for step in steps], expected)
    assert [share_at(step, 5, 5) for step in (0, 4, 5)] == [0, 0, 1]
    assert share_at(0, 0, 0) == 1


def method_of(name: str, names: tuple[str, ...] = ("a", "b", "c"), **options: Any) -> Any:
    keras.utils.set_random_seed(1)
    method, hyperparameters = METHODS[name]
    other = "critic_filters" if name == "wgan" else "discriminator_filters"
    values = {"image_size": 32, "batch_size": 4, "latent_dim": 5, "generator_filters": (4,)}
    h = hyperparameters(**(values | {other: (4,), "augmentation": ()} | options))
    h.class_names = names
    return method(h)


def of_classes(network: keras.Model) -> np.ndarray:
    (weight,) = [each for each in network.trainable_variables if is_of_classes(each)]
    return ops.convert_to_numpy(weight)


@pytest.mark.parametrize("name", METHODS)
def test_an_answer_is_projected_and_a_class_adds_to_the_first_maps(name):
    """Against Miyato and Koyama's equation 3 in NumPy, with maps taken from within the networks."""
    method = method_of(name)
    other = next(x for key, x in method.networks.items() if not key.startswith("generator"))
    weights = np.array([[0, 0, 0], [1, 0, 0], [0, 0.25, 0], [0, 0, 1]], np.float32)
    images = blobs(4).astype(np.float32) / 127.5 - 1
    dense = next(x for x in other.layers if x.name in ("logits", "answers"))
    projection = other.get_layer("class_projection")
    projection.kernel.assign(np.random.default_rng(0).normal(size=projection.kernel.shape))
    features = projection.input
    source = next((x.input for x in other.layers if "pooling2d" in x.name), features)
    within = keras.Model(other.input, [other.output, dense.output, source])
    answers, plain, maps = map(ops.convert_to_numpy, within([images, weights], training=False))
    phi = maps.astype(np.float64).sum((1, 2)) if maps.ndim == 4 else maps.astype(np.float64)
    term = np.array(
        [y @ (of_classes(other).T @ each) for y, each in zip(weights, phi, strict=True)]
    )
    assert np.abs(term[1:]).min() > 1e-3
    np.testing.assert_allclose(answers[:, 0], plain[:, 0] + term, rtol=1e-4, atol=1e-5)

    generator = method.networks["generator-current"]
    first = next(x for x in generator.layers if isinstance(x, keras.layers.Add))
    within = keras.Model(generator.input, first.output)
    latents = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    with_class = ops.convert_to_numpy(within([latents, weights]))
    without = ops.convert_to_numpy(within([latents, 0 * weights]))
    added = (weights @ of_classes(generator)).reshape(with_class.shape)
    assert np.abs(added[1:]).max() > 0.01
    np.testing.assert_allclose(with_class - without, added, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["dcgan", "wgan"])
def test_what_classes_add_begins_as_other_weights_do(name):
    """Also where a deviation of 0 stands for Keras' own initialisation, as in some presets."""
    networks = method_of(name, initial_stddev=0.0).networks.items()
    assert all(of_classes(network).std() > 0.01 for key, network in networks if key != "generator")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dcgan", {}), ("wgan", {}), ("r3gan", {}), ("r3gan", {"shared_pass": True}),
        ("dcgan", {"discriminator_updates": "separate", "feature_matching": 1.0,
                   "spectral_normalization": True}),
    ],
)  # fmt: skip
def test_without_a_share_a_step_is_that_of_a_method_without_classes(name, options):
    """Also of the weights: what classes add stays as it began, and moves as soon as it counts."""
    found = {}
    for names in ((), ("a", "b", "c")):
        method = method_of(name, names, **options)
        networks = [x for key, x in method.networks.items() if key != "generator"]
        layers = [layer for network in networks for layer in network.layers]
        plain = [layer for layer in layers if not any(map(is_of_classes, layer.weights))]
        variables = [variable for layer in plain for variable in layer.weights]
        for number, variable in enumerate(v for v in variables if "seed" not in v.path):
            random = np.random.default_rng(number)
            variable.assign(random.normal(0.0, 0.1, variable.shape) + ("variance" in variable.name))
        h = method.h
        images = np.stack([blobs(4, 32, seed) for seed in range(h.batches_per_step)])
        method.random_latents = lambda: ops.ones((4, 5))
        method.seed_generator = keras.random.SeedGenerator(0)  # wgan.py draws points with it
        if names:
            before = [of_classes(each) for each in networks]
            zeros = np.zeros((h.batches_per_step, 4, 3), np.float32)
            results = method.train_step(images, ops.convert_to_tensor(zeros))
            after = [of_classes(each) for each in networks]
            assert all(map(np.array_equal, before, after))
        else:
            results = method.train_step(images)
        found[names] = {key: float(value) for key, value in results.items()}
    plain, conditional = found.values()
    assert plain.keys() == conditional.keys()
    for key, value in plain.items():
        assert conditional[key] == pytest.approx(value, rel=1e-4, abs=1e-6), key
    classes = zeros + np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    method.train_step(images, ops.convert_to_tensor(classes))
    assert not any(map(np.array_equal, before, (of_classes(each) for each in networks)))


# Runs -------------------------------------------------------------------------------------------

CONDITIONAL = [
    *TINY, "--classes", "colour", "--class-steps", 1, 3, "--mirror", "--checkpoint-interval", 2,
    "--sample-interval", 100, "--data", "a.h5", "--holdout", 0.1,
]  # fmt: skip


def train(*arguments: object) -> None:
    keras.utils.clear_session()
    run(dcgan.DCGAN, dcgan.Hyperparameters, "", [*map(str, arguments)])


@pytest.fixture
def here(place) -> Path:
    colours = {"colour": np.array(VALUES)}
    write_dataset("a.h5", blobs(50), [str(i) for i in range(50)], colours)
    return place


def test_a_run_with_classes_resumes_exactly_in_memory_and_streamed(here, capsys):
    train(*CONDITIONAL, "--steps", 4, "--run-name", "whole")
    train(*CONDITIONAL, "--steps", 2, "--run-name", "parts", "--memory-budget", 4e-5)
    printed = capsys.readouterr().out
    assert "colour: 2 classes: blue 24, red 21; 5 pictures without a value, or with" in printed
    assert "let in from step 1 to 3\n" in printed
    assert "streamed from disk" in printed
    train("--resume", "parts", "--steps", 4, "--memory-budget", 1)
    last = Path("checkpoints", "step_0000004.npz")
    models = here / "saved_models"
    assert_same_state(models / "whole" / last, models / "parts" / last)
    config = json.loads((models / "whole" / "config.json").read_text())
    assert config["data_set"]["classes"] == {"blue": 24, "red": 21}
    with h5py.File("a.h5", "a") as file:
        colours = file["attributes/colour"]
        colours[0], colours[-6] = colours[-6], colours[0]  # as many of each
    with pytest.raises(UserError) as refused:
        train("--resume", "parts", "--steps", 6)
    assert str(refused.value) == (
        "--classes colour: the pictures of a.h5 are of other classes than those that run parts "
        "began with; bring these back, or begin another run with --start-from parts"
    )


def test_a_run_without_classes_is_the_start_of_one_with_them(here, capsys):
    options = [*TINY, "--data", "a.h5", "--holdout", 0]
    train(*options, "--steps", 1, "--run-name", "one")
    train(*options, "--classes", "colour", "--steps", 0, "--epochs", 0, "--dry-run",
          "--start-from", "one")  # fmt: skip
    assert (
        "begins with generator.keras, generator-current.keras, discriminator.keras of "
        "saved_models/one; what colour adds begins fresh\n"
    ) in capsys.readouterr().out


def test_a_run_without_classes_can_start_from_one_with_them(here, capsys):
    train(*CONDITIONAL, "--steps", 1, "--run-name", "one")
    train(*TINY, "--data", "a.h5", "--dry-run", "--start-from", "one")
    line = "of saved_models/one; without its classes, which --classes colour keeps\n"
    assert line in capsys.readouterr().out


# Scores -----------------------------------------------------------------------------------------


def coloured(labels: list[int], seed: int, noise: float = 20.0) -> Labelled:
    """Images of 32 px in the colour of their class, by a random factor brighter or darker."""
    random = np.random.default_rng(seed)
    colours = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])[labels]
    factors = 1 + random.normal(0, noise / 100, (len(labels), 1, 1, 1))
    images = colours[:, None, None] * factors + random.normal(0, 10, (len(labels), 32, 32, 3))
    return Labelled(np.clip(images, 0, 255).astype(np.uint8), np.array(labels))


def test_scores_of_each_class():
    """Two classes as they should be; the third collapsed, and half of it of another colour."""
    training, held_out = coloured([0, 1, 2] * 20 + [-1], 0), coloured([0, 1, 2] * 10, 1)
    generated = coloured([0, 1, 2] * 20, 2)
    images, labels = generated.images.copy(), generated.labels
    images[labels == 2] = images[2]
    images[np.flatnonzero(labels == 2)[10:]] = images[0]
    scores = class_scores(
        RandomNetwork(32, 1), training, held_out, Labelled(images, labels), ["r", "g", "b"]
    )
    assert {name: row["recognised"] for name, row in scores.items()} == pytest.approx(
        {"r": 1, "g": 1, "b": 0.5, "all": 2.5 / 3}
    )
    assert {name: row["pictures"] for name, row in scores.items()} == {
        "r": 10, "g": 10, "b": 10, "all": 30,
    }  # fmt: skip
    assert all(row["recognised_reals"] == 1 for row in scores.values())
    assert all(0.7 < scores[name]["diversity"] < 1.4 for name in "rg")
    assert scores["b"]["kid"] > 10 * abs(scores["r"]["kid"])


def test_a_table_of_classes():
    whole = {"pictures": 10.0, "recognised": 0.456, "recognised_reals": 1.0, "diversity": 0.98}
    assert class_table({"marine": whole | {"kid": 2576.4}, "x": {"pictures": 0.0}}) == (
        "class   held out  recognised  of reals  diversity   kid\n"
        "marine        10        0.46      1.00       0.98  2576\n"
        "x              0"
    )


def test_distances_and_answers_of_the_classifier():
    features = np.random.default_rng(0).normal(size=(7, 3))
    pairs = [np.linalg.norm(a - b) for n, a in enumerate(features) for b in features[n + 1 :]]
    assert mean_distance(features) == pytest.approx(np.mean(pairs))
    assert mean_distance(features[:1]) == 0
    # The common class is ten times as common: what is as near to both is not all of it.
    features = np.concatenate([np.full((100, 1), -1.0), np.full((10, 1), 1.0)])
    recognise = Recogniser(features, np.array([0] * 100 + [1] * 10), 2)
    assert recognise(np.array([[-0.9], [-0.3], [0.6], [1.0]])).tolist() == [0, 0, 1, 1]

"""Gradient norms, counts, the discriminator's answers, the picture of the networks."""

from __future__ import annotations

import csv
from pathlib import Path

import keras
import matplotlib
import numpy as np
import pytest
from keras import layers, ops
from PIL import Image

import dcgan
from tests.conftest import blobs
from tests.test_alternation import real_images, tiny_method
from utils import backend
from utils.models.adversarial import update_scalars
from utils.watching import architecture, probe
from utils.watching.answers import Answers
from utils.watching.architecture import Block, blocks, fold
from utils.watching.history import History, Panel, is_for_history_only
from utils.watching.probe import Probe, best_and_worst, number_asked

# Gradient norms and counts ----------------------------------------------------------------------


def test_norms_are_those_of_the_first_and_the_last_kernel():
    names = ("kernel", "bias", "kernel", "gamma", "depthwise_kernel", "bias")
    variables = [keras.Variable([[1.0]], name=name) for name in names]
    gradients = [ops.convert_to_tensor([[3.0 * n, 4.0 * n]]) for n in range(1, 7)]
    optimizer = keras.optimizers.SGD()
    optimizer.iterations.assign(7)
    scalars = update_scalars("d", gradients, variables, optimizer)
    assert {name: float(scalar) for name, scalar in scalars.items()} == {
        "d_gradient_first": 5.0, "d_gradient_last": 25.0, "d_updates": 7,
    }  # fmt: skip


def test_a_step_tells_the_norms_of_the_gradients_it_applied():
    method = tiny_method()
    applied = {}
    for name in ("generator", "discriminator"):
        optimizer = getattr(method, f"{name}_optimizer")

        def apply(gradients, variables, name=name, optimizer=optimizer):
            applied[name] = [
                np.linalg.norm(ops.convert_to_numpy(gradient))
                for gradient, variable in zip(gradients, variables, strict=True)
                if len(variable.shape) > 1
            ]
            type(optimizer).apply(optimizer, gradients, variables)

        optimizer.apply = apply
    (results,) = backend.fetch([method.train_step(blobs(4, 16)[None])])
    for name, norms in applied.items():
        assert len(norms) == {"generator": 5, "discriminator": 3}[name]
        assert results[f"{name[0]}_gradient_first"] == pytest.approx(norms[0], rel=1e-5)
        assert results[f"{name[0]}_gradient_last"] == pytest.approx(norms[-1], rel=1e-5)
    assert applied["generator"][0] != pytest.approx(applied["generator"][-1], rel=0.01)


def test_counts_are_exact_where_float32_would_not_be():
    method = tiny_method()
    method.generator_optimizer.iterations.assign(2**24)
    variables = [v for group in method.state().values() for v in group]
    step = backend.compile_step(method.train_step, variables)
    # Fetched together, as the loop does: each has the count of its own step.
    rows = backend.fetch([step(blobs(4, 16)[None]) for _ in range(3)])
    assert [row["g_updates"] for row in rows] == [2**24 + 1, 2**24 + 2, 2**24 + 3]
    assert [row["d_updates"] for row in rows] == [1, 2, 3]


def test_the_progress_bar_is_for_short_names():
    names = ["d_loss", "d_real", "wasserstein", "d_gradient_first", "g_gradient_last", "d_updates"]
    assert [name for name in names if not is_for_history_only(name)] == names[:3]


def panels(names: list[str], *rows: list[float]) -> list[tuple[str, list[str], str]]:
    history = History(Path("never-written"), names)
    history.rows = [[10.0 * n, 0.0, 0.0, *row] for n, row in enumerate(rows, 1)]
    return history._panels()


def test_panels_of_history():
    names = ["d_loss", "wasserstein", "d_real", "d_gradient_first", "g_gradient_last", "g_loss",
             "d_updates", "g_updates", "kid"]  # fmt: skip
    expected = [
        ("loss", ["d_loss", "g_loss"], "linear"),
        ("mean answer", ["d_real"], "linear"),
        ("wasserstein", ["wasserstein"], "linear"),
        ("gradient norm", ["d_gradient_first", "g_gradient_last"], "log"),
        ("kid", ["kid"], "score"),
    ]
    every_step = [[0, 0, 0, 0, 0, 0, count, count, 0] for count in (10, 20)]
    assert panels(names, *every_step) == expected
    older = [np.nan] * 9
    assert panels(names, older, *every_step[1:]) == expected
    expected.insert(4, ("updates", ["d_updates", "g_updates"], "linear"))
    for updates in ([10, 19], [10, 40], [5]):  # some steps, twice as many in others, every second
        rows = [[0, 0, 0, 0, 0, 0, count, 10 * step, 0] for step, count in enumerate(updates, 1)]
        assert panels(names, *rows) == expected
    assert panels(["g_loss"]) == [("loss", ["g_loss"], "linear")]


def curves_of(names: list[str], *rows: list[float]) -> tuple[dict[str, Panel], dict[str, float]]:
    history = History(Path("never-written"), names)
    history.rows = [[10.0 * n, 0.0, 0.0, *row] for n, row in enumerate(rows, 1)]
    return {panel.names[0]: panel for panel in history.curves()}, history.constants()


def test_what_is_set_and_constant_is_a_line_and_no_panel():
    names = ["d_loss", "learning_rate", "gamma", "augmentation_probability", "kid", "f_score"]
    first = [1.0, 2e-4, 2.0, 0.75, np.nan, 0.0]
    panels, constants = curves_of(names, first, [1.0, 1.99999e-4, 2.0, 0.75, np.nan, 0.0])
    assert list(panels) == ["d_loss", "f_score"]  # without a score that was never taken
    assert constants == {"learning_rate": 2e-4, "gamma": 2.0, "augmentation_probability": 0.75}
    assert panels["f_score"].limits == (0.0, 1.0)  # on which 0 is seen
    panels, constants = curves_of(names, first, [1.0, 1e-4, 2.0, 0.8, 5.0, 0.5])
    assert list(panels) == ["d_loss", "learning_rate", "augmentation_probability", "kid", "f_score"]
    assert constants == {"gamma": 2.0}
    assert panels["f_score"].limits == (0.0, 0.54)
    of_features = "kid_imagenet_128_57934424"
    panels, _ = curves_of([of_features], [4.0], [5.0])
    assert panels[of_features].label == "kid (imagenet 128 57934424): less is better"
    assert panels[of_features].limits == (0.0, 5.4)


@pytest.mark.parametrize(
    ("losses", "cut"),
    [
        ([9.0, 5.0, 1.0, 1.0], 0),  # the first value is no outlier
        ([10.0, -10.0, -40.0], 0),
        ([-1.0, -2.0, -3.0], 0),
        ([0.0, 0.0], 0),
        ([1000.0, *[1.0] * 200], 1),
    ],
)
def test_the_axis_of_losses_cuts_nothing_but_the_wild(losses, cut):
    panels, _ = curves_of(["d_loss"], *([x] for x in losses))
    low, high = panels["d_loss"].limits
    assert sum(not low <= x <= high for x in losses) == cut
    assert low <= 0 < high


def test_the_picture_of_the_curves(tmp_path):
    history = History(tmp_path / "history.csv", ["d_loss", "d_gradient_first", "kid"])
    history.rows = [[10.0, 0, 0, 9e9, 0.0, np.nan], *[[20.0, 0, 0, 1.0, 0.0, -3.0]] * 150]
    history.plot(tmp_path / "history.png", "a run")
    with Image.open(tmp_path / "history.png") as plot:
        assert plot.size == (1300, 580)


# The discriminator's answers --------------------------------------------------------------------


def probe_of(method: dcgan.DCGAN, batch_size: int = 4) -> Probe:
    state = [variable for group in method.state().values() for variable in group]
    return Probe(method.discriminator, method.generator, batch_size, state)


def test_answers_are_those_of_training_without_dropout():
    method = tiny_method(discriminator_dropout=0.5, generator_dropout=0.0)
    plain = tiny_method(discriminator_dropout=0.0)
    for network, other in (
        (plain.discriminator, method.discriminator),
        (plain.generator, method.generator),
    ):
        network.set_weights(other.get_weights())
    expected = ops.convert_to_numpy(plain.discriminator(real_images(), training=True))[:, 0]
    found = probe_of(method).answers_to_real(blobs(4, 16))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    by_moving_statistics = plain.discriminator(real_images(), training=False)
    assert np.abs(ops.convert_to_numpy(by_moving_statistics)[:, 0] - found).max() > 1e-3
    latents = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    images = plain.generator(latents, training=True)
    expected = ops.convert_to_numpy(plain.discriminator(images, training=True))[:, 0]
    found = probe_of(method).answers_to_generated(latents)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert all(x.rate == 0.5 for x in method.discriminator.layers if type(x) is layers.Dropout)


def test_every_picture_has_its_answer_in_batches_of_one_size():
    sizes = []
    images = keras.Input((2, 2, 3))

    class Sizes(layers.Layer):
        def call(self, inputs):
            sizes.append(inputs.shape[0])
            return inputs[:, 0, 0, :1]

    network = keras.Model(images, Sizes()(images))
    sizes.clear()
    pictures = np.zeros((7, 2, 2, 3), np.uint8)
    pictures[:, 0, 0, 0] = np.arange(7) * 30
    found = Probe(network, network, 3, []).answers_to_real(pictures)
    np.testing.assert_allclose(found, np.arange(7) * 30 / 127.5 - 1, atol=1e-6)
    assert set(sizes) == {3}


class Restless(layers.Layer):
    """A layer whose passes in training leave something behind, as a power iteration does."""

    def build(self, shape):
        self.passes = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs, training=False):
        if training:
            self.passes.assign(self.passes + 1.0)
        return inputs * (1.0 + self.passes)


def test_asking_changes_nothing():
    method = tiny_method(discriminator_dropout=0.3, generator_dropout=0.3)
    images = keras.Input((16, 16, 3))
    method.discriminator = keras.Model(images, Restless()(method.discriminator(images)))
    everything = [*method.discriminator.variables, *method.generator.variables]
    latents = np.ones((8, 5), np.float32)

    def values() -> list[np.ndarray]:
        return [ops.convert_to_numpy(variable).copy() for variable in everything]

    asking, before = probe_of(method), values()
    asking = Probe(method.discriminator, method.generator, 4, everything)
    first = asking.answers_to_real(blobs(8, 16)), asking.answers_to_generated(latents)
    again = asking.answers_to_real(blobs(8, 16)), asking.answers_to_generated(latents)
    for one, other in zip([*before, *first], [*values(), *again], strict=True):
        np.testing.assert_array_equal(one, other)
    # The same passes outside would have changed half of them.
    method.discriminator(method.generator(latents, training=True), training=True)
    moved = [np.any(a != b) for a, b in zip(before, values(), strict=True)]
    assert 8 < sum(moved) < len(moved)


@pytest.mark.parametrize(
    ("available", "batch_size", "asked"),
    [(1000, 16, 64), (1000, 100, 100), (1000, 24, 48), (50, 16, 48), (10, 16, 10), (64, 1, 64)],
)
def test_how_many_are_asked_about(monkeypatch, available, batch_size, asked):
    monkeypatch.setattr(probe, "MOST_ASKED", 64)
    assert number_asked(available, batch_size) == asked


def three_kinds(shift: float = 0.0) -> dict[str, np.ndarray]:
    ramp = np.arange(101, dtype=np.float32)
    return {"training": ramp + 4, "held out": ramp + 3 + shift, "generated": ramp}


def test_a_sample_is_three_rows(tmp_path):
    table = Answers(tmp_path / "answers.csv")
    table.resume(-1)
    table.add(200, three_kinds())
    with open(table.path, newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["step", "kind", "pictures", "mean", "standard_deviation", "percentile_5",
         "percentile_25", "percentile_50", "percentile_75", "percentile_95"],
        ["200", "training", "101", "54", "29.1548", "9", "29", "54", "79", "99"],
        ["200", "held out", "101", "53", "29.1548", "8", "28", "53", "78", "98"],
        ["200", "generated", "101", "50", "29.1548", "5", "25", "50", "75", "95"],
    ]  # fmt: skip


def test_answers_go_on_after_the_step_they_resume_from(tmp_path):
    table = Answers(tmp_path / "answers.csv")
    table.resume(-1)
    for step in (0, 200, 400):
        table.add(step, three_kinds(step / 200))
    before = table.path.read_bytes()
    with open(table.path, "a") as file:
        file.write("600,training,101,5")
    again = Answers(table.path)
    again.resume(200)
    assert not again.latest
    again.add(400, three_kinds(2))
    assert table.path.read_bytes() == before
    assert again.rows == table.rows  # those that it read as well: the same, to the last digit
    assert again.rows[-1] == [400, "generated", 101, 50, 29.1548, 5, 25, 50, 75, 95]
    # From as far from generated ones as training pictures to further than they are.
    np.testing.assert_allclose(again.overfitting(), [[0, 0.25], [200, 0], [400, -0.25]])


@pytest.mark.parametrize("held_out", [True, False])
def test_the_picture_of_the_answers(tmp_path, held_out):
    table = Answers(tmp_path / "answers.csv")
    table.resume(-1)
    for step in (0, 200):
        found = three_kinds()
        if not held_out:
            del found["held out"]
        table.add(step, found)
    # A discriminator that has lost its mind is told by the loop, not by a crash in a drawing.
    table.latest["training"][:] = np.nan
    table.plot(tmp_path / "answers.png", "a run")
    with Image.open(tmp_path / "answers.png") as plot:
        assert plot.size == (1100, 560 if held_out else 380)
    # Whatever the person's settings are, which stay as they are.
    settings = {"text.usetex": True, "savefig.bbox": "tight", "axes.titlesize": 50}
    with matplotlib.rc_context(settings):
        table.plot(tmp_path / "again.png", "a run")
        assert settings.items() <= dict(matplotlib.rcParams).items()
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "answers.png").read_bytes()
    assert len(table.overfitting()) == 2 * held_out


# The picture of the networks --------------------------------------------------------------------


def test_blocks_of_a_dcgan():
    method = tiny_method(
        generator_filters=(8, 4), discriminator_dropout=0.25, generator_architecture="plain",
        upscaling="transposed",
    )  # fmt: skip
    normalization = "BatchNormalization"
    generator, discriminator = blocks(method.generator), blocks(method.discriminator)
    assert generator == [
        Block(["latents"], (5,), 0),
        Block(["Dense", "Reshape", normalization, "ReLU"], (4, 4, 8), 5 * 128 + 4 * 8, [0]),
        Block(["Conv2DTranspose 4×4", normalization, "ReLU"], (8, 8, 4), 4 * 4 * 8 * 4 + 16, [1]),
        Block(["Conv2DTranspose 4×4", "tanh"], (16, 16, 3), 4 * 4 * 4 * 3 + 3, [2]),
    ]
    assert sum(block.parameters for block in generator) == method.generator.count_params()
    assert [block.layers for block in discriminator] == [
        ["images"],
        ["Conv2D 4×4", "LeakyReLU", "Dropout 0.25"],
        ["Conv2D 4×4", normalization, "LeakyReLU", "Dropout 0.25"],
        ["Flatten", "Dense"],
    ]
    assert [block.shape for block in discriminator] == [(16, 16, 3), (8, 8, 3), (4, 4, 6), (1,)]


def test_a_sum_of_images_is_one_box():
    made = blocks(tiny_method(generator_filters=(8, 4)).generator)
    doubled = ["Conv2DTranspose 4×4", "AveragePooling2D", "AveragePooling2D",
               "BatchNormalization", "ReLU"]  # fmt: skip
    found = [(block.layers, block.shape, block.inputs) for block in fold(made)]
    assert found[2:] == [
        (doubled, (8, 8, 4), [1]),
        (doubled, (16, 16, 2), [2]),
        (["Conv2D 3×3"], (8, 8, 3), [2]),
        (["Conv2D 3×3", "+ UpSampling2D", "tanh"], (16, 16, 3), [3, 4]),
    ]
    assert sum(x.parameters for x in fold(made)) == sum(x.parameters for x in made)


class PairDistances(layers.Layer):
    """A custom layer with weights, as minibatch discrimination has."""

    def build(self, shape):
        self.tensor = self.add_weight(shape=(shape[-1], 2), initializer="zeros")

    def call(self, inputs):
        return ops.matmul(inputs, self.tensor)


def branching() -> keras.Model:
    """With a concatenation, a skip connection, a wrapper, a custom layer and two upsamplings."""
    images = keras.Input((8, 8, 3), name="images")
    x = layers.SpectralNormalization(layers.Conv2D(4, 3, padding="same"))(images)
    x = layers.GroupNormalization(2)(x)
    x = layers.LeakyReLU()(x)
    x = layers.Concatenate()([x, PairDistances()(x)])
    y = layers.Conv2D(6, 1)(layers.ReLU()(x))
    x = layers.UpSampling2D()(layers.Add()([x, y]))
    x = layers.Conv2D(5, 3, padding="same")(x)
    return keras.Model(images, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))


def test_blocks_of_a_graph_that_branches():
    found = [(block.layers, block.shape, block.inputs) for block in blocks(branching())]
    assert found == [
        (["images"], (8, 8, 3), []),
        (["SpectralNormalization", "Conv2D 3×3", "GroupNormalization", "LeakyReLU"], (8, 8, 4),
         [0]),
        (["PairDistances"], (8, 8, 2), [1]),
        (["Concatenate"], (8, 8, 6), [1, 2]),
        (["ReLU", "Conv2D 1×1"], (8, 8, 6), [3]),
        (["Add"], (8, 8, 6), [3, 4]),
        (["UpSampling2D", "Conv2D 3×3"], (16, 16, 5), [5]),
        (["GlobalAveragePooling2D", "Dense"], (1,), [6]),
    ]  # fmt: skip


class Subclassed(keras.Model):
    """No graph of layers."""

    def build(self, shape):
        self.dense = layers.Dense(2)
        self.dense.build(shape)
        self.built = True

    def call(self, inputs):
        return self.dense(inputs)


def test_networks_of_every_make_are_drawn(tmp_path):
    subclassed = Subclassed()
    subclassed.build((None, 3))
    assert blocks(subclassed) == [Block(["Subclassed"], (), 8)]
    sequential = keras.Sequential([keras.Input((3,), name="x"), layers.Dense(2), layers.ReLU()])
    assert blocks(sequential) == [Block(["x"], (3,), 0), Block(["Dense", "ReLU"], (2,), 8, [0])]
    deep = keras.Sequential([keras.Input((3,)), *(layers.Dense(3) for _ in range(12))])
    networks = {"a": subclassed, "b": sequential, "c": branching(), "d": deep}
    made = {name: blocks(network) for name, network in networks.items()}
    architecture.draw(made, tmp_path / "architecture.png", "a run")
    with Image.open(tmp_path / "architecture.png") as picture:
        assert picture.width == 1035  # seven columns; the deepest goes on below
        assert 1100 < picture.height < 1500


def test_a_residual_block_is_one_box():
    made = blocks(branching())
    found = [(block.layers, block.shape, block.inputs) for block in fold(made)]
    assert found[3:] == [
        (["Concatenate"], (8, 8, 6), [1, 2]),
        (["residual block:", "Conv2D 1×1"], (8, 8, 6), [3]),
        (["UpSampling2D", "Conv2D 3×3"], (16, 16, 5), [4]),
        (["GlobalAveragePooling2D", "Dense"], (1,), [5]),
    ]  # fmt: skip
    assert sum(x.parameters for x in fold(made)) == sum(x.parameters for x in made)
    row = [Block(["x"], (), 0), *(Block([f"Dense {n}"], (), 1, [n]) for n in range(3))]
    # What another one reads from stays a box of its own.
    shown = [*row, Block(["Add"], (), 0, [0, 3]), Block(["Concatenate"], (), 0, [2, 4])]
    assert fold(shown) == shown
    row = [Block(["x"], (), 0), Block(["Conv2D"], (), 1, [0]), Block(["UpSampling2D"], (), 0, [1])]
    assert fold(row)[1:] == [Block(["Conv2D", "UpSampling2D"], (), 1, [0])]


def test_best_and_worst_are_ordered_by_their_answers():
    images = np.zeros((6, 4, 4, 3), np.uint8) + np.arange(6, dtype=np.uint8)[:, None, None, None]
    picture, texts = best_and_worst(images, np.array([0.5, 3, -1, 2, 9, -4]), 2, 2, "critic")
    assert texts == [
        "best 2 of 6: the critic's answer (value) 9.00 to 3.00 (middle 1.25); samples 4 1",
        "worst 2 of 6: the critic's answer (value) -4.00 to -1.00 (middle 1.25); samples 5 2",
    ]
    half = len(picture) // 2
    rows = [picture[22:half], picture[half + 22 :]]  # without their captions
    shown = [value for row in rows for value in row[:, :, 0].ravel() if value < 6]
    assert list(dict.fromkeys(shown)) == [4, 1, 5, 2]


@pytest.mark.parametrize(("gap", "expected"), [(0.8, 0.5), (0.6, np.nan)])
def test_overfitting_that_chance_could_have_made_is_not_told(tmp_path, gap, expected):
    """Of 64 answers each, deviation 1: four standard errors of the difference are 0.71."""
    spread = np.resize([-1.0, 1.0], 64)
    table = Answers(tmp_path / "answers.csv")
    assert np.isnan(table.significant_overfitting())
    table.add(100, {"training": spread + gap, "held out": spread + gap / 2, "generated": spread})
    np.testing.assert_allclose(table.overfitting()[-1], [100, 0.5])
    np.testing.assert_equal(table.significant_overfitting(), expected)

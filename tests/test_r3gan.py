"""R3GAN: its losses and penalties, its schedules, its networks, who moves when, and the script."""

from __future__ import annotations

import csv
import itertools
import json
import math
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops
from PIL import Image

import r3gan
from tests.conftest import blobs, run_script
from tests.test_wgan import moved, values
from utils import backend
from utils.common.errors import UserError
from utils.models import residual

TINY = [
    "--batch-size", "4", "--latent-dim", "5", "--generator-filters", "2", "--start-filters", "4",
    "--discriminator-filters", "2", "--sample-rows", "2", "--sample-columns", "3",
    "--precision", "float32", "--holdout", "0", "--schedule-steps", "8",
]  # fmt: skip


def tiny_method(**changes: object) -> r3gan.R3GAN:
    """Networks of 16 px whose blocks add something, as they do after the first steps."""
    keras.utils.set_random_seed(1)
    options = {
        "image_size": 16, "batch_size": 4, "latent_dim": 5, "start_filters": 6, "gamma": (0.5, 0.5),
        "generator_filters": (3,), "discriminator_filters": (3,),
    }  # fmt: skip
    return with_active_blocks(r3gan.R3GAN(r3gan.Hyperparameters(**(options | changes))))


def with_active_blocks(method: r3gan.R3GAN) -> r3gan.R3GAN:
    """What starts as zero is drawn from N(0, 0.3^2)."""
    random = np.random.default_rng(5)
    for network in (method.generator, method.discriminator):
        for variable in network.trainable_variables:
            if not np.any(ops.convert_to_numpy(variable)):
                variable.assign(random.normal(0, 0.3, variable.shape).astype(np.float32))
    return method


def images(seed: int = 0) -> np.ndarray:
    return blobs(4, 16, seed).astype(np.float32) / 127.5 - 1


def latents(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((4, 5)).astype(np.float32)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.log1p(np.exp(x.astype(np.float64)))


def logits_of(method: r3gan.R3GAN, batch: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(method.discriminator(batch)).astype(np.float64)


def run_update(
    method: r3gan.R3GAN, network: str, update: Any, *given: np.ndarray
) -> tuple[dict[str, float], list[np.ndarray]]:
    """What a compiled update returns, and the gradients that it hands to its optimizer."""
    kept: dict[str, Any] = {}

    def apply(gradients: list, variables: list) -> None:
        kept.update({f"gradient {number}": each for number, each in enumerate(gradients)})

    getattr(method, f"{network}_optimizer").apply = apply

    def step(*tensors: Any) -> dict[str, Any]:
        return update(*tensors) | kept

    variables = [v for group in method.state().values() for v in group]
    found = backend.compile_step(step, variables)(*given)
    found = {name: np.array(ops.convert_to_numpy(value)) for name, value in found.items()}
    gradients = [found.pop(name) for name in list(found) if name.startswith("gradient ")]
    return {name: float(value) for name, value in found.items()}, gradients


def discriminator_gradients(method: r3gan.R3GAN) -> tuple[dict[str, float], list[np.ndarray]]:
    return run_update(
        method, "discriminator", lambda x, y: method.update_discriminator(x, y)[0],
        images(1), images(2),
    )  # fmt: skip


def update_generator(method: r3gan.R3GAN) -> Any:
    """Its update as a function of latent vectors and real images."""

    def update(z: Any, real_images: Any) -> dict[str, Any]:
        return method.update_generator(*backend.forward(method.generator, z), real_images)

    return update


def along(
    variables: list[keras.Variable], gradients: list[np.ndarray], loss: Any
) -> tuple[float, float]:
    """The derivative of a loss along a random direction: by central differences, by gradients."""
    random = np.random.default_rng(3)
    directions = [random.standard_normal(v.shape).astype(np.float32) for v in variables]
    start, size = values(variables), 1e-3
    losses = []
    for sign in (1, -1):
        for variable, value, way in zip(variables, start, directions, strict=True):
            variable.assign(value + sign * size * way)
        losses.append(loss())
    for variable, value in zip(variables, start, strict=True):
        variable.assign(value)
    found = sum(
        float((g.astype(np.float64) * way).sum())
        for g, way in zip(gradients, directions, strict=True)
    )
    return (losses[0] - losses[1]) / (2 * size), found


# Formulas ---------------------------------------------------------------------------------------


def test_the_loss_compares_by_pairs():
    real, fake = np.array([[3.0], [-1.0]], np.float32), np.array([[1.0], [2.0]], np.float32)
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(3))) / 2
    assert float(r3gan.relativistic_loss(real, fake)) == pytest.approx(expected)
    assert float(r3gan.relativistic_loss(real, real)) == pytest.approx(math.log(2))
    # Where an exponential would be infinite.
    assert float(r3gan.relativistic_loss(real - 300, fake)) == pytest.approx((298 + 303) / 2)


def test_the_penalty_of_known_slopes():
    slopes = np.zeros((3, 2, 2, 1), np.float32)
    slopes[1, 0, 0] = 2.0
    slopes[2, :, 0] = np.array([[3.0], [4.0]])
    assert float(r3gan.zero_centred_penalty(slopes)) == pytest.approx((0 + 4 + 25) / 3)


def test_the_discriminators_loss_and_its_gradient_by_finite_differences(monkeypatch):
    """Both penalties, from differences of logits; the gradient of all, from differences of it."""
    # The slope of a LeakyReLU jumps, and differences across a jump say nothing.
    monkeypatch.setattr(layers, "LeakyReLU", lambda _: layers.Activation("tanh"))
    method = tiny_method()
    results, gradients = discriminator_gradients(method)
    real, fake = logits_of(method, images(1)), logits_of(method, images(2))
    assert results["d_loss"] == pytest.approx(softplus(fake - real).mean(), rel=1e-5)
    assert results["d_difference"] == pytest.approx((real - fake).mean(), rel=1e-4, abs=1e-5)
    assert results["d_ordered"] == (real > fake).mean()

    variables = [v for group in method.state().values() for v in group]
    compiled = backend.compile_step(
        lambda batch: {"slopes": backend.input_gradient(method.answer, batch)[1]}, variables
    )

    def slopes(batch: np.ndarray) -> np.ndarray:
        return ops.convert_to_numpy(compiled(batch)["slopes"]).astype(np.float64)

    direction = np.random.default_rng(0).standard_normal((4, 16, 16, 3)).astype(np.float32)
    for name, batch in (("r1_penalty", images(1)), ("r2_penalty", images(2))):
        steps = logits_of(method, batch + 0.01 * direction) - logits_of(
            method, batch - 0.01 * direction
        )
        assert (slopes(batch) * direction).sum(axis=(1, 2, 3)) == pytest.approx(
            steps[:, 0] / 0.02, rel=0.02, abs=1e-3
        )
        expected = (slopes(batch) ** 2).sum(axis=(1, 2, 3)).mean()
        assert results[name] == pytest.approx(expected, rel=1e-4)
    assert results["r1_penalty"] != pytest.approx(results["r2_penalty"], rel=0.01)

    def loss() -> float:
        real, fake = logits_of(method, images(1)), logits_of(method, images(2))
        penalties = sum((slopes(images(seed)) ** 2).sum(axis=(1, 2, 3)).mean() for seed in (1, 2))
        return float(softplus(fake - real).mean() + 0.5 / 2 * penalties)

    expected, found = along(method.discriminator.trainable_variables, gradients, loss)
    assert abs(expected) > 0.1
    assert found == pytest.approx(expected, rel=0.01)


def test_the_generators_loss_and_its_gradient_by_finite_differences(monkeypatch):
    monkeypatch.setattr(layers, "LeakyReLU", lambda _: layers.Activation("tanh"))
    method = tiny_method()
    results, gradients = run_update(
        method, "generator", update_generator(method), latents(), images(1)
    )

    def loss() -> float:
        fake = logits_of(method, ops.convert_to_numpy(method.generator(latents())))
        return float(softplus(logits_of(method, images(1)) - fake).mean())

    assert results["g_loss"] == pytest.approx(loss(), rel=1e-5)
    expected, found = along(method.generator.trainable_variables, gradients, loss)
    assert abs(expected) > 0.1
    assert found == pytest.approx(expected, rel=0.01)


def test_a_shared_pass_gives_the_generator_its_gradient_before_the_discriminators_update():
    """The gradients of both updates, against those that are made one by one from the same start."""
    method = tiny_method(shared_pass=True)
    method.random_latents = lambda: ops.convert_to_tensor(latents())
    fake = ops.convert_to_numpy(method.generator(latents()))
    _, expected = run_update(method, "generator", update_generator(method), latents(), images(1))
    _, expected_of_d = run_update(
        method, "discriminator", lambda x, y: method.update_discriminator(x, y)[0], images(1), fake
    )
    kept: dict[str, Any] = {}
    for network in ("generator", "discriminator"):

        def apply(gradients: list, variables: list, network: str = network) -> None:
            kept.update({f"{network} {number}": each for number, each in enumerate(gradients)})
            for variable in variables:  # an update that would spoil what came after it
                variable.assign(variable.value + 1.0)

        getattr(method, f"{network}_optimizer").apply = apply
    variables = [v for group in method.state().values() for v in group]
    step = backend.compile_step(lambda x: method.train_step(x) | kept, variables)
    found = step(blobs(4, 16, 1)[None])
    for network, gradients in (("generator", expected), ("discriminator", expected_of_d)):
        for number, gradient in enumerate(gradients):
            scale = np.abs(gradient).max()
            np.testing.assert_allclose(
                ops.convert_to_numpy(found[f"{network} {number}"]) / scale, gradient / scale,
                atol=1e-4,
            )  # fmt: skip
    real, faked = (
        logits_of(tiny_method(), x) for x in (images(1), fake)
    )  # of the weights before  # fmt: skip
    assert float(found["g_loss"]) == pytest.approx(softplus(real - faked).mean(), rel=1e-4)


# Schedules --------------------------------------------------------------------------------------


def test_schedules_at_their_ends_and_in_the_middle():
    method = tiny_method(gamma=(0.0, 0.0), image_size=64, schedule_steps=100)
    for step, expected in (
        (0, (2e-4, 2.0, 0.9)),
        (50, (1.25e-4, 1.1, 0.945)),
        (100, (5e-5, 0.2, 0.99)),
        (1000, (5e-5, 0.2, 0.99)),
    ):
        method.discriminator_optimizer.iterations.assign(step)
        found = [float(schedule(step)) for schedule in method.schedules.values()]
        assert found == pytest.approx(expected, rel=1e-5), step


@pytest.mark.parametrize(
    ("size", "given", "expected"),
    [
        (64, (0.0, 0.0), (2, 0.2)),
        (256, (0.0, 0.0), (150, 15)),
        (128, (0.0, 0.0), (math.sqrt(300), math.sqrt(3))),
        (128, (5.0, 0.0), (5, 0.5)),
        (128, (5.0, 1.0), (5, 1)),
    ],
)
def test_gamma_goes_by_the_image_size(size, given, expected):
    h = r3gan.Hyperparameters(image_size=size, gamma=given)
    assert h.gammas() == pytest.approx(expected)


def test_both_optimizers_follow_the_schedules():
    """Adam's second moment after an update halfway is (1 - beta2) of the gradient squared."""
    method = tiny_method(schedule_steps=100, learning_rate=(0.1, 0.05), beta2=(0.5, 0.9))
    for optimizer, network in (
        (method.generator_optimizer, method.generator),
        (method.discriminator_optimizer, method.discriminator),
    ):
        optimizer.iterations.assign(50)
        trained = network.trainable_variables
        before = values(trained)
        gradients = [ops.full(v.shape, 2.0) for v in trained]

        def step(optimizer: Any = optimizer, gradients: Any = gradients, trained: Any = trained):
            method._apply(optimizer, gradients, trained)
            return {}

        state = [v for group in method.state().values() for v in group]
        backend.compile_step(step, state)()
        for velocity in optimizer._velocities:
            np.testing.assert_allclose(ops.convert_to_numpy(velocity), 0.3 * 4, rtol=1e-5)
        # beta1 is 0, and 1 - 0.7^51 is all but 1.
        moves = 0.075 * 2 / math.sqrt(0.3 * 4)
        for old, new in zip(before, values(trained), strict=True):
            np.testing.assert_allclose(old - new, moves, rtol=1e-3)
        assert optimizer.beta_2 == 0.999  # nothing of the traced step is left behind


def test_history_tells_the_schedules_and_each_network_learns_once_a_step():
    method = tiny_method(schedule_steps=4, gamma=(2.0, 1.0))
    state = [v for group in method.state().values() for v in group]
    step = backend.compile_step(method.train_step, state)
    batches = np.stack([blobs(4, 16, seed) for seed in range(2)])
    rows = [backend.fetch([step(batches)])[0] for _ in range(5)]
    assert [row["gamma"] for row in rows] == pytest.approx([2, 1.853553, 1.5, 1.146447, 1])
    assert [row["learning_rate"] for row in rows[::2]] == pytest.approx([2e-4, 1.25e-4, 5e-5])
    assert [row["d_updates"] for row in rows] == [row["g_updates"] for row in rows]
    assert [row["g_updates"] for row in rows] == [1, 2, 3, 4, 5]


# Lazy penalties ---------------------------------------------------------------------------------


def test_a_lazy_penalty_weighs_as_many_times_as_it_is_rare():
    _, lazy = discriminator_gradients(tiny_method(penalty_interval=3))
    _, heavy = discriminator_gradients(tiny_method(gamma=(1.5, 1.5)))
    _, usual = discriminator_gradients(tiny_method())
    for one, two in zip(lazy, heavy, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(lazy, usual, strict=True))


@pytest.mark.parametrize("shared_pass", [False, True])
def test_the_steps_between_take_no_penalty(shared_pass):
    method = tiny_method(penalty_interval=3, shared_pass=shared_pass)
    method.discriminator_optimizer.iterations.assign(1)
    method.penalties.assign([7.0, 8.0])
    results, skipped = discriminator_gradients(method)
    _, none = discriminator_gradients(tiny_method(gamma=(1e-12, 1e-12)))
    for one, two in zip(skipped, none, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    # What is logged is what was last taken.
    assert (results["r1_penalty"], results["r2_penalty"]) == (7, 8)


@pytest.mark.parametrize("shared_pass", [False, True])
def test_penalties_are_taken_in_one_step_of_the_interval(shared_pass):
    method = tiny_method(penalty_interval=3, shared_pass=shared_pass)
    state = [v for group in method.state().values() for v in group]
    step = backend.compile_step(method.train_step, state)
    batches = np.stack([blobs(4, 16, seed) for seed in range(1 if shared_pass else 2)])
    found = [backend.fetch([step(batches)])[0]["r1_penalty"] for _ in range(7)]
    assert found[0] == found[1] == found[2] != found[3]
    assert found[3] == found[4] == found[5] != found[6]


def test_only_one_of_two_branches_is_run():
    calls = [keras.Variable(0.0, trainable=False) for _ in range(2)]
    weight = keras.Variable([3.0])

    def branch(number: int) -> Any:
        def run() -> dict[str, Any]:
            calls[number].assign(calls[number].value + 1.0)
            (loss, _), (gradient,) = backend.value_and_grad(
                lambda: (ops.sum(weight.value ** (number + 2)), None), [weight]
            )
            return {"loss": loss, "gradient": gradient[0]}

        return run

    step = backend.compile_step(
        lambda condition: backend.either(condition, branch(0), branch(1)), [*calls, weight]
    )
    for condition, loss, gradient in ((True, 9, 6), (False, 27, 27), (False, 27, 27)):
        found = backend.fetch([step(np.array(condition))])[0]
        assert found == {"loss": loss, "gradient": gradient}
    assert [float(ops.convert_to_numpy(v)) for v in calls] == [1, 2]


# Networks ---------------------------------------------------------------------------------------


def parameters(widths: list[int], blocks: int, groups: int, transitions: int) -> int:
    """Of a network without its ends."""
    inner = [2 * width for width in widths]
    of_blocks = sum(
        w * i + i + 9 * i * i // groups + i + i * w for w, i in zip(widths, inner, strict=True)
    )
    return blocks * of_blocks + transitions


@pytest.mark.parametrize(("blocks", "groups"), [(1, 1), (2, 4)])
def test_parameter_counts(blocks, groups):
    h = r3gan.Hyperparameters(image_size=64, blocks=blocks, groups=groups)
    widths = [8, 16, 32, 64, 256]
    transitions = sum(a * b for a, b in itertools.pairwise(widths))
    body = parameters(widths, blocks, groups, transitions)
    generator, discriminator = r3gan.build_generator(h), r3gan.build_discriminator(h)
    assert generator.count_params() == 64 * 256 + 16 * 256 + body + 8 * 3
    assert discriminator.count_params() == 3 * 8 + body + 16 * 256 + 256
    if (blocks, groups) == (1, 1):
        assert generator.count_params() == 2_880_120
        assert discriminator.count_params() == 2_863_992
    assert generator.output_shape == (None, 64, 64, 3)
    assert not [v for v in generator.variables if not v.trainable]
    # generator.keras loads in plain Keras.
    assert {type(layer).__module__.split(".")[0] for layer in generator.layers} == {"keras"}
    kinds = {type(layer).__name__ for layer in [*generator.layers, *discriminator.layers]}
    assert not [kind for kind in kinds if "Normalization" in kind or "Dropout" in kind]


def test_a_list_of_widths_is_taken_as_it_is():
    h = r3gan.Hyperparameters(image_size=32, generator_filters=(8, 6, 4, 2), discriminator_filters=(3, 3, 5, 5))  # fmt: skip # noqa: E501
    h.check()
    sums = [
        [layer.output.shape[1:] for layer in network.layers if isinstance(layer, layers.Add)]
        for network in (r3gan.build_generator(h), r3gan.build_discriminator(h))
    ]
    assert sums[0] == [(4, 4, 8), (8, 8, 6), (16, 16, 4), (32, 32, 2)]
    assert sums[1] == [(32, 32, 3), (16, 16, 3), (8, 8, 5), (4, 4, 5)]


def test_a_block_starts_as_nothing_and_its_kernels_by_the_depth():
    keras.utils.set_random_seed(0)
    maps = np.random.default_rng(0).standard_normal((2, 4, 4, 64)).astype(np.float32)
    inputs = keras.Input((4, 4, 64))
    network = keras.Model(inputs, residual.block(inputs, depth=16, expansion=2))
    np.testing.assert_array_equal(ops.convert_to_numpy(network(maps)), maps)
    first, second, last = [v for v in network.variables if v.name == "kernel"]
    for kernel, fan_in in ((first, 64), (second, 9 * 128)):
        expected = math.sqrt(2 / 1.04 / fan_in) / 2  # 16^-1/4
        assert ops.convert_to_numpy(kernel).std() == pytest.approx(expected, rel=0.03)
    assert not np.any(ops.convert_to_numpy(last))
    last.assign(ops.ones(last.shape))
    assert np.any(ops.convert_to_numpy(network(maps)) != maps)


def test_images_start_at_the_scale_of_images():
    keras.utils.set_random_seed(0)
    generator = r3gan.build_generator(r3gan.Hyperparameters(image_size=64))
    made = ops.convert_to_numpy(generator(np.random.default_rng(0).standard_normal((64, 64))))
    assert 0.2 < made.std() < 3


def test_doubling_repeats_pixels_and_blurs():
    maps = np.random.default_rng(0).standard_normal((2, 3, 3, 2)).astype(np.float32)
    repeated = maps.repeat(2, axis=1).repeat(2, axis=2)
    padded = np.pad(repeated, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
    blurred = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    blurred = (blurred[:, :, :-2] + 2 * blurred[:, :, 1:-1] + blurred[:, :, 2:]) / 4
    found = layers.UpSampling2D(2, interpolation="bilinear")(maps)
    np.testing.assert_allclose(ops.convert_to_numpy(found), blurred, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"generator_filters": (4, 4)},
            "--generator-filters: 2 given, must be 1, or 4 for maps from 4 to 32 px",
        ),
        (
            {"groups": 3},
            "--groups 3: does not divide 2 x 8, the width of a block of --generator-filters",
        ),
        ({"beta2": (0.9, 1.0)}, "--beta2 0.9 1.0: must be from 1e-06 to 0.9999"),
        ({"penalty_interval": 0}, "--penalty-interval 0: must be 1 or more"),
    ],
)
def test_values_that_make_no_training(changes, message):
    with pytest.raises(UserError) as error:
        r3gan.Hyperparameters(image_size=32, **changes).check()
    assert str(error.value) == message


# The alternation --------------------------------------------------------------------------------


def test_each_update_trains_its_own_network():
    method = tiny_method()
    generator = method.generator.trainable_variables
    discriminator = method.discriminator.trainable_variables
    before = values(generator), values(discriminator)
    backend.compile_step(
        lambda x, y: method.update_discriminator(x, y)[0],
        [v for group in method.state().values() for v in group],
    )(images(1), images(2))
    assert not any(moved(generator, before[0]))
    assert all(moved(discriminator, before[1]))
    before = values(generator), values(discriminator)
    backend.compile_step(
        update_generator(method), [v for group in method.state().values() for v in group]
    )(latents(), images(1))
    assert all(moved(generator, before[0]))
    assert not any(moved(discriminator, before[1]))
    assert all(v.trainable for v in [*generator, *discriminator])


def test_the_generator_learns_on_a_batch_of_its_own():
    method = tiny_method()
    seen = {}

    def update_discriminator(real: Any, fake: Any, _: None) -> tuple[dict[str, Any], ...]:
        seen["discriminator"] = ops.convert_to_numpy(real), ops.convert_to_numpy(fake)
        return {}, {}

    def update_generator(fake: Any, pull_back: Any, real: Any, _: None) -> dict[str, Any]:
        seen["generator"] = ops.convert_to_numpy(real), ops.convert_to_numpy(fake)
        return {}

    method.update_discriminator = update_discriminator
    method.update_generator = update_generator
    batches = np.stack([blobs(4, 16, seed) for seed in range(2)])
    method.train_step(batches)
    np.testing.assert_allclose(seen["discriminator"][0], batches[0] / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(seen["generator"][0], batches[1] / 127.5 - 1, atol=1e-6)
    assert np.any(seen["discriminator"][1] != seen["generator"][1])


# The script -------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [("--blocks", 2), ("--shared-pass", "--penalty-interval", 2)])
def test_a_run_stopped_and_resumed_is_the_run_that_was_not(tmp_path, data_file, flags):
    common = [*TINY, *flags, "--data", data_file, "--history-interval", 1]
    for name, steps in (("whole", 6), ("parts", 3)):
        result = run_script(
            "r3gan.py", *common, "--run-name", name, "--steps", steps, folder=tmp_path
        )
        assert result.returncode == 0, result.stderr
    result = run_script("r3gan.py", "--resume", "parts", "--steps", 6, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = {}
    for name in ("whole", "parts"):
        with open(tmp_path / "images" / name / "history.csv") as file:
            rows[name] = [
                {k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)
            ]
    assert rows["whole"] == rows["parts"]
    assert set(rows["whole"][0]) == {
        "step", "epoch", "d_loss", "d_difference", "d_ordered", "r1_penalty", "r2_penalty",
        "d_gradient_first", "d_gradient_last", "d_updates", "learning_rate", "gamma", "beta2",
        "g_loss", "g_gradient_first", "g_gradient_last", "g_updates",
    }  # fmt: skip
    models = tmp_path / "saved_models" / "whole"
    assert {path.name for path in models.iterdir()} >= {
        "discriminator.keras", "generator.keras", "generator-current.keras", "config.json",
        "checkpoints",
    }  # fmt: skip
    with np.load(models / "checkpoints" / "step_0000006.npz") as one:
        other = np.load(tmp_path / "saved_models/parts/checkpoints/step_0000006.npz")
        for name in one.files:
            if name != "loop/seconds":
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    assert json.loads((models / "config.json").read_text())["method"] == "r3gan"
    pictures = tmp_path / "images" / "whole"
    for name in ("architecture.png", "history.png", "answers.png", "step_0000006.png"):
        with Image.open(pictures / name) as picture:
            assert min(picture.size) > 60, name
    with open(pictures / "health.csv") as file:
        assert next(csv.reader(file))[0] == "step"


def test_a_method_without_presets_says_so(tmp_path):
    result = run_script("r3gan.py", "--preset", "radford", folder=tmp_path)
    assert result.returncode == 2
    assert result.stderr == "r3gan.py: error: --preset radford: must be none\n"


@pytest.mark.parametrize("shared", [False, True])
def test_the_discriminator_sees_augmented_images_only(shared):
    """Where every image becomes the same, real ones cannot be told from generated ones."""
    h = r3gan.Hyperparameters(
        image_size=16, batch_size=4, latent_dim=5, start_filters=6, generator_filters=(3,),
        discriminator_filters=(3,), gamma=(0.5, 0.5), shared_pass=shared,
        augmentation=("color", "translation", "cutout"),
    )  # fmt: skip
    method = with_active_blocks(r3gan.R3GAN(h))
    before = ops.convert_to_numpy(method.seed_generator.state).copy()
    assert method.augment.kinds == ("color", "translation", "cutout")
    method.augment.call = lambda images: 0 * images
    variables = [v for group in method.state().values() for v in group]
    step = backend.compile_step(method.train_step, variables)
    batches = blobs(4 * h.batches_per_step, 16).reshape(-1, 4, 16, 16, 3)
    results = {name: float(value) for name, value in step(batches).items()}
    assert results["d_difference"] == 0
    assert results["d_loss"] == results["g_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert results["r1_penalty"] == results["r2_penalty"] == results["g_gradient_last"] == 0
    assert not np.array_equal(ops.convert_to_numpy(method.seed_generator.state), before)

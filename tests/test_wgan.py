"""The WGAN: its losses, its constraints, who moves in which update, and the script itself."""

from __future__ import annotations

import csv
import json

import keras
import numpy as np
import pytest
from keras import layers, ops

import wgan
from tests.conftest import blobs, run_script
from tests.run_files import read_history
from utils import backend

TINY = [
    "--batch-size", "4", "--latent-dim", "5", "--generator-filters", "3", "--critic-filters", "3",
    "--sample-rows", "2", "--sample-columns", "3", "--precision", "float32", "--holdout", "0",
    "--n-critic", "2",
]  # fmt: skip


def tiny_method(**changes: object) -> wgan.WGAN:
    keras.utils.set_random_seed(1)
    values = {
        "image_size": 16, "batch_size": 4, "latent_dim": 5, "n_critic": 3,
        "generator_filters": (3,), "critic_filters": (3,), "initial_stddev": 0.2,
    }  # fmt: skip
    h = wgan.Hyperparameters(**(values | changes))
    return wgan.WGAN(h)


def images(seed: int = 0) -> np.ndarray:
    return blobs(4, 16, seed).astype(np.float32) / 127.5 - 1


def values(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def moved(variables: list[keras.Variable], before: list[np.ndarray]) -> list[bool]:
    return [bool(np.any(a != b)) for a, b in zip(values(variables), before, strict=True)]


# Formulas ---------------------------------------------------------------------------------------


def test_the_estimate_is_the_difference_of_the_means():
    real, fake = np.array([[3.0], [5.0]], np.float32), np.array([[1.0], [-2.0]], np.float32)
    assert float(wgan.wasserstein_estimate(real, fake)) == pytest.approx(4.5)


def test_the_penalty_of_known_gradients():
    gradient = np.zeros((3, 2, 2, 1), np.float32)
    gradient[1, 0, 0] = 1.0  # of norm 1: no penalty
    gradient[2, :, 0] = np.array([[3.0], [4.0]])  # of norm 5
    assert float(wgan.gradient_penalty(gradient)) == pytest.approx((1 + 0 + 16) / 3, rel=1e-5)


def test_the_penalty_of_no_gradient_can_be_differentiated():
    def step(gradient):
        _, slope = backend.input_gradient(
            lambda x: ops.reshape(wgan.gradient_penalty(x), (1, 1)), gradient
        )
        return {"slope": slope}

    slope = backend.compile_step(step, [])(np.zeros((2, 3, 3, 1), np.float32))["slope"]
    assert np.all(np.isfinite(ops.convert_to_numpy(slope)))


@pytest.mark.parametrize("normalization", ["none", "layer"])
def test_the_critics_loss_and_its_gradient_by_finite_differences(normalization, monkeypatch):
    """The loss against a calculation of its own, the gradient against central differences."""
    # The gradient of a LeakyReLU jumps, and differences across a jump say nothing.
    monkeypatch.setattr(layers, "LeakyReLU", lambda _: layers.Activation("tanh"))
    method = tiny_method(critic_normalization=normalization)
    real, fake = images(1), images(2)
    share = np.array([0.1, 0.4, 0.7, 0.95], np.float32).reshape(4, 1, 1, 1)
    monkeypatch.setattr(keras.random, "uniform", lambda *_, **__: ops.convert_to_tensor(share))
    kept = {}

    def apply(gradients, variables):
        kept.update({str(number): gradient for number, gradient in enumerate(gradients)})

    method.critic_optimizer.apply = apply
    trained = method.critic.trainable_variables

    def step(real_images, fake_images):
        return method.update_critic(real_images, fake_images) | kept

    variables = [v for group in method.state().values() for v in group]
    results = backend.compile_step(step, variables)(real, fake)

    def answers(batch: np.ndarray) -> np.ndarray:
        return ops.convert_to_numpy(method.critic(batch, training=True)).astype(np.float64)

    between = real + share * (fake - real)
    random = np.random.default_rng(0)

    def loss_of_estimate() -> float:
        return float(answers(fake).mean() - answers(real).mean())

    # The norm of the gradient at one image, from differences of the critic's answer.
    direction = random.standard_normal(between.shape).astype(np.float32)
    direction /= np.sqrt((direction**2).sum(axis=(1, 2, 3), keepdims=True))
    along = (answers(between + 0.01 * direction) - answers(between - 0.01 * direction)) / 0.02

    def slope(batch):
        return {"g": backend.input_gradient(lambda x: method.critic(x, training=True), batch)[1]}

    compiled = backend.compile_step(slope, variables)

    def gradient_of(batch: np.ndarray) -> np.ndarray:
        return ops.convert_to_numpy(compiled(batch)["g"]).astype(np.float64)

    gradient = gradient_of(between)
    np.testing.assert_allclose(
        (gradient * direction).sum(axis=(1, 2, 3)), along[:, 0], rtol=0.05, atol=2e-4
    )
    norms = np.sqrt((gradient**2).sum(axis=(1, 2, 3)))
    penalty = float(((norms - 1) ** 2).mean())
    assert float(results["gradient_penalty"]) == pytest.approx(penalty, rel=1e-4)
    assert float(results["wasserstein"]) == pytest.approx(-loss_of_estimate(), rel=1e-4, abs=1e-6)
    assert float(results["critic_loss"]) == pytest.approx(
        loss_of_estimate() + 10 * penalty, rel=1e-4
    )

    # The whole loss, penalty included, along a random direction in the weights.
    directions = [random.standard_normal(v.shape).astype(np.float32) for v in trained]
    start = values(trained)

    def loss_at(step_size: float) -> float:
        for variable, value, way in zip(trained, start, directions, strict=True):
            variable.assign(value + step_size * way)
        slopes = np.sqrt((gradient_of(between) ** 2).sum(axis=(1, 2, 3)))
        return loss_of_estimate() + 10 * float(((slopes - 1) ** 2).mean())

    expected = (loss_at(1e-3) - loss_at(-1e-3)) / 2e-3
    found = sum(
        float((ops.convert_to_numpy(results[str(n)]).astype(np.float64) * way).sum())
        for n, way in enumerate(directions)
    )
    assert found == pytest.approx(expected, rel=0.02)


# Clipping ---------------------------------------------------------------------------------------


def test_clipping_clips_weights_and_offsets_and_nothing_else():
    method = tiny_method(constraint="clip", critic_normalization="batch", clip_value=0.05)
    scales = [v for v in method.critic.variables if v.name in ("gamma", "beta")]
    for variable in method.critic.variables:
        if "moving" in variable.name:
            variable.assign(ops.full(variable.shape, 0.7))
    for variable in scales:
        variable.assign(ops.full(variable.shape, 0.9))
    generator = values(method.generator.variables)
    method.update_critic(images(1), images(2))
    for variable in method.critic.trainable_variables:
        largest = float(ops.max(ops.abs(variable.value)))
        if variable.name in ("gamma", "beta"):
            assert largest > 0.8
        else:
            assert largest <= 0.05 + 1e-7, variable.path
    kernels = [v for v in method.critic.trainable_variables if v.name == "kernel"]
    assert any(float(ops.max(ops.abs(k.value))) > 0.0499 for k in kernels)
    for variable in method.critic.variables:
        if "moving" in variable.name:
            assert float(ops.max(ops.abs(variable.value))) > 0.1
    assert not any(moved(method.generator.variables, generator))


# The alternation --------------------------------------------------------------------------------


def test_each_update_trains_its_own_network():
    method = tiny_method()
    generator, critic = method.generator.trainable_variables, method.critic.trainable_variables
    before = values(generator), values(critic)
    method.update_critic(images(1), images(2))
    assert not any(moved(generator, before[0]))
    assert all(moved(critic[:-1], before[1][:-1]))  # the last offset cancels in the difference
    before = values(generator), values(critic)
    latents = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    method.update_generator(*backend.forward(method.generator, latents))
    assert all(moved(generator, before[0]))
    assert not any(moved(critic, before[1]))


@pytest.mark.parametrize("constraint", ["clip", "penalty"])
@pytest.mark.parametrize("n_critic", [1, 3])
def test_a_step_makes_n_updates_of_the_critic_on_images_of_their_own(n_critic, constraint):
    method = tiny_method(n_critic=n_critic, constraint=constraint)
    seen = []
    update = method.update_critic

    def spy(real_images, fake_images, classes):
        seen.append((ops.convert_to_numpy(real_images), ops.convert_to_numpy(fake_images)))
        return update(real_images, fake_images, classes)

    method.update_critic = spy
    batches = np.stack([blobs(4, 16, seed) for seed in range(n_critic)])
    results = method.train_step(batches)
    assert int(method.critic_optimizer.iterations) == n_critic
    assert int(method.generator_optimizer.iterations) == 1
    assert len(seen) == n_critic
    for (real, _), batch in zip(seen, batches, strict=True):
        np.testing.assert_allclose(real, batch / 127.5 - 1, atol=1e-6)
    for first, (_, fake) in enumerate(seen):
        assert all(np.any(fake != other) for _, other in seen[first + 1 :])
    expected = {"critic_loss", "wasserstein", "g_loss"}
    assert set(results) >= expected
    assert ("gradient_penalty" in results) == (constraint == "penalty")


def test_the_generator_learns_from_the_critic_as_it_is_after_its_last_update():
    """One pass of the generator serves both updates; the result is as if it were made anew."""
    method, plain = tiny_method(n_critic=1), tiny_method(n_critic=1)
    for variable, other in zip(plain.generator.variables, method.generator.variables, strict=True):
        variable.assign(other.value)
    for variable, other in zip(plain.critic.variables, method.critic.variables, strict=True):
        variable.assign(other.value)
    latents = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    share = np.full((4, 1, 1, 1), 0.5, np.float32)
    for each in (method, plain):
        each.random_latents = lambda: ops.convert_to_tensor(latents)
    original, keras.random.uniform = keras.random.uniform, lambda *_, **__: share
    try:
        method.train_step(blobs(4, 16)[None])
        plain.update_critic(images(), plain.generator(latents, training=True))
        plain.update_generator(*backend.forward(plain.generator, latents))
    finally:
        keras.random.uniform = original
    for one, other in zip(
        method.generator.trainable_variables, plain.generator.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(
            ops.convert_to_numpy(one), ops.convert_to_numpy(other), atol=2e-5
        )


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_the_optimizer_that_was_asked_for(optimizer):
    method = tiny_method(optimizer=optimizer)
    for each in (method.critic_optimizer, method.generator_optimizer):
        assert type(each).__name__.lower() == optimizer
    if optimizer == "adam":
        assert (method.critic_optimizer.beta_1, method.critic_optimizer.beta_2) == (0.0, 0.9)


def test_batch_normalisation_does_not_go_with_the_penalty(tmp_path):
    result = run_script("wgan.py", *TINY, "--critic-normalization", "batch", folder=tmp_path)
    assert result.returncode == 2
    assert result.stderr == (
        "wgan.py: error: --critic-normalization batch: with --constraint penalty, which takes "
        "the gradient of each image by itself, it must be none or layer\n"
    )
    assert not list(tmp_path.iterdir())


# The script -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags",
    [
        ("--constraint", "penalty", "--critic-normalization", "layer"),
        ("--constraint", "clip", "--critic-normalization", "batch", "--optimizer", "rmsprop"),
    ],
)
def test_a_run_stopped_and_resumed_is_the_run_that_was_not(tmp_path, data_file, flags):
    common = [*TINY, *flags, "--data", data_file, "--history-interval", 1]
    for name, steps in (("whole", 6), ("parts", 3)):
        result = run_script(
            "wgan.py", *common, "--run-name", name, "--steps", steps, folder=tmp_path
        )
        assert result.returncode == 0, result.stderr
    result = run_script("wgan.py", "--resume", "parts", "--steps", 6, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    rows = {}
    for name in ("whole", "parts"):
        with open(tmp_path / "images" / name / "history.csv") as file:
            rows[name] = [
                {k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)
            ]
    assert rows["whole"] == rows["parts"]
    assert {"critic_loss", "wasserstein", "g_loss"} <= set(rows["whole"][0])
    models = tmp_path / "saved_models" / "whole"
    assert {path.name for path in models.iterdir()} >= {
        "critic.keras", "generator.keras", "generator-current.keras", "config.json", "checkpoints",
    }  # fmt: skip
    with np.load(models / "checkpoints" / "step_0000006.npz") as one:
        other = np.load(tmp_path / "saved_models/parts/checkpoints/step_0000006.npz")
        for name in one.files:
            if name != "loop/seconds":
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    assert json.loads((models / "config.json").read_text())["method"] == "wgan"


def test_another_methods_run_is_not_resumed(tmp_path, data_file):
    run_script("wgan.py", *TINY, "--data", data_file, "--steps", 1, folder=tmp_path)
    result = run_script("dcgan.py", "--resume", "wgan-1", folder=tmp_path)
    assert (result.returncode, result.stderr) == (
        2, "dcgan.py: error: --resume wgan-1: was made by wgan.py, not by dcgan.py\n",
    )  # fmt: skip


def test_a_run_resumed_with_another_constraint_goes_on(tmp_path, data_file):
    arguments = ["--data", data_file, *TINY, "--constraint", "clip", "--steps", 3]
    assert run_script("wgan.py", *arguments, folder=tmp_path).returncode == 0
    # Its checkpoint holds steps of both kinds, which are to become one row.
    resume = ["wgan.py", "--resume", "wgan-1", "--history-interval", 6]
    result = run_script(*resume, "--constraint", "penalty", "--steps", 5, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "saved_models/wgan-1/checkpoints/step_0000005.npz") as archive:
        names = archive["loop/pending_names"].tolist()
        penalties = archive["loop/pending"][:, names.index("gradient_penalty")]
    assert np.isnan(penalties).tolist() == [True, True, True, False, False]
    result = run_script(*resume, "--steps", 6, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    (row,) = read_history(tmp_path / "images" / "wgan-1")
    assert float(row["gradient_penalty"]) >= 0

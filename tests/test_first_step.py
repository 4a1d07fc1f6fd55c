"""The first step against a second computation that shares nothing with it but the formulas.

The networks are computed again in NumPy, in float64, by loops; their gradients are measured by
central differences; Adam's first step and the label arithmetic are written out.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import dcgan
import wgan
from tests.conftest import blobs
from utils.models import recipes

SIZE, BATCH, LATENT_DIM = 8, 3, 4
Weights = dict[str, np.ndarray]


def convolve(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Correlation with zero padding "same"; kernel (side, side, in, out)."""
    side, height = kernel.shape[0], x.shape[1]
    out = -(-height // stride)
    total = max((out - 1) * stride + side - height, 0)
    before = total // 2
    padded = np.pad(x, ((0, 0), (before, total - before), (before, total - before), (0, 0)))
    result = np.zeros((len(x), out, out, kernel.shape[3]))
    for row in range(out):
        for column in range(out):
            window = padded[
                :, row * stride : row * stride + side, column * stride : column * stride + side
            ]
            result[:, row, column] = np.einsum("bhwi,hwio->bo", window, kernel)
    return result


def convolve_transposed(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
    """Each pixel paints its kernel (side, side, out, in), ``stride`` apart; cut to "same"."""
    side, height = kernel.shape[0], x.shape[1]
    canvas = np.zeros((len(x), (height - 1) * stride + side, (height - 1) * stride + side,
                       kernel.shape[2]))  # fmt: skip
    for row in range(height):
        for column in range(height):
            painted = np.einsum("bi,hwoi->bhwo", x[:, row, column], kernel)
            canvas[
                :, row * stride : row * stride + side, column * stride : column * stride + side
            ] += painted
    cut = (side - stride) // 2
    return canvas[:, cut : cut + height * stride, cut : cut + height * stride]


def normalize(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta


def generate(w: Weights, latents: np.ndarray) -> np.ndarray:
    """8 px, one inner map of 4 px: dense, BN, ReLU, transposed convolution, tanh."""
    x = (latents @ w["dense/kernel"]).reshape(-1, 4, 4, 3)
    x = np.maximum(normalize(x, w["norm/gamma"], w["norm/beta"]), 0)
    return np.tanh(convolve_transposed(x, w["image/kernel"], 2) + w["image/bias"])


def discriminate(w: Weights, images: np.ndarray) -> np.ndarray:
    """8 px to 4 and 2 px: convolution, LeakyReLU, convolution, BN, LeakyReLU, dense."""
    x = convolve(images, w["first/kernel"], 2) + w["first/bias"]
    x = np.where(x > 0, x, 0.2 * x)
    x = normalize(convolve(x, w["second/kernel"], 2), w["norm/gamma"], w["norm/beta"])
    x = np.where(x > 0, x, 0.2 * x)
    return x.reshape(len(x), -1) @ w["logits/kernel"] + w["logits/bias"]


GENERATOR = ["dense/kernel", "norm/gamma", "norm/beta", "image/kernel", "image/bias"]
DISCRIMINATOR = ["first/kernel", "first/bias", "second/kernel", "norm/gamma", "norm/beta",
                 "logits/kernel", "logits/bias"]  # fmt: skip


def weights(network: keras.Model, names: list[str]) -> Weights:
    variables = network.trainable_variables
    return {
        name: ops.convert_to_numpy(variable).astype(np.float64)
        for name, variable in zip(names, variables, strict=True)
    }


def cross_entropy(labels: np.ndarray, logits: np.ndarray) -> float:
    answers = 1 / (1 + np.exp(-logits))
    return float(-(labels * np.log(answers) + (1 - labels) * np.log(1 - answers)).mean())


def differentiate(loss: Any, w: Weights) -> Weights:
    """Central differences, entry by entry."""
    gradients = {}
    for name, value in w.items():
        gradient = np.zeros_like(value)
        for index in np.ndindex(value.shape):
            kept = value[index]
            value[index] = kept + 1e-6
            above = loss(w)
            value[index] = kept - 1e-6
            below = loss(w)
            value[index] = kept
            gradient[index] = (above - below) / 2e-6
        gradients[name] = gradient
    return gradients


class Recorder:
    """Keeps what a function returned, or what it was called with."""

    def __init__(self, function: Any) -> None:
        self.function, self.returned, self.arguments = function, [], []

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        self.arguments.append(arguments)
        self.returned.append(self.function(*arguments, **keywords))
        return self.returned[-1]


@pytest.mark.parametrize(
    ("noise", "smoothing", "sides"),
    [(0.0, 0.0, "one-sided"), (0.1, 0.0, "one-sided"), (0.0, 0.2, "one-sided"),
     (0.1, 0.1, "two-sided")],
)  # fmt: skip
def test_losses_gradients_and_first_update(noise, smoothing, sides, monkeypatch):
    keras.utils.set_random_seed(3)
    h = dcgan.Hyperparameters(
        image_size=SIZE, batch_size=BATCH, latent_dim=LATENT_DIM, initial_stddev=0.3,
        generator_filters=(3,), discriminator_filters=(2, 3), kernel_size=4,
        generator_architecture="plain", upscaling="transposed",
        discriminator_dropout=0.0, augmentation=(),
        generator_learning_rate=1e-3, discriminator_learning_rate=2e-3,
        label_noise=noise, label_smoothing=smoothing, smoothing_sides=sides,
    )  # fmt: skip
    method = dcgan.DCGAN(h)
    latents = Recorder(method.random_latents)
    monkeypatch.setattr(method, "random_latents", latents)
    labels = Recorder(recipes.noisy_labels)
    monkeypatch.setattr(recipes, "noisy_labels", labels)
    updates = {}
    for name in ("generator", "discriminator"):
        optimizer = getattr(method, f"{name}_optimizer")
        updates[name] = Recorder(optimizer.apply)
        monkeypatch.setattr(optimizer, "apply", updates[name])

    g0, d0 = weights(method.generator, GENERATOR), weights(method.discriminator, DISCRIMINATOR)
    batch = blobs(BATCH, SIZE)[None]
    losses = method.train_step(batch)
    g1, d1 = weights(method.generator, GENERATOR), weights(method.discriminator, DISCRIMINATOR)

    # (1) The discriminator, from the weights before the step.
    real_images = batch[0] / 127.5 - 1
    (z,) = (np.asarray(z, np.float64) for z in latents.returned)
    real_labels, fake_labels = (np.asarray(y, np.float64) for y in labels.returned)
    high = 1 - smoothing / 2 if sides == "two-sided" else 1 - smoothing
    low = smoothing / 2 if sides == "two-sided" else 0
    assert np.all((high - noise - 1e-6 <= real_labels) & (real_labels <= high + 1e-6))
    assert np.all((low - 1e-6 <= fake_labels) & (fake_labels <= low + noise + 1e-6))
    assert len(np.unique(real_labels)) == (BATCH if noise else 1)

    def d_loss(d: Weights) -> float:
        return cross_entropy(real_labels, discriminate(d, real_images)) + cross_entropy(
            fake_labels, discriminate(d, generate(g0, z))
        )

    answers = [1 / (1 + np.exp(-discriminate(d0, x))) for x in (real_images, generate(g0, z))]
    assert float(losses["d_loss"]) == pytest.approx(d_loss(d0), rel=1e-5)
    assert float(losses["d_real"]) == pytest.approx(answers[0].mean(), rel=1e-5)
    assert float(losses["d_fake"]) == pytest.approx(answers[1].mean(), rel=1e-5)
    check_update(updates["discriminator"], differentiate(d_loss, dict(d0)), d0, d1, 2e-3)

    # (2) The generator, against the discriminator as (1) left it.
    target = np.full((BATCH, 1), high if sides == "two-sided" else 1.0)

    def g_loss(g: Weights) -> float:
        return cross_entropy(target, discriminate(d1, generate(g, z)))

    assert float(losses["g_loss"]) == pytest.approx(g_loss(g0), rel=1e-5)
    check_update(updates["generator"], differentiate(g_loss, dict(g0)), g0, g1, 1e-3)


def check_update(
    update: Recorder, expected: Weights, before: Weights, after: Weights, learning_rate: float
) -> None:
    """The gradients are those expected, and Adam's first step is the one of the paper."""
    ((gradients, _),) = update.arguments
    assert max(np.abs(gradient).max() for gradient in expected.values()) > 1e-3
    for name, gradient in zip(expected, gradients, strict=True):
        gradient = np.asarray(gradient, np.float64)
        np.testing.assert_allclose(gradient, expected[name], rtol=2e-3, atol=2e-6, err_msg=name)
        # Kingma and Ba, section 2, at t = 1: m = (1 - b1) g, v = (1 - b2) g^2.
        step = learning_rate * np.sqrt(1 - 0.999) / (1 - 0.5)
        moved = -step * 0.5 * gradient / (np.sqrt(0.001) * np.abs(gradient) + 1e-7)
        np.testing.assert_allclose(after[name] - before[name], moved, rtol=1e-2, atol=3e-7)


@pytest.mark.parametrize("updates", ["joint", "separate"])
def test_learning_rates_and_noise_fall_with_the_steps(updates):
    h = dcgan.Hyperparameters(
        image_size=SIZE, batch_size=BATCH, generator_filters=(2,), discriminator_filters=(2,),
        learning_rate_decay=0.2, learning_rate_decay_steps=2, generator_learning_rate=1e-3,
        discriminator_learning_rate=1e-2, discriminator_updates=updates, instance_noise=1.0,
        instance_noise_steps=4,
    )  # fmt: skip
    method = dcgan.DCGAN(h)
    rates, levels = [], []
    for _ in range(5):
        optimizers = method.generator_optimizer, method.discriminator_optimizer
        rates.append([float(optimizer.learning_rate) for optimizer in optimizers])
        method.train_step(blobs(BATCH, SIZE)[None])
        levels.append(float(method.discriminator.get_layer("noise").level.value))
    fall = np.array([1, 1, 0.2, 0.2, 0.04])
    np.testing.assert_allclose(rates, np.stack([1e-3 * fall, 1e-2 * fall], axis=1), rtol=1e-5)
    assert levels == pytest.approx([1, 0.75, 0.5, 0.25, 0])


@pytest.mark.parametrize("constraint", ["penalty", "clip"])
def test_a_critics_learning_rate_falls_with_the_steps_not_with_its_updates(constraint):
    h = wgan.Hyperparameters(
        image_size=SIZE, batch_size=BATCH, generator_filters=(2,), critic_filters=(2,), n_critic=3,
        learning_rate_decay=0.2, learning_rate_decay_steps=2, critic_learning_rate=1e-3,
        generator_learning_rate=1e-2, constraint=constraint,
        optimizer="rmsprop" if constraint == "clip" else "adam",
    )  # fmt: skip
    method = wgan.WGAN(h)
    rates = []
    for _ in range(4):
        optimizers = method.critic_optimizer, method.generator_optimizer
        rates.append([float(optimizer.learning_rate) for optimizer in optimizers])
        method.train_step(np.stack([blobs(BATCH, SIZE)] * h.batches_per_step))
    fall = np.array([1, 1, 0.2, 0.2])
    np.testing.assert_allclose(rates, np.stack([1e-3 * fall, 1e-2 * fall], axis=1), rtol=1e-5)
    assert int(method.critic_optimizer.iterations) == 12

"""Run under each backend by test_layers.py: the layers in a compiled step, results in a file.

    KERAS_BACKEND=jax python -m tests.layers_probe RESULT.npz

Weights and inputs are drawn by NumPy, so that every backend begins with the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from utils import backend

# isort: split
import keras
from keras import ops

from utils.models.adversarial import frozen
from utils.models.layers import (
    InstanceNoise,
    MinibatchDiscrimination,
    MinibatchStandardDeviation,
    SpectralNormalization,
)


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Layers that are made in the block have this dtype policy, as `backend.set_precision` does."""
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


def small_discriminator(policy: str = "float32") -> keras.Model:
    """A discriminator of 8x8 images with every layer but the noise; weights drawn by NumPy."""
    x = images = keras.Input((8, 8, 3))
    with precision(policy):
        x = SpectralNormalization(keras.layers.Conv2D(4, 3, padding="same", activation="tanh"))(x)
        x = MinibatchDiscrimination(2, vector_length=5)(x)
        x = keras.layers.Activation("tanh")(x)
        x = MinibatchStandardDeviation()(x)
        x = keras.layers.Flatten()(x)
        x = SpectralNormalization(keras.layers.Dense(1, dtype="float32"))(x)
        network = keras.Model(images, x)
    random = np.random.default_rng(0)
    for variable in network.variables:
        variable.assign(random.normal(0, 0.3, variable.shape))
    return network


def kernels(network: keras.Model) -> list[np.ndarray]:
    return [ops.convert_to_numpy(v) for v in network.variables if v.name == "kernel"]


def vectors(network: keras.Model) -> list[np.ndarray]:
    return [ops.convert_to_numpy(v) for v in network.variables if v.name == "vector_u"]


def have_moved(before: list[np.ndarray], after: list[np.ndarray]) -> np.ndarray:
    return np.array([np.any(a != b) for a, b in zip(before, after, strict=True)])


def main(result: Path) -> None:
    results = {}
    images = np.random.default_rng(1).uniform(-1, 1, (2, 5, 8, 8, 3)).astype(np.float32)

    for policy in ("float32", "mixed_bfloat16"):
        network = small_discriminator(policy)
        before, before_u = kernels(network), vectors(network)

        # As a discriminator's update: two passes, and a penalty that is differentiated again.
        def update(real, fake, network=network):
            def loss_function():
                real_logits, gradient = backend.input_gradient(
                    lambda x: network(x, training=True), real
                )
                penalty = ops.mean(ops.sum(gradient**2, axis=(1, 2, 3)))
                fake_logits = network(fake, training=True)
                return ops.mean(fake_logits - real_logits) + 10 * penalty, (penalty, real_logits)

            (loss, (penalty, logits)), gradients = backend.value_and_grad(
                loss_function, network.trainable_variables[:-1]
            )
            kept = {f"gradient {n}": gradient for n, gradient in enumerate(gradients)}
            return {"loss": loss, "penalty": penalty, "logits": logits} | kept

        for name, value in backend.compile_step(update, network.variables)(*images).items():
            results[f"{policy} {name}"] = ops.convert_to_numpy(value)
        results[f"{policy} kernels moved"] = have_moved(before, kernels(network))
        results[f"{policy} u moved"] = have_moved(before_u, vectors(network))
        for number, vector in enumerate(vectors(network)):
            results[f"{policy} u {number}"] = vector
        results[f"{policy} inference"] = ops.convert_to_numpy(network(images[0], training=False))

    # As a generator's update: a gradient goes through the frozen network to what it is given.
    network = small_discriminator()
    before, before_u = kernels(network), vectors(network)
    given = keras.Variable(images[0])

    def through(network=network):
        with frozen(network):
            (loss, _), gradients = backend.value_and_grad(
                lambda: (ops.mean(network(given.value, training=True)), None), [given]
            )
        return {"loss": loss, "gradient": gradients[0]}

    for name, value in backend.compile_step(through, [*network.variables, given])().items():
        results[f"frozen {name}"] = ops.convert_to_numpy(value)
    results["frozen kernels moved"] = have_moved(before, kernels(network))
    results["frozen u moved"] = have_moved(before_u, vectors(network))

    # Noise: other draws in every pass, the same from the same seed, and a level that is assigned.
    noises = []
    for _ in range(2):
        layer = InstanceNoise(0.5, seed=3)
        layer.build((None, 1000))

        def noisy(level, layer=layer):
            first = layer(ops.zeros((20, 1000)), training=True)
            layer.level.assign(level)
            return {"first": first, "second": layer(ops.zeros((20, 1000)), training=True)}

        step = backend.compile_step(noisy, layer.variables)
        passes = [step(np.float32(level)) for level in (0.25, 0.0)]
        noises.append([ops.convert_to_numpy(p[name]) for p in passes for name in p])
    results["noise deviations"] = np.std(noises[0], axis=(1, 2))
    results["noise means"] = np.mean(noises[0], axis=(1, 2))
    results["noise repeats"] = np.array(np.array_equal(noises[0], noises[1]))
    correlation = np.corrcoef([noises[0][n].ravel() for n in range(3)])
    results["noise correlation"] = np.abs(correlation - np.eye(3)).max()
    np.savez(result, **results)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

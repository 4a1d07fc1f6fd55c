"""Run under JAX or PyTorch by test_backends.py: layers and Adam as Keras has them, and as we do.

    KERAS_BACKEND=torch python -m tests.faster_probe START.npz RESULT.npz

START.npz is not read. RESULT.npz holds pairs, ``NAME as it is`` and ``NAME faster``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np

from utils import backend

# isort: split
import keras
from keras import layers, ops

if keras.backend.backend() == "jax":
    from utils.backend import jax_cpu as ours
else:
    from utils.backend import torch_layers as ours

LAYERS = {
    "convolution, 4x4, stride 2": lambda: layers.Conv2D(5, 4, 2, "same"),
    "convolution, 3x3, stride 2": lambda: layers.Conv2D(5, 3, 2, "same", use_bias=False),
    "convolution, 3x3": lambda: layers.Conv2D(5, 3, padding="same"),
    "convolution, valid": lambda: layers.Conv2D(5, 3, 2),
    "convolution, dilated": lambda: layers.Conv2D(5, 3, padding="same", dilation_rate=2),
    "convolution, in groups": lambda: layers.Conv2D(6, 3, padding="same", groups=3),
    "transposed, 4x4": lambda: layers.Conv2DTranspose(5, 4, 2, "same"),
    "transposed, 5x5": lambda: layers.Conv2DTranspose(5, 5, 2, "same", use_bias=False),
    "transposed, valid": lambda: layers.Conv2DTranspose(5, 4, 2, "valid"),
    "transposed, apart": lambda: layers.Conv2DTranspose(5, 2, 3, "valid", activation="relu"),
    "normalised": lambda: layers.BatchNormalization(momentum=0.8),
    "means of 2x2": lambda: layers.AveragePooling2D(2, strides=1),
    "means of 3x3": lambda: layers.AveragePooling2D(3, strides=2, padding="same"),
}


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(len(shape)).standard_normal(shape).astype(np.float32)


def of_layer(build: Callable[[], layers.Layer]) -> dict[str, np.ndarray]:
    """Its output, its gradients, those of a gradient penalty, and what it remembers."""
    keras.utils.set_random_seed(1)
    layer = build()
    images = numbers(3, 10, 8, 6)
    layer.build(images.shape)
    variables = layer.trainable_variables

    def cubes(images):
        return ops.mean(layer(images, training=True) ** 3), ()

    def penalty(images):
        _, gradient = backend.input_gradient(
            lambda images: ops.tanh(layer(images, training=True)), images
        )
        return ops.sum(gradient**2), ()

    def step(images):
        results = {"outputs": layer(images, training=True)}
        _, results["cubes to images"] = backend.value_and_input_grad(cubes, images)
        for loss in (cubes, penalty) if variables else ():
            _, gradients = backend.value_and_grad(partial(loss, images), variables)
            results |= {f"{loss.__name__} to {n}": each for n, each in enumerate(gradients)}
        return results

    results = backend.compile_step(step, layer.variables)(images)
    results |= {each.name: each for each in layer.non_trainable_variables}
    return {name: ops.convert_to_numpy(result) for name, result in results.items()}


def of_adam() -> dict[str, np.ndarray]:
    """Weights after three updates."""
    variables = [keras.Variable(numbers(3, 4)), keras.Variable(numbers(5))]
    adam = keras.optimizers.Adam(0.1, beta_1=0.0, beta_2=0.9, epsilon=1e-3)
    adam.build(variables)

    def step(scale):
        adam.apply([scale * 1e-3 * numbers(3, 4), scale * numbers(5)], variables)
        return {}

    compiled = backend.compile_step(step, [*variables, *adam.variables])
    for scale in (1.0, -0.5, 0.1):
        compiled(np.float32(scale))
    return {f"weight {n}": ops.convert_to_numpy(each) for n, each in enumerate(variables)}


def main(result: Path) -> None:
    found = {}
    faster = ours.faster
    for way, block in (("as it is", nullcontext), ("faster", faster)):
        ours.faster = block
        for name, results in {
            **{name: of_layer(build) for name, build in LAYERS.items()}, "Adam": of_adam(),
        }.items():  # fmt: skip
            found |= {f"{name}: {each} {way}": value for each, value in results.items()}
    np.savez(result, **found)


if __name__ == "__main__":
    main(Path(sys.argv[2]))

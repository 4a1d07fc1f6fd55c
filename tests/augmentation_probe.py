"""Run under each backend by test_augmentation.py: T, its gradients, and steps that use it.

    KERAS_BACKEND=jax python -m tests.augmentation_probe RESULT.npz

Weights and random numbers are the same under each, drawn by NumPy.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np

from utils import backend

# isort: split
import keras
from keras import ops

import dcgan
import wgan
from tests.conftest import blobs
from utils.models.augmentation import (
    IMAGES_FROM_0_TO_1,
    KINDS,
    Augmentation,
    change_colors,
    cut_out,
    translate,
)

SMALL = {
    "image_size": 16, "batch_size": 4, "latent_dim": 5, "generator_filters": (4,),
    "augmentation": KINDS,
}  # fmt: skip
METHODS = {
    "dcgan": lambda: dcgan.DCGAN(
        dcgan.Hyperparameters(
            **SMALL, discriminator_filters=(4,), color_strength=1.0, feature_matching=0.5
        )
    ),
    "wgan": lambda: wgan.WGAN(wgan.Hyperparameters(**SMALL, critic_filters=(4,), n_critic=2)),
}


def given_draws() -> None:
    """Let Keras draw what NumPy draws, the same numbers in the same order."""
    number = itertools.count()

    def draw(method: str, shape: tuple[int, ...], *arguments: Any) -> Any:
        random = np.random.default_rng(next(number))
        dtype = "int32" if method == "integers" else "float32"
        return ops.convert_to_tensor(getattr(random, method)(*arguments, shape).astype(dtype))

    keras.random.uniform = lambda shape, **_: draw("uniform", shape, 0.0, 1.0)
    keras.random.normal = lambda shape, **_: draw("normal", shape, 0.0, 1.0)
    keras.random.randint = lambda shape, low, high, **_: draw("integers", shape, low, high)


def main(result: Path) -> None:
    random = np.random.default_rng(0)
    images = random.uniform(-1, 1, (4, 16, 16, 3)).astype(np.float32)
    weights = random.uniform(-1, 1, images.shape).astype(np.float32)
    draws = random.uniform(size=(3, 4, 1, 1, 1)).astype(np.float32)
    offsets = random.integers(-2, 3, (2, 4)).astype(np.int32)
    centers = random.integers(0, 17, (2, 4)).astype(np.int32)
    functions = {
        "color": lambda x: change_colors(x, ops.convert_to_tensor(draws)),
        "translation": lambda x: translate(x, ops.convert_to_tensor(offsets)),
        "cutout": lambda x: cut_out(x, ops.convert_to_tensor(centers)),
    }
    functions["all"] = lambda x: functions["cutout"](
        functions["translation"](functions["color"](x))
    )
    results = {}
    for name, function in functions.items():
        scale = keras.Variable(np.ones((16, 16, 3), np.float32))

        def step(
            images: Any, given: Any, function: Any = function, scale: Any = scale
        ) -> dict[str, Any]:
            def penalty() -> tuple[Any, Any]:
                outputs, gradient = backend.input_gradient(
                    lambda x: ops.sum(ops.tanh(function(x * scale.value)) * given, axis=(1, 2, 3)),
                    ops.convert_to_tensor(images),
                )
                return ops.sum(gradient**2), (outputs, gradient)

            (loss, (outputs, gradient)), (second,) = backend.value_and_grad(penalty, [scale])
            return {
                "images": function(images), "outputs": outputs, "gradient": gradient,
                "penalty": loss, "second": second,
            }  # fmt: skip

        for key, value in backend.compile_step(step, [scale])(images, weights).items():
            results[f"{name} {key}"] = ops.convert_to_numpy(value)

    transparent = ops.convert_to_tensor(np.concatenate([images, images[..., :1]], axis=3))
    results["color of RGBA"] = ops.convert_to_numpy(
        change_colors(transparent, ops.convert_to_tensor(draws))
    )

    # What is compiled follows the probability where that is moved outside.
    seed_generator = keras.random.SeedGenerator(0)
    layer = Augmentation(KINDS, seed_generator, probability=0.0, adapts=True)
    state = [*layer.variables, seed_generator.state]
    compiled = backend.compile_step(lambda x: {"images": layer(ops.convert_to_tensor(x))}, state)
    for probability in (0, 1):
        found = ops.convert_to_numpy(compiled(images)["images"])
        is_changed = np.abs(found - images).max((1, 2, 3)) > 1e-5
        results[f"changed at {probability}"] = is_changed.mean()
        layer.adapt([0.3], IMAGES_FROM_0_TO_1)

    given_draws()
    for name, build in METHODS.items():
        method = build()
        variables = [v for group in method.state().values() for v in group]
        networks = [method.generator, getattr(method, "discriminator", None) or method.critic]
        trained = [v for network in networks for v in network.trainable_variables]
        for number, variable in enumerate(trained):
            drawn = np.random.default_rng(number).normal(0, 0.1, variable.shape)
            variable.assign(drawn + (variable.name == "gamma"))
        compiled = backend.compile_step(method.train_step, variables)
        number = method.h.batches_per_step
        batches = blobs(4 * number, 16).reshape(number, 4, 16, 16, 3)
        for key, value in compiled(batches).items():
            results[f"{name} {key}"] = ops.convert_to_numpy(value)
        for number, variable in enumerate(trained):
            results[f"after {name} {number}"] = ops.convert_to_numpy(variable)
    np.savez(result, **results)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

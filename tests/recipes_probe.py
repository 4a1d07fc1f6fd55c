"""Run under each backend by test_backends.py: steps of the WGAN, of recipes, and decisions.

    KERAS_BACKEND=jax python -m tests.recipes_probe START.npz RESULT.npz

START.npz holds the weights to begin with (or does not exist yet: then it is written).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from utils import backend

# isort: split
import keras
from keras import ops

import dcgan
import r3gan
import wgan
from tests.conftest import blobs
from tests.test_r3gan import with_active_blocks
from tests.test_recipes import recorded
from utils.models.recipes import Balance

SMALL = {
    "image_size": 16, "batch_size": 4, "latent_dim": 5, "generator_filters": (4,),
    "initial_stddev": 0.1,
}  # fmt: skip
SMALL_R3GAN = {
    "image_size": 16, "batch_size": 4, "latent_dim": 5, "generator_filters": (4,),
    "discriminator_filters": (4,), "start_filters": 8, "schedule_steps": 4,
}  # fmt: skip
METHODS = {
    "wgan penalty": lambda: wgan.WGAN(
        wgan.Hyperparameters(
            **SMALL, critic_filters=(4,), n_critic=2, critic_normalization="layer",
            minibatch="deviation",
        )
    ),
    "wgan clip": lambda: wgan.WGAN(
        wgan.Hyperparameters(
            **SMALL, critic_filters=(4,), n_critic=2, critic_normalization="batch",
            constraint="clip", optimizer="rmsprop", minibatch="discrimination",
        )
    ),
    "dcgan recipes": lambda: dcgan.DCGAN(
        dcgan.Hyperparameters(
            **SMALL, discriminator_filters=(4,), augmentation=(),
            spectral_normalization=True, minibatch="deviation", feature_matching=0.5,
            label_smoothing=0.1, smoothing_sides="two-sided",
        )
    ),
    "dcgan separate": lambda: dcgan.DCGAN(
        dcgan.Hyperparameters(
            **SMALL, discriminator_filters=(4,), augmentation=(),
            discriminator_updates="separate", normalization="after-activation",
        )
    ),
    "r3gan": lambda: with_active_blocks(
        r3gan.R3GAN(r3gan.Hyperparameters(**SMALL_R3GAN, groups=2))
    ),
    "r3gan lazy and shared": lambda: with_active_blocks(
        r3gan.R3GAN(
            r3gan.Hyperparameters(**SMALL_R3GAN, shared_pass=True, penalty_interval=2)
        )
    ),
}  # fmt: skip


def main(start: Path, result: Path) -> None:
    keras.utils.set_random_seed(0)
    methods = {name: build() for name, build in METHODS.items()}
    states = {
        name: [
            variable
            for group, variables in method.state().items()
            if group in ("generator", "discriminator", "critic")
            for variable in variables
        ]
        for name, method in methods.items()
    }
    if not start.exists():
        np.savez(
            start,
            latents=np.random.default_rng(0).standard_normal((4, 4, 5)).astype(np.float32),
            share=np.random.default_rng(1).uniform(size=(4, 1, 1, 1)).astype(np.float32),
            **{
                f"{name} {number}": ops.convert_to_numpy(variable)
                for name, variables in states.items()
                for number, variable in enumerate(variables)
            },
        )
    given = np.load(start)
    results: dict[str, Any] = {}
    original = keras.random.uniform
    keras.random.uniform = lambda *_, **__: ops.convert_to_tensor(given["share"])
    for name, method in methods.items():
        for number, variable in enumerate(states[name]):
            variable.assign(given[f"{name} {number}"])

        def step(images: Any, latents: Any, method: Any = method) -> dict[str, Any]:
            drawn = iter(range(4))
            method.random_latents = lambda: latents[next(drawn)]
            return method.train_step(images)

        variables = [v for group in method.state().values() for v in group]
        compiled = backend.compile_step(step, variables)
        batches = method.h.batches_per_step
        for number in range(2):
            images = blobs(4 * batches, 16, number).reshape(batches, 4, 16, 16, 3)
            for key, value in compiled(images, given["latents"]).items():
                results[f"step {number} {name} {key}"] = ops.convert_to_numpy(value)
        for number, variable in enumerate(states[name]):
            results[f"after {name} {number} {variable.name}"] = ops.convert_to_numpy(variable)
    for rule in ("monitored", "boosting"):
        balance = Balance(rule, 0.0, 0.93, keras.random.SeedGenerator(0))

        def decide(k: Any, d_loss: Any, g_loss: Any, balance: Balance = balance) -> dict[str, Any]:
            keras.random.uniform = lambda *_, **__: k
            turn = balance.begin()
            decisions = [
                turn.swaps_labels,
                balance.trains_discriminator(turn, d_loss),
                balance.trains_generator(turn, g_loss),
            ]
            return {str(number): ops.cast(each, "float32") for number, each in enumerate(decisions)}

        compiled = backend.compile_step(decide, balance.variables)
        decided = [
            list(backend.fetch([compiled(*(np.float32(value) for value in each))])[0].values())
            for each in recorded(rule)
        ]
        results[f"decisions {rule}"] = np.array(decided)
    keras.random.uniform = original
    np.savez(result, **results)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

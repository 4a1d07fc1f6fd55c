"""Time of one step of wgan.py and of a plain TensorFlow loop: same networks, batch and machine.

    python benchmarks/wgan_step_time.py                     # both constraints, three sizes
    python benchmarks/wgan_step_time.py --only penalty-64 --rounds 9

The plain loop is what tutorials write: a compiled function for an update of the critic, another for
one of the generator, called from Python, with latent vectors and a pass of the generator of their
own for each, and Keras' layers and Adam as they are. Ours is one compiled function for all of it.
They take turns, because machines are noisy: medians, and the median and range of the ratio within a
turn.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils import backend

# isort: split
import keras
import tensorflow as tf

import wgan
from utils.common.commandline import positive
from utils.data.dataset import Dataset
from utils.training.trainer import Trainer


class Configuration(NamedTuple):
    """Networks and batch to measure."""

    constraint: Literal["penalty", "clip"]
    image_size: int
    batch_size: int
    filters: int
    steps: int
    """Steps in a turn."""

    def hyperparameters(self) -> wgan.Hyperparameters:
        """For both competitors."""
        return wgan.Hyperparameters(
            constraint=self.constraint,
            image_size=self.image_size,
            batch_size=self.batch_size,
            generator_filters=(self.filters,),
            critic_filters=(self.filters,),
            critic_normalization="none" if self.constraint == "penalty" else "batch",
            score="none",
        )


CONFIGURATIONS = {
    "penalty-64": Configuration("penalty", 64, 16, 32, 3),
    "clip-64": Configuration("clip", 64, 16, 32, 5),
    "penalty-64-wide": Configuration("penalty", 64, 64, 64, 1),
    "penalty-32-small": Configuration("penalty", 32, 16, 8, 15),
}


def our_step(h: wgan.Hyperparameters, images: np.ndarray) -> Callable[[], object]:
    """As the script runs it; it chooses images, draws latents, updates and averages."""
    trainer = Trainer(wgan.WGAN(h), h, Dataset(images, []))
    return lambda: backend.fetch([trainer.one_step()])


def plain_step(h: wgan.Hyperparameters, images: np.ndarray) -> Callable[[], object]:
    """Two compiled functions and a loop in Python."""
    generator, critic = wgan.build_generator(h), wgan.build_critic(h)
    optimizers = {}
    for network in (generator, critic):
        optimizers[network.name] = keras.optimizers.Adam(1e-4, beta_1=0.0, beta_2=0.9)
        optimizers[network.name].build(network.trainable_variables)
    random = np.random.default_rng(0)

    def update(network: keras.Model, tape: tf.GradientTape, loss: Any) -> None:
        variables = network.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        optimizers[network.name].apply(gradients, variables)

    @tf.function
    def update_critic(real_images: Any, latents: Any) -> Any:
        fake_images = generator(latents, training=True)
        share = tf.random.uniform((h.batch_size, 1, 1, 1))
        between = real_images + share * (fake_images - real_images)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(critic(fake_images, training=True)) - tf.reduce_mean(
                critic(real_images, training=True)
            )
            if h.constraint == "penalty":
                with tf.GradientTape() as inner:
                    inner.watch(between)
                    answers = critic(between, training=True)
                gradient = inner.gradient(answers, between)
                norms = tf.sqrt(tf.reduce_sum(gradient**2, axis=(1, 2, 3)) + 1e-12)
                loss += h.penalty_weight * tf.reduce_mean((norms - 1.0) ** 2)
        update(critic, tape, loss)
        if h.constraint == "clip":
            wgan.clip(critic, h.clip_value)
        return loss

    @tf.function
    def update_generator(latents: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(critic(generator(latents, training=True), training=True))
        update(generator, tape, loss)
        return loss

    def latents() -> np.ndarray:
        return random.standard_normal((h.batch_size, h.latent_dim), dtype=np.float32)

    def step() -> None:
        for _ in range(h.n_critic):
            chosen = random.integers(0, len(images), h.batch_size)
            update_critic(images[chosen].astype(np.float32) / 127.5 - 1.0, latents())
        float(update_generator(latents()))

    return step


def measure(configuration: Configuration, rounds: int) -> dict[str, np.ndarray]:
    """Seconds of a step by competitor, (rounds,) each."""
    size = configuration.image_size
    images = np.random.default_rng(0).integers(0, 256, (400, size, size, 3), dtype=np.uint8)
    steps = {}
    for name, precision, make in (
        ("plain float32", "float32", plain_step),
        ("ours float32", "float32", our_step),
        ("ours bfloat16", "bfloat16", our_step),
    ):
        backend.set_precision(precision)  # of the networks that are built next
        steps[name] = make(configuration.hyperparameters(), images)
        steps[name]()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for number in range(-1, rounds):  # round -1 warms up
        for name, step in steps.items():
            started = time.perf_counter()
            for _ in range(configuration.steps):
                step()
            if number >= 0:
                seconds[name].append((time.perf_counter() - started) / configuration.steps)
    return {name: np.array(taken) for name, taken in seconds.items()}


def main() -> None:
    """Print a line for each configuration and competitor."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=positive, default=7, help="turns of each (default 7)")
    parser.add_argument("--only", choices=CONFIGURATIONS, help="measure one configuration")
    options = parser.parse_args()
    print(f"{backend.describe_device()}; n_critic {wgan.Hyperparameters.n_critic}")
    for name in [options.only] if options.only else CONFIGURATIONS:
        configuration = CONFIGURATIONS[name]
        seconds = measure(configuration, options.rounds)
        print(
            f"\n{name}: {configuration.image_size} px, {configuration.filters} filters, batch "
            f"{configuration.batch_size}"
        )
        for competitor, taken in seconds.items():
            ratios = np.sort(seconds["plain float32"] / taken)
            print(
                f"{competitor:16}{1000 * np.median(taken):9.1f} ms   {np.median(ratios):.2f} times "
                f"as fast as the plain loop ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )


if __name__ == "__main__":
    main()

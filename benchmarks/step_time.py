"""Time of one alternation: ours beside the classic loop, same networks, batch and machine.

    python benchmarks/step_time.py

The classic loop is the one of the tutorials: ``generator.predict``, ``train_on_batch`` of the
discriminator on real and on generated images, ``train_on_batch`` of the combined model. It is given
its best: each function is traced once, under the right ``trainable`` flags, so that it really
trains what it should (this is checked) and never recompiles. The two take turns in one process;
medians are compared.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils import backend

# isort: split
import keras
from keras import ops

import dcgan
from utils import datasets, training

CONFIGURATIONS = {
    "large": {"image_size": 64, "batch_size": 64, "filters": 64, "steps": 4},
    "small": {"image_size": 32, "batch_size": 8, "filters": 4, "steps": 40},
}


def hyperparameters(image_size: int, batch_size: int, filters: int) -> dcgan.Hyperparameters:
    """The networks to measure."""
    return dcgan.Hyperparameters(
        image_size=image_size,
        batch_size=batch_size,
        generator_filters=(filters,),
        discriminator_filters=(filters,),
    )


def our_step(h: dcgan.Hyperparameters, images: np.ndarray) -> Callable[[], None]:
    """One compiled function, as the scripts run it: it chooses images, draws latents, updates."""
    trainer = training.Trainer(dcgan.DCGAN(h), h, datasets.Dataset(images, []))

    def step() -> None:
        scalars = trainer.one_step()
        # The loop fetches less often; here the step has to be over when its time is taken.
        backend.fetch([scalars])

    return step


def classic_step(h: dcgan.Hyperparameters, images: np.ndarray) -> Callable[[], None]:
    """Four calls of Keras' trainer, traced so that they learn correctly."""
    method = dcgan.DCGAN(h)
    generator, discriminator, combined = method.generator, method.discriminator, method.combined
    random = np.random.default_rng(h.seed)
    ones, zeros = np.ones((h.batch_size, 1)), np.zeros((h.batch_size, 1))

    def compile_model(model: keras.Model) -> None:
        model.compile(
            keras.optimizers.Adam(h.generator_learning_rate, beta_1=h.generator_beta1),
            keras.losses.BinaryCrossentropy(from_logits=True),
        )

    def latents() -> np.ndarray:
        return random.standard_normal((h.batch_size, h.latent_dim), dtype=np.float32)

    def step() -> None:
        chosen = random.integers(0, len(images), h.batch_size)
        real_images = images[chosen].astype(np.float32) / 127.5 - 1.0
        fake_images = generator.predict(latents(), verbose=0)
        discriminator.train_on_batch(real_images, ones)
        discriminator.train_on_batch(fake_images, zeros)
        combined.train_on_batch(latents(), ones)

    def weights(model: keras.Model) -> np.ndarray:
        return np.concatenate([ops.convert_to_numpy(v).ravel() for v in model.trainable_weights])

    # Keras reads the flags when a function is traced, at its first call.
    compile_model(discriminator)
    discriminator.train_on_batch(images[: h.batch_size].astype(np.float32), ones)
    discriminator.trainable = False
    compile_model(combined)
    combined.train_on_batch(latents(), ones)
    discriminator.trainable = True

    for call, moves, stays in (
        (lambda: combined.train_on_batch(latents(), ones), generator, discriminator),
        (lambda: discriminator.train_on_batch(images[: h.batch_size] / 255, ones),
         discriminator, generator),
    ):  # fmt: skip
        moving, staying = weights(moves), weights(stays)
        call()
        if np.array_equal(moving, weights(moves)) or not np.array_equal(staying, weights(stays)):
            raise SystemExit("the classic loop does not train what it should on this Keras")
    return step


def measure(configuration: dict[str, int], rounds: int) -> np.ndarray:
    """Seconds a step, (3, rounds): ours in float32, ours in bfloat16, the classic loop."""
    steps = configuration["steps"]
    h = hyperparameters(**{k: v for k, v in configuration.items() if k != "steps"})
    random = np.random.default_rng(0)
    size = h.image_size
    images = random.integers(0, 256, (4 * h.batch_size, size, size, 3), dtype=np.uint8)
    competitors = []
    for precision, make in (
        ("float32", our_step),
        ("bfloat16", our_step),
        ("float32", classic_step),
    ):
        backend.set_precision(precision)  # of the networks that are built next
        competitors.append(make(h, images))
    seconds = np.zeros((len(competitors), rounds))
    for number in range(-1, rounds):  # round -1 warms up
        for which, step in enumerate(competitors):
            started = time.perf_counter()
            for _ in range(steps):
                step()
            if number >= 0:
                seconds[which, number] = (time.perf_counter() - started) / steps
    return seconds


def main() -> None:
    """Print a line for each configuration."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="turns of each loop (default 7)")
    parser.add_argument("--only", choices=CONFIGURATIONS, help="measure one configuration")
    options = parser.parse_args()
    print(f"{backend.describe_device()}; medians, and the range of the ratio to the classic loop")
    print(f"{'':7}{'size':>5}{'batch':>7}{'filters':>9}   {'ours float32':31}", end="")
    print(f"{'ours bfloat16':31}classic float32")
    for name, configuration in CONFIGURATIONS.items():
        if options.only not in (None, name):
            continue
        seconds = measure(configuration, options.rounds)
        line = f"{name:7}{configuration['image_size']:5}{configuration['batch_size']:7}"
        line += f"{configuration['filters']:9}   "
        for ours in seconds[:2]:
            ratios = np.sort(seconds[2] / ours)
            text = f"{1000 * np.median(ours):.1f} ms {np.median(ratios):.2f} x"
            line += f"{text} ({ratios[0]:.2f} to {ratios[-1]:.2f})".ljust(31)
        print(f"{line}{1000 * np.median(seconds[2]):.1f} ms")


if __name__ == "__main__":
    main()

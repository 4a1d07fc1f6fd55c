"""``--dry-run``: the networks of a run, and what it would take."""

from __future__ import annotations

import time

import numpy as np

from utils import backend
from utils.training.checkpoints import state_bytes
from utils.training.method import discriminator_name, trained_networks
from utils.training.split import Split
from utils.training.trainer import Trainer

# isort: split
import keras


def dry_run(trainer: Trainer, split: Split, timed_steps: int = 10) -> None:
    """Print the networks, what a run takes in memory and on disk, and how long a step takes."""
    h, progress = trainer.h, trainer.progress
    last = progress.last_step(h)
    networks = trained_networks(trainer.method.networks)
    for network in networks.values():
        network.summary()
    step_seconds = _measure_step(trainer, timed_steps)

    generator, other = (network.count_params() for network in networks.values())
    parameters = generator + other
    # Weights, their gradients, and Adam's two moments; of the average the weights alone.
    average = 4 * trainer.method.average.network.count_params()
    weights = 4 * 4 * parameters + average
    activations = 3 * 4 * h.batch_size * sum(map(_values_per_image, networks.values()))
    images, streamed = split.trained_on.images, ""
    data = images.nbytes
    if split.trained_on.is_streamed:
        data, streamed = images.bytes_held, f" streamed from disk ({_size(images.nbytes)})"
    classes = f", {len(h.class_names)} classes of {h.classes}" if h.classes else ""
    mirrored = f", {progress.count} with mirror images" if h.mirror else ""
    whole = f"; {last} steps take {_duration(last * step_seconds)}" if last else ""
    described = h.described(backend.has_accelerator())
    print(
        f"device      {backend.describe_device(h.devices)} in {h.precision}; {described}\n"
        f"data set    {h.data}: {split.described()}, {h.image_size} px{mirrored}{classes}\n"
        f"networks    generator {generator:,} parameters, {discriminator_name(networks)} "
        f"{other:,} parameters ({other / generator:.2f} of the generator's)\n"
        f"memory      about {_size(weights + activations + data)}: {_size(weights)} weights, "
        f"gradients and optimizers, {_size(activations)} activations at batch size "
        f"{h.batch_size}, {_size(data)} data{streamed}\n"
        f"disk        {_size(state_bytes(trainer.state))} a checkpoint, {h.keep_checkpoints} kept, "
        f"and {_size(4 * parameters + average)} for the networks\n"
        f"speed       {step_seconds:.3g} s a step (median of {timed_steps}), "
        f"{progress.images_per_step / step_seconds:,.0f} images/s{whole}"
    )


def _measure_step(trainer: Trainer, timed_steps: int) -> float:
    """Seconds of a step, the median; the first two, which compile, do not count."""
    seconds = []
    for _ in range(timed_steps + 2):
        started = time.perf_counter()
        backend.fetch([trainer.one_step()])
        seconds.append(time.perf_counter() - started)
    trainer.feed.close()
    return float(np.median(seconds[2:]))


def _values_per_image(network: keras.Model) -> int:
    """How many numbers the layers of a network put out for one image."""
    return sum(int(np.prod(layer.output.shape[1:])) for layer in network.layers)


def _size(number_of_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number_of_bytes < 1000:
            return f"{number_of_bytes:.3g} {unit}"
        number_of_bytes /= 1000
    return f"{number_of_bytes:.3g} GB"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

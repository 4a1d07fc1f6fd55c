"""What a training leaves behind, without the training; what sample.py and Keras make of it."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import blobs
from utils import backend  # noqa: F401 - before Keras: it keeps its start quiet

# isort: split
import keras

import dcgan
import sample
from utils.common import grids
from utils.sampling import runs


def random_weights(network: keras.Model, seed: int = 0) -> keras.Model:
    """Weights and moving statistics like none that a network starts with."""
    random = np.random.default_rng(seed)
    for layer in network.layers:
        for variable in layer.weights:
            values = random.normal(0, 1 / math.sqrt(16), variable.shape)
            if variable.name in ("gamma", "moving_variance"):
                values = random.uniform(0.5, 1.5, variable.shape)
            variable.assign(values.astype(np.float32))
    return network


def write_run(folder: Path, name: str, h: dcgan.Hyperparameters) -> None:
    """A run in ``folder``, with networks of random weights and five sample grids."""
    models = folder / "saved_models" / name
    (models / "best").mkdir(parents=True)
    generator = dcgan.build_generator(h)
    for seed, file in enumerate(runs.GENERATORS.values()):
        random_weights(generator, seed).save(models / file)
    dcgan.build_discriminator(h).save(models / "discriminator.keras")
    shutil.copy(models / "discriminator.keras", models / "best")
    classes = {"classes": dict.fromkeys(h.class_names, 20)} if h.class_names else {}
    config = {"method": h.METHOD, "hyperparameters": dataclasses.asdict(h)}
    config["data_set"] = classes | {"channels": h.channels}
    (models / "config.json").write_text(json.dumps(config))
    for step, image in enumerate(blobs(5, 64)):
        grids.save_png(folder / "images" / name / f"step_{step * 200:07d}.png", image)


def run_sample(folder: Path, *arguments: object) -> tuple[int, str, str]:
    """sample.py in the folder of the runs: its exit code, its output, its errors."""
    code = 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as output,
        contextlib.redirect_stderr(io.StringIO()) as errors,
    ):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["sample.py", *map(str, arguments)])
        try:
            sample.main()
        except SystemExit as stop:
            code = stop.code
    assert "Traceback" not in errors.getvalue()
    return code, output.getvalue(), errors.getvalue()


@functools.cache
def load(path: Path) -> keras.Model:
    return keras.models.load_model(path, compile=False)


def of_keras(network: keras.Model, vectors: np.ndarray) -> np.ndarray:
    return keras.ops.convert_to_numpy(network(vectors, training=False))


def generated(folder: Path, vectors: np.ndarray, file: str = "generator.keras") -> np.ndarray:
    """By Keras alone."""
    images = of_keras(load(folder / "saved_models" / "one" / file), vectors)
    return np.rint((images + 1) * 127.5).astype(np.uint8)

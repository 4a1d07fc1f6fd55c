"""A trained run: its folders, its ``config.json``, its networks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_type_hints

import keras
import numpy as np

from utils.common import grids
from utils.common.errors import UserError
from utils.common.fields import mismatch
from utils.common.files import files_by_step
from utils.training.config import CONFIG, read_config
from utils.training.names import run_folders
from utils.training.options import RunOptions
from utils.training.snapshots import load_network, read_best

GENERATORS = {
    "last, averaged": "generator.keras",
    "last, current": "generator-current.keras",
    "best, averaged": "best/generator.keras",
    "best, current": "best/generator-current.keras",
}
"""The generators that a run saves, and their files."""
WEIGHTS = {"average": "last, averaged", "current": "last, current", "best": "best, averaged"}
"""What ``sample.py --weights`` calls three of them."""
BATCH_SIZE = 64
"""Images that a generator makes at a time."""


@dataclasses.dataclass
class Run:
    """A run on disk."""

    name: str
    config: dict[str, Any]
    """Of its ``config.json``."""
    images: Path
    """Folder of its pictures; may not exist."""
    models: Path
    """Folder of its networks."""

    def hyperparameter(self, name: str) -> Any:
        """The value of a hyperparameter.

        Raises:
            UserError: its ``config.json`` lacks it, or has another type of value there.
        """
        try:
            value = self.config["hyperparameters"][name]
        except KeyError as error:
            raise UserError(f"RUN {self.name}: its config.json is damaged: no {error}") from None
        if mismatch(value, get_type_hints(RunOptions, include_extras=True)[name]):
            raise UserError(f"RUN {self.name}: its config.json is damaged: {name} is {value!r}")
        return value


def open_run(
    run: str,
    images_dir: str = RunOptions.images_dir,
    models_dir: str = RunOptions.models_dir,
) -> Run:
    """A run by its name, or by the folder of its networks or pictures.

    See `run_folders`. Where there are no pictures in the default folder, those in the folder of the
    run's own ``--images-dir`` count.

    Raises:
        UserError: there is no such run, or its ``config.json`` is damaged.
    """
    images, models = run_folders("RUN", run, images_dir, models_dir)
    name = models.name
    config = read_config(name, models / CONFIG, option="RUN")
    own = Path(str(config["hyperparameters"].get("images_dir", images_dir)), name)
    if images_dir == RunOptions.images_dir and not images.is_dir() and own.is_dir():
        images = own
    return Run(name, config, images, models)


def load_generator(run: Run, weights: str) -> keras.Model:
    """A generator of a run, in float32.

    Args:
        run: the run.
        weights: one of `WEIGHTS`.

    Raises:
        UserError: it is not there or damaged.
    """
    path = generator_path(run, weights)
    if not path.exists():
        reason = "the run has saved no network yet"
        if weights == "best":
            reason = "the run has no best networks, which it keeps when it scores itself"
        raise UserError(f"--weights {weights}: {path} does not exist; {reason}")
    return to_float32(load_network(path))


def generator_path(run: Run, weights: str) -> Path:
    """The file of a generator."""
    return run.models / GENERATORS[WEIGHTS[weights]]


def to_float32(network: keras.Model) -> keras.Model:
    """The network, computing in float32 whatever it was trained in; weights are that already."""
    for layer in network.layers:
        layer.dtype_policy = keras.DTypePolicy("float32")
    return network


def trained_steps(folder: Path, name: str) -> int:
    """Steps of the training when a generator was saved; 0 if that is unknown.

    Args:
        folder: of the run's networks.
        name: of the generator, as in `GENERATORS`.
    """
    if name.startswith("best"):
        return int(read_best(folder / "best", ()).get("step", 0))
    steps = files_by_step(folder / "checkpoints", ".npz")
    return max(steps, default=0)


def generate(generator: keras.Model, latents: np.ndarray) -> np.ndarray:
    """Images of latent vectors (N, latent_dim): uint8 (N, H, W, 3)."""
    batches = [
        # Always a whole batch: another shape would be compiled again.
        grids.to_uint8(
            generator.predict_on_batch(
                np.resize(latents[start : start + BATCH_SIZE], (BATCH_SIZE, latents.shape[1]))
            )
        )
        for start in range(0, len(latents), BATCH_SIZE)
    ]
    return np.concatenate(batches)[: len(latents)]

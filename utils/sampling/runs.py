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
from utils.data.classes import one_hot
from utils.data.dataset import Dataset
from utils.models.classes import let_in, share_at
from utils.sampling import latents
from utils.training.config import CONFIG, read_config, saved_classes, saved_held_out
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
        value = tuple(value) if isinstance(value, list) else value
        if mismatch(value, get_type_hints(RunOptions, include_extras=True)[name]):
            raise UserError(f"RUN {self.name}: its config.json is damaged: {name} is {value!r}")
        return value

    @property
    def classes(self) -> dict[str, int]:
        """The names of its classes and their numbers of pictures; empty without any.

        Raises:
            UserError: its ``config.json`` is damaged.
        """
        return saved_classes(f"RUN {self.name}", self.config)

    def held_out(self, dataset: Dataset, fingerprint: str, remedy: str = "") -> np.ndarray:
        """The numbers of the pictures that it was not trained on, int64 (N,), ascending.

        Args:
            dataset: its own data set.
            fingerprint: of that.
            remedy: ends the error of a data set that has changed.

        Raises:
            UserError: these are no longer its pictures, or its ``config.json`` is damaged.
        """
        if fingerprint != self.config["data_set"].get("fingerprint"):
            raise UserError(
                f"--data {self.hyperparameter('data')}: its pictures are no longer those of the "
                f"run{remedy}"
            )
        return np.array(saved_held_out(f"RUN {self.name}", self.config, len(dataset)), np.int64)

    def let_classes_in(self, network: keras.Model, weights: str) -> keras.Model:
        """The network, to be told classes by one-hot vectors, however far the training was.

        Args:
            network: a generator of this run, as it was saved.
            weights: which, as in `trained_steps`.
        """
        classes = class_count(network)
        if classes != len(self.classes):
            raise UserError(
                f"RUN {self.name}: its networks have {classes} classes, and its config.json names "
                f"{len(self.classes)}; bring back the files of one training"
            )
        if classes:
            let_in(network, self.class_share(weights))
        return network

    def class_share(self, weights: str) -> float:
        """How far classes had been let in when a network was saved, from 0 to 1.

        Networks that are handed out without checkpoints know them.
        """
        steps = trained_steps(self.models, weights)
        if not steps and not (self.models / "checkpoints").exists():
            return 1.0
        return share_at(steps, *self.hyperparameter("class_steps"))


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
    return run.let_classes_in(to_float32(load_network(path)), weights)


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
        name: of the generator, in `GENERATORS` or `WEIGHTS`.
    """
    if name.startswith("best"):
        return int(read_best(folder / "best", ()).get("step", 0))
    steps = files_by_step(folder / "checkpoints", ".npz")
    return max(steps, default=0)


def latent_dim(generator: keras.Model) -> int:
    """Length of its latent vectors."""
    return generator.inputs[0].shape[1]


def class_count(network: keras.Model) -> int:
    """How many classes a network is told; 0 if none."""
    return network.inputs[1].shape[1] if len(network.inputs) > 1 else 0


def width(generator: keras.Model) -> int:
    """How many numbers it makes an image of: those of a latent vector, and a weight a class."""
    return latent_dim(generator) + class_count(generator)


def draw(
    generator: keras.Model,
    count: int,
    seed: int,
    truncation: float = 0.0,
    labels: np.ndarray | None = None,
) -> np.ndarray:
    """What a generator makes images of: random latent vectors and, beside them, class weights.

    Args:
        generator: what they are for.
        count: how many.
        seed: see `latents.draw`.
        truncation: see `latents.draw`.
        labels: of the classes, (count,); by default one class after the other.

    Returns:
        float32 (count, latent_dim + K), K = 0 without classes.
    """
    drawn = latents.draw(count, latent_dim(generator), seed, truncation)
    classes = class_count(generator)
    if not classes:
        return drawn
    labels = np.arange(count) % classes if labels is None else labels
    return np.concatenate([drawn, one_hot(labels, classes)], axis=1)


def generate(generator: keras.Model, vectors: np.ndarray) -> np.ndarray:
    """Images of latent vectors with their class weights, as of `draw`: uint8 (N, H, W, C)."""
    ends = [latent_dim(generator)] if class_count(generator) else []
    batches = []
    for start in range(0, len(vectors), BATCH_SIZE):
        # Always a whole batch: another shape would be compiled again.
        batch = np.resize(vectors[start : start + BATCH_SIZE], (BATCH_SIZE, vectors.shape[1]))
        inputs = np.split(batch, ends, axis=1)
        images = generator.predict_on_batch(inputs if ends else inputs[0])
        batches.append(grids.to_uint8(images))
    return np.concatenate(batches)[: len(vectors)]

"""A method and its pictures, compiled: what makes steps and draws samples."""

from __future__ import annotations

import numpy as np

from utils import backend
from utils.common import grids
from utils.data.dataset import Dataset
from utils.training.clock import Clock
from utils.training.feed import DeviceFeed, StreamedFeed
from utils.training.method import Method
from utils.training.options import RunOptions
from utils.training.progress import Progress
from utils.training.waiting import Waiting

# isort: split
import keras
from keras import ops

REFRESHING_BATCHES = 8
"""Batches of generated images that the statistics of the averaged generator are made from."""


class Trainer:
    """Makes steps of a method, and samples of its averaged generator."""

    def __init__(self, method: Method, h: RunOptions, dataset: Dataset) -> None:
        """Begin at step 0.

        Args:
            method: networks and their alternation.
            h: the options of the run.
            dataset: the pictures to train on.
        """
        self.method, self.h, self.dataset = method, h, dataset
        self.clock = Clock()
        self.waiting = Waiting("data", "disk", clock=self.clock)
        self.state = method.state()
        self.order = dataset.order(h.mirror, h.seed)
        images_per_step = h.batches_per_step * h.batch_size
        self.progress = Progress(self.order.count, self.order.window, images_per_step)
        if dataset.is_streamed:
            self.feed = StreamedFeed(dataset, self.order, images_per_step, self.waiting)
        else:
            self.feed = DeviceFeed(dataset, self.order, images_per_step)

        self.variables = [variable for group in self.state.values() for variable in group]
        if isinstance(method.augment.probability, keras.Variable):
            self.variables.append(method.augment.probability)
        self._compiled_step = backend.compile_step(self._step, self.variables)
        self._compiled_sample = backend.compile_step(self._sample, self.variables)
        self._compiled_refresh = backend.compile_step(self._refresh, self.variables)
        self._refreshing_latents = np.random.default_rng([h.seed, 1]).standard_normal(
            (REFRESHING_BATCHES, h.batch_size, h.latent_dim), dtype=np.float32
        )
        self._refreshed_at = -1

    def _step(self, *inputs: backend.Tensor) -> dict[str, backend.Tensor]:
        h, size = self.h, self.dataset.image_size
        return self.method.train_step(
            ops.reshape(
                self.feed.pictures(*inputs), (h.batches_per_step, h.batch_size, size, size, 3)
            )
        )

    def _sample(self, latents: backend.Tensor) -> dict[str, backend.Tensor]:
        return {"images": self.method.networks["generator"](latents, training=False)}

    def _refresh(self, latents: backend.Tensor) -> dict[str, backend.Tensor]:
        self.method.average.recompute_statistics(latents)
        return {}

    def one_step(self) -> dict[str, backend.Tensor]:
        """Make one alternation; the scalars it returns are still on the device.

        Raises:
            RunError: the pictures are on disk and cannot be read.
        """
        scalars = self._compiled_step(*self.feed.inputs(self.progress.images_seen))
        self.progress.advance()
        return scalars

    def refresh_average(self) -> None:
        """Make the averaged generator ready for use, unless it is."""
        if self._refreshed_at != self.progress.step:
            self._compiled_refresh(self._refreshing_latents)
            self._refreshed_at = self.progress.step

    def sample(self, latents: np.ndarray) -> np.ndarray:
        """Generate uint8 (N, H, W, 3) from (N, latent_dim), never more than a batch at once."""
        self.refresh_average()
        batches = []
        for start in range(0, len(latents), self.h.batch_size):
            batch = latents[start : start + self.h.batch_size]
            # Always a whole batch: another shape would be compiled anew.
            padded = np.resize(batch, (self.h.batch_size, latents.shape[1]))
            images = ops.convert_to_numpy(self._compiled_sample(padded)["images"])
            batches.append(grids.to_uint8(images[: len(batch)]))
        return np.concatenate(batches)

    def first_pictures(self, number: int) -> np.ndarray:
        """The pictures that come first in training, uint8 (N, H, W, 3), by their numbers.

        They are shuffled, and near each other on a disk.
        """
        chosen = self.order.indices(0, min(number, self.order.count)) % len(self.dataset)
        return self.dataset.take(np.sort(chosen))

"""A method and its pictures, compiled: what makes steps and draws samples."""

from __future__ import annotations

import numpy as np

from utils import backend
from utils.common import grids
from utils.data.dataset import Dataset
from utils.hosts import answers, everywhere
from utils.models.classes import beside
from utils.training.checkpoints import digest
from utils.training.classes import RunClasses
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
        self.classes = RunClasses(h, dataset, self.progress)
        if dataset.is_streamed:
            self.feed = StreamedFeed(
                dataset, self.order, images_per_step, h.batch_size, self.waiting
            )
        else:
            self.feed = DeviceFeed(dataset, self.order, images_per_step)

        state = [variable for group in self.state.values() for variable in group]
        self.variables = list(state)
        if isinstance(method.augment.probability, keras.Variable):
            self.variables.append(method.augment.probability)
        backend.share_variables(self.variables)
        self._compiled_step = backend.compile_step(self._step, self.variables)
        compiled_sample = backend.compile_step(self._sample, self.variables)
        self._compiled_sample = everywhere("sample", compiled_sample)
        statistics = backend.compile_step(method.average.statistics, self.variables)
        self._compiled_statistics = everywhere("statistics", statistics)
        self._refreshing_latents = np.random.default_rng([h.seed, 1]).standard_normal(
            (REFRESHING_BATCHES, h.batch_size, h.latent_dim), dtype=np.float32
        )
        self._refreshing_labels = self.classes.like_reals(
            REFRESHING_BATCHES * h.batch_size, [h.seed, 4]
        )
        self._refreshed_at = -1
        self._step_everywhere = everywhere("step", self._make_step)
        self.digests = answers("digest", lambda: digest(map(ops.convert_to_numpy, state)))
        """Of the state in the other processes, by their numbers."""

    def _step(self, *inputs: backend.Tensor) -> dict[str, backend.Tensor]:
        batches = (self.h.batches_per_step, self.h.batch_size)
        classes = ()
        if self.classes.names:
            *inputs, weights = inputs
            classes = (ops.reshape(weights, (*batches, len(self.classes.names))),)
        shape = self.dataset.images.shape[1:]
        pictures = ops.reshape(self.feed.pictures(*inputs), (*batches, *shape))
        return self.method.train_step(pictures, *classes)

    def _sample(
        self, latents: backend.Tensor, classes: backend.Tensor | None = None
    ) -> dict[str, backend.Tensor]:
        inputs = beside(latents, classes)
        return {"images": self.method.networks["generator"](inputs, training=False)}

    def one_step(self) -> dict[str, backend.Tensor]:
        """Make one alternation; the scalars it returns are still on the device.

        Raises:
            RunError: the pictures are on disk and cannot be read.
        """
        scalars = self._step_everywhere(self.progress.step, self.progress.images_seen)
        self.progress.advance()
        return scalars

    def _make_step(self, step: int, images_seen: int) -> dict[str, backend.Tensor]:
        # Other processes know neither: they follow the first one.
        self.progress.step, self.progress.images_seen = step, images_seen
        inputs = self.feed.inputs(images_seen)
        if self.classes.names:
            indices = self.order.indices(images_seen, self.progress.images_per_step)
            inputs = (*inputs, self.classes.of_step(indices % len(self.dataset)))
        return self._compiled_step(*inputs)

    def refresh_average(self) -> None:
        """Make the averaged generator ready for use, unless it is."""
        if self._refreshed_at != self.progress.step:
            latents, weights = self._refreshing_latents, None
            if self.classes.names:
                weights = self.classes.weights(self._refreshing_labels)
                weights = weights.reshape(*latents.shape[:2], -1)
            average = self.method.average
            average.recompute_statistics(latents, weights, self._compiled_statistics)
            self._refreshed_at = self.progress.step

    def sample(self, latents: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Generate uint8 (N, H, W, C), never more than a batch at once.

        Args:
            latents: (N, latent_dim).
            labels: of the classes, (N,); None without classes.
        """
        self.refresh_average()
        batches = []
        inputs = [latents] if labels is None else [latents, self.classes.weights(labels)]
        for start in range(0, len(latents), self.h.batch_size):
            batch = [each[start : start + self.h.batch_size] for each in inputs]
            # Always a whole batch: another shape would be compiled anew.
            padded = [np.resize(each, (self.h.batch_size, each.shape[1])) for each in batch]
            images = ops.convert_to_numpy(self._compiled_sample(*padded)["images"])
            batches.append(grids.to_uint8(images[: len(batch[0])]))
        return np.concatenate(batches)

    def first_indices(self, number: int) -> np.ndarray:
        """Numbers of the pictures that come first in training, ascending, (N,).

        They are shuffled, and near each other on a disk.
        """
        chosen = self.order.indices(0, min(number, self.order.count)) % len(self.dataset)
        return np.sort(chosen)

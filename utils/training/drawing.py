"""Pictures that a run draws of images and networks, in the background."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from utils.common import grids
from utils.common.errors import or_warning
from utils.models.augmentation import draw_examples
from utils.training.folders import Folders
from utils.training.options import RunOptions
from utils.training.writer import BackgroundWriter, Job
from utils.watching import architecture
from utils.watching.tensorboard import EventLog

# isort: split
import keras


class Drawing:
    """Has pictures written; what they show is copied before.

    One that cannot be written is a warning.
    """

    def __init__(
        self,
        h: RunOptions,
        folders: Folders,
        writer: BackgroundWriter,
        events: EventLog | None = None,
        on_grid: Callable[[Path], None] | None = None,
        rows: Sequence[str] = (),
    ) -> None:
        """Draw nothing yet.

        Args:
            h: the options of the run.
            folders: where the pictures go.
            writer: writes them.
            events: get every grid as well.
            on_grid: is called with every sample grid once it is written, by the writer.
            rows: what stands to the left of each row of a grid; nothing if empty.
        """
        self._h, self._folders, self._writer = h, folders, writer
        self._events, self._on_grid, self._rows = events, on_grid, rows

    def reals(self, step: int, images: np.ndarray) -> None:
        """Draw a grid of real pictures, uint8 (N, H, W, C); of ``step`` only for TensorBoard."""
        self._grid(self._folders.reals, step, images, "reals")

    def samples(self, step: int, images: np.ndarray) -> None:
        """Draw the sample grid of a step: uint8 (N, H, W, C)."""
        path, on_grid = self._folders.sample(step), self._on_grid
        self._grid(path, step, images, "samples")
        if on_grid is not None:
            self._writer.submit(lambda: on_grid(path) if path.exists() else None)

    def augmented(self, images: np.ndarray, probability: float) -> None:
        """Draw what the discriminator sees of real pictures, uint8 (N, H, W, C)."""
        h = self._h
        picture = draw_examples(
            images, h.augmentation, h.seed, color_strength=h.color_strength, probability=probability
        )
        self._picture(self._folders.augmented, picture)

    def best_and_worst(self, picture: np.ndarray) -> None:
        """Write the picture of the samples that are the most and the least real."""
        self._picture(self._folders.best_and_worst, picture)

    def architecture(self, networks: Mapping[str, keras.Model]) -> None:
        """Draw the networks, by their names."""
        blocks = {name: architecture.blocks(network) for name, network in networks.items()}
        path, title = self._folders.architecture, self._h.run_name
        self._draw(path, lambda: architecture.draw(blocks, path, title))

    def _picture(self, path: Path, picture: np.ndarray) -> None:
        self._draw(path, lambda: grids.save_png(path, picture), picture.nbytes)

    def _draw(self, path: Path, draw: Job, size: int = 0) -> None:
        def job() -> None:
            with or_warning(path):
                draw()

        self._writer.submit(job, size)

    def _grid(self, path: Path, step: int, images: np.ndarray, name: str) -> None:
        columns, events = self._h.sample_columns, self._events
        rows = self._rows
        self._draw(
            path, lambda: grids.save_png(path, grids.grid(images, columns, rows)), images.nbytes
        )
        if events is not None:
            self._draw(path, lambda: events.add_grid(name, step, path))

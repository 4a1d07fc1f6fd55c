"""The sample grids of a run, and what the discriminator answers at the same steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from utils.training.drawing import Drawing
from utils.training.probing import RunProbe
from utils.training.trainer import Trainer
from utils.training.writer import BackgroundWriter
from utils.watching.answers import Answers


class Samples:
    """Draws what the averaged generator makes of the same latent vectors, step after step."""

    def __init__(
        self,
        trainer: Trainer,
        probe: RunProbe,
        drawing: Drawing,
        answers: Answers,
        writer: BackgroundWriter,
    ) -> None:
        self._trainer, self._probe, self._drawing = trainer, probe, drawing
        self._answers, self._writer = answers, writer
        h = trainer.h
        self.labels = trainer.classes.of_grid()
        rows = len(trainer.classes.row_names()) or h.sample_rows
        self.latents = np.random.default_rng(h.seed).standard_normal(
            (rows * h.sample_columns, h.latent_dim), dtype=np.float32
        )

    def draw(self) -> None:
        """Have a grid drawn, and the answers added to ``answers.csv``."""
        step = self._trainer.progress.step
        self._drawing.samples(step, self._trainer.sample(self.latents, self.labels))
        answers = self._probe.ask()
        self._writer.submit(lambda: self._answers.add(step, answers))

    def saved(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"fixed_latents": self.latents}

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.latents = saved["fixed_latents"]

"""Measures the health of a run at every score, and says what has begun to go wrong."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Mapping

import numpy as np

from utils.common import pictures
from utils.models.adversarial import kernel_size
from utils.scoring.similarity import alikeness
from utils.training.folders import Folders
from utils.training.method import trained_networks
from utils.training.record import Record
from utils.training.trainer import Trainer
from utils.training.writer import BackgroundWriter
from utils.watching.alarms import Health
from utils.watching.answers import Answers
from utils.watching.rules import MEASURED


class HealthCheck:
    """Adds rows to ``health.csv``, each for the time since the row before."""

    def __init__(
        self,
        trainer: Trainer,
        folders: Folders,
        writer: BackgroundWriter,
        record: Record,
        answers: Answers,
        health: Health,
    ) -> None:
        """Measure nothing yet.

        Args:
            trainer: has the networks.
            folders: have the sample grids.
            writer: by its thread the rows are made: all that was written before is there.
            record: has the history.
            answers: of the discriminator.
            health: the table.
        """
        self._trainer, self._folders, self._writer = trainer, folders, writer
        self._record, self._answers, self._health = record, answers, health
        self._untold: deque[str] = deque()

    def check(self, scores: Mapping[str, float]) -> None:
        """Have a row made for this step, with its scores if it was scored."""
        step = self._trainer.progress.step
        sizes = map(kernel_size, trained_networks(self._trainer.method.networks).values())
        columns = ("generator_weights", "judge_weights")
        known = dict(scores) | dict(zip(columns, sizes, strict=True))

        def note() -> None:
            self._health.add(step, self._measured(step, known))
            for alarm in self._health.alarms():
                if alarm.step == step:
                    self._untold.append(f"ALARM at {alarm.sentence()}.")
                elif alarm.over == step:
                    over = f"step {step}: {alarm.name}, said at step {alarm.step}, is over."
                    self._untold.append(over)

        self._writer.submit(note)

    def tell(self, say: Callable[[str], None]) -> None:
        """Say, in the thread that calls, which alarms were raised, or are over, since last time."""
        while self._untold:
            say(self._untold.popleft())

    def _measured(self, step: int, known: Mapping[str, float]) -> dict[str, float]:
        before = self._health.rows[-1][0] if self._health.rows else 0
        measured = {name: known[name] for name in MEASURED if name in known}
        if "likeness" in known:
            measured["alikeness"] = alikeness(known)
        if self._record.history is not None:
            measured |= self._record.history.means(before, step)
        asked = self._answers.overfitting()[:, 0]
        if len(asked) and asked[-1] > before:
            measured["overfitting"] = self._answers.significant_overfitting()
        return measured | self._change(before, step)

    def _change(self, before: int, step: int) -> dict[str, float]:
        """How far the newest sample grid is from the one before, where there is a newer one."""
        grids = self._folders.samples()
        newest = max((number for number in grids if before < number <= step), default=None)
        older = max((number for number in grids if number <= before), default=None)
        if newest is None or older is None:
            return {}
        with contextlib.suppress(pictures.UnreadablePicture):  # changed by somebody else
            last, other = (
                np.asarray(pictures.read_picture(grids[number]), float)
                for number in (newest, older)
            )
            if last.shape == other.shape:  # those of older versions were smaller
                return {"change": float(np.abs(last - other).mean())}
        return {}

"""What the steps return, on its way from the device to ``history.csv`` and to TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from utils import backend
from utils.common.errors import RunError
from utils.training.progress import Progress
from utils.training.writer import BackgroundWriter
from utils.watching.history import History
from utils.watching.tensorboard import EventLog


class Record:
    """Collects the scalars of the steps, and writes a row of their means now and then."""

    def __init__(
        self,
        path: Path,
        writer: BackgroundWriter,
        events: EventLog | None = None,
        score: str = "",
        adapted: Iterable[str] = (),
    ) -> None:
        """Begin with nothing.

        Args:
            path: ``history.csv``.
            writer: writes it.
            events: get every row as well.
            score: the name of a column for `last_score`; "" is none.
            adapted: further columns, before it.
        """
        self._path, self._writer, self._events = path, writer, events
        self._score, self._adapted = score, tuple(adapted)
        self._on_device: list[dict[str, backend.Tensor]] = []  # of the steps since the last fetch
        self._pending: list[dict[str, float]] = []  # of the steps since the last row
        self.history: History | None = None
        """None before the first step, which says what its columns are."""
        self.last_score = math.nan
        """Since the last row."""

    def add(self, step: int, scalars: dict[str, backend.Tensor]) -> None:
        """Take what a step has returned; the device may still be at work on it."""
        self._on_device.append(scalars)
        if self.history is None:
            history = History(self._path, [*scalars, *self._adapted, *filter(None, [self._score])])
            history.resume(step - 1)
            self.history = history  # whole: the writer's thread reads it as well

    def fetch(self, step: int) -> list[dict[str, float]]:
        """The scalars of the steps since the last time; waits until the device has made them.

        Args:
            step: the last one that was made.

        Raises:
            RunError: one of them is not finite.
        """
        first = step - len(self._on_device) + 1
        rows = backend.fetch(self._on_device)
        self._on_device.clear()
        for number, row in enumerate(rows, first):
            for name, value in row.items():
                if not math.isfinite(value):
                    raise RunError(f"{name} became {value} at step {number}")
        self._pending += rows
        return rows

    def write(self, progress: Progress, adapted: Mapping[str, float]) -> None:
        """Have a row written: means since the row before, of counts the last.

        Args:
            progress: where the training is.
            adapted: what is to stand in the further columns.
        """
        last = self._pending[-1]
        # Steps before a run was resumed with other options may have had other scalars.
        means = {
            name: float(np.mean([row[name] for row in self._pending if name in row]))
            for name in last
        }
        counts = {name: value for name, value in last.items() if name.endswith("_updates")}
        times = {"step": progress.step, "epoch": progress.epoch, "seconds": progress.seconds}
        row = times | means | counts | dict(adapted)
        if self._score:
            row[self._score], self.last_score = self.last_score, math.nan
        history, events = self.history, self._events
        values = [row.get(name, math.nan) for name in history.columns]
        self._writer.submit(lambda: history.append([values]))
        if events is not None:
            self._writer.submit(lambda: events.add_row(row))
        self._pending.clear()

    def saved(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        names = list(dict.fromkeys(name for row in reversed(self._pending) for name in row))
        # NaN where a step, made before the run was resumed, had not this scalar.
        values = [[row.get(name, math.nan) for name in names] for row in self._pending]
        last_score = [] if math.isnan(self.last_score) else [self.last_score]
        return {
            "pending": values, "pending_names": names,
            "last_score": last_score, "scored_by": [self._score],
        }  # fmt: skip

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        if [str(name) for name in saved.get("scored_by", ())] == [self._score]:
            self.last_score = float(next(iter(saved["last_score"]), math.nan))
        names = [str(name) for name in saved["pending_names"]]
        for values in saved["pending"]:
            row = dict(zip(names, map(float, values), strict=True))
            self._pending.append({name: x for name, x in row.items() if not math.isnan(x)})

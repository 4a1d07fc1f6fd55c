"""What a run shows of its numbers: curves, the page, and in the end a film of the grids."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from utils import backend
from utils.common import films
from utils.common.errors import or_warning
from utils.training.best import BestNetworks
from utils.training.folders import Folders
from utils.training.options import RunOptions
from utils.training.record import Record
from utils.training.repeat import repeat_command
from utils.watching.alarms import Health
from utils.watching.answers import Answers
from utils.watching.contents import contents
from utils.watching.history import History
from utils.watching.page import write_page


class Report:
    """Draws what the tables of a run hold; for the writer's thread, which fills them.

    What cannot be drawn is a warning.
    """

    def __init__(
        self,
        h: RunOptions,
        folders: Folders,
        config: Mapping[str, Any],
        record: Record,
        answers: Answers,
        health: Health,
        best: BestNetworks,
        clock: Callable[[], float],
    ) -> None:
        self._h, self._folders, self._config = h, folders, config
        self._record, self._answers, self._health, self._best = record, answers, health, best
        self._command = repeat_command(h, backend.has_accelerator())
        self._clock, self._next = clock, 0.0

    def now_and_then(self) -> None:
        """Draw the curves and the page, unless that was done a short while ago."""
        # Where steps are quick, drawing must not take more than a fiftieth of the time.
        started = self._clock()
        if started > self._next:
            self._curves(self._record.history)
            self.page()
            now = self._clock()
            self._next = now + 50 * (now - started)

    def at_the_end(self) -> None:
        """Draw the curves, the film and the page of a run that is over."""
        history = self._record.history
        if history is None and self._folders.history.exists():  # stopped before the first step
            history = History(self._folders.history)
            history.read()
        self._curves(history)
        with or_warning(self._folders.film):
            films.save_gif(self._folders.film, list(self._folders.samples().values()))
        self._write_page(history, is_running=False)

    def page(self) -> None:
        """Write the page of a run that goes on."""
        self._write_page(self._record.history, is_running=True)

    def _curves(self, history: History | None) -> None:
        title = self._h.run_name
        if history is not None and history.rows:
            with or_warning(self._folders.history_plot):
                history.plot(self._folders.history_plot, title)
        if self._answers.latest:
            with or_warning(self._folders.answers_plot):
                self._answers.plot(self._folders.answers_plot, title)

    def _write_page(self, history: History | None, is_running: bool) -> None:
        h = self._h
        hyperparameters = self._config["hyperparameters"] | {"resume": h.resume}
        config = {**self._config, "hyperparameters": hyperparameters}
        with or_warning(self._folders.page):
            shown = contents(
                self._folders.images, config, dataclasses.asdict(type(h)()), self._command,
                history, self._answers, self._health, self._best.found, is_running,
            )  # fmt: skip
            write_page(self._folders.page, shown)

"""How far a training is, and the bar that shows it."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from utils.training.options import RunOptions
from utils.watching.history import is_for_history_only


@dataclass
class Progress:
    """Where a training is, and where it ends."""

    count: int
    """Pictures of an epoch, mirror images included."""
    window: int
    """`BatchOrder.window`: with another one, the pictures come in another order."""
    images_per_step: int
    step: int = 0
    """Updates of the generator."""
    seconds: float = 0.0
    """Of training, without interruptions."""
    images_seen: int = 0
    """Place in the stream of pictures. It begins anew where a resumed run is given another number
    of pictures, or another order."""
    epochs_before: float = 0.0
    """Epochs, whole or broken, before it last began anew."""

    @property
    def epoch(self) -> float:
        """Passes over the data set since the run began."""
        return self.epochs_before + self.images_seen / self.count

    def last_step(self, h: RunOptions) -> int | None:
        """The step at which the run ends; None if only a person ends it."""
        if h.steps:
            return h.steps
        if h.epochs:
            missing = (h.epochs - self.epochs_before) * self.count - self.images_seen
            return self.step + max(0, math.ceil(missing / self.images_per_step))
        return None

    def more(self, h: RunOptions) -> dict[str, int]:
        """The options with which a run that has made all its steps goes on for as long again."""
        last = self.last_step(h)
        if last is None or self.step < last:
            return {}
        if h.steps:
            return {"steps": 2 * self.step}
        return {"epochs": 2 * max(h.epochs, math.floor(self.epoch))}

    def advance(self) -> None:
        """Count a step."""
        self.step += 1
        self.images_seen += self.images_per_step

    def saved(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        names = ("step", "images_seen", "count", "window", "epochs_before", "seconds")
        return {name: getattr(self, name) for name in names}

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.step = int(saved["step"])
        self.seconds = float(saved["seconds"])
        self.images_seen = int(saved["images_seen"])
        self.epochs_before = float(saved["epochs_before"])
        if (int(saved["count"]), int(saved.get("window", 0))) != (self.count, self.window):
            self.epochs_before += self.images_seen / int(saved["count"])
            self.images_seen = 0


class ProgressBar(tqdm):
    """Steps made and to make, what the last one returned, images a second, and what is waited for.

    On a terminal it is a bar, in a notebook one of fixed width, in a log file a line now and then.
    """

    def __init__(
        self, last_step: int | None, step: int, clock: Callable[[], float] = time.time
    ) -> None:
        options: dict[str, Any] = {"mininterval": 0.2, "dynamic_ncols": True}
        if type(sys.stderr).__module__.startswith("ipykernel"):
            # A notebook goes back to the beginning of a line, but has no width to fill.
            options = {"mininterval": 0.5, "bar_format": "{l_bar}{bar:20}{r_bar}"}
            options["file"] = sys.stdout  # the other one has a red background there
        elif not sys.stderr.isatty():
            options = {"mininterval": 10.0, "bar_format": "{l_bar}{bar:10}{r_bar}\n"}
        super().__init__(total=last_step, initial=step, unit="step", **options)
        # What tqdm reads the time from; a thread of it compares with the time of day.
        if not self.disable:
            offset = self.start_t - clock()
            self._time = lambda: offset + clock()

    def say(self, text: str) -> None:
        """Print a line on standard output, above the bar."""
        self.write(text, file=sys.stdout)

    def show(
        self,
        row: Mapping[str, float],
        scores: Mapping[str, str],
        images_per_step: int,
        waited: Mapping[str, float],
    ) -> None:
        """Show the scalars of a step, the last scores, and for what shares of the time it waits."""
        if self.disable:  # by TQDM_DISABLE
            return
        shown = {k: f"{value:.3f}" for k, value in row.items() if not is_for_history_only(k)}
        shown |= scores
        made = self.format_dict
        rate = made["rate"] or (self.n - self.initial) / max(made["elapsed"], 1e-9)
        shown["images/s"] = f"{rate * images_per_step:.0f}"
        shown |= {f"{name} wait": f"{share:.0%}" for name, share in waited.items()}
        self.set_postfix(shown, False)

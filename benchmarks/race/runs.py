"""One run of a race: trained from moment to moment, scored at each, resumed where it stopped."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.race.contestants import Contestant
from benchmarks.race.files import read_json, write_json
from benchmarks.race.timing import last_line
from utils.common.files import files_by_step
from utils.scoring.registry import SCORES

AVERAGED, CURRENT = "last, averaged", "last, current"
"""What ``evaluate.py`` calls the two generators of the last step."""


class Moment(NamedTuple):
    """A point of a training."""

    seconds: float
    steps: int


@dataclass
class Command:
    """A process to start."""

    arguments: list[str]
    output: Path
    mode: str = "a"


@dataclass
class Ended:
    """What came of a process."""

    code: int
    cpu_seconds: float


Work = Generator[Command, Ended, str]
"""Yields each process that is needed, and is sent what came of it. Returns why it could not be
finished; empty if it was."""


@dataclass(frozen=True)
class Run:
    """A contestant with a seed, and where its files are."""

    contestant: Contestant
    seed: int
    command: list[str]
    """The script and options that decide the outcome; not ``--steps``, for more of them go on."""
    step_seconds: float
    moments: tuple[Moment, ...]
    """When it is scored; it ends with the last."""
    folder: Path
    """Of the race."""

    @property
    def name(self) -> str:
        """Of the run and its files."""
        return f"{self.contestant.slug}-{self.seed}"

    @property
    def last(self) -> Moment:
        """When it ends."""
        return self.moments[-1]

    @property
    def result(self) -> Path:
        """The file of its command, its evaluations, its processor seconds and its error."""
        return self.folder / "results" / f"{self.name}.json"

    @property
    def log(self) -> Path:
        """What its processes printed."""
        return self.folder / "logs" / f"{self.name}.log"

    @property
    def grids(self) -> dict[int, Path]:
        """The sample grids by the steps at which the run was stopped."""
        return files_by_step(self.folder / "images" / self.name, ".png")

    def state(self) -> dict[str, Any]:
        """What is known of it; empty where nothing was done, or with other options."""
        state = read_json(self.result)
        return state if state.get("command") == self.command else {}

    def evaluations(self) -> dict[int, dict[str, Any]]:
        """By steps, what ``evaluate.py`` prints of the moments that have been scored."""
        steps = {moment.steps for moment in self.moments}
        known = {int(step): found for step, found in self.state().get("evaluations", {}).items()}
        return {step: found for step, found in known.items() if step in steps}

    def is_done(self) -> bool:
        """Whether its end was scored, or it has ended in an error that would come again."""
        return "error" in self.state() or self.last.steps in self.evaluations()

    def outcome(self) -> str:
        """What came of it, in a line."""
        state = self.state()
        if "error" in state:
            return state["error"]
        scores = self.evaluations()[self.last.steps]["scores"][AVERAGED]
        return ", ".join(
            f"{name} {scores[name]:,.{SCORES[name].decimals}f}"
            for name in ("kid", "swd", "coverage")
        )

    def carry_out(self) -> Work:
        """Train from moment to moment, and score at each."""
        for moment in self.moments:
            if moment.steps in self.evaluations():
                continue
            if reason := (yield from self._train(moment.steps)):
                return reason
            if "error" in self.state():
                return ""
            if self._last_step() == moment.steps:
                if reason := (yield from self._score(moment.steps)):
                    return reason
            elif moment == self.last:
                return f"has made more than its {moment.steps} steps: take another --folder"
        return ""

    def _train(self, steps: int) -> Work:
        """Begin, or go on, until that many steps have been made in all.

        A loss that became NaN is kept as its error, for it would come again.
        """
        last_step = self._last_step()
        if not self.state() or not last_step:
            self._clear()
            last_step = 0
            write_json(self.result, {"command": self.command, "cpu_seconds": 0.0})
        if last_step >= steps:
            return ""
        script, *options = self.command
        options += ["--run-name", self.name]
        if last_step:
            options = ["--resume", self.name]
        arguments = [script, *options, "--steps", str(steps), *self._folders()]
        ended = yield Command(arguments, self.log)
        state = self.state()
        state["cpu_seconds"] += ended.cpu_seconds
        reason = last_line(self.log)
        if ended.code == 1 and re.search(r"became (nan|-?inf)|no longer finite", reason):
            state["error"] = reason
        write_json(self.result, state)
        if "error" not in state and (ended.code or self._last_step() < steps):
            return f"ended with {ended.code}: {reason}"
        return ""

    def _score(self, steps: int) -> Work:
        output = self.log.with_suffix(".scores.json")
        arguments = ["evaluate.py", self.name, "--json", *self._folders()]
        ended = yield Command(arguments, output, mode="w")
        if ended.code:
            return f"evaluate.py ended with {ended.code}: {last_line(self.log)}"
        state = self.state()
        state.setdefault("evaluations", {})[str(steps)] = json.loads(output.read_text())[0]
        output.unlink()
        write_json(self.result, state)
        return ""

    def _folders(self) -> list[str]:
        """The options that say where its files are."""
        return [
            "--images-dir", str(self.folder / "images"),
            "--models-dir", str(self.folder / "models"),
        ]  # fmt: skip

    def _last_step(self) -> int:
        """The step of the newest checkpoint; 0 without any."""
        found = files_by_step(self.folder / "models" / self.name / "checkpoints", ".npz")
        return max(found, default=0)

    def _clear(self) -> None:
        """Remove what there is of it."""
        for kind in ("images", "models"):
            shutil.rmtree(self.folder / kind / self.name, ignore_errors=True)
        for path in (self.result, self.log):
            path.unlink(missing_ok=True)

"""Rows and runs as a race of the benchmarks leaves them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.race import command, race
from benchmarks.race.contestants import Contestant
from benchmarks.race.files import write_json
from benchmarks.race.rows import Row
from benchmarks.race.runs import AVERAGED, Moment, Run
from utils.common.grids import save_png

FLOOR = {
    "kid": 1.0, "swd": 8.0, "coverage": 0.96, "recall": 0.95, "precision": 0.96, "sharpness": 1.0,
    "copies": 0.0,
}  # fmt: skip


def scores(kid: float = 100.0, swd: float = 20.0, **others: float) -> dict[str, float]:
    """What ``evaluate.py`` says of a generator."""
    return {
        "kid": kid, "swd": swd, "coverage": 0.75, "recall": 0.5, "precision": 0.5, "sharpness": 0.9,
        "likeness": 0.25, "likeness_reals": 0.2, "originality": 1.0, "copies": 0.0,
    } | others  # fmt: skip


def row(
    contestant: Contestant, *kids: float, swds: tuple[float, ...] = (20.0,), **others: float
) -> Row:
    """At 30, 60 and 120 s as far as there are values of SWD; KID is the same throughout."""
    known = [Moment(seconds, int(10 * seconds)) for seconds in (30, 60, 120)][-len(swds) :]
    found = {
        seed: {
            moment.steps: scores(kid, swd, **others)
            for moment, swd in zip(known, swds, strict=True)
        }
        for seed, kid in enumerate(kids)
    }
    finals = {seed: steps[known[-1].steps] for seed, steps in found.items()}
    return Row(contestant, 0.1, tuple(known), found, dict(finals), dict.fromkeys(finals, 210.0), {})


def failed(contestant: Contestant) -> Row:
    """Its only seed became NaN before it was scored."""
    return Row(contestant, 0.1, (Moment(120, 1200),), {0: {}}, errors={0: "g_loss became nan"})


def leave_checkpoint(run: Run, step: int) -> None:
    """What a training leaves at a step."""
    path = run.folder / "models" / run.name / "checkpoints" / f"step_{step:07d}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def make_folders(folder: Path) -> Path:
    """The folder of a race, as it is while runs are at work."""
    for kind in ("logs", "results"):
        (folder / kind).mkdir(parents=True)
    return folder


def played(
    main: Callable[[], None], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """A function that calls a benchmark with options; nothing is timed or trained.

    A step of every contestant takes 0.01 s, a run 205 s.
    """

    def train(runs: list[Run], jobs: int, lock: object, cores: int) -> int:
        assert (jobs, cores) == (1, 1)
        for run in runs:
            evaluations = {}
            for _, steps in run.moments:
                evaluations[str(steps)] = {"scores": {AVERAGED: scores()}, "floor": FLOOR}
                for name in (f"step_{steps:07d}", "reals"):
                    path = folder / "images" / run.name / f"{name}.png"
                    save_png(path, np.zeros((9, 9, 3), np.uint8))
            write_json(
                run.result,
                {"command": run.command, "cpu_seconds": 205.0, "evaluations": evaluations},
            )
        return 0

    def call(*options: str) -> None:
        monkeypatch.setattr(sys, "argv", ["benchmark.py", "--folder", str(folder), *options])
        main()

    monkeypatch.setattr(command, "run_all", train)
    monkeypatch.setattr(
        race, "timed_elsewhere",
        lambda arguments, *_: {name: [0.01] for name in json.loads(arguments[1])["commands"]},
    )  # fmt: skip
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    return call

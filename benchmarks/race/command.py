"""The command line of a race: its options, and everything between Ctrl-C and the report."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.race.contestants import Contestant
from benchmarks.race.files import lock_folder
from benchmarks.race.processes import run_all
from benchmarks.race.race import Race
from benchmarks.race.rows import Row, collect
from benchmarks.race.runs import Run
from benchmarks.race.timing import first_cores
from utils.common.errors import RunError, UserError
from utils.common.files import atomic_path

Report = Callable[[list[Row], dict[str, float], list[Run]], str]
"""Draws the pictures of some rows, real pictures' scores and runs; returns the text."""


def parser(description: str, seeds: int, turns: int) -> argparse.ArgumentParser:
    """The options that every race has.

    Args:
        description: stands above them.
        seeds: default of ``--seeds``.
        turns: default of ``--turns``.
    """
    found = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument(
        "--seeds", type=int, default=seeds, help=f"of each contestant (default {seeds})"
    )
    found.add_argument("--jobs", type=int, default=1, help="runs at a time; they share the cores")
    found.add_argument(
        "--turns", type=int, default=turns, help=f"of timing the steps (default {turns})"
    )
    found.add_argument("--only", nargs="+", metavar="NAME", help="some of the contestants")
    found.add_argument("--table", action="store_true", help="show what there is; train nothing")
    return found


def check_positive(options: argparse.Namespace, *names: str) -> None:
    """Raise UserError where one of the options is given and not more than 0."""
    for name in names:
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise UserError(f"--{name.replace('_', '-')} {value}: must be more than 0")


def hold(
    race: Race,
    entered: Sequence[Contestant],
    options: argparse.Namespace,
    seconds: float,
    report: Report,
    yardstick: float | None = None,
) -> None:
    """Make the steps of all runs, and report; or, with ``--table``, only report.

    Args:
        race: its rules.
        entered: the contestants.
        options: from `parser`.
        seconds: of each run.
        report: makes the text, and the pictures.
        yardstick: see `Race.calibrate`.

    Raises:
        UserError: an option is wrong for this machine or folder.
        RunError: steps could not be timed, or runs failed.
        SystemExit: it was stopped.
    """
    failures = 0
    if not options.table:
        first_cores(options.jobs)
        first_cores(race.cores, "--cores")
        for kind in ("logs", "results"):
            (race.folder / kind).mkdir(parents=True, exist_ok=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with lock_folder(race.folder) as lock:
            try:
                race.settle()
                race.calibrate(entered, options.turns, yardstick)
                runs = race.runs(entered, options.seeds, seconds)
                failures = run_all(runs, options.jobs, lock, race.cores)
            except KeyboardInterrupt:
                print(
                    "stopped; the same command goes on, --table shows what there is",
                    file=sys.stderr,
                )
                raise SystemExit(130) from None
    show(race.folder, race.runs(entered, options.seeds, seconds), report)
    if failures:
        raise RunError(f"{failures} runs failed; the same command tries them again")


def show(folder: Path, runs: Sequence[Run], report: Report) -> None:
    """Print what there is so far, and keep it in ``table.md``."""
    rows, floor = collect(runs)
    if not rows:
        print("nothing has been scored yet")
        return
    text = report(rows, floor, list(runs))
    with atomic_path(folder / "table.md") as temporary:
        temporary.write_text(text + "\n")
    print(f"\n{text}\n\ntable and pictures: {folder}")

"""Steps timed in turns, in a process on its own cores.

A machine is faster in one turn than in the next, so that a step is compared with the baseline's of
the same turn.

``python -m benchmarks.race.timing precision`` prints what ``--precision auto`` takes here, and
``... steps JSON`` what `time_steps` returns for these arguments.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from utils.common.errors import RunError, UserError

REPOSITORY = Path(__file__).resolve().parents[2]
CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}
STEPS_BETWEEN_FETCHES = 10
"""As often as the scripts wait for the device."""


# ------------------------------------------------------------------------------------------------
# Cores
# ------------------------------------------------------------------------------------------------


def first_cores(number: int, option: str = "--jobs") -> list[int | None]:
    """Cores for that many processes; None where processes cannot be tied to one.

    Raises:
        UserError: there are fewer.
    """
    found = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    available = os.cpu_count() or 1 if found is None else len(found)
    if not 1 <= number <= available:
        raise UserError(f"{option} {number}: must be from 1 to {available}, the cores there are")
    return [None] * number if found is None else found[:number]


@contextlib.contextmanager
def tied(cores: Sequence[int | None]) -> Iterator[None]:
    """Tie the processes that are started in this block to some cores."""
    known = {core for core in cores if core is not None}
    before = os.sched_getaffinity(0) if known else set()
    if known:
        os.sched_setaffinity(0, known)  # of this thread, which they inherit
    try:
        yield
    finally:
        if known:
            os.sched_setaffinity(0, before)


def threads(number: int) -> dict[str, str]:
    """The environment of a process that computes in that many threads, and on no GPU.

    As many between operations as within one: TensorFlow's own choice on a machine with that many
    cores.
    """
    return {
        "TF_NUM_INTRAOP_THREADS": str(number),
        "TF_NUM_INTEROP_THREADS": str(number),
        "OMP_NUM_THREADS": str(number),
        "CUDA_VISIBLE_DEVICES": "",
    }


# ------------------------------------------------------------------------------------------------
# Timing
# ------------------------------------------------------------------------------------------------


def timed_elsewhere(arguments: Sequence[str], log: Path, cores: Sequence[int | None]) -> Any:
    """The JSON that this module prints for some arguments, in a process on these cores.

    Raises:
        RunError: the process failed; its errors are in the log.
    """
    with open(log, "w") as errors:
        with tied(cores):
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.race.timing", *arguments],
                cwd=REPOSITORY, env=os.environ | threads(len(cores)),
                stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        try:
            output, _ = process.communicate()
        finally:
            process.terminate()
    if process.returncode:
        raise RunError(f"the steps could not be timed: {last_line(log)} (see {log})")
    return json.loads(output.splitlines()[-1])


def last_line(path: Path) -> str:
    """The last line that a script printed."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def time_steps(
    commands: Mapping[str, Sequence[str]], turns: int, turn_seconds: float, clock: str
) -> dict[str, list[float] | str]:
    """Seconds of a step by contestant, one number per turn.

    Args:
        commands: by contestant, its script and options.
        turns: of each contestant.
        turn_seconds: how long a turn lasts at least.
        clock: one of `CLOCKS`.

    Returns:
        By contestant, the numbers, or the error with which its script refuses the options.
    """
    timed: dict[str, tuple[Any, int]] = {}
    found: dict[str, Any] = {}
    for name, command in commands.items():
        try:
            trainer = _trainer(*command)
        except (ModuleNotFoundError, UserError, ValueError) as error:
            found[name] = " ".join(str(error).split())
            continue
        seconds_a_step(trainer, 0, CLOCKS[clock], 1)  # compiles
        once = seconds_a_step(trainer, 0, CLOCKS[clock], 1)
        # As the scripts do, unless that is longer than a turn.
        fetched = min(STEPS_BETWEEN_FETCHES, max(1, round(turn_seconds / once)))
        timed[name] = trainer, fetched
    for _ in range(turns):
        for name, (trainer, fetched) in timed.items():
            taken = seconds_a_step(trainer, turn_seconds, CLOCKS[clock], fetched)
            found.setdefault(name, []).append(taken)
    return found


def _trainer(script: str, *options: str) -> Any:
    """The compiled step of a script with these options, on its training pictures."""
    from utils import backend
    from utils.training.arguments import parse_command_line
    from utils.training.split import open_split
    from utils.training.trainer import Trainer

    module = importlib.import_module(script.removesuffix(".py"))
    h, _ = parse_command_line(module.Hyperparameters, "", list(options))
    split = open_split(h, None)
    backend.seed_everything(h.seed, h.deterministic)
    backend.set_precision(h.precision)
    return Trainer(getattr(module, h.METHOD.upper())(h), h, split.trained_on)


def seconds_a_step(trainer: Any, seconds: float, clock: Callable[[], float], fetched: int) -> float:
    """Seconds of one step, from at least one step and at least that many seconds.

    Args:
        trainer: a `utils.training.trainer.Trainer`.
        seconds: by the clock.
        clock: one of `CLOCKS`.
        fetched: steps between two waits for the device.
    """
    from utils import backend

    started, steps = clock(), 0
    while (taken := clock() - started) < seconds or not steps:
        backend.fetch([trainer.one_step() for _ in range(fetched)])
        steps += fetched
    return taken / steps


def ratio(mine: Sequence[float], reference: Sequence[float]) -> float:
    """How many times as long as the reference: the median of the ratios within a turn."""
    return statistics.median(one / other for one, other in zip(mine, reference, strict=True))


def quiet_seconds(turns: Sequence[float]) -> float:
    """Seconds of an undisturbed step: the mean of the fastest third of its turns."""
    return statistics.fmean(sorted(turns)[: max(1, len(turns) // 3)])


if __name__ == "__main__":
    if sys.argv[1] == "precision":
        from utils import backend

        print(json.dumps(backend.set_precision("auto")))
    else:
        print(json.dumps(time_steps(**json.loads(sys.argv[2]))))

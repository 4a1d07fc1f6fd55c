"""Steps timed in turns, each process tied to its cores."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from utils.common.errors import RunError, UserError  # noqa: E402


def last_line(path: Path) -> str:
    """The last line that a script printed."""
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def threads(number: int) -> dict[str, str]:
    """The environment of a process that computes in that many threads, and on no GPU.

    As many for operations side by side as within one: what TensorFlow takes by itself on a machine
    with that many cores, so that a step costs what it costs a person.
    """
    return {
        "TF_NUM_INTRAOP_THREADS": str(number),
        "TF_NUM_INTEROP_THREADS": str(number),
        "OMP_NUM_THREADS": str(number),
        "CUDA_VISIBLE_DEVICES": "",
    }


ONE_CORE = threads(1)


def first_cores(number: int, option: str = "--jobs") -> list[int | None]:
    """Cores for that many processes; None where processes cannot be tied to one.

    Raises:
        UserError: there are not as many.
    """
    found = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    available = os.cpu_count() or 1 if found is None else len(found)
    if not 1 <= number <= available:
        raise UserError(f"{option} {number}: must be from 1 to {available}, the cores there are")
    return [None] * number if found is None else found[:number]


def pin(pid: int, *cores: int | None) -> None:
    """Tie a process that has just been started, and so its threads to come, to some cores."""
    known = {core for core in cores if core is not None}
    if known:
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(pid, known)


STEPS_BETWEEN_FETCHES = 10
"""As often as the scripts wait for the device."""


def seconds_a_step(trainer: Any, seconds: float, clock: Any, fetched: int) -> float:
    """Make steps for at least that many seconds, and at least once.

    Args:
        trainer: a `utils.training.trainer.Trainer`.
        seconds: by the clock.
        clock: `time.process_time` or `time.perf_counter`.
        fetched: steps after which their results are waited for.

    Returns:
        Seconds of one step.
    """
    from utils import backend

    started, steps = clock(), 0
    while (taken := clock() - started) < seconds or not steps:
        backend.fetch([trainer.one_step() for _ in range(fetched)])
        steps += fetched
    return taken / steps


def ratio(mine: Sequence[float], reference: Sequence[float]) -> float:
    """How many times as long as the reference, the two timed in the same turns.

    A machine is faster in one turn than in another: what counts is the ratio within a turn, of
    these the median.

    Args:
        mine: seconds of a step, a number for each turn.
        reference: the same of what is compared with.
    """
    return statistics.median(one / other for one, other in zip(mine, reference, strict=True))


def timed_elsewhere(
    arguments: Sequence[str], log: Path, cores: Sequence[int | None], environment: dict[str, str]
) -> dict[str, Any]:
    """The JSON in the last line of what a script prints that times steps, tied to some cores.

    Raises:
        RunError: it failed; the log has its last words.
    """
    with open(log, "w") as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=REPOSITORY, env=os.environ | environment, stdout=subprocess.PIPE, stderr=errors,
            text=True,
        )  # fmt: skip
        pin(process.pid, *cores)
        try:
            output, _ = process.communicate()
        finally:
            process.terminate()
    if process.returncode:
        raise RunError(f"the steps could not be timed: {last_line(log)} (see {log})")
    return json.loads(output.splitlines()[-1])

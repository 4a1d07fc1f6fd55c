"""Trainings side by side, which Ctrl-C stops and the same command continues.

`recipes.py` and `quality.py` are built on it. A training is a process of one of the scripts, tied
to one core. `Training.carry_out` is a generator of the processes that its result needs, one after
the other.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.timing import REPOSITORY, first_cores, last_line, pin, threads
from utils.common.errors import UserError
from utils.common.files import FolderLock, atomic_path

AVERAGED, CURRENT = "last, averaged", "last, current"
"""What ``evaluate.py`` calls the two generators of the last step."""


def slug(name: str) -> str:
    """The name of a recipe as part of a run's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def read_json(path: Path) -> dict[str, Any]:
    """What is in a file; empty where there is none."""
    return json.loads(path.read_text()) if path.exists() else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n")


def lock_folder(folder: Path) -> FolderLock:
    """Keep others out of a folder for as long as a process holds the lock, this one or a run.

    Raises:
        UserError: another benchmark works in it.
    """
    try:
        return FolderLock(folder)
    except BlockingIOError:
        raise UserError(
            f"--folder {folder}: another benchmark, or a run of it, is at work"
        ) from None


@dataclass
class Command:
    """A process to be."""

    arguments: list[str]
    output: Path
    mode: str = "a"


@dataclass
class Ended:
    """A process that was."""

    code: int
    cpu_seconds: float


Work = Generator[Command, Ended, str]
"""Yields each process that is needed, and is sent what came of it. Returns why it could not be
finished; empty if it was."""


class Training(ABC):
    """A run of a script, and where its files are. A benchmark says what is trained and scored."""

    folder: Path
    """Of the benchmark."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Of the run and its files."""

    @abstractmethod
    def command(self) -> list[str]:
        """What decides about the outcome: a result with another one is not a result of it."""

    @abstractmethod
    def is_done(self) -> bool:
        """Whether there is nothing left to do."""

    @abstractmethod
    def carry_out(self) -> Work:
        """What it takes to finish it."""

    @abstractmethod
    def outcome(self) -> str:
        """What came of it, in a line."""

    @property
    def result(self) -> Path:
        """Where its command, and then its scores or its error, are kept."""
        return self.folder / "results" / f"{self.name}.json"

    @property
    def log(self) -> Path:
        """What the training printed."""
        return self.folder / "logs" / f"{self.name}.log"

    @property
    def folders(self) -> list[str]:
        """The options that say where its files are."""
        return [
            "--images-dir", str(self.folder / "images"),
            "--models-dir", str(self.folder / "models"),
        ]  # fmt: skip

    def grid(self, step: int) -> Path:
        """The sample grid of a step at which the run was stopped."""
        return self.folder / "images" / self.name / f"step_{step:07d}.png"

    def last_step(self) -> int:
        """The step of the newest checkpoint; 0 without any."""
        found = (self.folder / "models" / self.name / "checkpoints").glob("step_*.npz")
        return max((int(path.stem.removeprefix("step_")) for path in found), default=0)

    def state(self) -> dict[str, Any]:
        """What is known of it; empty where nothing was done, or with other options."""
        state = read_json(self.result)
        return state if state.get("command") == self.command() else {}

    def clear(self) -> None:
        """Remove what there is of it."""
        for kind in ("images", "models"):
            shutil.rmtree(self.folder / kind / self.name, ignore_errors=True)
        for path in (self.result, self.log):
            path.unlink(missing_ok=True)


def train_to(run: Training, steps: int, beginning: Sequence[str]) -> Work:
    """Begin a run, or go on with it, until it has made that many steps in all.

    A loss that became NaN is kept as its error, for it would come again.

    Args:
        run: what to train.
        steps: at least 1.
        beginning: the script and the options with which it begins.
    """
    last_step = run.last_step()
    if not run.state() or not last_step:
        run.clear()
        last_step = 0
        write_json(run.result, {"command": run.command(), "cpu_seconds": 0.0})
    if last_step >= steps:
        return ""
    script, *options = beginning
    options += ["--run-name", run.name]
    if last_step:
        options = ["--resume", run.name, "--steps", str(steps)]
    ended = yield Command([script, *options, *run.folders], run.log)
    state = run.state()
    state["cpu_seconds"] += ended.cpu_seconds
    reason = last_line(run.log)
    if ended.code == 1 and re.search(r"became (nan|-?inf)|no longer finite", reason):
        state["error"] = reason
    write_json(run.result, state)
    if "error" not in state and (ended.code or run.last_step() < steps):
        return f"ended with {ended.code}: {reason}"
    return ""


def read_output(
    run: Training, arguments: Sequence[str]
) -> Generator[Command, Ended, tuple[Any, str]]:
    """Run a script that prints JSON.

    Returns:
        What it printed, and why it could not; the latter is empty if it could.
    """
    output = run.log.with_suffix(".scores.json")
    ended = yield Command(list(arguments), output, mode="w")
    if ended.code:
        return None, f"{Path(arguments[0]).name} ended with {ended.code}: {last_line(run.log)}"
    found = json.loads(output.read_text())
    output.unlink()
    return found, ""


class Slot:
    """Some cores, and the run that is carried out on them."""

    def __init__(self, cores: Sequence[int | None], lock: FolderLock) -> None:
        self.cores = cores
        self.lock = lock
        self.process: subprocess.Popen[bytes] | None = None
        self.requests = 0

    def begin(self, run: Training) -> None:
        """Start with a run."""
        self.run = run
        self.is_done, self.reason = False, ""
        self.work = run.carry_out()
        self._go_on(None)

    def is_busy(self) -> bool:
        """Whether the run goes on; starts what is next where a process has ended."""
        if self.process is None:
            return False
        pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if pid:
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self._go_on(Ended(self.process.returncode, usage.ru_utime + usage.ru_stime))
        return self.process is not None

    def stop(self, requests: int) -> None:
        """At the first request ask the process to end, at the second end it; start no other.

        A training that is asked saves its state first.
        """
        if requests > self.requests and self.process is not None:
            print(f"{self.run.name}: stopping; once more ends it at once", flush=True)
            os.kill(self.process.pid, signal.SIGTERM if requests == 1 else signal.SIGKILL)
        self.requests = requests

    def _go_on(self, ended: Ended | None) -> None:
        self.process = None
        try:
            command = self.work.send(ended)
        except StopIteration as end:
            self.is_done, self.reason = True, end.value
            return
        if self.requests:
            return
        with open(command.output, command.mode) as output, open(self.run.log, "a") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *command.arguments],
                cwd=REPOSITORY, env=os.environ | threads(len(self.cores)),
                stdout=output, stderr=errors,
                # Held until all of them have ended, so that nobody else goes on with their runs.
                pass_fds=self.lock.descriptors,
            )  # fmt: skip
        pin(self.process.pid, *self.cores)


def run_all(
    runs: Sequence[Training], jobs: int, lock: FolderLock, cores: Sequence[int | None] = ()
) -> int:
    """Carry out what is not done yet, several at a time.

    Args:
        runs: what is to be carried out.
        jobs: how many at a time.
        lock: see `lock_folder`.
        cores: what they share; left out, one core each.

    Returns:
        How many runs have failed in a way that may not come again.

    Raises:
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once the runs have saved their state.
    """
    waiting = collections.deque(run for run in runs if not run.is_done())
    cores = cores or first_cores(jobs)
    slots = [Slot(cores[job::jobs], lock) for job in range(jobs)]
    busy: list[Slot] = []
    failures, begun = 0, len(runs) - len(waiting)
    with noted_signals() as requests:
        while waiting or busy:
            if requests:
                waiting.clear()
            for slot in busy:
                slot.stop(len(requests))
            while waiting and len(busy) < len(slots):
                slot = next(slot for slot in slots if slot not in busy)
                begun += 1
                print(f"[{begun}/{len(runs)}] {waiting[0].name}: begins", flush=True)
                busy.append(slot)
                slot.begin(waiting.popleft())
            time.sleep(0.1)
            for slot in [slot for slot in busy if not slot.is_busy()]:
                busy.remove(slot)
                if slot.is_done and not (slot.reason and requests):
                    failures += bool(slot.reason)
                    print(f"{slot.run.name}: {slot.reason or slot.run.outcome()}", flush=True)
    if requests:
        raise KeyboardInterrupt
    return failures


@contextlib.contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Yield a list to which Ctrl-C and SIGTERM are added, instead of what they would do."""
    requests: list[int] = []
    previous = {
        number: signal.signal(number, lambda number, _: requests.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) is not signal.SIG_IGN  # of a job in the background
    }
    try:
        yield requests
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

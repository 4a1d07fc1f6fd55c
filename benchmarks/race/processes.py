"""Runs side by side, each on its share of the cores, which Ctrl-C stops."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence

from benchmarks.race.runs import Ended, Run
from benchmarks.race.timing import REPOSITORY, first_cores, threads, tied
from utils.common.files import FolderLock


def run_all(runs: Sequence[Run], jobs: int, lock: FolderLock, cores: int) -> int:
    """Carry out what is not done yet, several at a time.

    Args:
        runs: what is to be carried out.
        jobs: how many at a time.
        lock: see `benchmarks.race.files.lock_folder`.
        cores: what they share; at least one each.

    Returns:
        How many runs have failed in a way that may not come again.

    Raises:
        UserError: there are fewer cores.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, once the runs have saved their state.
    """
    waiting = collections.deque(run for run in runs if not run.is_done())
    shared = first_cores(max(cores, jobs), "--cores")
    slots = [_Slot(shared[job::jobs], lock) for job in range(jobs)]
    busy: list[_Slot] = []
    failures, begun = 0, len(runs) - len(waiting)
    with _noted_signals() as requests:
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


class _Slot:
    """Some cores, and the run that is carried out on them."""

    def __init__(self, cores: Sequence[int | None], lock: FolderLock) -> None:
        self.cores = cores
        self.lock = lock
        self.process: subprocess.Popen[bytes] | None = None
        self.requests = 0

    def begin(self, run: Run) -> None:
        self.run = run
        self.is_done, self.reason = False, ""
        self.work = run.carry_out()
        self._go_on(None)

    def is_busy(self) -> bool:
        """Whether the run goes on; starts its next process where one has ended."""
        if self.process is None:
            return False
        pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
        if pid:
            self.process.returncode = os.waitstatus_to_exitcode(status)
            self._go_on(Ended(self.process.returncode, usage.ru_utime + usage.ru_stime))
        return self.process is not None

    def stop(self, requests: int) -> None:
        """Ask the process to end at the first request, end it at the second; start no other.

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
        with (
            open(command.output, command.mode) as output,
            open(self.run.log, "a") as errors,
            tied(self.cores),
        ):
            self.process = subprocess.Popen(
                [sys.executable, *command.arguments],
                cwd=REPOSITORY, env=os.environ | threads(len(self.cores)),
                stdout=output, stderr=errors,
                # Held until all of them have ended, so that nobody else goes on with their runs.
                pass_fds=self.lock.descriptors,
            )  # fmt: skip


@contextlib.contextmanager
def _noted_signals() -> Iterator[list[int]]:
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

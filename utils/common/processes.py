"""Work shared out to processes: results in order, memory bounded, a worker's death survived."""

from __future__ import annotations

import collections
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 4  # items handed to a process at a time
AHEAD = 4  # chunks for each process that may wait to be worked on or to be taken


def cores() -> int:
    """How many processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def ordered_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    processes: int,
    died: Callable[[Item], Result],
) -> Iterator[Result]:
    """Yield ``function(item)`` for each item, in order, worked out by several processes.

    Items are drawn only a little ahead of the results that have been taken, so that neither pile
    up. Close the iterator to end the processes. Where none can be started, this one does the work.

    Args:
        function: can be imported from a module; what it takes and gives can be pickled.
        items: any number.
        processes: 1 works in this process.
        died: what to yield for an item on which a process died.
    """
    pool = _Pool(processes)
    if processes > 1 and not multiprocessing.current_process().daemon:
        with suppress(OSError, ImportError, NotImplementedError):
            pool.start()
    if pool.executor is None:
        yield from map(function, items)
        return
    iterator = iter(items)
    chunks = iter(lambda: list(itertools.islice(iterator, CHUNK)), [])
    waiting: collections.deque[tuple[list[Item], Future[list[Result]]]] = collections.deque()
    try:
        for chunk in chunks:
            waiting.append((chunk, pool.submit(function, chunk)))
            if len(waiting) >= processes * AHEAD:
                yield from _first(waiting, pool, function, died)
        while waiting:
            yield from _first(waiting, pool, function, died)
    finally:
        pool.end()


def _first(
    waiting: collections.deque[tuple[list[Item], Future[list[Result]]]],
    pool: _Pool,
    function: Callable[[Item], Result],
    died: Callable[[Item], Result],
) -> list[Result]:
    """The results of the first chunk; if its pool broke, each item alone, in a pool of its own."""
    chunk, future = waiting.popleft()
    try:
        return future.result()
    except BrokenExecutor:
        pool.end()
        results = []
        for item in chunk:
            alone = _Pool(1)
            try:
                results += alone.submit(function, [item]).result()
            except BrokenExecutor:
                results.append(died(item))
            finally:
                alone.end()
        resubmitted = [(items, pool.submit(function, items)) for items, _ in waiting]
        waiting.clear()
        waiting.extend(resubmitted)
        return results


class _Pool:
    """Processes, which start again where there is work after they have been ended."""

    def __init__(self, processes: int) -> None:
        self.processes = processes
        self.executor: ProcessPoolExecutor | None = None

    def start(self) -> None:
        # Not fork: it does not copy threads, and numerical libraries have some.
        context = multiprocessing.get_context("spawn")
        executor = ProcessPoolExecutor(self.processes, context, _leave_interrupts_to_parent)
        with _light_start():
            executor.submit(len, ())  # a process starts with a task
        self.executor = executor

    def submit(self, function: Callable[[Item], Result], chunk: list[Item]) -> Future[list[Result]]:
        if self.executor is None:
            self.start()
        try:
            with _light_start():  # any task may start a process
                return self.executor.submit(_each, function, chunk)
        except BrokenExecutor as error:
            future: Future[list[Result]] = Future()
            future.set_exception(error)
            return future

    def end(self) -> None:
        if self.executor is not None:
            self.executor.shutdown(cancel_futures=True)
            self.executor = None


def _each(function: Callable[[Item], Result], chunk: list[Item]) -> list[Result]:
    return [function(item) for item in chunk]


@contextmanager
def _light_start() -> Iterator[None]:
    """Let processes that start in this block ignore Ctrl-C at once and not import the script.

    A new process would first import the script that runs here, and TensorFlow with it, although
    the work needs none of that.
    """
    script = sys.modules["__main__"]
    can_set_signals = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if can_set_signals else None
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script
        if can_set_signals:
            signal.signal(signal.SIGINT, before)


def _leave_interrupts_to_parent() -> None:
    """Leave Ctrl-C and SIGHUP to the parent process, which ends its workers; end with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):  # Windows has none
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    # A worker would wait for work for ever: it holds the other end of the queue itself.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

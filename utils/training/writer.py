"""Writes a run's files in the background, one after the other, so that training does not wait."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable

from utils.training.waiting import Waiting

Job = Callable[[], None]
"""Writes something; whatever it needs of the training's state, it has a copy of."""

MOST_WAITING_BYTES = 256 * 2**20
SMALLEST_JOB_BYTES = 2**20


class BackgroundWriter:
    """One thread that does jobs in the order in which they were submitted.

    What a job raises is raised by every `submit` and `flush` from then on, and the jobs behind it
    are not done: none of them may rely on a file that is not there.
    """

    def __init__(
        self, waiting: Waiting | None = None, most_waiting: int = MOST_WAITING_BYTES
    ) -> None:
        """Make a writer without a thread; the first job starts it.

        Args:
            waiting: measures how long others wait for the writer, as "disk".
            most_waiting: bytes that jobs may hold; a larger job still waits alone.
        """
        self._waiting = waiting or Waiting("disk")
        self.most_waiting = most_waiting
        self._jobs: deque[tuple[Job, int]] = deque()  # the first is being done
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._is_closing = False
        self._thread: threading.Thread | None = None

    def submit(self, job: Job, size: int = 0) -> None:
        """Have ``job``, which holds ``size`` bytes, done; waits while too much is waiting.

        Raises:
            Exception: what an earlier job raised.
        """
        size = max(size, SMALLEST_JOB_BYTES)  # no end of small ones either
        with self._waiting.on("disk"), self._changed:
            self._wait_until(
                lambda: (
                    not self._jobs
                    or sum(size for _, size in self._jobs) + size <= self.most_waiting
                )
            )
            self._jobs.append((job, size))
            self._changed.notify_all()
            if self._thread is None:
                # A disk that never answers must not keep the process after a second Ctrl-C.
                self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Wait until everything is on the disk.

        Raises:
            Exception: what a job raised.
        """
        with self._waiting.on("disk"), self._changed:
            self._wait_until(lambda: not self._jobs)

    def close(self, patience: float = 1.0) -> None:
        """End the thread and drop the jobs that wait; `flush` first, where there is time.

        Args:
            patience: seconds to wait for the job under way.
        """
        with self._changed:
            while len(self._jobs) > 1:
                self._jobs.pop()
            self._is_closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(patience)

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finish the jobs, except where a second Ctrl-C wants to stop at once."""
        try:
            if kind is None:
                self.flush()
            elif issubclass(kind, Exception):
                with contextlib.suppress(Exception):  # the first error is the one that is raised
                    self.flush()
        finally:
            self.close()

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        while self._error is None and not condition():
            self._changed.wait()
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._is_closing:
                    self._changed.wait()
                if not self._jobs:
                    return
                job, _ = self._jobs[0]
            error = None
            try:
                job()
            except BaseException as raised:
                error = raised
            with self._changed:
                self._jobs.popleft()
                if error is not None:
                    self._error = error
                    self._jobs.clear()
                self._changed.notify_all()

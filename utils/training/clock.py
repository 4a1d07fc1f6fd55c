"""Time trained: without the time in which the process was suspended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

BEAT = 0.25
"""Seconds from one beat to the next."""
LONGEST = 1.0
"""Seconds between two beats that count in any case: a machine may be busy."""


class Clock:
    """Seconds since it was made, but for those in which the process stood still.

    Whatever stops a process (SIGSTOP, Ctrl-Z, a frozen container, the sleep of a machine whose
    clock goes on) stops the thread that beats here. Of a longer time without a beat, what counts is
    what the processor worked for the process: a library may keep Python's threads waiting.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        worked: Callable[[], float] = time.process_time,
    ) -> None:
        """Begin at 0.

        Args:
            now: seconds of a clock.
            worked: seconds of processor time that the process has used.
        """
        self._now, self._worked = now, worked
        self._last = now(), worked()
        self._seconds = 0.0
        self._lock = threading.Lock()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self) -> float:
        """The seconds until now."""
        with self._lock:
            now, worked = self._now(), self._worked()
            passed = now - self._last[0]
            if self._thread is not None:
                passed = min(passed, LONGEST + worked - self._last[1])
            self._seconds += passed
            self._last = now, worked
            return self._seconds

    def __enter__(self) -> Clock:
        """Beat, so that what is not time trained is noticed."""
        self()
        self._thread = threading.Thread(target=self._beat, name="clock", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Count all time again."""
        self._end.set()
        self()
        self._thread = None

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            self()

"""Which share of the time the training waits: for its pictures, or for the disk."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator


class Waiting:
    """Which share of the time the training waits, and for what."""

    def __init__(
        self, *reasons: str, over: float = 30.0, clock: Callable[[], float] | None = None
    ) -> None:
        """Begin to measure.

        Args:
            reasons: what can be waited for.
            over: seconds that `shares` looks back on: long enough for a few checkpoints to even
                out, short enough to show that something has changed.
            clock: seconds; None is that of the machine.
        """
        self._clock = clock or (lambda: time.monotonic())
        self.over = over
        self.seconds = dict.fromkeys(reasons, 0.0)
        self._marks: deque[tuple[float, dict[str, float]]] = deque()
        self._mark()

    @contextlib.contextmanager
    def on(self, reason: str) -> Iterator[None]:
        """Count the time that the block takes."""
        started = self._clock()
        try:
            yield
        finally:
            self.seconds[reason] += self._clock() - started

    def shares(self) -> dict[str, float]:
        """For each reason, its share of the last ``over`` seconds, from 0 to 1."""
        self._mark()
        # The oldest mark is the newest of those that are old enough.
        while len(self._marks) > 2 and self._marks[-1][0] - self._marks[1][0] >= self.over:
            self._marks.popleft()
        (began, before), (now, after) = self._marks[0], self._marks[-1]
        return {name: (after[name] - before[name]) / max(now - began, 1e-9) for name in after}

    def _mark(self) -> None:
        self._marks.append((self._clock(), dict(self.seconds)))

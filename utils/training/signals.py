"""Ctrl-C and SIGTERM, as a request that the loop answers when a step is done."""

from __future__ import annotations

import signal
import threading


class StopRequest:
    """Ctrl-C or SIGTERM while the block runs sets ``requested``; a second Ctrl-C stops at once.

    Python hands signals to its main thread only: in another one, nothing is requested.
    """

    def __init__(self) -> None:
        self.requested = ""

    def _handle(self, number: int, _frame: object) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = signal.Signals(number).name

    def __enter__(self) -> StopRequest:
        is_main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, signal.SIGTERM) if is_main else ()
        self._previous = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

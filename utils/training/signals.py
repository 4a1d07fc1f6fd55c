"""What Ctrl-C does, SIGTERM, and SIGHUP of a terminal that is closed (unless `nohup` ignores it).

Before the training, it ends the process with one line (`common.errors`), and without one while
Keras is being imported. During the training:

1. The first one only notes its name in `StopRequest.requested`. The loop (`loop.py`) looks there
   after every step. It then draws a last sample, saves a checkpoint, draws curves, film and page,
   and ends with exit code 0.
2. A second Ctrl-C, or one after another signal, raises KeyboardInterrupt wherever the main thread
   is. The writer's thread (`writer.py`) has a second to finish the file under way and drops those
   that wait. The process ends with exit code 1 and a line that says which checkpoint is intact
   (`failures.explained_end`).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable

from utils.common.errors import stop_signals


class StopRequest:
    """While the block runs, a signal's name becomes ``requested``; a second Ctrl-C stops at once.

    Python hands signals to its main thread only: in another one, nothing is requested.
    """

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        """Wait for the block.

        Args:
            tell: is called with the name as well.
        """
        self.requested = ""
        self._has_come = False
        self._tell = tell

    def _handle(self, number: int, _frame: object) -> None:
        # Of this process' own: one Ctrl-C of a terminal reaches others of a training as well.
        if self._has_come and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._has_come = True
        self.request(signal.Signals(number).name)

    def request(self, name: str) -> None:
        """Note a request to stop, by a signal or by another process."""
        self.requested = name
        if self._tell is not None:
            self._tell(name)

    def __enter__(self) -> StopRequest:
        is_main = threading.current_thread() is threading.main_thread()
        numbers = (signal.SIGINT, *stop_signals()) if is_main else ()
        self._previous = {number: signal.signal(number, self._handle) for number in numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

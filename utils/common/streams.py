"""Standard output and error that outlive whoever listens: printing never ends work."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, TextIO

# A pipe without a reader (EINVAL on Windows), a terminal that was closed, a closed stream.
GONE = {errno.EPIPE, errno.EINVAL, errno.EIO, errno.ENXIO, errno.EBADF}


class LastingStream:
    """A stream of text that raises nothing: what nobody hears, or a full disk does not take, goes
    nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.problem = ""
        """Why some text was lost, although somebody is to read it."""

    def write(self, text: str) -> int:
        """Write it, if that is possible."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Hand on what was written."""
        self._try(lambda: self._stream.flush())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except (OSError, ValueError) as error:
            is_closed = getattr(self._stream, "closed", False)
            if not is_closed and not isinstance(error, OSError):
                raise
            if is_closed or error.errno in GONE:
                self._replace()
            elif not self.problem:
                self.problem = error.strerror or str(error)
                if sys.stderr is not self:
                    print(f"standard output: {self.problem}; the work goes on", file=sys.stderr)

    def _replace(self) -> None:
        nowhere = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
        # What the stream still holds, and what libraries and other processes write, goes there too.
        with suppress(OSError, ValueError):
            os.dup2(nowhere.fileno(), self._stream.fileno())
        self._stream = nowhere


def open_closed_streams() -> None:
    """Let what is printed go nowhere where the person has closed a stream, ``>&-``.

    Otherwise the next file that is opened gets its number, and a library's message.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - until the process ends


def make_streams_last() -> None:
    """Let standard output and error be such streams, and show what a terminal cannot as ``?``."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, LastingStream):
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
        setattr(sys, name, LastingStream(stream))

"""Messages between the processes of one training: lines of JSON, with arrays behind them.

Neither authenticated nor encrypted. Nothing that comes is executed, and what a stranger sends is
bounded; but whoever reaches the port can take the place of a process.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

LONGEST_LINE = 2**16
"""Bytes of a message of a process that is not known yet."""
LONGEST_COMMAND = 2**26
"""Bytes of a message of the first process: a configuration, with the pictures held out."""
MOST_ARRAY_BYTES = 2**38
SILENCE = 20
"""Seconds after which a machine that does not answer any more is gone."""


class Channel:
    """One end of a connection. Several threads may send; one receives."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connection; its own timeout holds for `receive`."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        # A machine without power closes nothing: it is asked, where the system can be told to.
        settings = {
            "TCP_KEEPIDLE": SILENCE // 2, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": SILENCE // 4,
            "TCP_USER_TIMEOUT": 1000 * SILENCE,
        }  # fmt: skip
        for name, value in settings.items():
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self.peer = str(connection.getpeername()[0])
        """Address of the other end."""
        self._connection = connection
        self._file = connection.makefile("rb")
        self._lock = threading.Lock()

    def send(self, message: Mapping[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
        """Send values for JSON, and arrays of numbers.

        Raises:
            OSError: the other end is gone.
        """
        arrays = [np.asarray(array, order="C") for array in arrays]
        heads = [(array.dtype.str, array.shape) for array in arrays]
        line = json.dumps({**message, "arrays": heads} if heads else message) + "\n"
        with self._lock:
            self._connection.sendall(line.encode())
            for array in arrays:
                self._connection.sendall(array.tobytes())

    def receive(
        self, longest: int = LONGEST_LINE, most_bytes: int = 0
    ) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Wait for a message.

        Args:
            longest: bytes of its line.
            most_bytes: of its arrays.

        Raises:
            EOFError: the other end has closed, or is gone.
            ValueError: it is no message.
            TimeoutError: it did not come in time.
        """
        line = self._read(self._file.readline, longest)
        if not line:
            raise EOFError("the other end has closed the connection")
        try:
            if not line.endswith(b"\n"):
                raise ValueError("a line without an end")
            message = json.loads(line)
            if not isinstance(message, dict):
                raise ValueError("no object")
            heads = [(_number(kind), tuple(shape)) for kind, shape in message.pop("arrays", ())]
            sizes = [math.prod(map(_natural, shape)) * kind.itemsize for kind, shape in heads]
            if sum(sizes) > most_bytes:
                raise ValueError("arrays that were not expected")
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"no message of a training ({error})") from None
        arrays = []
        for (kind, shape), size in zip(heads, sizes, strict=True):
            data = self._read(self._file.read, size)
            if len(data) < size:
                raise EOFError("the other end has closed the connection")
            arrays.append(np.frombuffer(data, kind).reshape(shape))
        return message, arrays

    @staticmethod
    def _read(read: Callable[[int], bytes], size: int) -> bytes:
        try:
            return read(size)
        except OSError as error:
            # A connection that the system gives up is a TimeoutError as well, but has a number.
            if isinstance(error, TimeoutError) and error.errno is None:
                raise
            raise EOFError(str(error)) from None

    def close(self) -> None:
        """Close this end, also while another thread waits for what comes."""
        with contextlib.suppress(OSError):  # the other end was faster
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


def _number(kind: Any) -> np.dtype:
    if not re.fullmatch(r"[<>|][biuf][1248]", kind):
        raise ValueError("arrays of something else than numbers")
    return np.dtype(kind)


def _natural(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise ValueError("a shape that is none")
    return number

"""A process that does what the first one says."""

from __future__ import annotations

import contextlib
import errno
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from utils.common.errors import RunError, UserError, printable
from utils.hosts.channel import LONGEST_COMMAND, MOST_ARRAY_BYTES, Channel
from utils.hosts.leaving import leave_now
from utils.hosts.place import REMINDER, Place


class Follower:
    """A process that does what the first one says."""

    def __init__(self, place: Place, patience: float) -> None:
        """Find the first process.

        Raises:
            UserError: nobody answers there.
        """
        self.place = place
        self.functions: dict[str, Callable[..., Any]] = {}
        self.memory: int | None = None
        self.is_joined = False
        """Whether a device may wait for the first process."""
        self._left = ""
        """Of the run, where the first process is lost: what that has said last."""
        self._stops: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._commands: queue.Queue[tuple[dict[str, Any], list[np.ndarray]]] = queue.Queue()
        address, deadline, reason = place.numeric(), time.monotonic() + patience, "timed out"
        reminder = time.monotonic() + REMINDER
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise UserError(
                    f"--hosts {place}: no process 0 answers there for {patience:.0f} s ({reason}); "
                    "expected it at that address, which this machine can reach"
                )
            try:
                connection = socket.create_connection((address, place.port), min(left, REMINDER))
                if connection.getsockname() == connection.getpeername():
                    # On one machine, the port that was free for this end can be that very one.
                    connection.close()
                    raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
                connection.settimeout(REMINDER)
                self._channel, self._connection = Channel(connection), connection
                break
            except OSError as error:
                reason = error.strerror or str(error)
                if time.monotonic() > reminder:
                    print(f"still waiting for process 0 at {place} ({reason})", flush=True)
                    reminder += REMINDER
                time.sleep(min(0.2, left))

    def greet(self, hello: Mapping[str, Any]) -> None:
        """Say what this process is; from now on, the first one is listened to."""
        with contextlib.suppress(OSError):  # whose last word may be there already
            self._channel.send(hello)
        for function in (self._listen, self._pass_on_stops):
            threading.Thread(target=function, daemon=True).start()

    def follow(self, until: str = "") -> list[Any]:
        """Call what the first process calls, until it ends.

        Args:
            until: or until it calls this, which is left to the caller, and answered by `answer`.

        Returns:
            The arguments of ``until``.

        Raises:
            UserError, RunError: the first process has ended with one.
        """
        while True:
            message, arrays = self._commands.get()
            if "end" in message:
                if message["end"]:
                    raise (UserError if message.get("code") == 2 else RunError)(
                        f"process 0: {printable(str(message['end']))}"
                    )
                if until:
                    raise RunError("process 0 has ended before the training")
                return []
            if message["call"] == until:
                return message["arguments"]
            answer = self.functions[message["call"]](*message["arguments"], *arrays)
            if message["answer"]:
                self.answer(answer)

    def answer(self, value: Any = True) -> None:
        """Answer what the first process has asked."""
        self._send({"answer": value})

    def stop(self, name: str) -> None:
        """Tell the first process that this one is asked to stop; a signal's handler may."""
        self._stops.put(name)

    def _pass_on_stops(self) -> None:
        # In a thread of its own: the handler may have interrupted one who sends.
        while True:
            self._send({"stop": self._stops.get()})

    def fail(self, reason: str, code: int) -> None:
        """Tell the first process that this one cannot go on, which it says itself."""
        self.is_joined = False
        self._send({"failed": reason, "code": code})

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the listening thread says that the first one is gone
            self._channel.send(message)

    def _listen(self) -> None:
        try:
            while True:
                found = self._channel.receive(LONGEST_COMMAND, MOST_ARRAY_BYTES)
                self._connection.settimeout(None)  # it is one, and may be silent from now on
                if "note" in found[0]:
                    self._left = printable(str(found[0]["note"]))
                    continue
                if not {"end", "call"} & found[0].keys():
                    raise ValueError("it says neither what to do nor that it ends")
                if found[0].get("end") and self.is_joined:
                    # A device may wait for the first process, and would do so for ever.
                    code = 2 if found[0].get("code") == 2 else 1
                    leave_now(f"error: process 0: {found[0]['end']}", code)
                self._commands.put(found)
                if "end" in found[0]:
                    return
        except TimeoutError:
            problem = f"{self.place} says nothing for {REMINDER:.0f} s"
            self._commands.put(({"end": problem, "code": 2}, []))
        except ValueError as error:
            self._commands.put(({"end": f"{self.place} answers {error}", "code": 2}, []))
        except EOFError:
            if self.is_joined:
                # Before the backend ends this process with a page of its own.
                leave_now(f"error: process 0 ({self.place}) is gone; {self._left}", 1)
            self._commands.put(({"end": f"{self.place} is gone", "code": 1}, []))

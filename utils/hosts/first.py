"""The process that decides."""

from __future__ import annotations

import contextlib
import errno
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from utils.common.errors import UserError, printable
from utils.hosts.channel import Channel
from utils.hosts.leaving import leave_now
from utils.hosts.place import REMINDER, Place

BEFORE_THE_TRAINING = "it had not begun to train"
GRACE = 10.0
"""Seconds after the loss of a process in which the training may end by itself: it flushes files."""


class Arrival(NamedTuple):
    """What a process says of itself, see `hosts.hello_of`."""

    number: int
    count: int
    memory: int
    machine: str
    versions: dict[str, str]


class LostProcessError(Exception):
    """Another process is gone, or has failed: `hosts.lead` makes a line of it."""


class First:
    """The process that decides."""

    def __init__(self, place: Place, patience: float) -> None:
        """Listen at the address given, and nowhere else.

        Args:
            place: of this process.
            patience: seconds to wait for others, wherever they are waited for.

        Raises:
            UserError: the address is not one of this machine, or its port is taken.
        """
        self.place, self.patience = place, patience
        self.functions: dict[str, Callable[..., Any]] = {}
        self.memory: int | None = None
        self.lost = ""
        """Why the training cannot go on: which process is gone, or what it said."""
        self.code = 1
        """Of the exit: 2 where another process had bad input."""
        self.on_stop: Callable[[str], None] = lambda name: None
        """Is called, in another thread, where another process has been asked to stop."""
        self.stopped = ""
        """What it was called with last."""
        self.ending: Callable[[], str] = lambda: ""
        """What is to be added to `lost`: what is left of the run."""
        self._arrivals: queue.Queue[tuple[Arrival, Channel]] = queue.Queue()
        self._channels: dict[int, Channel] = {}
        self._answers: dict[int, queue.Queue[Any]] = {}
        self._listeners: list[threading.Thread] = []
        self.is_noticed = False
        """Whether `lost` is known where it matters, and the training ends by itself."""
        self._is_ending = False
        self._lost = threading.Event()
        self.address = place.numeric()
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        try:
            self._server = socket.create_server((self.address, place.port), family=family)
        except OSError as error:
            reason = {
                errno.EADDRINUSE: "the port is taken; expected a free one, and a single process 0",
                errno.EADDRNOTAVAIL: "is no address of this machine; expected that of process 0, "
                "which this one is",
            }.get(error.errno, f"cannot be listened at ({error.strerror})")
            raise UserError(f"--hosts {place}: {reason}") from None

    def gather(self, hello: Mapping[str, Any]) -> None:
        """Wait until every process has come, each once and each alike.

        Args:
            hello: what this one is, see `hello_of`; the memory of the others may differ.

        Raises:
            UserError: one has not come, or is another one than expected.
        """
        deadline = time.monotonic() + self.patience
        machines = [(hello["machine"], hello["memory"])]
        self._start(self._accept)
        while missing := sorted(set(range(1, self.place.count)) - self._channels.keys()):
            left = deadline - time.monotonic()
            try:
                other, channel = self._arrivals.get(timeout=max(0.01, min(left, REMINDER)))
            except queue.Empty:
                shown = ", ".join(map(str, missing[:8])) + ("" if len(missing) < 9 else ", ...")
                if left > REMINDER:
                    print(f"still waiting at {self.place} for {shown}", flush=True)
                    continue
                raise UserError(
                    f"--hosts {self.place}: of {self.place.count} processes, {shown} did not "
                    f"come within {self.patience:.0f} s"
                ) from None
            problem = self._greet(other, channel, hello["versions"])
            if problem:
                raise UserError(problem)
            self._channels[other.number] = channel
            machines.append((other.machine, other.memory))
        self._start(self._refuse, hello["versions"])
        each = [memory // sum(x == machine for x, _ in machines) for machine, memory in machines]
        self.memory = min(each)
        self._answers.update((number, queue.Queue()) for number in self._channels)
        self._listeners = [self._start(self._listen, *each) for each in self._channels.items()]

    @staticmethod
    def _start(function: Callable[..., None], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        thread.start()
        return thread

    def _accept(self) -> None:
        """Hear everybody who connects, until the end: a stranger keeps nobody waiting."""
        while not self._is_ending:
            try:
                connection, _ = self._server.accept()
            except OSError:  # it is closed, that one is gone again, or too many files are open
                time.sleep(0.1)
            else:
                self._start(self._hear, connection)

    def _hear(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # gone again
            connection.settimeout(REMINDER)
            channel = Channel(connection)
            try:
                other, _ = channel.receive()
                number, count, memory = (int(other[x]) for x in ("number", "count", "memory"))
                versions = {str(name): str(value) for name, value in other["versions"].items()}
                arrival = Arrival(number, count, memory, str(other["machine"]), versions)
            except (
                OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, OverflowError
            ):  # fmt: skip
                channel.close()  # a stranger
            else:
                connection.settimeout(None)
                self._arrivals.put((arrival, channel))

    def _greet(self, other: Arrival, channel: Channel, own: dict[str, str]) -> str:
        """Answer a process; what does not fit, if it is sent away."""
        problem = self._problem(other, own, channel.peer)
        with contextlib.suppress(OSError):
            channel.send({"end": problem, "code": 2} if problem else {"note": BEFORE_THE_TRAINING})
        return problem

    def _refuse(self, own: dict[str, str]) -> None:
        """Send away processes that come when all are there: their numbers are taken."""
        while True:
            self._greet(*self._arrivals.get(), own)

    def _problem(self, other: Arrival, own: dict[str, str], peer: str) -> str:
        number, count, _, _, versions = other
        if count != self.place.count:
            return (
                f"--hosts: process {number} ({peer}) expects {count} processes, process 0 expects "
                f"{self.place.count}; expected the same number"
            )
        if number in self._channels or not 0 < number < count:
            other = self._channels[number].peer if number in self._channels else "here"
            return (
                f"--hosts: two processes have number {number} ({other} and {peer}); expected "
                f"each from 0 to {count - 1} once"
            )
        for name in sorted(own.keys() | versions.keys()):
            there, here = versions.get(name, "none"), own.get(name, "none")
            if there != here:
                return (
                    f"--hosts: process {number} ({peer}) has {name} {printable(there)[:40]}, "
                    f"process 0 has {here}; expected the same everywhere"
                )
        return ""

    def ask(self, name: str, *arguments: Any) -> dict[int, Any]:
        """Have the others call a function; its answers, by the numbers of the processes.

        Raises:
            LostProcessError: one of them is gone, or failed.
        """
        self.tell(name, *arguments, answer=True)
        found = {}
        for number, answers in self._answers.items():
            found[number] = answers.get()
            if found[number] is None:
                raise LostProcessError(self.lost)
        return found

    def tell(
        self, name: str, *arguments: Any, arrays: Sequence[np.ndarray] = (), answer: bool = False
    ) -> None:
        """Have the others call a function.

        Raises:
            LostProcessError: one of them is gone, or failed.
        """
        message = {"call": name, "arguments": arguments, "answer": answer}
        for number, channel in self._channels.items():
            try:
                channel.send(message, arrays)
            except OSError:
                self._lose(number)
        if self.lost:
            raise LostProcessError(self.lost)

    def note(self, left: str) -> None:
        """Let the others know what is left of the run where this process is lost."""
        for channel in self._channels.values():
            with contextlib.suppress(OSError):
                channel.send({"note": left})

    def wait_for_loss(self, seconds: float) -> bool:
        """Whether a process turns out to be gone within so many seconds."""
        return self._lost.wait(seconds)

    def end(self, reason: str = "", code: int = 0) -> None:
        """Let the others end."""
        self._is_ending = True
        for channel in self._channels.values():
            with contextlib.suppress(OSError):
                channel.send({"end": reason, "code": code})

    def wait_for_others(self, seconds: float) -> None:
        """Let the others leave before this one, on which their devices depend."""
        deadline = time.monotonic() + seconds
        for thread in self._listeners:
            thread.join(max(0, deadline - time.monotonic()))

    def close(self) -> None:
        """Close all connections."""
        self._is_ending = True
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._server.close()
        for channel in self._channels.values():
            channel.close()

    def _listen(self, number: int, channel: Channel) -> None:
        try:
            while True:
                message, _ = channel.receive()
                if "answer" in message:
                    self._answers[number].put([message["answer"]])
                elif "stop" in message:
                    self.stopped = f"{printable(str(message['stop']))[:20]} on process {number}"
                    self.on_stop(self.stopped)
                elif "failed" in message:
                    self.code = 2 if message.get("code") == 2 else 1
                    text = printable(str(message["failed"]))
                    self._lose(number, f"process {number} ({channel.peer}): {text}")
        except (EOFError, ValueError, OSError):
            self._lose(number)

    def _lose(self, number: int, reason: str = "") -> None:
        if self._is_ending or self.lost:
            return
        peer = self._channels[number].peer
        self.lost = reason or f"process {number} ({peer}) is gone"
        self._lost.set()
        for answers in self._answers.values():
            answers.put(None)
        self._start(self._end_at_last)

    def _end_at_last(self) -> None:
        """End the process where a device waits for one that is gone, and does not notice."""
        time.sleep(GRACE)
        if self._is_ending or self.is_noticed:
            return
        left = ""
        with contextlib.suppress(Exception):  # of whatever kind: it must end
            left = self.ending()
        leave_now(f"error: {self.lost}{left}", self.code)

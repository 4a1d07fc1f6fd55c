"""One training over several processes: the first one decides, the others do what it says.

Every process builds the same networks and the same compiled functions. Then the first one trains as
if it were alone; where it calls a function that was made by `everywhere`, the others call it too,
with the same arguments. So nothing has to be agreed: stops, scores, files and the move of an
augmentation are known to the first one alone. The others have no loop, no folder and no picture.

What is said goes through a connection of its own (`hosts.channel`), which is there before the
backend joins the processes: a mistake is a line before it can hang, and a process that dies closes
its connection.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from utils.common.errors import RunError, UserError
from utils.hosts.first import First
from utils.hosts.follower import Follower
from utils.hosts.leaving import leave_at_exit
from utils.hosts.place import Place

PATIENCE = 300.0
"""Seconds to wait for processes that have not come yet."""
Function = Callable[..., Any]

_session: First | Follower | None = None


def count() -> int:
    """Processes of this training."""
    return _session.place.count if _session else 1


def memory_of_each() -> int | None:
    """Bytes of memory that each of several processes has at least; None for one alone."""
    return _session.memory if _session else None


def everywhere(name: str, function: Function) -> Function:
    """A function that every process calls when the first one does, with the same arguments.

    Args:
        name: the same in every process.
        function: takes values for JSON, then arrays.
    """
    session = _session
    if session is None:
        return function
    session.functions[name] = function
    if isinstance(session, Follower):
        return function

    def call(*arguments: Any) -> Any:
        plain = [each for each in arguments if not isinstance(each, np.ndarray)]
        arrays = [each for each in arguments if isinstance(each, np.ndarray)]
        session.tell(name, *plain, arrays=arrays)
        return function(*arguments)

    return call


def answers(name: str, function: Callable[[], Any]) -> Callable[[], dict[int, Any]]:
    """A function that returns what ``function`` returns on the other processes, by their numbers.

    Args:
        name: the same in every process.
        function: returns a value for JSON.
    """
    session = _session
    if session is None:
        return dict
    session.functions[name] = function
    return lambda: {number: found for number, (found,) in session.ask(name).items()}


def ask(name: str, *arguments: Any) -> None:
    """Have the others do what they expect before they follow, and wait until they have."""
    if isinstance(_session, First):
        _session.ask(name, *arguments)


def on_stop(request: Callable[[str], None]) -> None:
    """Have ``request`` called with a text where another process is asked to stop."""
    if isinstance(_session, First):
        _session.on_stop = request
        if _session.stopped:
            request(_session.stopped)


def loss(error: BaseException) -> str:
    """Which process is gone, if that is why an error was raised; empty otherwise.

    Args:
        error: a device's, mostly: it names an address and no process.
    """
    is_explained = isinstance(error, UserError | RunError | KeyboardInterrupt | SystemExit)
    if not isinstance(_session, First) or is_explained:
        return ""
    # The connection is closed at the same time as the device's, and may be read a little later.
    _session.is_noticed = _session.wait_for_loss(3.0)
    return _session.lost


def explain_loss(ending: Callable[[], str]) -> None:
    """Say what is left of a run whose device does not notice that a process is gone."""
    if isinstance(_session, First):
        _session.ending = ending


def note(left: str) -> None:
    """Let the others know what is left of the run where the first process is lost."""
    if isinstance(_session, First):
        _session.note(f"{left} there")


@contextlib.contextmanager
def lead(place: Place, hello: Mapping[str, Any]) -> Iterator[First]:
    """In the block, be the first process of those at ``place``.

    Args:
        place: of this process.
        hello: see `hello_of`.
    """
    global _session
    first = First(place, PATIENCE)
    try:
        print(f"waiting at {place} for {place.count - 1} more", flush=True)
        first.gather(hello)
        _session = first
        yield first
    except BaseException as error:
        lost = loss(error)
        if lost:
            error = (UserError if first.code == 2 else RunError)(lost)
        first.end(_said(error), _code(error))
        first.wait_for_others(5)
        leave_at_exit(_code(error))
        raise error from None
    else:
        first.end()
        first.wait_for_others(15)
        leave_at_exit(0)
    finally:
        _session = None
        first.close()


@contextlib.contextmanager
def follow(place: Place, hello: Mapping[str, Any]) -> Iterator[Follower]:
    """In the block, be another process than the first one; see `lead`."""
    global _session
    print(f"process {place.number} of {place.count}: follows {place}", flush=True)
    follower = Follower(place, PATIENCE)
    try:
        follower.greet(hello)
        _session = follower
        yield follower
        leave_at_exit(0)
    except BaseException as error:
        if not isinstance(error, UserError | RunError | KeyboardInterrupt):
            # A device's, where another process is lost: the first one says which, and ends this.
            time.sleep(5)
        follower.fail(_said(error), _code(error))
        leave_at_exit(_code(error))
        raise
    finally:
        _session = None  # its connection ends with the process: the first one waits for that


def hello_of(place: Place, versions: Mapping[str, str], memory: int | None) -> dict[str, Any]:
    """What processes say of themselves.

    Args:
        place: of this process.
        versions: by name; the same everywhere.
        memory: of this machine, in bytes.
    """
    return {
        "number": place.number, "count": place.count, "versions": dict(versions),
        "machine": socket.gethostname(), "memory": memory or 16 * 10**9,
    }  # fmt: skip


def _code(error: BaseException) -> int:
    return {UserError: 2, KeyboardInterrupt: 130}.get(type(error), 1)


def _said(error: BaseException) -> str:
    if isinstance(error, UserError | RunError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "stopped"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"

"""How a run says that it cannot go on: one line for the person, an exit code for the shell."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from utils.common.streams import make_streams_last, open_closed_streams

open_closed_streams()


def printable(text: str) -> str:
    """The text with a ``?`` for everything that a terminal could take for a command."""
    return "".join(character if character.isprintable() else "?" for character in text)


class UserError(Exception):
    """Bad input: the message names the option or file, what was found and what was expected.

    A script ends with exit code 2.
    """


class RunError(Exception):
    """Something went wrong although the input was good: a full disk, no memory, a NaN loss.

    A script ends with exit code 1; what had been saved before is still there.
    """


def stop_signals() -> tuple[signal.Signals, ...]:
    """Signals that ask to stop as Ctrl-C does: SIGTERM, and SIGHUP of a terminal that is closed.

    Without those that are ignored: ``nohup`` starts a process with SIGHUP ignored.
    """
    found = (getattr(signal, name, None) for name in ("SIGTERM", "SIGHUP"))  # Windows lacks one
    return tuple(each for each in found if each and signal.getsignal(each) != signal.SIG_IGN)


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let them raise KeyboardInterrupt, once: a terminal that is closed sends several."""
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in stop_signals()} if is_main else {}

    def stop(*_: object) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in before:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def one_line_errors(main: Callable[[], object]) -> Callable[[], None]:
    """Wrap a script's ``main`` so that both errors, a disk's and Ctrl-C print one line.

    What cannot be printed goes nowhere, and the work goes on.
    """

    @functools.wraps(main)
    def wrapped() -> None:
        make_streams_last()
        try:
            with _stopped_by_signals():
                main()
        except UserError as error:
            _end(f"error: {error}", 2)
        except RunError as error:
            _end(f"error: {error}", 1)
        except MemoryError as error:
            _end(f"error: not enough memory: {error}", 1)
        except OSError as error:
            # A folder that cannot be written, or a full disk, where no one has said it better.
            place = f"{error.filename}: " if error.filename else ""
            _end(f"error: {place}{error.strerror or error}", 1)
        except KeyboardInterrupt:
            # During the training Ctrl-C is a request that the loop answers itself.
            _end("stopped", 130)

    return wrapped


_warned: set[str] = set()


@contextlib.contextmanager
def or_warning(path: Path) -> Iterator[None]:
    """Let a picture (or page) that cannot be drawn be a warning: the work around it goes on.

    What the same kind of picture says again and again is printed once.
    """
    try:
        yield
    except Exception as error:  # a library's, of any kind
        reason = error.strerror if isinstance(error, OSError) else None
        reason = " ".join(str(reason or error or type(error).__name__).split())[:300]
        kind = f"{path.parent}/{path.stem.rstrip('0123456789')}: {reason}"
        if kind not in _warned:
            from tqdm import tqdm

            _warned.add(kind)
            tqdm.write(printable(f"warning: {path} cannot be drawn: {reason}"), file=sys.stderr)


def _end(message: str, code: int) -> NoReturn:
    line = printable(" ".join(message.split()))
    print(f"{os.path.basename(sys.argv[0])}: {line}", file=sys.stderr)
    raise SystemExit(code) from None

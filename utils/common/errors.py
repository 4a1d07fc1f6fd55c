"""How a run says that it cannot go on: one line for the person, an exit code for the shell."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn


def _open_standard_streams() -> None:
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


_open_standard_streams()


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


def one_line_errors(main: Callable[[], None]) -> Callable[[], None]:
    """Wrap a script's ``main`` so that both errors, a disk's and Ctrl-C print one line."""

    @functools.wraps(main)
    def wrapped() -> None:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")  # what a terminal cannot show
        try:
            main()
        except UserError as error:
            _end(f"error: {error}", 2)
        except RunError as error:
            _end(f"error: {error}", 1)
        except BrokenPipeError:
            # What the output was piped into has ended, e.g. head; Python would say so once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None
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

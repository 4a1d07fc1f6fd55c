"""How a run says that it cannot go on: one line for the person, an exit code for the shell."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable


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


class UserError(Exception):
    """Bad input: the message names the option or file, what was found and what was wanted.

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
        except (UserError, RunError) as error:
            message = " ".join(str(error).split())
            print(f"{os.path.basename(sys.argv[0])}: error: {message}", file=sys.stderr)
            raise SystemExit(2 if isinstance(error, UserError) else 1) from None
        except BrokenPipeError:
            # What the output was piped into has ended, e.g. head; Python would say so once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(1) from None
        except MemoryError as error:
            message = " ".join(f"not enough memory: {error}".split())
            print(f"{os.path.basename(sys.argv[0])}: error: {message}", file=sys.stderr)
            raise SystemExit(1) from None
        except OSError as error:
            # A folder that cannot be written, or a full disk, where no one has said it better.
            place = f"{error.filename}: " if error.filename else ""
            message = " ".join(f"{place}{error.strerror or error}".split())
            print(f"{os.path.basename(sys.argv[0])}: error: {message}", file=sys.stderr)
            raise SystemExit(1) from None
        except KeyboardInterrupt:
            # During the training Ctrl-C is a request that the loop answers itself.
            print(f"{os.path.basename(sys.argv[0])}: stopped", file=sys.stderr)
            raise SystemExit(130) from None

    return wrapped

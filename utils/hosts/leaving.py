"""Ending a process whose threads wait for others that are gone."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import NoReturn

from utils.common.errors import printable


def leave_now(line: str, code: int) -> NoReturn:
    """Say a line and end the process, whatever its threads wait for."""
    name = os.path.basename(sys.argv[0])
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        os.write(2, printable(f"{name}: {line}").encode(errors="replace") + b"\n")
    os._exit(code)


def leave_at_exit(code: int) -> None:
    """At its end, let this process not wait for the others, as the backend would."""

    def leave() -> None:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)

    atexit.register(leave)

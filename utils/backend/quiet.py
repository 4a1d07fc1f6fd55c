"""Loading a backend soon, and without the dozen lines it prints about the machine."""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextmanager
def quiet_start() -> Iterator[None]:
    """Hold back what libraries print while they load, unless loading fails.

    TensorFlow writes a dozen lines about the machine to the file descriptor itself, before its
    log level is in force.
    """
    sys.stderr.flush()
    # Only the main thread may set a handler; a notebook may train in another one.
    is_main = threading.current_thread() is threading.main_thread()
    takes_over = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with tempfile.TemporaryFile() as held_back:
        standard_error = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            if takes_over:
                # Ctrl-C ends the process here without a traceback out of somebody's import.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            yield
        except (ImportError, ValueError):
            raise
        except BaseException:
            held_back.seek(0)
            with suppress(OSError):  # nobody may listen
                os.write(standard_error, held_back.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
            if takes_over:
                signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def quick_start() -> Iterator[None]:
    """Leave out of an import of Keras what takes a third of the time and nobody here needs.

    Keras loads matplotlib and IPython for drawings that it can make: here the import of either
    fails, which it expects, unless they are loaded already. And Python looks for garbage again and
    again among a million objects of which each will stay; those it will not look at any more.
    """
    absent = [name for name in ("matplotlib", "IPython") if name not in sys.modules]
    collects = gc.isenabled()
    gc.disable()
    sys.modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
        gc.freeze()
        if collects:
            gc.enable()

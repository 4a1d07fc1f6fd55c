"""A script in a process that has loaded TensorFlow already.

The start of Python and TensorFlow is half of what a tiny run takes. Where that start is not what is
tested, scripts run in copies of one process that has done it (the standard library's fork server);
all else is as in a process of its own: arguments, folder, environment, output, exit code.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

# Nothing of the project itself: what a test has changed there must not be in the next one.
PRELOADED = ["tensorflow", "keras", "h5py", "PIL.Image", "matplotlib.pyplot", "tyro", "tqdm"]


def start_forked(
    script: Path,
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    paths: tuple[str, str],
) -> multiprocessing.process.BaseProcess:
    """Start a script whose standard output and error go to files at ``paths``."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(
        target=_run, args=(str(script), arguments, str(folder), environment, paths)
    )
    process.start()
    return process


def run_forked(
    script: Path, arguments: list[str], folder: Path, environment: dict[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a script to its end and return what it printed and its exit code.

    Raises:
        subprocess.TimeoutExpired: it took longer than that, and was killed.
    """
    with tempfile.TemporaryDirectory() as outputs:
        paths = (os.path.join(outputs, "stdout"), os.path.join(outputs, "stderr"))
        process = start_forked(script, arguments, folder, environment, paths)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([str(script), *arguments], timeout)
        printed = [Path(path).read_text() for path in paths]
        return subprocess.CompletedProcess([str(script), *arguments], process.exitcode, *printed)


def _run(
    script: str,
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    paths: tuple[str, str],
) -> None:
    """What the copy does: become the script."""
    for number, path in enumerate(paths, start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = [script, *arguments]
    sys.path.insert(0, os.path.dirname(script))
    runpy.run_path(script, run_name="__main__")

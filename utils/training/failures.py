"""What ends a run although its input was good, as one line that says what is left of it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
from collections.abc import Iterator

from utils import backend
from utils.common.commandline import option_name
from utils.common.errors import RunError
from utils.training.checkpoints import Checkpoints
from utils.training.options import RunOptions


@contextlib.contextmanager
def explained_memory(h: RunOptions) -> Iterator[None]:
    """Turn a backend's page about exhausted memory into one line that says what to change."""
    try:
        yield
    except Exception as error:
        if not backend.is_out_of_memory(error):
            raise
        raise RunError(
            f"out of memory at --batch-size {h.batch_size} and {h.image_size} px: lower "
            "--batch-size, the numbers of filters or --image-size; --dry-run estimates what a "
            "run takes"
        ) from None


@contextlib.contextmanager
def explained_end(h: RunOptions, saved: Checkpoints) -> Iterator[None]:
    """Turn a failed write, of whatever file of the run, and a second Ctrl-C into one line."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise RunError(
            f"run {h.run_name} could not be written: {error.strerror or error}; {saved.kept()}; "
            f"{'make room and ' if is_full else ''}go on with: {h.resume_command()}"
        ) from None
    except KeyboardInterrupt:
        raise RunError(
            f"stopped at once; {saved.kept()}; go on with: {h.resume_command()}"
        ) from None


def learning_rates(h: RunOptions) -> list[str]:
    """The options that a training which blows up has too high."""
    names = (field.name for field in dataclasses.fields(h))
    return [option_name(name) for name in names if name.endswith("learning_rate")]

"""What ends a run although its input was good, as one line that says what is left of it."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
from collections.abc import Callable, Iterator
from typing import Any

from utils import backend, hosts
from utils.common.errors import RunError
from utils.data.hdf5 import File
from utils.preparing.opening import source_of
from utils.training.checkpoints import Checkpoints
from utils.training.options import RunOptions
from utils.training.progress import Progress
from utils.training.repeat import resume_command


@contextlib.contextmanager
def explained_memory(h: RunOptions) -> Iterator[None]:
    """Turn a backend's page about exhausted memory into one line that says what to change."""
    try:
        yield
    except Exception as error:
        if not backend.is_out_of_memory(error):
            raise
        lower = ["--batch-size"]
        if not h.resume:  # which keeps the rest
            lower.append("the numbers of filters")
        if not h.resume and not isinstance(source_of(h.data), File):  # which has its own size
            lower.append("--image-size")
        raise RunError(
            f"out of memory at --batch-size {h.batch_size} and {h.image_size} px: lower "
            f"{' or '.join(lower)}; --dry-run estimates what a run takes"
        ) from None


@contextlib.contextmanager
def explained_end(h: RunOptions, saved: Checkpoints, progress: Progress) -> Iterator[None]:
    """Turn a failed write, of whatever file of the run, a second Ctrl-C and the loss of another
    process into one line."""

    def goes_on() -> str:
        is_complete = progress.step in saved.steps()
        return f"go on with: {resume_command(h, **progress.more(h) if is_complete else {})}"

    def left() -> str:
        return f"; {saved.kept()}; {goes_on()}"

    hosts.explain_loss(left)
    try:
        yield
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise RunError(
            f"run {h.run_name} could not be written: {error.strerror or error}; {saved.kept()}; "
            f"{'make room and ' if is_full else ''}{goes_on()}"
        ) from None
    except KeyboardInterrupt:
        raise RunError(f"stopped at once{left()}") from None
    except Exception as error:
        lost = hosts.loss(error)
        if not lost:
            raise
        raise RunError(f"{lost}{left()}") from None


def lower_learning_rates(h: RunOptions) -> dict[str, Any]:
    """Values for the learning rates of a training that has blown up: the defaults of those that
    are higher; where none is, half of all."""
    defaults = type(h)()
    names = [each.name for each in dataclasses.fields(h) if each.name.endswith("learning_rate")]
    lower = {name: _each(min, getattr(h, name), getattr(defaults, name)) for name in names}
    lower = {name: value for name, value in lower.items() if value != getattr(h, name)}
    return lower or {name: _each(lambda x, _: x / 2, getattr(h, name), 0) for name in names}


def _each(function: Callable[[float, Any], float], value: Any, other: Any) -> Any:
    """The function of a number, or of each of several."""
    if not isinstance(value, tuple):
        return function(value, other)
    others = other if isinstance(other, tuple) else [other] * len(value)
    return tuple(map(function, value, others))

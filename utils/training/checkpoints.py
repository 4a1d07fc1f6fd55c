"""The complete state of a run on disk: a file is either whole or not there.

A checkpoint is a NumPy ``.npz`` archive without pickles: every variable of the method under
``GROUP/NUMBER`` and what the loop needs under ``loop/NAME``. Its members carry checksums, so
damage is noticed when it is read.
"""

from __future__ import annotations

import hashlib
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils import backend  # before Keras: it keeps its start quiet
from utils.common.errors import RunError, UserError
from utils.common.files import atomic_path, files_by_step

# isort: split
import keras
from keras import ops

State = Mapping[str, Sequence[keras.Variable]]
"""Groups of variables by name, e.g. ``{"generator": [...], "generator_optimizer": [...]}``."""


def _variable_names(state: State) -> dict[str, keras.Variable]:
    # Not by the paths that Keras gives: they count how many layers the process has made before.
    return {
        f"{group}/{number:04d}": variable
        for group, variables in state.items()
        for number, variable in enumerate(variables)
    }


def digest(arrays: Iterable[np.ndarray]) -> str:
    """SHA-256 (hex) of arrays, one after the other."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def state_bytes(state: State) -> int:
    """Size of a checkpoint of this state on disk, in bytes."""
    return sum(
        int(np.prod(variable.shape))
        * np.dtype(keras.backend.standardize_dtype(variable.dtype)).itemsize
        for variable in _variable_names(state).values()
    )


class Checkpoints:
    """The checkpoints of one run: ``folder/step_0000500.npz``, the last few of them."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder = folder
        self.keep = keep

    def steps(self) -> list[int]:
        """The steps of which there is a checkpoint, in ascending order."""
        return list(files_by_step(self.folder, ".npz"))

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.folder / f"step_{step:07d}.npz"

    def kept(self) -> str:
        """A half sentence for error messages: what can be gone on with."""
        steps = self.steps()
        return f"the checkpoint of step {steps[-1]} is intact" if steps else "nothing was saved yet"

    def collect(self, step: int, state: State) -> dict[str, np.ndarray]:
        """Copy the state from the device.

        Raises:
            RunError: a weight is not a finite number, and not worth saving.
        """
        variables = _variable_names(state)
        arrays = {name: ops.convert_to_numpy(v) for name, v in variables.items()}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise RunError(
                    f"{variables[name].path} is no longer finite at step {step}: lower the "
                    "learning rates"
                )
        return arrays

    def save(self, step: int, arrays: dict[str, np.ndarray], loop: Mapping[str, Any]) -> None:
        """Write a checkpoint of what `collect` returned, then remove those beyond the last few.

        Raises:
            OSError: the file could not be written; the earlier checkpoints are untouched.
        """
        loop_arrays = {f"loop/{name}": np.asarray(value) for name, value in loop.items()}
        with atomic_path(self.path(step)) as temporary:
            np.savez(temporary, allow_pickle=False, **arrays, **loop_arrays)
        for old in self.steps()[: -self.keep]:
            self.path(old).unlink(missing_ok=True)

    def load_newest(self, state: State) -> dict[str, np.ndarray] | None:
        """Read the newest whole checkpoint into the variables.

        Damaged ones after it are renamed to ``*.damaged``, so that they can neither pass for the
        newest again nor push a good one out.

        Returns:
            What the loop had stored, or None where no checkpoint was ever made.

        Raises:
            UserError: none is whole, or the newest that is belongs to other networks; then no
                variable has been touched.
        """
        reasons = {}
        for step in reversed(self.steps()):
            try:
                arrays = _read(self.path(step))
            except PermissionError as error:
                raise UserError(f"{self.path(step)}: cannot be read: {error.strerror}") from None
            except ValueError as error:
                reasons[step] = f"{self.path(step)} is damaged ({error})"
                continue
            _assign(arrays, state, self.path(step))
            for damaged, reason in reasons.items():
                print(f"warning: {reason}; going on from step {step}", file=sys.stderr)
                self.path(damaged).rename(f"{self.path(damaged)}.damaged")
            return {
                name.removeprefix("loop/"): array
                for name, array in arrays.items()
                if name.startswith("loop/")
            }
        if reasons:
            raise UserError("; ".join(reasons.values()) + "; there is no other")
        return None


def _read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint; ValueError if it is damaged, or made to do harm."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        if "loop/step" not in arrays:
            raise ValueError("it is no checkpoint")
    except PermissionError:  # it may be whole
        raise
    except (
        OSError, ValueError, EOFError, KeyError, RuntimeError, NotImplementedError,
        MemoryError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        raise ValueError(f"{type(error).__name__}: {error}") from None
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")
    return arrays


def _assign(arrays: dict[str, np.ndarray], state: State, path: Path) -> None:
    """Copy a checkpoint's arrays into the variables, all of them or, with a UserError, none."""
    variables = _variable_names(state)
    stored = {
        name: array.shape if array.dtype.kind in "fiu" else array.dtype
        for name, array in arrays.items()
        if not name.startswith("loop/")
    }
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    if stored != expected:
        odd = min(name for name, _ in stored.items() ^ expected.items())
        raise UserError(
            f"{path} holds other networks: {odd} is {stored.get(odd, 'missing')} there and "
            f"{expected.get(odd, 'missing')} here"
        )
    backend.assign(list(variables.values()), [arrays[name] for name in variables])

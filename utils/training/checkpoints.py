"""The complete state of a run on disk: a file is either whole or not there.

A checkpoint is a NumPy ``.npz`` archive without pickles: every variable of the method under
``GROUP/NUMBER`` and what the loop needs under ``loop/NAME``. Its members carry checksums, so
damage is noticed when it is read.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from utils.common.errors import RunError, UserError
from utils.common.files import atomic_path, files_by_step
from utils.models.adversarial import layer_options

State = Mapping[str, Sequence[keras.Variable]]
"""Groups of variables by name, e.g. ``{"generator": [...], "generator_optimizer": [...]}``."""


def _variable_names(state: State) -> dict[str, keras.Variable]:
    # Not by the paths that Keras gives: they count how many layers the process has made before.
    return {
        f"{group}/{number:04d}": variable
        for group, variables in state.items()
        for number, variable in enumerate(variables)
    }


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
    wanted = {name: tuple(variable.shape) for name, variable in variables.items()}
    if stored != wanted:
        odd = min(name for name, _ in stored.items() ^ wanted.items())
        raise UserError(
            f"{path} holds other networks: {odd} is {stored.get(odd, 'missing')} there and "
            f"{wanted.get(odd, 'missing')} here"
        )
    for name, variable in variables.items():
        variable.assign(arrays[name])


def copy_weights(network: keras.Model) -> list[np.ndarray]:
    """Copy the variables of a network from the device, for `save_network`."""
    return [ops.convert_to_numpy(variable) for variable in network.variables]


def save_network(path: Path, network: keras.Model, weights: Sequence[np.ndarray]) -> None:
    """Write a network that plain Keras loads without this project's code.

    Another thread may go on to train it: its variables are not looked at.

    Args:
        path: the file, ``.keras``.
        network: what to write, but for its variables.
        weights: their values, as `copy_weights` returned them.

    Raises:
        OSError: the file could not be written; what stood there before is untouched.
    """
    # In the scope, which is this thread's alone, the variables have these values.
    with keras.device("cpu:0"):
        scope = keras.StatelessScope(
            list(zip(network.variables, weights, strict=True)), initialize_variables=False
        )
    with atomic_path(path) as temporary, layer_options, scope:
        network.save(temporary)


def save_best(
    folder: Path,
    networks: Mapping[str, keras.Model],
    weights: Mapping[str, Sequence[np.ndarray]],
    score: Mapping[str, float],
) -> None:
    """Write the best networks so far and ``score.json``, all of them or none.

    They are written to a folder of another name, which then takes the place of the one before.

    Raises:
        OSError: a file could not be written; the networks that were the best before are there.
    """
    new, old = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
    shutil.rmtree(new, ignore_errors=True)
    for name, network in networks.items():
        save_network(new / f"{name}.keras", network, weights[name])
    write_config(new / "score.json", score)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def read_best(folder: Path, names: Iterable[str] | None = None) -> dict[str, float]:
    """What ``score.json`` says, by which the best networks were chosen.

    Args:
        folder: the networks'.
        names: scores that are wanted; None takes those that are there.

    Returns:
        The step and the scores of these names; empty where one of them is missing.
    """
    old = folder.with_name(f"{folder.name}.old")
    if old.exists() and not folder.exists():  # a kill came between the two renames
        old.rename(folder)
    try:
        score = json.loads((folder / "score.json").read_text(encoding="utf-8"))
        return {key: float(score[key]) for key in ("step", *(score if names is None else names))}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.json``: the hyperparameters of a run and what it was trained on."""
    text = json.dumps(config, indent=2)
    # Numbers in a row, such as those of the pictures held out, take a line and not a thousand.
    text = re.sub(r"\[[\d,\s]+\]", lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_config(run: str, path: Path, option: str = "--resume") -> dict[str, Any]:
    """Read the ``config.json`` of a run.

    Args:
        run: its name.
        path: of the file.
        option: by which the person gave the name.

    Raises:
        UserError: there is no such run, or its file is damaged.
    """
    if not path.exists():
        runs = sorted(folder.parent.name for folder in path.parent.parent.glob("*/config.json"))
        found = (
            f"there are {', '.join(runs)}" if runs else f"there is no run in {path.parent.parent}"
        )
        raise UserError(f"{option} {run}: {path} does not exist; {found}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        for part in ("hyperparameters", "data_set"):
            if not isinstance(config[part], dict):
                raise ValueError(f"{part} is no object")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{option} {run}: {path} is damaged ({type(error).__name__}: {error})"
        ) from None
    return config

"""The complete state of a run on disk: a file is either whole or not there.

A checkpoint is a NumPy ``.npz`` archive without pickles: every variable of the method under
``GROUP/NUMBER`` and what the loop needs under ``loop/NAME``. Its members carry checksums, so
damage is noticed when it is read.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from utils.errors import RunError, UserError
from utils.files import atomic_path

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
        return sorted(
            int(path.stem.removeprefix("step_")) for path in self.folder.glob("step_*.npz")
        )

    def path(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.folder / f"step_{step:07d}.npz"

    def save(self, step: int, state: State, loop: Mapping[str, np.ndarray]) -> None:
        """Write a checkpoint, then remove those beyond the last ``keep``.

        Raises:
            RunError: a weight is not a finite number.
            OSError: the file could not be written. In either case the earlier checkpoints are
                untouched.
        """
        variables = _variable_names(state)
        arrays = {name: ops.convert_to_numpy(v) for name, v in variables.items()}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise RunError(
                    f"{variables[name].path} is no longer finite at step {step}: lower the "
                    f"learning rates; {self.kept()}"
                )
        arrays |= {f"loop/{name}": np.asarray(value) for name, value in loop.items()}
        with atomic_path(self.path(step)) as temporary:
            np.savez(temporary, allow_pickle=False, **arrays)
        for old in self.steps()[: -self.keep]:
            self.path(old).unlink(missing_ok=True)

    def kept(self) -> str:
        """A half sentence for error messages: what can be gone on with."""
        steps = self.steps()
        return f"the checkpoint of step {steps[-1]} is intact" if steps else "nothing was saved yet"

    def load(self, step: int, state: State) -> dict[str, np.ndarray]:
        """Read a checkpoint into the variables and return what the loop had stored.

        Raises:
            ValueError: the file is damaged or belongs to other networks; then no variable has
                been touched.
        """
        try:
            with np.load(self.path(step), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self.path(step)} is damaged ({error})") from None
        variables = _variable_names(state)
        stored = {
            name: array.shape for name, array in arrays.items() if not name.startswith("loop/")
        }
        wanted = {name: tuple(variable.shape) for name, variable in variables.items()}
        if stored != wanted:
            odd = min(name for name, _ in stored.items() ^ wanted.items())
            raise ValueError(
                f"{self.path(step)} holds other networks: {odd} is {stored.get(odd, 'missing')} "
                f"there and {wanted.get(odd, 'missing')} here"
            )
        for name, variable in variables.items():
            variable.assign(arrays[name])
        return {
            name.removeprefix("loop/"): array
            for name, array in arrays.items()
            if name.startswith("loop/")
        }


def save_network(path: Path, network: keras.Model) -> None:
    """Write a network that plain Keras loads without this project's code.

    Raises:
        OSError: the file could not be written; what stood there before is untouched.
    """
    with atomic_path(path) as temporary:
        network.save(temporary)


def write_config(path: Path, config: Mapping[str, Any]) -> None:
    """Write ``config.json``: the hyperparameters of a run and what it was trained on."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def read_config(run: str, path: Path) -> dict[str, Any]:
    """Read the ``config.json`` of a run that is to be resumed.

    Raises:
        UserError: there is no such run, or its file is damaged.
    """
    if not path.exists():
        runs = sorted(folder.parent.name for folder in path.parent.parent.glob("*/config.json"))
        found = (
            f"there are {', '.join(runs)}" if runs else f"there is no run in {path.parent.parent}"
        )
        raise UserError(f"--resume {run}: {path} does not exist; {found}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict) or not isinstance(config["hyperparameters"], dict):
            raise ValueError("no hyperparameters in it")
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"--resume {run}: {path} is damaged ({error})") from None
    return config

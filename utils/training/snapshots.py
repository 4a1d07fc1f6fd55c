"""Networks on disk: those of the last checkpoint, and the best so far."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from utils.common.errors import UserError
from utils.common.files import atomic_path
from utils.models import layers  # noqa: F401 - saved networks have some of these
from utils.models.average import layer_options
from utils.training.config import write_json

# isort: split
import keras
from keras import ops


class Snapshot:
    """Networks as they are at this moment; another thread may write them while they are trained."""

    def __init__(self, networks: Mapping[str, keras.Model]) -> None:
        """Copy their variables from the device."""
        self._networks = dict(networks)
        self._weights = {
            name: [ops.convert_to_numpy(variable) for variable in network.variables]
            for name, network in networks.items()
        }

    @property
    def nbytes(self) -> int:
        """Size of the copies."""
        return sum(array.nbytes for arrays in self._weights.values() for array in arrays)

    def save(self, folder: Path) -> None:
        """Write ``NAME.keras`` for each, a generator in a form that plain Keras loads.

        Raises:
            OSError: a file could not be written; what stood there before is untouched.
        """
        for name, network in self._networks.items():
            # In the scope, which is this thread's alone, the variables have these values.
            with keras.device("cpu:0"):
                scope = keras.StatelessScope(
                    list(zip(network.variables, self._weights[name], strict=True)),
                    initialize_variables=False,
                )
            with atomic_path(folder / f"{name}.keras") as temporary, layer_options, scope:
                network.save(temporary)


def load_network(path: Path) -> keras.Model:
    """A saved network.

    Raises:
        UserError: the file is not there or damaged.
    """
    if not path.exists():
        raise UserError(f"{path}: does not exist")
    try:
        if not zipfile.is_zipfile(path):  # Keras would say that there is no such file
            raise ValueError("it is no zip archive, or cut short")
        network = keras.models.load_model(path, compile=False)
        if not isinstance(network, keras.Model):
            raise ValueError(f"it holds a {type(network).__name__}")
        return network
    except Exception as error:  # whatever a damaged archive, configuration or layer brings about
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{path}: is damaged or no Keras network: {reason}; bring it back from a copy, or "
            "resume the run, which writes it again"
        ) from None


def save_best(folder: Path, snapshot: Snapshot, score: Mapping[str, float]) -> None:
    """Write the best networks so far and ``score.json``, all of them or none.

    They are written to a folder of another name, which then takes the place of the one before.

    Raises:
        OSError: a file could not be written; the networks that were the best before are there.
    """
    new, old = folder.with_name(f"{folder.name}.new"), folder.with_name(f"{folder.name}.old")
    shutil.rmtree(new, ignore_errors=True)
    snapshot.save(new)
    write_json(new / "score.json", score)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def read_best(folder: Path, names: Iterable[str] | None = None) -> dict[str, float]:
    """What ``score.json`` says, by which the best networks were chosen.

    Args:
        folder: the networks'.
        names: of the scores to read; None reads all that are there.

    Returns:
        The step and the scores of these names; empty where one of them or the file is missing.

    Raises:
        UserError: ``score.json`` is damaged.
    """
    old, path = folder.with_name(f"{folder.name}.old"), folder / "score.json"
    if old.exists() and not folder.exists():  # a kill came between the two renames
        old.rename(folder)
    try:
        score = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(score, dict) or not float(score["step"]).is_integer():
            raise ValueError("no step in it")
        found = {name: float(value) for name, value in score.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path}: is damaged ({type(error).__name__}: {error}), expected a step and scores; "
            f"bring it back, or rename {folder}, and the search for the best networks begins anew"
        ) from None
    names = found if names is None else ("step", *names)
    return {name: found[name] for name in names} if found.keys() >= set(names) else {}

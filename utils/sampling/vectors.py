"""Latent vectors in files: JSON, which a person can read and which runs nothing when it is read."""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from utils.common.errors import UserError, printable
from utils.common.files import atomic_path
from utils.sampling.runs import Run

MAX_BYTES = 2**20
DAMAGED = (ValueError, KeyError, TypeError, RecursionError, OverflowError)


def write_vector(path: Path, latent: np.ndarray, run: str, weights: str, **known: Any) -> None:
    """Write a latent vector (width,), exactly, with the run and weights that it belongs to.

    Args:
        path: the file.
        latent: float32, with class weights beside it as `runs.draw` has them.
        run: the run's name.
        weights: its generator, as in `runs.WEIGHTS`.
        known: what else the file is to say.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    values = {"run": run, "weights": weights, **known, "latent": latent.tolist()}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(values) + "\n", encoding="utf-8")


def read_vectors(paths: Sequence[str | Path], width: int, run: Run) -> np.ndarray:
    """The vectors of files, float32 (N, width), with class weights as `runs.draw` has them.

    Raises:
        UserError: there is no such file, it is damaged, or its vector has another length.
    """
    return np.stack([_read(Path(path), width, run) for path in paths])


def saved_vectors(run: Run, weights: str, width: int) -> dict[str, np.ndarray]:
    """The latent vectors that were found with a generator of a run, by the names of the pictures.

    Files of other generators, and damaged ones, are passed over.
    """
    found = {}
    for path in sorted((run.images / "samples").glob("*.json")):
        try:
            values = _values(path)
            if (values["run"], values["weights"]) == (run.name, weights):
                name = str(values.get("picture", path.stem))
                found[path.stem if name in found else name] = _vector(values, width)
        except (OSError, *DAMAGED):
            continue
    return found


def _read(path: Path, width: int, run: Run) -> np.ndarray:
    shown = f"LATENTS {printable(str(path))}"
    try:
        values = _values(path)
        vector = _vector(values, None)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{shown}: {reason}; expected what --project saves") from None
    except DAMAGED:
        raise UserError(f"{shown}: holds no latent vector; expected what --project saves") from None
    if len(vector) != width:
        raise UserError(
            f"{shown}: holds {len(vector)} numbers; expected {width}, as {run.name} takes"
        )
    if values.get("run") not in (None, run.name):
        line = f"{shown}: found in run {values['run']}; in {run.name} it is another image"
        print(printable(line), file=sys.stderr)
    return vector


def _values(path: Path) -> dict[str, Any]:
    if not path.is_file():  # a named pipe would block
        raise FileNotFoundError(errno.ENOENT, "no such file")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError("too large")
    values = json.loads(path.read_text(encoding="utf-8"))
    return values if isinstance(values, dict) else {}


def _vector(values: dict[str, Any], width: int | None) -> np.ndarray:
    numbers = values["latent"]
    if not numbers or not all(type(each) in (int, float) for each in numbers):
        raise ValueError("no list of numbers")
    vector = np.array(numbers, np.float32)
    if not np.isfinite(vector).all() or width not in (None, len(vector)):
        raise ValueError("no such vector")
    return vector

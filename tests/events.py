"""The event files of a run, as TensorBoard reads them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from utils.watching.tensorboard import tag


def read(run: Path):
    """What TensorBoard finds in a run's event files, all of it."""
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    )
    everything = dict.fromkeys(event_accumulator.DEFAULT_SIZE_GUIDANCE, 0)
    found = event_accumulator.EventAccumulator(str(run / "tensorboard"), everything)
    return found.Reload()


def curves(run: Path) -> dict[str, list[tuple[int, np.float32]]]:
    """For each tag, its points: step and value."""
    found = read(run)
    return {
        name: [(event.step, np.float32(event.value)) for event in found.Scalars(name)]
        for name in found.Tags()["scalars"]
    }


def history(run: Path) -> dict[str, list[tuple[int, np.float32]]]:
    """The same of history.csv."""
    with open(run / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        tag(name): [(int(row["step"]), np.float32(row[name])) for row in rows if row[name] != "nan"]
        for name in rows[0]
        if name != "step"
    }


def assert_same_curves(run: Path) -> None:
    shown, written = curves(run), history(run)
    assert shown.keys() == written.keys()
    for name, points in written.items():
        assert [step for step, _ in shown[name]] == [step for step, _ in points], name
        # history.csv rounds: 4 decimals of the epoch, 2 of the seconds.
        rounding = {"run/epoch": 6e-5, "run/seconds": 6e-3}.get(name, 0)
        np.testing.assert_allclose(
            [value for _, value in shown[name]],
            [value for _, value in points],
            rtol=2e-7,
            atol=rounding,
            err_msg=name,
        )


def assert_same_grids(run: Path, steps: list[int]) -> None:
    found = read(run)
    assert sorted(found.Tags()["images"]) == ["reals", "samples"]
    (reals,) = found.Images("reals")
    assert (reals.step, reals.encoded_image_string) == (0, (run / "reals.png").read_bytes())
    samples = found.Images("samples")
    assert [sample.step for sample in samples] == steps
    for sample in samples:
        file = run / f"step_{sample.step:07d}.png"
        assert sample.encoded_image_string == file.read_bytes()
        with Image.open(io.BytesIO(sample.encoded_image_string)) as picture:
            assert picture.size == (sample.width, sample.height)

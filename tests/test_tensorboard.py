"""Event files say what history.csv says: in a run, after a kill, after a resume."""

from __future__ import annotations

import csv
import io
import math
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dcgan
from tests.conftest import TINY, run_script, start_script
from tests.test_runs import wait_for
from utils.watching.tensorboard import EventLog, tag

event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
pytest.importorskip("tensorboardX")

OPTIONS = [*TINY, "--tensorboard", "--checkpoint-interval", 8, "--sample-interval", 6]
OPTIONS += ["--history-interval", 5]


def read(run: Path):
    """What TensorBoard finds in a run's event files, all of it."""
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


def run(*arguments: object, folder: Path) -> str:
    result = run_script("dcgan.py", *arguments, folder=folder)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_tags_have_headings():
    assert tag("d_loss") == "loss/d_loss"
    assert tag("critic_loss") == "loss/critic_loss"
    assert tag("g_gradient_last") == "gradient/g_gradient_last"
    assert tag("gradient_penalty") == "gradient/gradient_penalty"
    assert tag("d_updates") == "updates/d_updates"
    assert tag("d_fake") == "answer/d_fake"
    assert tag("seconds") == "run/seconds"
    assert tag("f_score") == "run/f_score"


def test_a_run_a_kill_and_two_resumes(data_file, tmp_path):
    run_folder = tmp_path / "images/dcgan-1"
    run(*OPTIONS, "--data", data_file, "--steps", 13, folder=tmp_path)
    assert_same_curves(run_folder)
    assert [step for step, _ in curves(run_folder)["loss/d_loss"]] == [5, 10]
    assert_same_grids(run_folder, [0, 6, 12, 13])

    # Killed behind a checkpoint, with rows and a grid that will be made again.
    process = start_script(
        "dcgan.py", "--resume", "dcgan-1", "--steps", 100_000, "--checkpoint-interval", 60,
        folder=tmp_path,
    )  # fmt: skip
    wait_for(run_folder / "step_0000066.png", process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, newest = sorted(run_folder.glob("tensorboard/*"))
    with open(newest, "ab") as file:  # as if the kill had come in the middle of a record
        file.write((64).to_bytes(8, "little") + b"half")
    checkpoints = tmp_path.glob("saved_models/dcgan-1/checkpoints/*.npz")
    end = max(int(path.stem.removeprefix("step_")) for path in checkpoints) + 3
    run("--resume", "dcgan-1", "--steps", end, folder=tmp_path)
    assert_same_curves(run_folder)
    assert_same_grids(run_folder, sorted({0, 6, 12, 13, *range(18, end + 1, 6), end}))
    assert len(list(run_folder.glob("tensorboard/*"))) == 3


def test_a_run_without_events_gets_its_past_when_it_asks_for_them(data_file, tmp_path):
    options = [option for option in OPTIONS if option != "--tensorboard"]
    run(*options, "--data", data_file, "--steps", 12, folder=tmp_path)
    run_folder = tmp_path / "images/dcgan-1"
    assert not (run_folder / "tensorboard").exists()
    run("--resume", "dcgan-1", "--tensorboard", "--steps", 20, folder=tmp_path)
    assert_same_curves(run_folder)
    assert [step for step, _ in curves(run_folder)["loss/g_loss"]] == [5, 10, 15, 20]
    assert_same_grids(run_folder, [0, 6, 12, 18, 20])
    times = [event.wall_time for event in read(run_folder).Scalars("loss/g_loss")]
    assert times == sorted(times)


def rows_of(folder: Path) -> list[tuple[int, float]]:
    return [(step, float(value)) for step, value in curves(folder)["run/epoch"]]


def test_a_resumed_run_drops_what_is_behind_its_checkpoint(tmp_path):
    folder = tmp_path / "tensorboard"
    log = EventLog(folder)

    def write(begin: int, *steps: int, epoch: float) -> None:
        log.begin(begin, [{"step": 5, "seconds": 0}], {})
        for step in steps:
            # A score has points only where it was taken.
            log.add_row({"step": step, "epoch": epoch, "f_score": 0.5 if step == 10 else math.nan})
        log.close()

    write(0, 5, 10, 15, epoch=1)
    assert curves(tmp_path)["run/f_score"] == [(10, np.float32(0.5))]
    (folder / "events.out.tfevents.notes").write_text("a person's own")
    (folder / "events.out.tfevents.notes").rename(folder / "notes.txt")
    first = folder / "events.out.tfevents.000001"
    with open(first, "ab") as file:  # a record that a kill cut short
        file.write(first.read_bytes()[-30:-5])
    before = first.read_bytes()
    # There are files: no past is written. All of it in one second: none is written over another.
    write(10, 20, epoch=2)
    assert rows_of(tmp_path) == [(5, 1), (10, 1), (20, 2)]
    write(10, epoch=3)
    assert rows_of(tmp_path) == [(5, 1), (10, 1)]
    write(10, 11, 15, epoch=4)
    assert rows_of(tmp_path) == [(5, 1), (10, 1), (11, 4), (15, 4)]
    assert first.read_bytes() == before
    assert len(list(folder.iterdir())) == 5
    # Without any checkpoint, it begins again.
    write(0, 5, epoch=5)
    assert rows_of(tmp_path) == [(5, 5)]


def test_a_missing_package_is_told_before_anything_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dcgan.py", "--tensorboard"])
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorboardX"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "tensorboardX.py").write_text("raise ImportError('no such package')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as stop:
        dcgan.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "dcgan.py: error: --tensorboard: tensorboardX cannot be imported (no such package); it "
        "comes with: pip install tensorboardX tensorboard\n"
    )
    assert not (tmp_path / "images").exists()

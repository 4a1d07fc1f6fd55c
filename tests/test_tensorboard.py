"""Event files: headings, points, and what a resumed run drops."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dcgan
from tests.events import curves, read
from utils.watching.tensorboard import EventLog, tag

pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
pytest.importorskip("tensorboardX")


def test_tags_have_headings():
    assert tag("d_loss") == "loss/d_loss"
    assert tag("critic_loss") == "loss/critic_loss"
    assert tag("g_gradient_last") == "gradient/g_gradient_last"
    assert tag("gradient_penalty") == "gradient/gradient_penalty"
    assert tag("d_updates") == "updates/d_updates"
    assert tag("d_fake") == "answer/d_fake"
    assert tag("seconds") == "run/seconds"
    assert tag("f_score") == "run/f_score"


def rows_of(folder: Path) -> list[tuple[int, float]]:
    return [(step, float(value)) for step, value in curves(folder)["run/epoch"]]


def test_a_resumed_run_drops_what_is_behind_its_checkpoint(tmp_path):
    folder = tmp_path / "tensorboard"
    log = EventLog(folder)
    Image.new("RGB", (2, 1)).save(tmp_path / "reals.png")

    def write(begin: int, *steps: int, epoch: float) -> None:
        log.begin(begin, [{"step": 5, "seconds": 0}], {})
        if not begin:
            log.add_grid("reals", 0, tmp_path / "reals.png")
        for step in steps:
            # A score has points only where it was taken.
            log.add_row({"step": step, "epoch": epoch, "f_score": 0.5 if step == 10 else math.nan})
        log.close()

    write(0, 5, 10, 15, epoch=1)
    assert curves(tmp_path)["run/f_score"] == [(10, np.float32(0.5))]
    (folder / "events.out.tfevents.7.host").touch()  # of another program
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
    assert len(read(tmp_path).Images("reals")) == 1


def test_a_run_without_events_gets_its_past(tmp_path):
    for step, side in ((0, 2), (5, 3)):
        Image.new("RGB", (side, 1)).save(tmp_path / f"{step}.png")
    grids = {"samples": {step: tmp_path / f"{step}.png" for step in (0, 5)}}
    rows = [{"step": step, "seconds": 2.0 * step, "epoch": 1} for step in (5, 10)]
    log = EventLog(tmp_path / "tensorboard")
    log.begin(10, rows, grids)
    log.add_row({"step": 15, "seconds": 30.0, "epoch": 2})
    log.add_grid("samples", 15, tmp_path / "5.png")
    log.close()
    assert rows_of(tmp_path) == [(5, 1), (10, 1), (15, 2)]
    found = read(tmp_path)
    times = [event.wall_time for event in found.Scalars("run/epoch")]
    assert times[1] - times[0] == pytest.approx(10)
    assert times[2] >= times[1]
    assert [(each.step, each.width, each.height) for each in found.Images("samples")] == [
        (0, 2, 1), (5, 3, 1), (15, 3, 1),
    ]  # fmt: skip


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

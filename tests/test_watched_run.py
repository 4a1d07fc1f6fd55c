"""What a training shows of itself, and what of that a kill, a stop and a resume leave."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import json
import shutil
from pathlib import Path

import pytest

import dcgan
from tests.conftest import TINY
from tests.events import assert_same_curves, assert_same_grids
from tests.run_files import assert_same_state, read_answers
from tests.test_page import data_in
from utils.training.signals import StopRequest
from utils.watching import alarms
from utils.watching.rules import Limits

OPTIONS = [
    *TINY, "--generator-learning-rate", 0, "--average-half-life", 0, "--score-interval", 5,
    "--sample-interval", 5, "--history-interval", 5, "--checkpoint-interval", 5,
    "--keep-checkpoints", 4, "--tensorboard", "--holdout", 0.3, "--label-noise", 0.1,
    "--generator-dropout", 0.2, "--discriminator-dropout", 0.2,
]  # fmt: skip
"""A generator that does not learn draws the same grid again and again."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory, data_file):
    """The folder of three runs of 30 steps, what they printed, and what is on their pages.

    Run ``whole`` made its steps at once, ``halves`` was killed after its checkpoint at 15, and
    ``seldom`` was hardly looked at.
    """
    folder = tmp_path_factory.mktemp("watched")
    printed, pages = {}, {}
    images = folder / "images"

    def train(*arguments: object) -> str:
        output = io.StringIO()
        patch.setattr("sys.argv", ["dcgan.py", *map(str, arguments)])
        with contextlib.redirect_stdout(output):
            dcgan.main()
        return output.getvalue()

    def stop_at_once(self: StopRequest) -> StopRequest:
        enter(self)
        self.requested = "SIGTERM"
        return self

    enter = StopRequest.__enter__
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alarms, "Limits", functools.partial(Limits, first_step=20))
        patch.chdir(folder)
        printed["whole"] = train(
            *OPTIONS, "--data", data_file, "--steps", 30, "--run-name", "whole"
        )
        train(
            *OPTIONS, "--data", data_file, "--steps", 30, "--run-name", "seldom",
            "--no-tensorboard", "--sample-interval", 100, "--score-interval", 100,
        )  # fmt: skip
        for kind in ("images", "saved_models"):
            shutil.copytree(Path(kind, "whole"), Path(kind, "halves"))
        # Stopped before its first step, without the events of its past.
        shutil.rmtree(images / "halves" / "tensorboard")
        with pytest.MonkeyPatch.context() as stopping:
            stopping.setattr(StopRequest, "__enter__", stop_at_once)
            assert "stopped by SIGTERM at step 30" in train("--resume", "halves", "--steps", 40)
        pages["stopped"] = data_in(images / "halves" / "index.html")
        assert_same_curves(images / "halves")
        # Killed in the middle of a record, before the next checkpoint.
        for path in (folder / "saved_models" / "halves" / "checkpoints").iterdir():
            if path.stem > "step_0000015":
                path.unlink()
        with open(max((images / "halves" / "tensorboard").iterdir()), "ab") as file:
            file.write((64).to_bytes(8, "little") + b"half")
        printed["halves"] = train("--resume", "halves", "--steps", 30)
    for name in printed:
        pages[name] = data_in(images / name / "index.html")
    return folder, printed, pages


def test_the_page_of_a_training(runs):
    folder, _, pages = runs
    data, images = pages["whole"], folder / "images" / "whole"
    assert (data["name"], data["method"], data["is_running"]) == ("whole", "dcgan", False)
    assert data["grids"]["steps"] == [*range(0, 31, 5)]
    with open(images / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert data["plots"][0]["steps"] == [5, 10, 15, 20, 25, 30]
    losses = data["plots"][0]["series"][0]["values"]
    assert losses == pytest.approx([float(row["d_loss"]) for row in rows], rel=1e-4)
    assert data["grids"]["seconds"][1:] == [float(row["seconds"]) for row in rows]
    assert "answer (logit): median, and band of 5 to 95 %" in [
        plot["label"] for plot in data["plots"]
    ]
    assert {name for name, _ in data["links"]} == {
        "answers.png", "answers.csv", "augmented.png", "health.csv", "history.png", "history.csv",
        "architecture.png", "training.gif",
    }  # fmt: skip
    assert data["pictures"] == {"reals": "reals.png", "best_worst": "best-worst.png"}
    assert "dead generator" in [alarm["message"].partition(":")[0] for alarm in data["alarms"]]
    config = json.loads((folder / "saved_models" / "whole" / "config.json").read_text())
    assert ["device", config["device"]] in data["facts"]
    assert "CPU cores" in config["device"]
    differing = {row["option"]: row["default"] for row in data["options"] if row["differs"]}
    assert differing["--latent-dim"] == "100"
    assert "--latent-dim 5" in data["command"]
    assert not data["resumed"]


def assert_same_plots(one: dict, other: dict, *parts: str) -> None:
    for left, right in zip(one["plots"], other["plots"], strict=True):
        assert [left[part] for part in parts] == [right[part] for part in parts]
        # Files round to six digits, the page to five.
        for curve, again in zip(left["series"], right["series"], strict=True):
            assert curve["name"] == again["name"]
            assert curve["values"] == pytest.approx(again["values"], rel=2e-4)


def test_a_resumed_run_has_the_same_page(runs):
    _, _, pages = runs
    # Stopped before its first step, as complete as it was.
    assert_same_plots(pages["stopped"], pages["whole"], "label", "steps", "seconds", "limits")
    for part in ("grids", "last"):
        assert pages["stopped"][part] == pages["whole"][part]
    assert pages["stopped"]["resumed"]
    assert "--steps 40" in pages["stopped"]["command"]
    assert_same_plots(pages["halves"], pages["whole"], "label", "steps")
    assert pages["halves"]["resumed"]
    assert pages["halves"]["grids"]["steps"] == pages["whole"]["grids"]["steps"]
    assert pages["halves"]["alarms"] == pages["whole"]["alarms"]


def test_a_resumed_run_prints_the_same_alarm(runs):
    folder, printed, _ = runs
    for output in printed.values():
        assert [line for line in output.splitlines() if "dead generator" in line] == [
            "ALARM at step 25: dead generator: its samples change by 0 of 255 shades on average "
            "(since step 20). Try another --generator-learning-rate or a new run, as a network of "
            "dead units does not recover."
        ]
    for name in ("health.csv", "answers.csv", "best-worst.png"):
        one, other = ((folder / "images" / run / name).read_bytes() for run in printed)
        assert one == other
    assert (folder / "images" / "whole" / "health.csv").read_text().count("\n") == 8


def test_a_run_that_is_looked_at_more_often_is_the_same_run(runs):
    folder, _, _ = runs
    last = Path("checkpoints", "step_0000030.npz")
    models = folder / "saved_models"
    assert_same_state(models / "whole" / last, models / "seldom" / last)
    often, seldom = (read_answers(folder / "images" / name) for name in ("whole", "seldom"))
    kinds = ("training", "held out", "generated")
    assert list(often) == [(str(step), kind) for step in range(0, 31, 5) for kind in kinds]
    assert seldom == {key: often[key] for key in seldom}
    assert [step for step, _ in seldom] == 3 * ["0"] + 3 * ["30"]
    # 14 pictures to train on and 6 held out, in whole batches of 4.
    asked = {kind: row["pictures"] for (_, kind), row in seldom.items()}
    assert asked == {"training": "12", "held out": "4", "generated": "12"}


@pytest.mark.parametrize("name", ["whole", "halves"])
def test_event_files_are_the_history(runs, name):
    folder, _, _ = runs
    images = folder / "images" / name
    assert_same_curves(images)
    assert_same_grids(images, [*range(0, 31, 5)])
    assert len(list((images / "tensorboard").iterdir())) == (1 if name == "whole" else 3)

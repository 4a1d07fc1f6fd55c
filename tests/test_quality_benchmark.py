"""benchmarks/quality.py: seconds to steps, what counts, the table, and runs made in legs."""

from __future__ import annotations

import importlib
import json
import math
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks import quality
from benchmarks.quality import Contestant, Moment, Row, Run, Setting
from benchmarks.tables import pooled_deviation
from benchmarks.trainings import (
    AVERAGED,
    Command,
    Ended,
    Training,
    lock_folder,
    read_json,
    run_all,
    write_json,
)
from tests.conftest import blobs
from utils.common.errors import UserError
from utils.data.hdf5 import write_dataset
from utils.training.arguments import parse_command_line

SETTING = Setting("mechas", 64, "float32")
EVERYONE = quality.contestants(64)
BY_NAME = {each.name: each for each in EVERYONE}
FLOOR = {"kid": 1.0, "swd": 8.0, "coverage": 0.96, "recall": 0.95, "sharpness": 1.0, "copies": 0.0}


def scores(kid: float, swd: float = 20.0, **others: float) -> dict[str, float]:
    return {
        "kid": kid, "swd": swd, "coverage": 0.75, "recall": 0.5, "sharpness": 0.9,
        "diversity": 0.25, "diversity_reals": 0.2, "closeness": 1.0, "copies": 0.0,
    } | others  # fmt: skip


def row(name: str, *kids: float, swds: tuple[float, ...] = (20.0,), **others: float) -> Row:
    """At 30, 60 and 120 s as far as there are values of SWD; KID is the same throughout."""
    known = [Moment(seconds, int(10 * seconds)) for seconds in (30, 60, 120)][-len(swds) :]
    found = {
        seed: {
            moment.steps: scores(kid, swd, **others)
            for moment, swd in zip(known, swds, strict=True)
        }
        for seed, kid in enumerate(kids)
    }
    return Row(BY_NAME[name], 0.1, tuple(known), found, {})


# ------------------------------------------------------------------------------------------------
# Contestants
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("contestant", EVERYONE, ids=lambda each: each.slug)
@pytest.mark.parametrize("size", [32, 64, 256])
def test_scripts_know_the_options_of_every_contestant(contestant, size):
    contestant = next(e for e in quality.contestants(size) if e.name == contestant.name)
    setting = Setting("mechas", size, "bfloat16")
    script = importlib.import_module(contestant.script.removesuffix(".py"))
    h, *_ = parse_command_line(script.Hyperparameters, "", contestant.arguments(setting))
    assert (h.image_size, h.score, h.holdout) == (size, "none", 0.2)
    assert h.precision == ("float32" if contestant.has_own_precision else "bfloat16")


def test_our_width_is_that_of_the_scripts():
    for script, flags in quality.OUR_WIDTH.items():
        hyperparameters = importlib.import_module(script.removesuffix(".py")).Hyperparameters
        h, *_ = parse_command_line(hyperparameters, "", flags.split())
        assert h == hyperparameters()


def test_names_of_runs_are_different():
    slugs = [each.slug for each in EVERYONE]
    assert len(set(slugs)) == len(slugs)
    recipes = [each.recipe for each in EVERYONE if each.recipe]
    assert len(recipes) == 2 * len(set(recipes)) == 2 * len(quality.HISTORICAL)


def test_lists_of_widths_lose_those_of_the_largest_maps():
    as_it_is, at_our_width = quality.historical("dcgan.py", "gandam-v2", "", 64)
    assert "--generator-filters 2048 2048 1024 512 256 --dis" in as_it_is.flags
    assert as_it_is.flags.endswith("--discriminator-filters 128 256 512 1024 2048 2048")
    assert at_our_width.name == "gandam-v2 dcgan, our width"
    assert at_our_width.recipe == as_it_is.recipe == as_it_is.name == "gandam-v2 dcgan"
    assert quality.historical("dcgan.py", "gandam-v2", "", 256)[0].flags == "--preset gandam-v2 "


def test_contestants_are_chosen_by_name_or_recipe():
    assert quality.chosen_contestants(None, 64) == EVERYONE
    found = quality.chosen_contestants(["Radford DCGAN", "default"], 64)
    assert [each.name for each in found] == [
        "default", "radford dcgan", "radford dcgan, our width"
    ]  # fmt: skip
    found = quality.chosen_contestants(["radford dcgan, our width"], 64)
    assert [each.name for each in found] == ["radford dcgan, our width"]
    with pytest.raises(UserError, match=r"^--only 'radfort': no such contestant; there are defau"):
        quality.chosen_contestants(["radfort"], 64)


# ------------------------------------------------------------------------------------------------
# Seconds, steps, moments
# ------------------------------------------------------------------------------------------------


def test_moments_and_their_steps():
    assert quality.moments(300, 0.04) == (
        (30, 750), (60, 1500), (120, 3000), (180, 4500), (240, 6000), (300, 7500),
    )  # fmt: skip
    assert [m.seconds for m in quality.moments(1200, 1)] == [
        30, 60, 120, 180, 240, 300, 600, 900, 1200
    ]  # fmt: skip
    assert [m.seconds for m in quality.moments(100, 1)] == [30, 60, 100]
    assert quality.moments(2, 7.0) == ((2, 1),)  # never less than a step


def test_the_default_is_timed_by_its_quiet_turns():
    assert quality.quiet_seconds([0.09, 0.03, 0.05, 0.9, 0.04, 0.08]) == pytest.approx(0.035)
    assert quality.quiet_seconds([0.09, 0.08]) == 0.08


def times(folder: Path, *measured: Contestant) -> None:
    """As `calibrate` leaves them: the second contestant takes twice as long as the default."""
    entries = {
        each.name: {
            "command": [each.script, *each.arguments(SETTING)],
            "turns": [0.03 * number, 0.3 * number, 0.05 * number],
            "default": [0.03, 0.3, 0.05],
        }
        for number, each in enumerate(measured, start=1)
    }
    known = {"data": "mechas", "size": 64, "precision": "float32", "cores": 2}
    write_json(
        folder / "step_times.json", known | {"default_seconds": 0.04, "contestants": entries}
    )


def test_seconds_become_steps_and_seed_0_of_all_comes_first(tmp_path):
    default, radford = BY_NAME["default"], BY_NAME["radford dcgan"]
    times(tmp_path, default, radford)
    runs = quality.order_of_work([default, radford, BY_NAME["24 filters"]], 2, 60, tmp_path)
    assert [(run.name, *run.last) for run in runs] == [
        ("default-0", 60, 1500), ("radford-dcgan-0", 60, 750),
        ("default-1", 60, 1500), ("radford-dcgan-1", 60, 750),
    ]  # fmt: skip
    changed = Contestant("default", "--latent-dim 7")  # was timed with other options
    assert quality.order_of_work([changed], 1, 60, tmp_path) == []
    assert quality.order_of_work([default], 1, 60, tmp_path / "empty") == []


def test_contestants_are_timed_once_and_refused_ones_named(tmp_path, monkeypatch):
    (tmp_path / "logs").mkdir()
    asked = []

    def timed(arguments, log, cores, environment):
        asked.append(arguments)
        assert len(cores) == 1
        assert environment["TF_NUM_INTRAOP_THREADS"] == "1"
        if arguments[arguments.index("--time") + 1] == "0":
            return {"precision": "float32"}
        names = arguments[arguments.index("--only") + 1 :]
        # The machine slows down tenfold; the others take twice as long as the default.
        found = {name: [0.08, 0.8, 0.08] for name in names} | {"default": [0.04, 0.4, 0.04]}
        return found | ({"rate 2e-4": "no such option"} if "rate 2e-4" in names else {})

    monkeypatch.setattr(quality, "timed_elsewhere", timed)
    quality.settle(tmp_path, "mechas", 64, "", 1)
    chosen = [BY_NAME[name] for name in ("default", "rate 2e-4", "batch 32")]
    assert quality.calibrate(tmp_path, chosen, 3, None) == {"rate 2e-4": "no such option"}
    assert len(asked) == 2
    assert asked[1][5:] == [
        "--precision", "float32", "--time", "3", "--only", "default", "rate 2e-4", "batch 32"
    ]  # fmt: skip
    known = read_json(tmp_path / "step_times.json")
    assert known["refused"] == {"rate 2e-4": "no such option"}
    assert known["default_seconds"] == pytest.approx(0.04)
    assert quality.step_seconds(known, BY_NAME["batch 32"]) == pytest.approx(0.08)
    # Nothing is timed twice, and who comes later is measured by the same yardstick.
    quality.calibrate(tmp_path, [chosen[0], chosen[2]], 3, 7.0)
    assert len(asked) == 2
    quality.calibrate(tmp_path, [BY_NAME["24 filters"]], 3, 7.0)
    assert asked[2][-1] == "24 filters"
    known = read_json(tmp_path / "step_times.json")
    assert quality.step_seconds(known, BY_NAME["24 filters"]) == pytest.approx(0.08)


def test_a_folder_keeps_its_setting(tmp_path):
    quality.settle(tmp_path, "mechas", 64, "", 2)
    quality.settle(tmp_path, "mechas", 64, "bfloat16", 2)
    quality.settle(tmp_path, "mechas", 64, "", 2)
    with pytest.raises(UserError, match=r"^--size 32: .* holds runs of 64; choose another --fold"):
        quality.settle(tmp_path, "mechas", 32, "", 2)
    with pytest.raises(UserError, match=r"^--precision float32: .* holds runs of bfloat16; "):
        quality.settle(tmp_path, "mechas", 64, "float32", 2)


# ------------------------------------------------------------------------------------------------
# One run: played with processes that only leave what the scripts would
# ------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path) -> Run:
    for kind in ("logs", "results"):
        (tmp_path / kind).mkdir()
    return Run(BY_NAME["batch 32"], 1, SETTING, 0.1, quality.moments(120, 0.1), tmp_path)


def leave_checkpoint(run: Run, step: int) -> None:
    folder = run.folder / "models" / run.name / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"step_{step:07d}.npz").touch()


def score(work, scoring, kid: float):
    scoring.output.write_text(json.dumps(scores(kid)))
    return work.send(Ended(0, 1.0))


def evaluation(kid: float) -> str:
    return json.dumps([{"scores": {AVERAGED: scores(kid)}, "floor": FLOOR}])


def test_a_run_is_trained_from_moment_to_moment(run):
    work = run.carry_out()
    first = next(work).arguments
    assert first[:3] == ["dcgan.py", "--batch-size", "32"]
    assert " ".join(first).endswith(
        "--seed 1 --steps 300 --run-name batch-32-1 "
        f"--images-dir {run.folder}/images --models-dir {run.folder}/models"
    )
    leave_checkpoint(run, 300)
    scoring = work.send(Ended(0, 40.0))
    assert scoring.arguments == [
        "benchmarks/quality.py", "--score", "batch-32-1", "--folder", str(run.folder)
    ]  # fmt: skip
    second = score(work, scoring, 90.0).arguments
    assert second[:5] == ["dcgan.py", "--resume", "batch-32-1", "--steps", "600"]
    leave_checkpoint(run, 600)
    third = score(work, work.send(Ended(0, 41.0)), 80.0).arguments
    assert third[3:5] == ["--steps", "1200"]
    leave_checkpoint(run, 1200)
    scoring = work.send(Ended(0, 82.0))
    assert scoring.arguments[:3] == ["evaluate.py", "batch-32-1", "--json"]
    assert not run.is_done()
    scoring.output.write_text(evaluation(70.0))
    with pytest.raises(StopIteration) as end:
        work.send(Ended(0, 1.0))
    assert end.value.value == ""
    assert run.is_done()
    assert run.outcome() == "kid 70, swd 20.0"
    assert {steps: x["kid"] for steps, x in run.scores().items()} == {300: 90, 600: 80, 1200: 70}
    assert run.state()["cpu_seconds"] == 163.0

    # With more seconds it goes on from there; with fewer, that moment is known.
    longer = Run(run.contestant, 1, SETTING, 0.1, quality.moments(180, 0.1), run.folder)
    assert not longer.is_done()
    arguments = next(longer.carry_out()).arguments
    assert arguments[:5] == ["dcgan.py", "--resume", "batch-32-1", "--steps", "1800"]
    shorter = Run(run.contestant, 1, SETTING, 0.1, quality.moments(60, 0.1), run.folder)
    assert shorter.is_done()
    # What was passed without a score cannot be had any more.
    between = Run(run.contestant, 1, SETTING, 0.1, quality.moments(100, 0.1), run.folder)
    with pytest.raises(StopIteration) as end:
        next(between.carry_out())
    assert end.value.value == "has made more than its 1000 steps: take another --folder"


def test_a_stopped_run_goes_on_where_it_was(run):
    work = run.carry_out()
    next(work)
    leave_checkpoint(run, 300)
    score(work, work.send(Ended(0, 40.0)), 90.0)
    leave_checkpoint(run, 450)
    run.log.write_text("stopped by SIGTERM\n")
    with pytest.raises(StopIteration) as end:
        work.send(Ended(0, 20.0))
    assert end.value.value == "ended with 0: stopped by SIGTERM"
    again = run.carry_out()
    assert next(again).arguments[1:5] == ["--resume", "batch-32-1", "--steps", "600"]
    leave_checkpoint(run, 600)
    assert again.send(Ended(0, 20.0)).arguments[1] == "--score"
    # Killed while it was scored: not trained again.
    assert next(run.carry_out()).arguments[1] == "--score"
    assert run.state()["cpu_seconds"] == 80.0


def test_a_loss_that_became_nan_is_an_end(run):
    work = run.carry_out()
    next(work)
    leave_checkpoint(run, 300)
    score(work, work.send(Ended(0, 40.0)), 90.0)
    run.log.write_text("dcgan.py: error: g_loss became nan at step 400: lower ...\n")
    with pytest.raises(StopIteration) as end:
        work.send(Ended(1, 10.0))
    assert end.value.value == ""
    assert run.is_done()
    (found,), _ = quality.collect([run])
    assert found.errors == {1: "dcgan.py: error: g_loss became nan at step 400: lower ..."}
    assert found.curve("kid") == [(30, 90.0)]
    assert math.isnan(found.mean("kid"))


def test_a_schedule_ends_with_the_training(tmp_path):
    contestant = Contestant("scheduled", "--batch-size 8", schedule="--schedule-steps")
    run = Run(contestant, 0, SETTING, 0.1, quality.moments(60, 0.1), tmp_path)
    assert run.command()[-4:] == ["--schedule-steps", "600", "--seed", "0"]


# ------------------------------------------------------------------------------------------------
# What came of it
# ------------------------------------------------------------------------------------------------


def test_excess_over_the_floor_beside_anothers():
    assert quality.excess_ratio(18.0, 28.0, 8.0) == 0.5
    assert quality.excess_ratio(8.0, 28.0, 8.0) == 0
    assert math.isnan(quality.excess_ratio(18.0, 8.0, 8.0))


def test_the_second_at_which_a_score_was_reached():
    curve = [(30, 40.0), (60, 30.0), (120, 10.0)]
    assert quality.second_reached(curve, 30.0) == 60
    assert quality.second_reached(curve, 25.0) == 75  # a quarter of the way from 60 to 120
    assert quality.second_reached(curve, 45.0) == 30
    assert math.isnan(quality.second_reached(curve, 9.0))
    # The first time counts, even if it got worse again.
    assert quality.second_reached([(30, 40.0), (60, 20.0), (120, 35.0)], 30.0) == 45


def test_curves_are_means_over_the_seeds_that_got_there():
    found = row("default", 100.0, 90.0, swds=(30.0, 20.0))
    del found.scores[1][1200]
    found.scores[1][600]["swd"] = 40.0
    assert found.curve("swd") == [(60, 35.0), (120, 20.0)]
    assert found.mean("kid") == 100.0


def test_the_better_form_counts_copies_and_failures_come_last():
    failed = row("48 filters", 1.0)
    failed.scores, failed.errors = {0: {}}, {0: "g_loss became nan"}
    rows = quality.ranked(
        [
            row("radford dcgan", 300.0),
            row("default", 90.0),
            failed,
            row("radford dcgan, our width", 120.0),
            row("24 filters", 5.0, closeness=0.59),
            row("batch 32", 6.0, copies=0.06),
            row("always", 80.0, closeness=0.61, copies=0.05),
            row("keras-gan dcgan", 110.0),
        ],
        FLOOR,
    )
    assert [each.contestant.name for each in rows] == [
        "always", "default", "keras-gan dcgan", "radford dcgan, our width",
        "24 filters", "batch 32", "48 filters",
    ]  # fmt: skip
    assert rows[3].beaten.contestant.name == "radford dcgan"
    assert quality.best_historical(rows, FLOOR, "kid").contestant.name == "keras-gan dcgan"
    assert quality.best_historical(rows[:2], FLOOR, "kid") is None
    # As many real pictures are as near to training pictures: no copies.
    assert rows[5].copies(FLOOR) == [0]
    assert rows[5].copies(FLOOR | {"copies": 0.03}) == []


def test_table_and_verdict():
    failed = row("48 filters", 1.0)
    failed.scores, failed.errors = {0: {}}, {0: "g_loss became nan"}
    half = row("24 filters", 50.0, swds=(30.0, 20.0))
    del half.scores[0][1200]
    rows = quality.ranked(
        [
            row("default", 80.0, 90.0, swds=(33.0, 23.0, 13.0)),
            row("always", 92.0, 94.0, swds=(50.0, 40.0, 30.0), diversity=0.6),
            row("radford dcgan", 300.0, swds=(60.0, 50.0, 40.0)),
            row("radford dcgan, our width", 99.0, 101.0, swds=(38.0, 33.0, 28.0)),
            row("batch 32", 5.0, 5.0, closeness=0.3),
            failed,
            half,
        ],
        FLOOR,
    )
    lines = quality.table(rows, FLOOR, seeds=2).splitlines()
    assert lines[0] == (
        "| contestant | s a step | steps | `kid` | `swd` | excess `swd` | of the best historical's "
        "| `coverage` | `recall` | `sharpness` | its `swd` after |  |"
    )
    # 28 is reached half way between 33 at 30 s and 23 at 60 s; (13 - 8) / (28 - 8).
    assert lines[2] == (
        "| default | 0.1 | 1,200 | 85 (80 to 90) | 13.0 (13.0 to 13.0) | 5.0 | 0.25 | "
        "0.75 (0.75 to 0.75) | 0.50 (0.50 to 0.50) | 0.90 (0.90 to 0.90) | 45 s |  |"
    )
    assert lines[3].endswith("| never | collapsed (2 of 2) |")
    assert lines[4].startswith("| *radford dcgan, our width* | 0.1 | 1,200 | 100 (99 to 101) |")
    assert "| 20.0 | 1.00 |" in lines[4]
    assert lines[4].endswith("| 120 s | as it is: kid 300 |")
    assert lines[5].startswith("| batch 32 |")
    assert lines[5].endswith("| 120 s | **out: copies** (2 of 2) |")
    assert [line.split(" | ", 1)[0] for line in lines[6:]] == [
        "| 48 filters", "| 24 filters", "| real pictures"
    ]  # fmt: skip
    assert lines[6].endswith("|  | became NaN (1 of 1); 1 of 2 seeds |")
    assert lines[7].endswith("|  | at 60 s |")
    assert lines[8] == "| real pictures |  |  | 1 | 8.0 |  |  | 0.96 | 0.95 | 1.00 |  |  |"
    assert len({line.count("|") for line in lines}) == 1

    # By KID, 10 and 2 apart in pairs, the collapsed pair left out, the copies' pair equal:
    # sqrt((2 * 25 + 2 * 1 + 0) / 3) = 4.16; of means of two, twice that.
    assert quality.deviation(rows, "kid") == pytest.approx(math.sqrt(52 / 3))
    assert quality.verdict(rows, FLOOR, {"r3gan": "No module named 'r3gan'"}).splitlines() == [
        "* Least mean `kid`: default, 85.",
        "* Not to be told apart from it: always.",
        "* Best historical recipe by `kid`: radford dcgan, our width, 100.",
        "* Best historical recipe by `swd`: radford dcgan, our width, 28.0.",
        "* Out because of copies: batch 32.",
        "* Ended in an error: 48 filters (seed 0: g_loss became nan).",
        "* Left out: r3gan (No module named 'r3gan').",
    ]
    text = quality.footnote(rows, 120, SETTING, 2)
    assert "What 120 seconds of this machine (2 cores, by the clock, steps alone) reach" in text
    assert "`kid` 4.2 (8.3)," in text
    single = quality.footnote(rows[-1:], 120, SETTING, 2)
    assert single.endswith("two seeds of a contestant that neither collapsed nor failed.")


def test_deviation_is_pooled():
    assert pooled_deviation([[1.0, 3.0], [5.0, 5.0, 8.0], [9.0]]) == pytest.approx(math.sqrt(8 / 3))
    assert math.isnan(pooled_deviation([[1.0]]))


# ------------------------------------------------------------------------------------------------
# The pictures
# ------------------------------------------------------------------------------------------------


def test_grids_stand_side_by_side_under_their_labels():
    colours = ([255, 0, 0], [0, 0, 255], [0, 255, 0])
    grids = [np.full((10, 40, 3), colour, np.uint8) for colour in colours]
    picture = quality.draw_grids([("a", grids[0]), ("b", grids[1]), ("c", grids[2])], 2)
    strip = 26  # above each
    assert picture.shape == (2 * (10 + strip + 10) + 10, 2 * 50 + 10, 3)
    assert (picture[36:46, 10:50] == colours[0]).all()
    assert (picture[36:46, 60:100] == colours[1]).all()
    assert (picture[82:92, 10:50] == colours[2]).all()
    assert (picture[10:36, 10:50] < 128).any()
    assert (picture[56:, 60:100] == 255).all()


def test_curves_are_drawn(tmp_path):
    rows = [
        row("default", 80.0, swds=(30.0, 20.0, 13.0)),
        row("radford dcgan", -1.0, swds=(60.0, 50.0, 40.0)),  # no logarithm: left out there
    ]
    quality.draw_curves(tmp_path / "curves.png", rows, FLOOR)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


# ------------------------------------------------------------------------------------------------
# A real one, as small as can be
# ------------------------------------------------------------------------------------------------


@dataclass
class Question(Training):
    """A process that says in how many threads it computes, and on which cores."""

    folder: Path
    number: int
    name = property(lambda self: f"question-{self.number}")

    def command(self) -> list[str]:
        threads = "(os.environ[f'TF_NUM_{kind}OP_THREADS'] for kind in ('INTRA', 'INTER'))"
        return ["-c", f"import os; print(*{threads}, *sorted(os.sched_getaffinity(0)))"]

    def is_done(self) -> bool:
        return False

    def carry_out(self) -> Generator[Command, Ended, str]:
        yield Command(self.command(), self.log)
        return ""

    def outcome(self) -> str:
        return "answered"


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores to share out",
)
def test_runs_at_a_time_share_the_cores(tmp_path):
    first, second = sorted(os.sched_getaffinity(0))[:2]
    (tmp_path / "logs").mkdir()

    def answers(number: int, *rest: list[int]) -> list[str]:
        questions = [Question(tmp_path, each) for each in range(number)]
        with lock_folder(tmp_path) as lock:
            assert run_all(questions, number, lock, *rest) == 0
        found = [each.log.read_text().split() for each in questions]
        for each in questions:
            each.clear()
        return found

    assert answers(1, [first, second]) == [["2", "2", str(first), str(second)]]
    assert answers(2, [first, second]) == [["1", "1", str(first)], ["1", "1", str(second)]]
    # Where nothing is said, a core each.
    assert answers(1) == [["1", "1", str(first)]]


def test_a_real_run_is_timed_trained_in_legs_and_scored(tmp_path):
    data = tmp_path / "blobs-32.h5"
    write_dataset(data, blobs(250), [f"blob {i}" for i in range(250)], made_by="a test")
    folder = tmp_path / "quality"
    for kind in ("logs", "results"):
        (folder / kind).mkdir(parents=True)
    setting = Setting(str(data), 32, "float32")
    tiny = Contestant(
        "tiny", "--generator-filters 2 --discriminator-filters 2 --batch-size 4 --latent-dim 5"
    )
    found = quality.time_contestants(
        [tiny, Contestant("unknown", "--augmentatoin 1"), Contestant("absent", script="no_gan.py")],
        setting, 1,
    )  # fmt: skip
    assert len(found["tiny"]) == len(found["default"]) == 1
    assert found["tiny"][0] > 0
    assert found["unknown"].startswith("--augmentatoin: no such option")
    assert found["absent"] == "No module named 'no_gan'"

    quality.settle(folder, setting.data, 32, "float32", 1)
    known = read_json(folder / "step_times.json")
    known |= {"default_seconds": 10.0, "contestants": {
        "tiny": {"command": ["dcgan.py", *tiny.arguments(setting)], "turns": [1], "default": [1]}
    }}  # fmt: skip
    write_json(folder / "step_times.json", known)
    (run,) = quality.order_of_work([tiny], 1, 60, folder)
    assert run.moments == ((30, 3), (60, 6))
    with lock_folder(folder) as lock:
        assert run_all([run], 1, lock) == 0, run.log.read_text()
    assert set(run.scores()) == {3, 6}
    assert all(math.isfinite(value) for value in run.scores()[3].values())
    assert "copies" not in run.scores()[3]
    # The quick scores are those of evaluate.py.
    again = quality.score_run(run.name, folder)
    assert again == {name: pytest.approx(run.scores()[6][name], rel=1e-4) for name in again}
    quality.report(folder, [tiny], 1, 60)
    for name in ("table.md", "curves.png", "grids.png", "moments.png"):
        assert (folder / name).exists(), name
    assert (folder / "table.md").read_text().count("\n| tiny | 10 | 6 |") == 1

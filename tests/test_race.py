"""benchmarks/race: seconds to steps, runs made in legs, what counts as a difference."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import dcgan
from benchmarks.race import pictures, race, tables, timing
from benchmarks.race.contestants import Contestant, chosen
from benchmarks.race.files import lock_folder, read_json, write_json
from benchmarks.race.processes import run_all
from benchmarks.race.race import Race
from benchmarks.race.rows import collect, deviation, least_difference, pooled_deviation
from benchmarks.race.runs import AVERAGED, CURRENT, Command, Ended, Moment, Run, Work
from tests.conftest import REPOSITORY, blobs, run_script
from tests.racing import FLOOR, leave_checkpoint, make_folders, row, scores
from utils.common.errors import RunError, UserError
from utils.data.hdf5 import write_dataset
from utils.training.arguments import parse_command_line

DEFAULT, OTHER = Contestant("default"), Contestant("batch 32", "--batch-size 32")
THIRD, UNKNOWN = Contestant("24 filters", "--generator-filters 24"), Contestant("x", "--y 1")
PAPER, FITTED = (Contestant(name, recipe="paper dcgan") for name in ("Paper DCGAN", "fitted"))

needs_two_cores = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="needs two cores to share out",
)


def make_race(folder: Path, **changes: Any) -> Race:
    return Race(
        **{
            "folder": folder, "baseline": DEFAULT, "options": ["--data", "my set.h5"],
            "settings": {"size": 64}, "clock": "wall", "cores": 1, "turn_seconds": 0.5,
            "timed_at_once": 2, "scored_at": (30, 60, 120, 180),
        } | changes
    )  # fmt: skip


def test_contestants_are_chosen_by_name_or_recipe():
    everyone = [DEFAULT, PAPER, FITTED]
    assert chosen(everyone, None) == everyone
    assert chosen(everyone, ["paper dcgan", "default"]) == everyone
    assert chosen(everyone, ["Fitted"]) == [FITTED]
    with pytest.raises(UserError, match=r"^--only 'fited': no such contestant; there are default;"):
        chosen(everyone, ["default", "fited"])
    assert Contestant("wgan penalty + minibatch, 2").slug == "wgan-penalty-minibatch-2"


# ------------------------------------------------------------------------------------------------
# Seconds to steps
# ------------------------------------------------------------------------------------------------


def test_the_baseline_is_timed_by_its_quiet_turns():
    assert timing.quiet_seconds([0.09, 0.03, 0.05, 0.9, 0.04, 0.08]) == pytest.approx(0.035)
    assert timing.quiet_seconds([0.09, 0.08]) == 0.08


def played_timing(monkeypatch, asked: list[dict[str, Any]]) -> None:
    """The machine slows down tenfold; the others take twice as long as the baseline."""

    def timed(arguments: list[str], log: Path, cores: list[int | None]) -> dict[str, Any]:
        assert (arguments[0], log.name, len(cores)) == ("steps", "timing.log", 1)
        asked.append(json.loads(arguments[1]))
        found = {name: [0.08, 0.8, 0.08] for name in asked[-1]["commands"]}
        found[DEFAULT.name] = [0.04, 0.4, 0.04]
        return found | ({"x": "no such option"} if "x" in found else {})

    monkeypatch.setattr(race, "timed_elsewhere", timed)


def test_seconds_become_steps_and_seed_0_of_all_comes_first(tmp_path, monkeypatch, capsys):
    held, asked = make_race(tmp_path), []
    played_timing(monkeypatch, asked)
    assert held.runs([DEFAULT], 1, 60) == []  # not timed yet
    held.calibrate([OTHER, UNKNOWN, THIRD], 3)
    assert "x: left out: no such option" in capsys.readouterr().out
    assert [list(each["commands"]) for each in asked] == [
        ["default", "batch 32", "x"], ["default", "24 filters"]
    ]  # fmt: skip
    assert asked[0] == asked[0] | {"turns": 3, "turn_seconds": 0.5, "clock": "wall"}
    command = ["dcgan.py", "--data", "my set.h5", "--batch-size", "32"]
    assert asked[0]["commands"]["batch 32"] == command
    known = read_json(held.step_times)
    assert (known["refused"], known["yardstick"]) == ({"x": "no such option"}, 0.04)

    # Nothing is timed twice but what was refused, and a later contestant has the same yardstick.
    held.calibrate([DEFAULT, OTHER, UNKNOWN, THIRD], 3, 7.0)
    assert [list(each["commands"]) for each in asked[2:]] == [["default", "x"]]
    runs = held.runs([DEFAULT, OTHER, UNKNOWN], 2, 60)
    assert [(run.name, *run.last) for run in runs] == [
        ("default-0", 60, 1500), ("batch-32-0", 60, 750),
        ("default-1", 60, 1500), ("batch-32-1", 60, 750),
    ]  # fmt: skip
    assert runs[3].command == [*command, "--seed", "1"]
    assert runs[1].step_seconds == pytest.approx(0.08)
    changed = dataclasses.replace(OTHER, flags="--latent-dim 7")  # was timed with other options
    assert held.runs([changed], 1, 60) == []


def test_a_known_yardstick_counts_and_a_baseline_is_needed(tmp_path, monkeypatch):
    held = make_race(tmp_path)
    played_timing(monkeypatch, [])
    held.calibrate([OTHER], 3, 7.0)
    assert held.runs([OTHER], 1, 60)[0].step_seconds == 14.0
    monkeypatch.setattr(race, "timed_elsewhere", lambda *_: {"default": "no --data", "x": [1]})
    with pytest.raises(RunError, match=r"^default cannot be timed: no --data$"):
        held.calibrate([UNKNOWN], 3)


def test_moments_and_their_steps(tmp_path, monkeypatch):
    held = make_race(tmp_path, options=[])
    played_timing(monkeypatch, [])
    held.calibrate([DEFAULT], 3)

    def moments(seconds: float) -> tuple[Moment, ...]:
        return held.runs([DEFAULT], 1, seconds)[0].moments

    assert moments(120) == ((30, 750), (60, 1500), (120, 3000))
    assert [moment.seconds for moment in moments(200)] == [30, 60, 120, 180, 200]
    assert moments(0.01) == ((0.01, 1),)  # never less than a step
    scheduled = dataclasses.replace(DEFAULT, schedule="--schedule-steps")
    (run,) = held.runs([scheduled], 1, 60)
    assert run.command == ["dcgan.py", "--schedule-steps", "1500", "--seed", "0"]


def test_a_folder_keeps_its_settings(tmp_path):
    make_race(tmp_path).settle()
    make_race(tmp_path, settings={"size": 64, "cores": 2}).settle()
    for option, value, was in (("size", 32, 64), ("cores", 1, 2)):
        with pytest.raises(
            UserError, match=rf"^--{option} {value}: .* holds runs of {was}; choose another --fold"
        ):
            make_race(tmp_path, settings={option: value}).settle()


@needs_two_cores
def test_steps_are_timed_in_a_process_on_its_cores(tmp_path, monkeypatch):
    seen = []
    start = timing.subprocess.Popen

    def noted(*arguments: Any, **others: Any) -> Any:
        seen.append((others["env"]["TF_NUM_INTRAOP_THREADS"], os.sched_getaffinity(0)))
        return start(*arguments, **others)

    monkeypatch.setattr(timing.subprocess, "Popen", noted)
    everywhere = os.sched_getaffinity(0)
    nothing = json.dumps({"commands": {}, "turns": 1, "turn_seconds": 0, "clock": "wall"})
    assert timing.timed_elsewhere(["steps", nothing], tmp_path / "log", [max(everywhere)]) == {}
    assert seen == [("1", {max(everywhere)})]
    assert os.sched_getaffinity(0) == everywhere
    with pytest.raises(RunError, match=r"could not be timed: TypeError: .* \(see .*log\)$"):
        timing.timed_elsewhere(["steps", "{}"], tmp_path / "log", [None])


# ------------------------------------------------------------------------------------------------
# One run: played with processes that only leave what the scripts would
# ------------------------------------------------------------------------------------------------


def make_run(folder: Path, *seconds: float) -> Run:
    moments = tuple(Moment(each, int(10 * each)) for each in seconds)
    command = ["dcgan.py", "--batch-size", "32", "--seed", "1"]
    return Run(OTHER, 1, command, 0.1, moments, folder)


@pytest.fixture
def run(tmp_path) -> Run:
    return make_run(make_folders(tmp_path), 30, 60, 120)


def evaluation(kid: float) -> dict[str, Any]:
    return {"scores": {AVERAGED: scores(kid), CURRENT: scores(2 * kid)}, "floor": FLOOR}


def leave_scores(command: Command, kid: float) -> Ended:
    assert command.arguments[:3] == ["evaluate.py", "batch-32-1", "--json"]
    command.output.write_text(json.dumps([evaluation(kid)]))
    return Ended(0, 1.0)


def end_of(step: Callable[[], Command]) -> str:
    with pytest.raises(StopIteration) as end:
        step()
    return end.value.value


def test_a_run_is_trained_from_moment_to_moment(run):
    work = run.carry_out()
    folders = f"--images-dir {run.folder}/images --models-dir {run.folder}/models"
    assert " ".join(next(work).arguments) == (
        f"dcgan.py --batch-size 32 --seed 1 --run-name batch-32-1 --steps 300 {folders}"
    )
    leave_checkpoint(run, 300)
    second = work.send(leave_scores(work.send(Ended(0, 40.0)), 90.0)).arguments
    assert " ".join(second) == f"dcgan.py --resume batch-32-1 --steps 600 {folders}"
    leave_checkpoint(run, 600)
    third = work.send(leave_scores(work.send(Ended(0, 41.0)), 80.0)).arguments
    assert third[3:5] == ["--steps", "1200"]
    leave_checkpoint(run, 1200)
    scoring = work.send(Ended(0, 82.0))
    assert not run.is_done()
    assert end_of(lambda: work.send(leave_scores(scoring, 70.0))) == ""
    assert run.is_done()
    assert run.outcome() == "kid 70, swd 20.0, coverage 0.75"
    (found,), floor = collect([run])
    assert found.curve("kid") == [(30, 90), (60, 80), (120, 70)]
    assert found.current[1]["kid"] == 140
    assert (found.cpu_seconds, floor) == ({1: 163.0}, FLOOR)

    # With more seconds it goes on from there; with fewer, that moment is known.
    longer = make_run(run.folder, 30, 60, 120, 180)
    assert not longer.is_done()
    arguments = next(longer.carry_out()).arguments
    assert arguments[:5] == ["dcgan.py", "--resume", "batch-32-1", "--steps", "1800"]
    assert make_run(run.folder, 30, 60).is_done()
    # What was passed without a score cannot be had any more.
    work = make_run(run.folder, 30, 100).carry_out()
    assert end_of(lambda: next(work)) == "has made more than its 1000 steps: take another --folder"
    # With other options it is another run, which begins with an empty folder.
    other = dataclasses.replace(run, command=["dcgan.py", "--seed", "1"])
    assert not other.is_done()
    assert "--resume" not in next(other.carry_out()).arguments
    assert not (run.folder / "models" / run.name).exists()


def test_a_stopped_run_goes_on_where_it_was(run):
    work = run.carry_out()
    next(work)
    leave_checkpoint(run, 300)
    work.send(leave_scores(work.send(Ended(0, 40.0)), 90.0))
    leave_checkpoint(run, 450)
    run.log.write_text("45%\rstopped by SIGTERM\n\n")
    assert end_of(lambda: work.send(Ended(0, 20.0))) == "ended with 0: stopped by SIGTERM"
    again = run.carry_out()
    assert next(again).arguments[1:5] == ["--resume", "batch-32-1", "--steps", "600"]
    leave_checkpoint(run, 600)
    assert again.send(Ended(0, 20.0)).arguments[0] == "evaluate.py"
    # Killed while it was scored: not trained again.
    again = run.carry_out()
    assert next(again).arguments[0] == "evaluate.py"
    run.log.write_text("no memory\n")
    assert end_of(lambda: again.send(Ended(1, 1.0))) == "evaluate.py ended with 1: no memory"
    assert run.state()["cpu_seconds"] == 80.0


def test_a_run_killed_before_its_first_step_begins_anew(run):
    next(run.carry_out())
    leave_checkpoint(run, 0)
    assert "--resume" not in next(run.carry_out()).arguments
    assert not (run.folder / "models" / run.name).exists()


@pytest.mark.parametrize(
    ("line", "code", "is_kept"),
    [
        ("dcgan.py: error: g_loss became nan at step 7: lower ...", 1, True),
        ("dcgan.py: error: d_loss became -inf at step 7: lower ...", 1, True),
        ("dcgan.py: error: dense/kernel is no longer finite at step 7: lower ...", 1, True),
        ("dcgan.py: error: run x could not be written: No space left on device", 1, False),
        ("dcgan.py: error: --label-noise 7: must be from 0 to 0.5", 2, False),
    ],
)
def test_only_an_error_that_would_come_again_is_kept(run, line, code, is_kept):
    work = run.carry_out()
    next(work)
    leave_checkpoint(run, 300)
    work.send(leave_scores(work.send(Ended(0, 40.0)), 90.0))
    run.log.write_text(f"step 1\n{line}\n\n")
    reason = end_of(lambda: work.send(Ended(code, 1.0)))
    assert run.is_done() is is_kept
    assert reason == ("" if is_kept else f"ended with {code}: {line}")
    (found,), _ = collect([run])
    assert found.errors == ({1: line} if is_kept else {})
    assert found.curve("kid") == [(30, 90.0)]
    assert math.isnan(found.mean("kid"))


# ------------------------------------------------------------------------------------------------
# Several runs
# ------------------------------------------------------------------------------------------------


class Question(Run):
    """A process that says in how many threads it computes, and on which cores."""

    def carry_out(self) -> Work:
        threads = "(os.environ[f'TF_NUM_{kind}OP_THREADS'] for kind in ('INTRA', 'INTER'))"
        code = f"import os; print(*{threads}, *sorted(os.sched_getaffinity(0)))"
        yield Command(["-c", code], self.log)
        return "asked"


@needs_two_cores
def test_runs_at_a_time_share_the_cores(tmp_path):
    first, second = map(str, sorted(os.sched_getaffinity(0))[:2])
    make_folders(tmp_path)

    def answers(number: int, cores: int) -> list[list[str]]:
        questions = [
            Question(OTHER, seed, [], 0.1, (Moment(30, 300),), tmp_path) for seed in range(number)
        ]
        with lock_folder(tmp_path) as lock:
            assert run_all(questions, number, lock, cores) == number  # each gave a reason
            with pytest.raises(UserError, match=r"another benchmark, or a run .* is at work$"):
                lock_folder(tmp_path)
        found = [each.log.read_text().split() for each in questions]
        for each in questions:
            each.log.unlink()
        return found

    assert answers(1, 2) == [["2", "2", first, second]]
    # A core each, even where fewer are asked for.
    assert answers(2, 1) == [["1", "1", first], ["1", "1", second]]
    assert answers(1, 1) == [["1", "1", first]]


class Interruption(Run):
    """A process that sends Ctrl-C to the benchmark and waits for its own end."""

    def carry_out(self) -> Work:
        code = "import os, signal; os.kill(os.getppid(), signal.SIGINT); signal.pause()"
        ended = yield Command(["-c", code], self.log)
        self.result.write_text(str(ended.code))
        yield Command(["-c", "not reached"], self.log)
        return ""


@pytest.mark.skipif(not hasattr(signal, "pause"), reason="Windows has no such signals")
def test_ctrl_c_stops_the_runs_and_starts_no_other(tmp_path, capsys):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    make_folders(tmp_path)
    runs = [Interruption(OTHER, seed, [], 0.1, (Moment(30, 300),), tmp_path) for seed in range(2)]
    before = signal.getsignal(signal.SIGINT)
    with lock_folder(tmp_path) as lock, pytest.raises(KeyboardInterrupt):
        run_all(runs, 1, lock, 1)
    assert signal.getsignal(signal.SIGINT) is before
    assert runs[0].result.read_text() == str(-signal.SIGTERM)
    assert not runs[1].log.exists()
    assert "batch-32-0: stopping; once more ends it at once" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------
# What came of it
# ------------------------------------------------------------------------------------------------


def test_deviation_is_pooled_over_sound_contestants():
    assert pooled_deviation([[1.0, 3.0], [5.0, 5.0, 8.0], [9.0]]) == pytest.approx(math.sqrt(8 / 3))
    assert math.isnan(pooled_deviation([[1.0]]))
    first, second = row(DEFAULT, 10, 30), row(OTHER, 50, 50, 80)
    collapsed, ended = row(THIRD, 0, 90, likeness=0.9), row(PAPER, 0, 90)
    ended.errors = {2: "g_loss became nan"}
    # Squares 100 + 100 and 100 + 100 + 400, by 1 + 2.
    expected = math.sqrt(800 / 3)
    assert deviation([first, second, collapsed, ended], "kid") == pytest.approx(expected)
    assert least_difference([first, second], "kid") == pytest.approx(
        2 * expected * math.sqrt(2 / 3)
    )
    assert math.isnan(deviation([row(DEFAULT, 1.0)], "kid"))
    assert math.isnan(least_difference([], "kid"))
    # Five pictures: a fifth of the pairs is twice the same.
    assert row(DEFAULT, 1, likeness=0.361).collapsed == {0: pytest.approx(0.2, abs=0.01)}
    assert row(DEFAULT, 1, likeness=0.359).collapsed == {}


def test_curves_are_means_over_the_seeds_that_got_there():
    found = row(DEFAULT, 100.0, 90.0, swds=(30.0, 20.0))
    del found.scores[1][1200]
    found.scores[1][600]["swd"] = 40.0
    assert found.curve("swd") == [(60, 35.0), (120, 20.0)]
    assert found.mean("kid") == 100.0


def test_what_may_be_chance_is_said():
    rows = [row(DEFAULT, 84.0, 86.0), row(OTHER, 85.0, 88.0), row(THIRD, 95.0, 97.0)]
    # Squares 2, 4.5 and 2, by 3: 1.68 squared; of means of two, twice that.
    text = tables.chance(rows, ["kid", "swd"])
    assert "`kid` 1.7 (3.4), `swd` 0.00 (0.00). Of twenty contestants" in text
    assert tables.chance(rows[:1], ["kid"]) != tables.chance([row(DEFAULT, 1)], ["kid"])
    assert tables.chance([row(DEFAULT, 1)], ["kid"]).endswith("neither collapsed nor failed.")
    assert tables.leaders(rows, "kid", 2.9, "Least: {name}, {mean:.0f}") == [
        "* Least: default, 85.", "* Not to be told apart from it: batch 32."
    ]  # fmt: skip
    assert tables.leaders(rows, "kid", math.nan, "Least: {name}") == ["* Least: default."]


# ------------------------------------------------------------------------------------------------
# The pictures
# ------------------------------------------------------------------------------------------------


def test_grids_stand_side_by_side_under_their_labels(tmp_path):
    colours = ([255, 0, 0], [0, 0, 255], [0, 255, 0])
    grids = [np.full((5, 20, 3), colour, np.uint8) for colour in colours]
    pictures.draw_grids(tmp_path / "x.png", list(zip("abc", grids, strict=True)), 2, enlarged=2)
    picture = np.asarray(Image.open(tmp_path / "x.png"))
    strip = 26  # above each
    assert picture.shape == (2 * (10 + strip + 10) + 10, 2 * 50 + 10, 3)
    assert (picture[36:46, 10:50] == colours[0]).all()
    assert (picture[36:46, 60:100] == colours[1]).all()
    assert (picture[82:92, 10:50] == colours[2]).all()
    assert (picture[10:36, 10:50] < 128).any()
    assert (picture[56:, 60:100] == 255).all()
    pictures.draw_grids(tmp_path / "y.png", [])
    assert not (tmp_path / "y.png").exists()


def test_curves_are_drawn(tmp_path):
    rows = [
        row(DEFAULT, 80.0, swds=(30.0, 20.0, 13.0)),
        row(PAPER, -1.0, swds=(60.0, 50.0, 40.0)),  # no logarithm: left out there
    ]
    pictures.draw_curves(tmp_path / "curves.png", rows, FLOOR)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


# ------------------------------------------------------------------------------------------------
# A real one, as small as can be
# ------------------------------------------------------------------------------------------------


def finish(run: Run) -> str:
    """Carry it out, in processes that have loaded TensorFlow already."""
    work, ended = run.carry_out(), None
    while True:
        try:
            command = work.send(ended)
        except StopIteration as end:
            return end.value
        result = run_script(*command.arguments, folder=REPOSITORY)
        with open(command.output, command.mode) as output, open(run.log, "a") as errors:
            output.write(result.stdout)
            errors.write(result.stderr)
        ended = Ended(result.returncode, 1.0)


def test_a_real_run_is_timed_trained_and_scored(tmp_path, monkeypatch):
    data, folder = tmp_path / "blobs-32.h5", make_folders(tmp_path / "race")
    write_dataset(data, blobs(250), [f"blob {i}" for i in range(250)], made_by="a test")
    options = (
        f"--data {data} --image-size 32 --preset plain --holdout 0.2 --score none "
        "--precision float32 --generator-filters 2 --batch-size 4 --latent-dim 5"
    ).split()
    tiny = Contestant("tiny", "--discriminator-filters 2")
    absent, greedy = Contestant("absent", script="no_gan.py"), Contestant("g", "--batch-size 512")
    held = make_race(folder, baseline=tiny, options=options, settings={}, timed_at_once=4)
    monkeypatch.setattr(
        race, "timed_elsewhere", lambda arguments, *_: timing.time_steps(**json.loads(arguments[1]))
    )
    held.calibrate([tiny, UNKNOWN, absent, greedy], 1)
    known = read_json(held.step_times)
    assert known["yardstick"] > 0
    assert known["refused"]["x"].startswith("--y: no such option")
    assert known["refused"]["absent"] == "No module named 'no_gan'"
    assert known["refused"]["g"].startswith("--batch-size 512: a step takes 512 pictures")

    write_json(held.step_times, known | {"yardstick": 10.0})
    (run,) = held.runs([tiny], 1, 30)
    assert run.moments == ((30, 3),)
    assert finish(run) == "", run.log.read_text()
    assert run.is_done()
    assert run.state()["cpu_seconds"] == 1.0
    rows, floor = collect([run])
    assert {"kid", "swd", "originality"} < set(rows[0].scores[0][3])
    assert "kid" in floor
    labels = [label for label, _ in pictures.last_grids(rows, [run], "swd")]
    assert labels[0] == "real pictures"
    assert labels[1].startswith("tiny: swd ")
    (longer,) = held.runs([tiny], 1, 60)
    assert [label.split(":")[0] for label, _ in pictures.grids_of(longer)] == ["tiny, 30 s"]
    # The script goes on with it.
    script, *arguments = next(longer.carry_out()).arguments
    h, config = parse_command_line(dcgan.Hyperparameters, "", arguments)
    assert (script, h.run_name, h.steps) == ("dcgan.py", "tiny-0", 6)
    assert config["hyperparameters"]["steps"] == 3


def test_scores_of_other_features_stand_in_no_table():
    runs = [
        SimpleNamespace(
            contestant=DEFAULT, seed=seed, step_seconds=0.1, moments=(Moment(30, 300),),
            last=Moment(30, 300), folder="race", state=lambda: {"cpu_seconds": 30.0},
            evaluations=lambda known=known: {300: evaluation(90.0) | known},
        )
        for seed, known in enumerate(({"features": "imagenet_128_57934424"}, {}))
    ]  # fmt: skip
    assert collect(runs[:1])[0][0].mean("kid") == 90.0
    with pytest.raises(UserError) as error:
        collect(runs)
    assert str(error.value) == (
        "--folder race: has scores of imagenet_128_57934424 and random features, which do not "
        "compare; take another folder"
    )

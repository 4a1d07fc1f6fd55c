"""benchmarks/quality.py: its contestants, their order, and the table."""

from __future__ import annotations

import dataclasses
import importlib
import math

import pytest

from benchmarks import methods, quality
from benchmarks.race.files import write_json
from tests.racing import FLOOR, failed, played, row
from utils.training.arguments import parse_command_line

EVERYONE = methods.contestants(64)
BY_NAME = {each.name: each for each in EVERYONE}


def test_scripts_know_the_options_of_every_contestant(tmp_path):
    parsed = {}
    for size in (64, 32, 256):
        arguments = ["--size", str(size), "--precision", "bfloat16", "--folder", str(tmp_path)]
        race = quality.make_race(quality.parser().parse_args(arguments))
        for each in methods.contestants(size):
            if each in parsed:  # with the same flags
                dataclasses.replace(parsed[each], image_size=size).check()
                continue
            script = importlib.import_module(each.script.removesuffix(".py"))
            h, _ = parse_command_line(script.Hyperparameters, "", race.command(each)[1:])
            assert (h.image_size, h.score, h.holdout) == (size, "none", 0.2)
            assert h.precision == ("float32" if each.recipe == each.name else "bfloat16")
            parsed[each] = h


def test_our_width_is_that_of_the_scripts():
    for script, flags in methods.OUR_WIDTH.items():
        hyperparameters = importlib.import_module(script.removesuffix(".py")).Hyperparameters
        h, _ = parse_command_line(hyperparameters, "", flags.split())
        assert h == hyperparameters()


def test_names_of_runs_are_different():
    assert len({each.slug for each in EVERYONE}) == len(EVERYONE)
    recipes = [each.recipe for each in EVERYONE if each.recipe]
    assert len(recipes) == 2 * len(set(recipes)) == 2 * len(methods.HISTORICAL)


def test_lists_of_widths_lose_those_of_the_largest_maps():
    as_it_is, at_our_width = methods.historical("dcgan.py", "gandam-v2", "", 64)
    assert "--generator-filters 2048 2048 1024 512 256 --dis" in as_it_is.flags
    assert as_it_is.flags.endswith("--discriminator-filters 128 256 512 1024 2048 2048")
    assert at_our_width.name == "gandam-v2 dcgan, our width"
    assert at_our_width.recipe == as_it_is.recipe == as_it_is.name == "gandam-v2 dcgan"
    full = methods.historical("dcgan.py", "gandam-v2", "", 256)[0]
    assert full.flags == "--preset gandam-v2  --precision float32"


def test_a_folder_says_what_its_race_is_like(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        quality, "timed_elsewhere", lambda arguments, *_: asked.append(arguments) or "bfloat16"
    )

    def settings(*arguments: str) -> dict:
        options = quality.parser().parse_args([*arguments, "--folder", str(tmp_path)])
        return quality.make_race(options).settings

    assert settings("--cores", "1")["precision"] == "bfloat16"
    assert asked == [["precision"]]
    write_json(tmp_path / "step_times.json", {"precision": "float32", "data": "a.h5", "cores": 7})
    assert settings()["precision"] == "float32"
    assert settings("--precision", "bfloat16")["precision"] == "bfloat16"
    # The table needs neither the data nor the cores.
    assert settings("--table") == {"data": "a.h5", "size": 64, "precision": "float32", "cores": 7}
    assert len(asked) == 1


# ------------------------------------------------------------------------------------------------
# What came of it
# ------------------------------------------------------------------------------------------------


def test_excess_over_real_pictures_by_anothers():
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


def test_the_better_form_counts_copies_and_failures_come_last():
    rows = quality.ranked(
        [
            row(BY_NAME["radford dcgan"], 300.0),
            row(BY_NAME["default"], 90.0),
            failed(BY_NAME["48 filters"]),
            row(BY_NAME["radford dcgan, our width"], 120.0),
            row(BY_NAME["24 filters"], 5.0, originality=0.59),
            row(BY_NAME["batch 32"], 6.0, copies=0.06),
            row(BY_NAME["always"], 80.0, originality=0.61, copies=0.05),
            row(BY_NAME["keras-gan dcgan"], 110.0),
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
    half = row(BY_NAME["24 filters"], 50.0, swds=(30.0, 20.0))
    del half.scores[0][1200]
    rows = quality.ranked(
        [
            row(BY_NAME["default"], 80.0, 90.0, swds=(33.0, 23.0, 13.0)),
            row(BY_NAME["always"], 92.0, 94.0, swds=(50.0, 40.0, 30.0), likeness=0.6),
            row(BY_NAME["radford dcgan"], 300.0, swds=(60.0, 50.0, 40.0)),
            row(BY_NAME["radford dcgan, our width"], 99.0, 101.0, swds=(38.0, 33.0, 28.0)),
            row(BY_NAME["batch 32"], 5.0, 5.0, originality=0.3),
            failed(BY_NAME["48 filters"]),
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
    assert quality.verdict(rows, FLOOR, {"r3gan": "No module named 'r3gan'"}).splitlines() == [
        "* Least mean `kid`: default, 85.",
        "* Not to be told apart from it: always.",
        "* Best historical recipe by `kid`: radford dcgan, our width, 100.",
        "* Best historical recipe by `swd`: radford dcgan, our width, 28.0.",
        "* Out because of copies: batch 32.",
        "* Ended in an error: 48 filters (seed 0: g_loss became nan).",
        "* Left out: r3gan (No module named 'r3gan').",
    ]
    text = quality.footnote(rows, 120, {"data": "/a/mechas", "size": 64, "cores": 2})
    assert text.startswith("mechas at 64 px. What 120 seconds of this machine (2 cores, by the cl")
    assert "`kid` 4.2 (8.3)," in text


def test_a_race_ends_in_a_table_and_pictures(tmp_path, monkeypatch, capsys):
    call = played(quality.main, tmp_path, monkeypatch)
    options = ["--precision", "float32", "--cores", "1", "--seconds", "60"]
    call(*options, "--only", "radford dcgan", "default")
    table = (tmp_path / "table.md").read_text()
    assert table in capsys.readouterr().out
    assert "\n| default | 0.01 | 6,000 | 100 | 20.0 | 12.0 | 1.00 |" in table
    assert "What 60 seconds of this machine (1 cores" in table
    for name in ("curves", "grids", "moments"):
        path = tmp_path / f"{name}.png"
        assert path.exists()
        path.unlink()
    call("--table", "--seconds", "60", "--size", "64", "--only", "default")
    assert (tmp_path / "moments.png").exists()
    with pytest.raises(SystemExit):
        call(*options, "--step-seconds", "0")
    assert "--step-seconds 0.0: must be more than 0" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call(*options, "--size", "32")
    assert "--size 32: " in capsys.readouterr().err

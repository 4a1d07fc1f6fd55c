"""benchmarks/recipes.py: its recipes, the table, and the command from end to end."""

from __future__ import annotations

import importlib

import pytest

from benchmarks import recipes
from benchmarks.race import command
from tests.racing import FLOOR, failed, played, row
from utils.training.arguments import parse_command_line

BASELINE, TWO_SIDED, ONE_SIDED, NOISE = recipes.RECIPES[:4]


def test_scripts_know_the_options_of_every_recipe(tmp_path):
    held = recipes.make_race(tmp_path, 200.0)
    for recipe in recipes.RECIPES:
        script = importlib.import_module(recipe.script.removesuffix(".py"))
        h, _ = parse_command_line(script.Hyperparameters, "", held.command(recipe)[1:])
        assert (h.image_size, h.batch_size, h.precision, h.score) == (32, 16, "float32", "none")
        assert h.generator_filters == (16,)
    assert len({recipe.slug for recipe in recipes.RECIPES}) == 21


def test_the_best_comes_first_and_failures_last():
    rows = [
        failed(ONE_SIDED),
        row(BASELINE, 95.0),
        row(NOISE, 90.0),
        row(TWO_SIDED, 80.0),
    ]
    assert [each.contestant for each in recipes.ranked(rows)] == [
        TWO_SIDED, NOISE, BASELINE, ONE_SIDED
    ]  # fmt: skip


def test_table_and_verdict():
    rows = [
        row(NOISE, 62.0, 60.0),
        row(TWO_SIDED, 62.5, likeness=0.6),
        row(BASELINE, 90.0, 92.0),
        failed(ONE_SIDED),
    ]
    lines = recipes.table(rows, FLOOR, seeds=2).splitlines()
    assert lines[0] == (
        "| recipe | steps | ms a step | CPU s | `kid` | `precision` | `recall` | `coverage` "
        "| `swd` | `sharpness` | `kid`, current |  |"
    )
    assert lines[2] == (
        "| label noise | 1,200 | 100.00 | 210 | 61 (60 to 62) | 0.50 (0.50 to 0.50) | "
        "0.50 (0.50 to 0.50) | 0.75 (0.75 to 0.75) | 20.0 (20.0 to 20.0) | 0.90 (0.90 to 0.90) | "
        "61 (60 to 62) |  |"
    )
    assert lines[3].endswith("| 62 | collapsed (1 of 1); 1 of 2 seeds |")
    assert lines[5] == (
        "| one-sided smoothing | 1,200 | 100.00 |  |  |  |  |  |  |  |  | became NaN (1 of 1); "
        "1 of 2 seeds |"
    )
    assert lines[6].startswith("| real pictures |  |  |  | 1 | 0.96 |")
    assert len({line.count("|") for line in lines}) == 1
    assert recipes.verdict(rows).splitlines() == [
        "* Least mean `kid`: label noise, 61.",
        "* Not to be told apart from it: two-sided smoothing.",
        "* Better than the baseline: label noise; two-sided smoothing.",
        "* Worse than the baseline: none.",
        "* Collapsed, and the number of different pictures that would be as much alike: "
        "two-sided smoothing (seed 0: 2.0).",
        "* Ended in an error: one-sided smoothing (seed 0: g_loss became nan).",
    ]
    worse = [row(BASELINE, 80.0, 80.0), row(NOISE, 130.0, 130.0)]
    assert "* Worse than the baseline: label noise." in recipes.verdict(worse)
    # Each pair is 1 from its mean: sqrt(4 * 1^2 / 2); for means of two, twice that.
    assert "`kid` 1.4 (2.8)," in recipes.footnote(rows, 200.0)
    assert "if there were fewer than 5 different ones" in recipes.footnote(rows, 200.0)


# ------------------------------------------------------------------------------------------------
# The command: its processes only leave what the scripts would
# ------------------------------------------------------------------------------------------------


def test_a_race_ends_in_a_table_which_can_be_had_again(tmp_path, monkeypatch, capsys):
    call = played(recipes.main, tmp_path, monkeypatch)
    call("--seconds", "60", "--seeds", "1", "--only", "label noise", "baseline")
    text = capsys.readouterr().out
    assert "\n| label noise | 6,000 | 10.00 | 205 | 100 |" in text
    table = (tmp_path / "table.md").read_text()
    assert (tmp_path / "samples.png").exists()
    assert table in text
    call("--table", "--seeds", "1")  # with the seconds of the folder
    assert (tmp_path / "table.md").read_text() == table


def test_a_folder_keeps_its_seconds(tmp_path, monkeypatch, capsys):
    call = played(recipes.main, tmp_path, monkeypatch)
    call("--table")
    assert "nothing has been scored yet" in capsys.readouterr().out
    call("--seconds", "60", "--only", "baseline")
    for options, message in (
        (["--seconds", "50"], "--seconds 50.0: "),
        (["--seconds", "-1"], "--seconds -1.0: must be more than 0"),
        (["--only", "lable noise"], "--only 'lable noise': no such contestant; there are baseline"),
        (["--jobs", "999"], "--jobs 999: must be from 1 to "),
    ):
        with pytest.raises(SystemExit) as end:
            call(*options)
        assert end.value.code == 2
        assert message in capsys.readouterr().err


def test_a_stopped_race_says_so(tmp_path, monkeypatch, capsys):
    call = played(recipes.main, tmp_path, monkeypatch)

    def stop(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "run_all", stop)
    with pytest.raises(SystemExit) as end:
        call("--only", "baseline")
    assert end.value.code == 130
    assert "the same command goes on" in capsys.readouterr().err
    monkeypatch.setattr(command, "run_all", lambda *_: 2)
    with pytest.raises(SystemExit) as end:
        call("--only", "baseline")
    assert end.value.code == 1
    assert "2 runs failed; the same command tries them again" in capsys.readouterr().err

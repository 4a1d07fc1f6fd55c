"""benchmarks/recipes.py: its arithmetic, its table, its picture, and when a run is made again."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks import recipes
from benchmarks.recipes import AVERAGED, CURRENT, Recipe, Row, Run
from benchmarks.trainings import Ended
from utils.common.errors import UserError
from utils.training.arguments import parse_command_line

BASELINE, OTHER = recipes.BASELINE, recipes.RECIPES[3]


def scores(f_score: float, diversity: float = 0.25, kid: float = 100.0) -> dict[str, float]:
    return {
        "f_score": f_score, "recall": 0.5, "coverage": 0.75, "kid": kid, "swd": 20.0,
        "sharpness": 0.9, "diversity": diversity, "diversity_reals": 0.2,
    }  # fmt: skip


def row(recipe: Recipe, *f_scores: float, **others: float) -> Row:
    averaged = {seed: scores(value, **others) for seed, value in enumerate(f_scores)}
    return Row(recipe, 20_000, 0.01, [210.0] * len(averaged), averaged, averaged, {})


@pytest.mark.parametrize("recipe", recipes.RECIPES, ids=lambda recipe: recipe.slug)
def test_scripts_know_the_options_of_every_recipe(recipe):
    script = importlib.import_module(recipe.script.removesuffix(".py"))
    h, *_ = parse_command_line(script.Hyperparameters, "", recipe.arguments())
    assert (h.image_size, h.batch_size, h.precision, h.score) == (32, 16, "float32", "none")
    assert h.generator_filters == (16,)


def test_names_of_runs_are_different_and_plain():
    slugs = [recipe.slug for recipe in recipes.RECIPES]
    assert len(set(slugs)) == len(slugs) == 21
    assert Recipe("wgan penalty + minibatch", "").slug == "wgan-penalty-minibatch"


def test_recipes_are_chosen_by_name():
    assert recipes.chosen_recipes(None) == list(recipes.RECIPES)
    assert recipes.chosen_recipes(["label noise", "baseline"]) == [BASELINE, OTHER]
    with pytest.raises(UserError, match=r"^--only 'lable noise': no such recipe; there are base"):
        recipes.chosen_recipes(["lable noise"])


def test_step_times_are_ratios_within_a_turn():
    # The machine slows down threefold in the last turn; the other recipe takes twice as long.
    turns = {"baseline": [0.01, 0.01, 0.03], "label noise": [0.02, 0.02, 0.06]}
    assert recipes.step_seconds(turns, None) == pytest.approx(
        {"baseline": 0.01, "label noise": 0.02}
    )
    # Measured later on a slower day: by the baseline's time of the first day.
    assert recipes.step_seconds(turns, 0.005)["label noise"] == pytest.approx(0.01)


def write_times(folder: Path, *known: Recipe) -> None:
    entries = {
        recipe.name: {
            "command": [recipe.script, *recipe.arguments()],
            "seconds": 0.01 * (number + 1),
        }
        for number, recipe in enumerate(known)
    }
    recipes.write_json(folder / "step_times.json", {"seconds": 200.0, "recipes": entries})


def test_seconds_become_steps_and_seed_0_of_all_comes_first(tmp_path):
    write_times(tmp_path, BASELINE, OTHER)
    unknown = Recipe("unknown", "--no-such-option")
    runs = recipes.order_of_work([BASELINE, OTHER, unknown], 2, 200.0, tmp_path)
    assert [(run.name, run.steps) for run in runs] == [
        ("baseline-0", 20_000), ("label-noise-0", 10_000),
        ("baseline-1", 20_000), ("label-noise-1", 10_000),
    ]  # fmt: skip
    changed = Recipe(BASELINE.name, "--latent-dim 7")  # was timed with other options
    assert recipes.order_of_work([changed], 1, 200.0, tmp_path) == []


def test_a_folder_keeps_its_seconds(tmp_path):
    recipes.settle_seconds(tmp_path, 200.0)
    recipes.settle_seconds(tmp_path, 200.0)
    with pytest.raises(UserError, match=r"^--seconds 60: .* holds runs of 200 s; choose another"):
        recipes.settle_seconds(tmp_path, 60.0)


# ------------------------------------------------------------------------------------------------
# One run: played with processes that only leave what the scripts would
# ------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path) -> Run:
    for kind in ("logs", "results"):
        (tmp_path / kind).mkdir()
    return Run(OTHER, 1, 500, 0.01, tmp_path)


def leave_checkpoint(run: Run, step: int) -> None:
    folder = run.folder / "models" / run.name / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"step_{step:07d}.npz").touch()


def test_a_run_is_trained_scored_and_kept(run):
    work = run.carry_out()
    training = next(work).arguments
    assert training[0] == "dcgan.py"
    assert " ".join(training).endswith(
        f"--label-noise 0.1 --steps 500 --seed 1 --run-name label-noise-1 --images-dir "
        f"{run.folder}/images --models-dir {run.folder}/models"
    )
    leave_checkpoint(run, 500)
    scoring = work.send(Ended(0, 4.5))
    assert scoring.arguments[:3] == ["evaluate.py", "label-noise-1", "--json"]
    assert not run.is_done()
    scoring.output.write_text(json.dumps([{"scores": {AVERAGED: scores(0.25)}, "floor": {}}]))
    with pytest.raises(StopIteration) as end:
        work.send(Ended(0, 1.0))
    assert end.value.value == ""
    assert run.is_done()
    assert run.state()["cpu_seconds"] == 4.5
    assert run.outcome() == "f_score 0.25, kid 100"
    # With another number of steps it is another run.
    assert not Run(OTHER, 1, 501, 0.01, run.folder).is_done()


def test_a_stopped_run_goes_on_and_its_time_adds_up(run):
    work = run.carry_out()
    next(work)
    leave_checkpoint(run, 0)
    leave_checkpoint(run, 120)
    run.log.write_text("12%\rstopped by SIGTERM\n")
    with pytest.raises(StopIteration) as end:
        work.send(Ended(0, 2.0))
    assert end.value.value == "ended with 0: stopped by SIGTERM"
    again = run.carry_out()
    arguments = next(again).arguments
    assert arguments[:5] == ["dcgan.py", "--resume", "label-noise-1", "--steps", "500"]
    leave_checkpoint(run, 500)
    assert again.send(Ended(0, 3.0)).arguments[0] == "evaluate.py"
    assert run.state()["cpu_seconds"] == 5.0
    # Killed while it was scored: not trained again.
    assert next(run.carry_out()).arguments[0] == "evaluate.py"


def test_a_killed_run_begins_anew(run):
    next(run.carry_out())
    leave_checkpoint(run, 0)
    arguments = next(run.carry_out()).arguments
    assert "--resume" not in arguments
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
    run.log.write_text(f"step 1\n{line}\n\n")
    with pytest.raises(StopIteration) as end:
        work.send(Ended(code, 1.0))
    assert run.is_done() is is_kept
    assert end.value.value == ("" if is_kept else f"ended with {code}: {line}")


# ------------------------------------------------------------------------------------------------
# The table
# ------------------------------------------------------------------------------------------------


def test_alikeness_is_the_inverse_of_a_number_of_pictures():
    assert recipes.alikeness({"diversity": 0.2, "diversity_reals": 0.2}) == 0
    assert recipes.alikeness({"diversity": 1.0, "diversity_reals": 0.2}) == 1
    # Five pictures: a fifth of the pairs is twice the same.
    assert recipes.alikeness(
        {"diversity": 0.2 * 1 + 0.8 * 0.2, "diversity_reals": 0.2}
    ) == pytest.approx(1 / 5)


def test_deviation_is_pooled_over_sound_recipes():
    first, second = row(BASELINE, 0.1, 0.3), row(OTHER, 0.5, 0.5, 0.8)
    collapsed = row(recipes.RECIPES[1], 0.0, 0.9, diversity=0.9)
    # Squares 0.01 + 0.01 and 0.01 + 0.01 + 0.04, by 1 + 2.
    expected = math.sqrt(0.08 / 3)
    assert recipes.deviation([first, second, collapsed], "f_score") == pytest.approx(expected)
    assert recipes.least_difference([first, second], "f_score") == pytest.approx(
        2 * expected * math.sqrt(2 / 3)
    )
    assert math.isnan(recipes.deviation([row(BASELINE, 0.1)], "f_score"))
    assert math.isnan(recipes.least_difference([], "f_score"))


def test_the_best_comes_first_and_failures_last(tmp_path):
    write_times(tmp_path, *recipes.RECIPES[:4])
    runs = recipes.order_of_work(recipes.RECIPES[:4], 1, 200.0, tmp_path)
    outcomes = [scores(0.2), scores(0.5, kid=90.0), None, scores(0.5, kid=80.0)]
    for run, found in zip(runs, outcomes, strict=True):
        state = {"command": run.command(), "cpu_seconds": 205.0}
        if found is None:
            state["error"] = "g_loss became nan"
        else:
            networks = {AVERAGED: found, CURRENT: found}
            state["evaluation"] = {"scores": networks, "floor": scores(0.96)}
        recipes.write_json(run.result, state)
    rows, floor = recipes.collect(runs)
    assert [each.recipe.name for each in rows] == [
        "label noise", "two-sided smoothing", "baseline", "one-sided smoothing"
    ]  # fmt: skip
    assert floor["f_score"] == 0.96
    assert rows[3].errors == {0: "g_loss became nan"}


def test_table_and_verdict():
    failed = Row(recipes.RECIPES[2], 9_000, 0.02, [], {}, {}, {0: "g_loss became nan"})
    rows = [
        row(OTHER, 0.62, 0.60),
        row(recipes.RECIPES[1], 0.6, diversity=0.6),
        row(BASELINE, 0.3, 0.32),
        failed,
    ]
    lines = recipes.table(rows, scores(0.96), seeds=2).splitlines()
    assert lines[0] == (
        "| recipe | steps | ms a step | CPU s | `f_score` | `recall` | `coverage` | `kid` | `swd` "
        "| `sharpness` | `f_score`, current |  |"
    )
    assert lines[2] == (
        "| label noise | 20,000 | 10.00 | 210 | 0.61 (0.60 to 0.62) | 0.50 (0.50 to 0.50) | "
        "0.75 (0.75 to 0.75) | 100 (100 to 100) | 20.0 (20.0 to 20.0) | 0.90 (0.90 to 0.90) | "
        "0.61 (0.60 to 0.62) |  |"
    )
    assert lines[3].endswith("| 0.60 | collapsed (1 of 1), 1 of 2 seeds |")
    assert lines[5] == (
        "| one-sided smoothing | 9,000 | 20.00 |  |  |  |  |  |  |  |  | became NaN (1 of 1), "
        "1 of 2 seeds |"
    )
    assert lines[6].startswith("| real pictures |  |  |  | 0.96 | 0.50 |")
    assert len({line.count("|") for line in lines}) == 1
    assert recipes.verdict(rows).splitlines() == [
        "* Highest mean `f_score`: label noise, 0.61.",
        "* Not to be told apart from it: two-sided smoothing.",
        "* Better than the baseline: label noise, two-sided smoothing.",
        "* Worse than the baseline: none.",
        "* Collapsed, and the number of different pictures that would be as much alike: "
        "two-sided smoothing (seed 0: 2.0).",
        "* Ended in an error: one-sided smoothing (seed 0: g_loss became nan).",
    ]
    # Each pair is 0.01 from its mean: sqrt(4 * 0.01^2 / 2); for means of two, twice that.
    assert "`f_score` 0.014 (0.028)," in recipes.footnote(rows, 200.0)
    assert recipes.footnote(rows[2:], 200.0) != recipes.footnote(rows[1:2], 200.0)
    assert recipes.footnote(rows[1:2], 200.0).endswith(
        "cannot be told without two seeds of a recipe that neither collapsed nor failed."
    )


def test_picture_has_every_grid_beside_its_label():
    red, blue = (np.full((10, 40, 3), colour, np.uint8) for colour in ([255, 0, 0], [0, 0, 255]))
    picture = recipes.draw_samples(
        [("real pictures", "", red), ("failed", "became NaN", None), ("baseline", "x", blue)]
    )
    assert picture.shape == (60, recipes.LABEL_WIDTH + 80, 3)
    grids = picture[:, recipes.LABEL_WIDTH :]
    assert (grids[:20] == [255, 0, 0]).all()
    assert (grids[20:40] == 255).all()
    assert (grids[40:] == [0, 0, 255]).all()
    for top in (0, 20, 40):
        assert (picture[top : top + 20, : recipes.LABEL_WIDTH] < 128).any()

"""What each trick is worth: every recipe trained for the same seconds, scored at its last step.

    python benchmarks/recipes.py                             # all recipes, three seeds, 200 s each
    python benchmarks/recipes.py --only baseline "label noise" --seconds 60
    python benchmarks/recipes.py --jobs 2                    # two at a time, a core each
    python benchmarks/recipes.py --table                     # what there is so far; trains nothing

A recipe is one of the scripts with some options, on the built-in robots at 32 px with small
networks. Everything is kept in ``--folder``: stop it with Ctrl-C, and the same command goes on
where it stopped. Seed 0 of all recipes comes first, then seed 1, so that an early table has every
recipe in it. After a change of the scripts, take another folder: what is there is not made again.

"The same seconds" are seconds of one core. A clock would favour whoever had the machine to itself,
so the steps of all recipes are timed first, in turns, in processor time on one core; the seconds
divided by that are the number of steps that each run of a recipe makes, however long it takes.
(Where the cost of a step depends on how the training goes, that is its cost at the beginning; the
table has the processor time that was really used, start and compilation included. Other programs
make processor time longer as well, for all recipes alike: best timed on a quiet machine.)

Scores are those of ``evaluate.py`` on the pictures kept from training: nobody picks the best step.

| in ``--folder`` | |
|---|---|
| ``table.md``, ``samples.png`` | the scores; what each recipe draws from the same latent vectors |
| ``results/RUN.json`` | the command, the scores or the error of a run |
| ``step_times.json`` | processor seconds of a step |
| ``images/``, ``models/``, ``logs/`` | the runs, and what they printed |
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import signal
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.tables import COLLAPSED, cell, difference_of_chance, markdown, pooled_deviation
from benchmarks.timing import (
    ONE_CORE,
    REPOSITORY,
    STEPS_BETWEEN_FETCHES,
    first_cores,
    ratio,
    seconds_a_step,
    timed_elsewhere,
)
from benchmarks.trainings import (
    AVERAGED,
    CURRENT,
    Training,
    Work,
    lock_folder,
    read_json,
    read_output,
    run_all,
    slug,
    train_to,
    write_json,
)
from utils.common.errors import RunError, UserError, one_line_errors
from utils.common.files import atomic_path
from utils.common.grids import save_png
from utils.common.pictures import WHITE, read_picture
from utils.scoring.registry import SCORES
from utils.scoring.similarity import alikeness

# ------------------------------------------------------------------------------------------------
# Recipes
# ------------------------------------------------------------------------------------------------

SAMPLES = 8
BASE = (
    "--data mechas --image-size 32 --generator-filters 16 --batch-size 16 --precision float32 "
    "--score none --sample-interval 100000 --checkpoint-interval 1000000 "
    f"--sample-rows 1 --sample-columns {SAMPLES}"
)
"""Nothing but training: pictures and checkpoints only at the end, or where a run is stopped."""
OF_THE_SCRIPT = {
    "dcgan.py": "--preset plain --discriminator-filters 16",
    "wgan.py": "--critic-filters 16",
}


@dataclass(frozen=True)
class Recipe:
    """A script and what is turned in it."""

    name: str
    flags: str
    """Options beyond `BASE`, as on the command line."""
    script: str = "dcgan.py"

    @property
    def slug(self) -> str:
        """The name as part of a run's name."""
        return slug(self.name)

    def arguments(self) -> list[str]:
        """The options of the script that are the same for every seed."""
        return f"{BASE} {OF_THE_SCRIPT[self.script]} {self.flags}".split()


RECIPES = (
    Recipe("baseline", ""),
    Recipe("two-sided smoothing", "--label-smoothing 0.1 --smoothing-sides two-sided"),
    Recipe("one-sided smoothing", "--label-smoothing 0.1"),
    Recipe("label noise", "--label-noise 0.1"),
    Recipe("label swapping", "--label-swap 0.05"),
    Recipe("instance noise", "--instance-noise 0.1"),
    Recipe("dropout in both", "--generator-dropout 0.3"),
    Recipe("no dropout", "--discriminator-dropout 0"),
    Recipe("minibatch discrimination", "--minibatch discrimination"),
    Recipe("minibatch deviation", "--minibatch deviation"),
    Recipe("feature matching", "--feature-matching 1.0"),
    Recipe("monitored", "--balance monitored"),
    Recipe("boosting", "--balance boosting --label-noise 0.1"),
    Recipe("spectral norm", "--spectral-normalization"),
    Recipe("upsampling", "--upscaling upsample --kernel-size 3"),
    Recipe("normalisation after", "--normalization after-activation"),
    Recipe("equal rates", "--generator-learning-rate 2e-4"),
    Recipe("wgan clip", "--constraint clip", "wgan.py"),
    Recipe("wgan penalty", "--constraint penalty", "wgan.py"),
    Recipe("wgan penalty, 2 updates", "--constraint penalty --n-critic 2", "wgan.py"),
    Recipe("wgan penalty + minibatch", "--constraint penalty --minibatch deviation", "wgan.py"),
)
BASELINE = RECIPES[0]


def chosen_recipes(names: Sequence[str] | None) -> list[Recipe]:
    """The recipes of these names, in the order of `RECIPES`; None takes all.

    Raises:
        UserError: there is no recipe of a name.
    """
    known = {recipe.slug: recipe for recipe in RECIPES}
    wanted = {slug(name): name for name in names or ()}
    for key, name in wanted.items():
        if key not in known:
            existing = ", ".join(recipe.name for recipe in RECIPES)
            raise UserError(f"--only {name!r}: no such recipe; there are {existing}")
    return [recipe for key, recipe in known.items() if not wanted or key in wanted]


# ------------------------------------------------------------------------------------------------
# Seconds to steps
# ------------------------------------------------------------------------------------------------

TURN_SECONDS = 0.2
"""Short, so that what disturbs a recipe disturbs the baseline of its turn as well: on a machine
with much else to do, recipes of equal cost came out within 2 % of each other with 35 turns of
0.2 s, and within 6 % with 7 turns of 1 s."""


def time_recipes(recipes: Sequence[Recipe], turns: int) -> dict[str, list[float] | str]:
    """Processor seconds of a step by recipe, a number for each turn, measured in this process.

    A recipe that its script does not know has the error in place of the numbers.
    """
    from utils import backend
    from utils.data.opening import open_dataset
    from utils.training.arguments import parse_command_line
    from utils.training.trainer import Trainer

    trainers: dict[str, Any] = {}
    found: dict[str, Any] = {}
    dataset = open_dataset("mechas", 32)
    backend.set_precision("float32")
    for recipe in recipes:
        try:
            script = importlib.import_module(recipe.script.removesuffix(".py"))
            h, *_ = parse_command_line(script.Hyperparameters, "", recipe.arguments())
        except (ModuleNotFoundError, UserError) as error:
            found[recipe.name] = str(error)
            continue
        backend.seed_everything(h.seed, h.deterministic)
        method = getattr(script, h.METHOD.upper())(h)
        trainers[recipe.name] = Trainer(method, h, dataset)

    def make_steps(trainer: Any, seconds: float) -> float:
        return seconds_a_step(trainer, seconds, time.process_time, STEPS_BETWEEN_FETCHES)

    for trainer in trainers.values():
        make_steps(trainer, 0)  # compiles
    for _ in range(turns):
        for name, trainer in trainers.items():
            found.setdefault(name, []).append(make_steps(trainer, TURN_SECONDS))
    return found


def step_seconds(turns: Mapping[str, Sequence[float]], baseline: float | None) -> dict[str, float]:
    """Processor seconds of a step by recipe, from those of every turn.

    Args:
        turns: a number for each turn by recipe, the baseline among them.
        baseline: what the baseline takes, if that has been measured before; recipes that are added
            later are so measured with the same yardstick.
    """
    reference = turns[BASELINE.name]
    baseline = baseline or statistics.median(reference)
    return {name: baseline * ratio(seconds, reference) for name, seconds in turns.items()}


def calibrate(folder: Path, recipes: Sequence[Recipe], turns: int) -> dict[str, str]:
    """Time the recipes whose step time is not known yet, and keep it in ``step_times.json``.

    Returns:
        By recipe, why its script refuses it.

    Raises:
        RunError: they could not be timed.
    """
    known = read_json(folder / "step_times.json")
    times = known.setdefault("recipes", {})
    missing = [recipe for recipe in recipes if not known_seconds(times, recipe)]
    if not missing:
        return {}
    measured = [BASELINE, *(recipe for recipe in missing if recipe != BASELINE)]
    print(f"timing {len(measured)} recipes, {turns} turns ...", flush=True)
    names = [recipe.name for recipe in measured]
    found = timed_elsewhere(
        [__file__, "--time", str(turns), "--only", *names],
        folder / "logs" / "timing.log", first_cores(1), ONE_CORE,
    )  # fmt: skip
    refused = {name: error for name, error in found.items() if isinstance(error, str)}
    seconds = step_seconds(
        {name: each for name, each in found.items() if name not in refused},
        known_seconds(times, BASELINE),
    )
    for recipe in measured:
        if recipe.name in seconds:
            times[recipe.name] = {
                "command": [recipe.script, *recipe.arguments()],
                "seconds": seconds[recipe.name],
                "turns": found[recipe.name],
            }
    write_json(folder / "step_times.json", known)
    return refused


def known_seconds(times: Mapping[str, Any], recipe: Recipe) -> float | None:
    """Processor seconds of a step, if they were measured with the options it has now."""
    entry = times.get(recipe.name, {})
    same = entry.get("command") == [recipe.script, *recipe.arguments()]
    return entry["seconds"] if same else None


# ------------------------------------------------------------------------------------------------
# Runs
# ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run(Training):
    """A recipe with a seed, and where its files are."""

    recipe: Recipe
    seed: int
    steps: int
    step_seconds: float
    folder: Path

    @property
    def name(self) -> str:
        """Of the run and its files."""
        return f"{self.recipe.slug}-{self.seed}"

    @property
    def samples(self) -> Path:
        """The grid of its last step."""
        return self.grid(self.steps)

    def command(self) -> list[str]:
        """What decides about the outcome."""
        return [
            self.recipe.script, *self.recipe.arguments(),
            "--steps", str(self.steps), "--seed", str(self.seed),
        ]  # fmt: skip

    def is_done(self) -> bool:
        """Whether it was scored, or has ended in an error that would come again."""
        return bool({"evaluation", "error"} & set(self.state()))

    def carry_out(self) -> Work:
        """Train it, and score it."""
        if reason := (yield from train_to(self, self.steps, self.command())):
            return reason
        if "error" in self.state():
            return ""
        found, reason = yield from read_output(
            self, ["evaluate.py", self.name, "--json", *self.folders]
        )
        if not reason:
            write_json(self.result, self.state() | {"evaluation": found[0]})
        return reason

    def outcome(self) -> str:
        """What came of it, in a line."""
        state = self.state()
        if "error" in state:
            return state["error"]
        scores = state["evaluation"]["scores"][AVERAGED]
        return f"f_score {scores['f_score']:.2f}, kid {scores['kid']:.0f}"


def order_of_work(recipes: Sequence[Recipe], seeds: int, seconds: float, folder: Path) -> list[Run]:
    """The runs of all recipes whose step time is known, seed by seed.

    Args:
        recipes: what to train.
        seeds: how many; they are 0, 1, ...
        seconds: of one core, for each run.
        folder: where everything is kept.
    """
    times = read_json(folder / "step_times.json").get("recipes", {})
    return [
        Run(recipe, seed, max(1, round(seconds / taken)), taken, folder)
        for seed in range(seeds)
        for recipe in recipes
        if (taken := known_seconds(times, recipe))
    ]


# ------------------------------------------------------------------------------------------------
# The table
# ------------------------------------------------------------------------------------------------

DECIMALS = {
    name: SCORES[name].decimals
    for name in ("f_score", "recall", "coverage", "kid", "swd", "sharpness")
}
"""The scores of the table, and with how many decimals they are shown."""


@dataclass
class Row:
    """What the seeds of one recipe came to."""

    recipe: Recipe
    steps: int
    step_seconds: float
    cpu_seconds: list[float]
    averaged: dict[int, dict[str, float]]
    """By seed, the scores of the averaged generator."""
    current: dict[int, dict[str, float]]
    errors: dict[int, str]
    """By seed, how it ended."""

    @property
    def collapsed(self) -> dict[int, float]:
        """By seed, the `alikeness` of those that have collapsed."""
        return {
            seed: alikeness(scores)
            for seed, scores in self.averaged.items()
            if alikeness(scores) > COLLAPSED
        }

    def values(self, score: str) -> list[float]:
        """A score of the averaged generator, a number for each seed."""
        return [scores[score] for scores in self.averaged.values()]

    def mean(self, score: str) -> float:
        """Over the seeds; NaN where none was scored."""
        return statistics.fmean(self.values(score)) if self.averaged else math.nan


def collect(runs: Sequence[Run]) -> tuple[list[Row], dict[str, float]]:
    """A row for each recipe with a finished run, the best first, and the floor.

    The order is that of the mean F-score, then KID; recipes of which no run could be scored come
    last.
    """
    rows: dict[str, Row] = {}
    floor: dict[str, float] = {}
    for run in runs:
        if not run.is_done():
            continue
        state = run.state()
        row = rows.setdefault(
            run.recipe.name, Row(run.recipe, run.steps, run.step_seconds, [], {}, {}, {})
        )
        if "error" in state:
            row.errors[run.seed] = state["error"]
            continue
        row.cpu_seconds.append(state["cpu_seconds"])
        evaluation = state["evaluation"]
        row.averaged[run.seed] = evaluation["scores"][AVERAGED]
        row.current[run.seed] = evaluation["scores"].get(CURRENT, {})
        floor = evaluation["floor"]
    return sorted(rows.values(), key=rank), floor


def rank(row: Row) -> tuple[bool, float, float]:
    """The smaller, the better."""
    return not row.averaged, -row.mean("f_score"), row.mean("kid")


def deviation(rows: Sequence[Row], score: str) -> float:
    """How far seeds of one recipe differ: the pooled standard deviation; NaN with one seed each.

    Recipes that have collapsed or ended in an error are left out: they differ by more, and nobody
    asks by how much.
    """
    return pooled_deviation(
        [row.values(score) for row in rows if not row.collapsed and not row.errors]
    )


def least_difference(rows: Sequence[Row], score: str) -> float:
    """Means of two recipes that differ by less may differ by chance."""
    seeds = max((len(row.averaged) for row in rows), default=0)
    return difference_of_chance(deviation(rows, score), seeds)


def notes(row: Row, seeds: int) -> str:
    """What is to be said of a recipe."""
    done = len(row.averaged) + len(row.errors)
    found = []
    if row.errors:
        found.append(f"became NaN ({len(row.errors)} of {done})")
    if row.collapsed:
        found.append(f"collapsed ({len(row.collapsed)} of {done})")
    if done < seeds:
        found.append(f"{done} of {seeds} seeds")
    return ", ".join(found)


def table(rows: Sequence[Row], floor: Mapping[str, float], seeds: int) -> str:
    """The scores in Markdown, the floor last."""
    names = ["recipe", "steps", "ms a step", "CPU s", *DECIMALS, "`f_score`, current", ""]
    lines = [[f"`{name}`" if name in DECIMALS else name for name in names]]
    for row in rows:
        current = [scores["f_score"] for scores in row.current.values() if scores]
        lines.append(
            [
                row.recipe.name,
                f"{row.steps:,}",
                f"{1000 * row.step_seconds:.2f}",
                f"{statistics.fmean(row.cpu_seconds):.0f}" if row.cpu_seconds else "",
                *(cell(row.values(score), decimals) for score, decimals in DECIMALS.items()),
                cell(current, DECIMALS["f_score"]),
                notes(row, seeds),
            ]
        )
    if floor:
        scores = [cell([floor[score]], decimals) for score, decimals in DECIMALS.items()]
        lines.append(["real pictures", "", "", "", *scores, "", ""])
    return markdown(lines)


def verdict(rows: Sequence[Row]) -> str:
    """Which recipe wins, which are better or worse than the baseline, which collapse."""
    scored = [row for row in rows if row.averaged]
    lines = []
    if scored:
        best, step = scored[0], least_difference(rows, "f_score")
        lines.append(f"* Highest mean `f_score`: {best.recipe.name}, {best.mean('f_score'):.2f}.")
        if not math.isnan(step):
            equal = [row for row in scored[1:] if best.mean("f_score") - row.mean("f_score") < step]
            lines.append(f"* Not to be told apart from it: {names_of(equal)}.")
            baseline = next((row for row in scored if row.recipe == BASELINE), None)
            if baseline is not None:
                gains = [(row.mean("f_score") - baseline.mean("f_score"), row) for row in scored]
                above = [row for gain, row in gains if gain >= step and row is not baseline]
                below = [row for gain, row in gains if gain <= -step and row is not baseline]
                lines.append(f"* Better than the baseline: {names_of(above)}.")
                lines.append(f"* Worse than the baseline: {names_of(below)}.")
    collapsed = [
        f"{row.recipe.name} (seed {seed}: {1 / share:.1f})"
        for row in rows
        for seed, share in row.collapsed.items()
    ]
    lines.append(
        "* Collapsed, and the number of different pictures that would be as much alike: "
        f"{', '.join(collapsed) or 'none'}."
    )
    failed = [
        f"{row.recipe.name} (seed {seed}: {error})"
        for row in rows
        for seed, error in row.errors.items()
    ]
    lines.append(f"* Ended in an error: {', '.join(failed) or 'none'}.")
    return "\n".join(lines)


def names_of(rows: Sequence[Row]) -> str:
    """The recipes in a sentence."""
    return ", ".join(row.recipe.name for row in rows) or "none"


def footnote(rows: Sequence[Row], seconds: float) -> str:
    """How the table came about, and which of its differences mean something."""
    text = (
        f'{seconds:g} seconds of one core for each run, at the step times shown; "CPU s" is what a '
        "run really took, its start included. Scores of the averaged generator (and the F-score of "
        "the current one) at the last step against the pictures kept from training: mean, and in "
        'brackets the lowest and highest seed. "Collapsed": generated pictures are as much alike '
        f"as if there were fewer than {1 / COLLAPSED:.0f} different ones."
    )
    if math.isnan(deviation(rows, "f_score")):
        return (
            f"{text} Which differences mean something cannot be told without two seeds of a recipe "
            "that neither collapsed nor failed."
        )
    spreads = [
        f"`{score}` {deviation(rows, score):.{decimals + 1}f} "
        f"({least_difference(rows, score):.{decimals + 1}f})"
        for score, decimals in DECIMALS.items()
    ]
    return (
        f"{text} Standard deviation between seeds of the same recipe, pooled over all that neither "
        "collapsed nor failed, and in brackets the least difference of two means that is not to be "
        f"expected from chance alone (twice its own deviation): {', '.join(spreads)}. Of twenty "
        "recipes that are all alike, one would be expected beyond that."
    )


# ------------------------------------------------------------------------------------------------
# The picture
# ------------------------------------------------------------------------------------------------

ENLARGED = 2
LABEL_WIDTH = 230


def draw_samples(rows: Sequence[tuple[str, str, np.ndarray | None]]) -> np.ndarray:
    """Labelled grids, one below the other.

    Args:
        rows: what to write in the first and in the second line beside a grid, and the grid, uint8
            (H, W, 3), all of one size; None leaves its place empty.

    Returns:
        uint8 (len(rows) * 2 H, 230 + 2 W, 3).
    """
    height, width = next(grid.shape[:2] for _, _, grid in rows if grid is not None)
    size = ENLARGED * width, ENLARGED * height
    canvas = Image.new("RGB", (LABEL_WIDTH + size[0], len(rows) * size[1]), WHITE)
    pen = ImageDraw.Draw(canvas)
    for number, (name, remark, grid) in enumerate(rows):
        top = number * size[1]
        if grid is not None:
            enlarged = Image.fromarray(grid).resize(size, Image.Resampling.NEAREST)
            canvas.paste(enlarged, (LABEL_WIDTH, top))
        pen.text((8, top + 14), name, "black", ImageFont.load_default(17))
        pen.text((8, top + 38), remark, "#666666", ImageFont.load_default(13))
    return np.asarray(canvas)


def sample_rows(
    rows: Sequence[Row], runs: Sequence[Run], seed: int
) -> list[tuple[str, str, np.ndarray | None]]:
    """What `draw_samples` draws: real pictures, then the recipes as in the table."""
    shown: list[tuple[str, str, np.ndarray | None]] = []
    by_name = {run.recipe.name: run for run in runs if run.seed == seed}
    for row in rows:
        run = by_name[row.recipe.name]
        if seed not in row.averaged or not run.samples.exists():
            shown.append((row.recipe.name, notes(row, 0), None))
            continue
        if not shown:
            reals = run.samples.with_name("reals.png")
            shown.append(("real pictures", "", np.asarray(read_picture(reals))))
        remark = f"F-score {row.averaged[seed]['f_score']:.2f}"
        remark += ", collapsed" * (seed in row.collapsed)
        shown.append((row.recipe.name, remark, np.asarray(read_picture(run.samples))))
    return shown


# ------------------------------------------------------------------------------------------------
# The command line
# ------------------------------------------------------------------------------------------------


def report(folder: Path, recipes: Sequence[Recipe], seeds: int, seconds: float) -> None:
    """Print the table and what it says, and draw the picture, of what there is so far."""
    runs = order_of_work(recipes, seeds, seconds, folder)
    rows, floor = collect(runs)
    if not rows:
        print("no run has ended yet")
        return
    text = f"{table(rows, floor, seeds)}\n\n{verdict(rows)}\n\n{footnote(rows, seconds)}"
    with atomic_path(folder / "table.md") as temporary:
        temporary.write_text(text + "\n")
    print(f"\n{text}\n")
    shown = sample_rows(rows, runs, seed=0)
    if any(grid is not None for _, _, grid in shown):
        save_png(folder / "samples.png", draw_samples(shown))
        print(f"table: {folder / 'table.md'}, picture: {folder / 'samples.png'}")


def settle_seconds(folder: Path, seconds: float) -> None:
    """Keep the seconds that a folder's runs have.

    Raises:
        UserError: they have others.
    """
    path = folder / "step_times.json"
    known = read_json(path)
    if known.setdefault("seconds", seconds) != seconds:
        raise UserError(
            f"--seconds {seconds:g}: {folder} holds runs of {known['seconds']:g} s; choose another "
            "--folder"
        )
    write_json(path, known)


@one_line_errors
def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "data" / "recipes")
    parser.add_argument("--seconds", type=float, help="of one core, for each run (default 200)")
    parser.add_argument("--seeds", type=int, default=3, help="of each recipe (default 3)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a core each")
    parser.add_argument("--turns", type=int, default=35, help="of timing the steps (default 35)")
    parser.add_argument("--only", nargs="+", metavar="RECIPE", help="some of the recipes")
    parser.add_argument("--table", action="store_true", help="show what there is; train nothing")
    parser.add_argument("--time", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    recipes = chosen_recipes(options.only)
    if options.time:
        print(json.dumps(time_recipes(recipes, options.time)))
        return
    for name in ("seconds", "seeds", "turns"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise UserError(f"--{name} {value}: must be more than 0")
    folder = options.folder.absolute()
    seconds = options.seconds or read_json(folder / "step_times.json").get("seconds", 200.0)
    if options.table:
        report(folder, recipes, options.seeds, seconds)
        return
    first_cores(options.jobs)
    for kind in ("logs", "results"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with lock_folder(folder) as lock:
        try:
            settle_seconds(folder, seconds)
            refused = calibrate(folder, recipes, options.turns)
            for name, error in refused.items():
                print(f"{name}: left out: {error}", flush=True)
            runs = order_of_work(recipes, options.seeds, seconds, folder)
            failures = run_all(runs, options.jobs, lock)
        except KeyboardInterrupt:
            print("stopped; the same command goes on, --table shows what there is", file=sys.stderr)
            raise SystemExit(130) from None
    report(folder, recipes, options.seeds, seconds)
    if failures:
        raise RunError(f"{failures} runs failed; the same command tries them again")


if __name__ == "__main__":
    main()

"""What each trick is worth: every recipe trained for the same seconds, scored at its last step.

    python benchmarks/recipes.py                             # all recipes, three seeds, 200 s each
    python benchmarks/recipes.py --only baseline "label noise" --seconds 60
    python benchmarks/recipes.py --jobs 2                    # two at a time, a core each
    python benchmarks/recipes.py --table                     # what there is so far; trains nothing

A recipe is one of the scripts with some options, on the built-in robots at 32 px with small
networks. Everything is kept in ``--folder``: stop it with Ctrl-C, and the same command goes on
where it stopped. Seed 0 of all recipes comes first, then seed 1, so that an early table has every
recipe in it. After a change of the scripts, take another folder: what is there is not made again.

"The same seconds" are processor seconds of one core. A clock would favour whoever had the machine
to itself, so the steps of all recipes are timed first, in turns; the seconds divided by that are
the number of steps that each run of a recipe makes, however long it takes. (Where the cost of a
step depends on how the training goes, that is its cost at the beginning; the table has the
processor time that was really used, start and compilation included. Other programs make processor
time longer as well, for all recipes alike: best timed on a quiet machine.)

Scores are those of ``evaluate.py`` on the pictures kept from training: nobody picks the best step.

| in ``--folder`` | |
|---|---|
| ``table.md``, ``samples.png`` | the scores; what each recipe draws from the same latent vectors |
| ``results/RUN.json`` | the command, the scores or the error of a run |
| ``step_times.json`` | processor seconds of a step |
| ``images/``, ``models/``, ``logs/`` | the runs, and what they printed |
"""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.race import command
from benchmarks.race.contestants import Contestant, chosen
from benchmarks.race.files import read_json
from benchmarks.race.pictures import draw_grids, last_grids
from benchmarks.race.race import Race
from benchmarks.race.rows import COLLAPSED, Row, least_difference
from benchmarks.race.runs import Run
from benchmarks.race.tables import (
    cell,
    chance,
    failures,
    floor_cells,
    leaders,
    markdown,
    names_of,
    notes,
    score_cells,
)
from benchmarks.race.timing import REPOSITORY
from utils.common.errors import one_line_errors

OPTIONS = (
    "--data mechas --image-size 32 --generator-filters 16 --batch-size 16 --precision float32 "
    "--score none --sample-interval 100000 --checkpoint-interval 1000000 --sample-rows 1 "
    "--sample-columns 8"
)
"""Nothing but training: pictures and checkpoints only at the end, or where a run is stopped."""
SHOWN = ("kid", "precision", "recall", "coverage", "swd", "sharpness")
"""The scores of the table."""


def _dcgan(name: str, flags: str) -> Contestant:
    return Contestant(name, f"--preset plain --discriminator-filters 16 {flags}")


def _wgan(name: str, flags: str) -> Contestant:
    return Contestant(name, f"--critic-filters 16 {flags}", "wgan.py")


RECIPES = (
    _dcgan("baseline", ""),
    _dcgan("two-sided smoothing", "--label-smoothing 0.1 --smoothing-sides two-sided"),
    _dcgan("one-sided smoothing", "--label-smoothing 0.1"),
    _dcgan("label noise", "--label-noise 0.1"),
    _dcgan("label swapping", "--label-swap 0.05"),
    _dcgan("instance noise", "--instance-noise 0.1"),
    _dcgan("dropout in both", "--generator-dropout 0.3"),
    _dcgan("no dropout", "--discriminator-dropout 0"),
    _dcgan("minibatch discrimination", "--minibatch discrimination"),
    _dcgan("minibatch deviation", "--minibatch deviation"),
    _dcgan("feature matching", "--feature-matching 1.0"),
    _dcgan("monitored", "--balance monitored"),
    _dcgan("boosting", "--balance boosting --label-noise 0.1"),
    _dcgan("spectral norm", "--spectral-normalization"),
    _dcgan("upsampling", "--upscaling upsample --kernel-size 3"),
    _dcgan("normalisation after", "--normalization after-activation"),
    _dcgan("equal rates", "--generator-learning-rate 2e-4"),
    _wgan("wgan clip", "--constraint clip"),
    _wgan("wgan penalty", "--constraint penalty"),
    _wgan("wgan penalty, 2 updates", "--constraint penalty --n-critic 2"),
    _wgan("wgan penalty + minibatch", "--constraint penalty --minibatch deviation"),
)
BASELINE = RECIPES[0]


@one_line_errors
def main() -> None:
    """Do what the command line says."""
    parser = command.parser(__doc__, seeds=3, turns=35)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "data" / "recipes")
    parser.add_argument("--seconds", type=float, help="of one core, for each run (default 200)")
    options = parser.parse_args()
    command.check_positive(options, "seconds", "seeds", "turns")
    folder = options.folder.absolute()
    seconds = options.seconds or read_json(folder / "step_times.json").get("seconds", 200.0)
    race = make_race(folder, seconds)

    def report(rows: list[Row], floor: dict[str, float], runs: list[Run]) -> str:
        ordered = ranked(rows)
        draw_grids(folder / "samples.png", last_grids(ordered, runs, "kid"), enlarged=2)
        return "\n\n".join(
            [table(ordered, floor, options.seeds), verdict(ordered), footnote(ordered, seconds)]
        )

    command.hold(race, chosen(RECIPES, options.only), options, seconds, report)


def make_race(folder: Path, seconds: float) -> Race:
    """Runs of that many processor seconds of one core."""
    return Race(
        folder=folder,
        baseline=BASELINE,
        options=OPTIONS.split(),
        settings={"seconds": seconds},
        clock="processor",
        cores=1,
        # Short, so that what disturbs a recipe disturbs the baseline of its turn as well: on a
        # machine with much else to do, recipes of equal cost came out within 2 % of each other with
        # 35 turns of 0.2 s, and within 6 % with 7 turns of 1 s.
        turn_seconds=0.2,
        timed_at_once=len(RECIPES),
    )


def ranked(rows: Sequence[Row]) -> list[Row]:
    """By mean KID; recipes of which no run could be scored come last."""
    return sorted(rows, key=lambda row: (not row.finals, row.mean("kid")))


def table(rows: Sequence[Row], floor: Mapping[str, float], seeds: int) -> str:
    """The scores in Markdown, those of real pictures last.

    Args:
        rows: as `ranked` leaves them.
        floor: what real pictures get; may be empty.
        seeds: how many each should have.
    """
    scores = [f"`{score}`" for score in SHOWN]
    lines = [["recipe", "steps", "ms a step", "CPU s", *scores, "`kid`, current", ""]]
    for row in rows:
        current = [found["kid"] for found in row.current.values() if found]
        taken = [row.cpu_seconds[seed] for seed in row.finals]
        lines.append(
            [
                row.contestant.name,
                f"{row.moments[-1].steps:,}",
                f"{1000 * row.step_seconds:.2f}",
                f"{statistics.fmean(taken):.0f}" if taken else "",
                *score_cells(row, SHOWN),
                cell("kid", current),
                "; ".join(notes(row, seeds)),
            ]
        )
    if floor:
        cells = floor_cells(floor, SHOWN)
        lines.append(["real pictures", "", "", "", *cells, "", ""])
    return markdown(lines)


def verdict(rows: Sequence[Row]) -> str:
    """Which recipe wins, which are better or worse than the baseline, which collapse."""
    scored = [row for row in rows if row.finals]
    step = least_difference(rows, "kid")
    lines = leaders(scored, "kid", step, "Least mean `kid`: {name}, {mean:.0f}")
    baseline = next((row for row in scored if row.contestant == BASELINE), None)
    if baseline is not None and not math.isnan(step):
        gains = [(baseline.mean("kid") - row.mean("kid"), row) for row in scored]
        better = [row for gain, row in gains if gain >= step and row is not baseline]
        worse = [row for gain, row in gains if gain <= -step and row is not baseline]
        lines.append(f"* Better than the baseline: {names_of(better)}.")
        lines.append(f"* Worse than the baseline: {names_of(worse)}.")
    collapsed = [
        f"{row.contestant.name} (seed {seed}: {1 / share:.1f})"
        for row in rows
        for seed, share in row.collapsed.items()
    ]
    lines.append(
        "* Collapsed, and the number of different pictures that would be as much alike: "
        f"{'; '.join(collapsed) or 'none'}."
    )
    lines.append(failures(rows))
    return "\n".join(lines)


def footnote(rows: Sequence[Row], seconds: float) -> str:
    """How the table came about, and which of its differences mean something."""
    return (
        f'{seconds:g} seconds of one core for each run, at the step times shown; "CPU s" is what a '
        "run really took, its start included. Scores of the averaged generator (and the F-score of "
        "the current one) at the last step against the pictures kept from training: mean, and in "
        'brackets the lowest and highest seed. "Collapsed": generated pictures are as much alike '
        f"as if there were fewer than {1 / COLLAPSED:.0f} different ones. " + chance(rows, SHOWN)
    )


if __name__ == "__main__":
    main()

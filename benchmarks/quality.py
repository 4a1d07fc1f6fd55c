"""Time to quality: which method draws the best pictures after N seconds of this machine?

    python benchmarks/quality.py                             # all contestants, 300 s each
    python benchmarks/quality.py --only default "radford dcgan" --seconds 60
    python benchmarks/quality.py --seconds 1200 --seeds 3    # goes on from the 300 s
    python benchmarks/quality.py --data data/robots-64.h5    # a prepared data set
    python benchmarks/quality.py --table                     # what there is so far; trains nothing

The score that decides is KID of the averaged generator at the last moment, against the pictures
kept from training: the least wins. It does not see everything that an eye sees: docs/quality.md.
A contestant that draws copies is out: one whose images are less than
`utils.watching.rules.Limits.originality` times as far from the training pictures as real ones are,
or of which, beyond the share of real pictures, more than `benchmarks.race.rows.MOST_COPIES` are
suspiciously near to one (as ``evaluate.py`` says it).

Contestants (`benchmarks/methods.py`) are our scripts with some options, and *historical* ones: the
presets of known projects, each once as it is but at the benchmark's image size, and once at our
width: with our filters, batch and precision. The better of the two counts.

**Seconds are of this machine,** all its cores, by the clock, spent on steps alone: neither start
nor compilation nor scoring. Steps are timed first, in turns with the default's; the number of steps
is the seconds divided by that. The trainings may then run several at a time, each on its share of
the cores, however slowly: the outcome is what the machine would have reached in those seconds.
(Another number of cores adds numbers up in another order: the outcome is one of the same kind, not
the same to the bit. What a step costs is what it costs at the beginning of a training.)

At fixed moments (30, 60, 120, ... s) ``evaluate.py`` scores the run and its grid is kept. All have
the same pictures held out, whatever the seed. Everything is kept in ``--folder``: stop it with
Ctrl-C, and the same command goes on where it stopped; with more ``--seconds``, runs go on from
where they ended. After a change of the scripts, take another folder: what is there is not made
again.

| in ``--folder`` | |
|---|---|
| ``table.md`` | the scores at the last moment |
| ``curves.png`` | scores against seconds |
| ``grids.png``, ``moments.png`` | the last grids of all; those of the winner through its moments |
| ``results/RUN.json`` | the command, and the scores by steps, or the error |
| ``step_times.json`` | seconds of a step, in turns |
| ``images/``, ``models/``, ``logs/`` | the runs, and what they printed |
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.methods import OURS, contestants
from benchmarks.race import command
from benchmarks.race.contestants import chosen, slug
from benchmarks.race.files import read_json
from benchmarks.race.pictures import draw_curves, draw_grids, grids_of, last_grids
from benchmarks.race.race import Race
from benchmarks.race.rows import Row, least_difference
from benchmarks.race.runs import Run
from benchmarks.race.tables import (
    chance,
    failures,
    floor_cells,
    leaders,
    markdown,
    names_of,
    notes,
    score_cells,
)
from benchmarks.race.timing import REPOSITORY, first_cores, timed_elsewhere
from utils.common.errors import one_line_errors
from utils.common.processes import cores
from utils.scoring.registry import SCORES

OPTIONS = (
    "--holdout 0.2 --score none --sample-interval 100000000 --checkpoint-interval 100000000 "
    "--keep-checkpoints 1 --sample-rows 4 --sample-columns 8"
)
"""Nothing but training: grids and checkpoints only where a run is stopped."""
MOMENTS = (30, 60, 120, 180, 240, 300, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200)
"""Seconds at which a run is scored, besides its last: among them 1, 3, 10 and 20 minutes."""
SHOWN = ("kid", "swd", "coverage", "recall", "sharpness")
"""The scores of the table."""


@one_line_errors
def main() -> None:
    """Do what the command line says."""
    options = parser().parse_args()
    command.check_positive(options, "size", "seconds", "seeds", "turns", "step_seconds")
    entered = chosen(contestants(options.size), options.only)
    race = make_race(options)

    def report(rows: list[Row], floor: dict[str, float], runs: list[Run]) -> str:
        ordered = ranked(rows, floor)
        draw_curves(race.folder / "curves.png", ordered, floor)
        draw_grids(race.folder / "grids.png", last_grids(ordered, runs, "kid"))
        winner = next(run for run in runs if run.contestant == ordered[0].contestant)
        draw_grids(race.folder / "moments.png", grids_of(winner))
        known = read_json(race.step_times)
        return "\n\n".join(
            [
                table(ordered, floor, options.seeds),
                verdict(ordered, floor, known.get("refused", {})),
                footnote(ordered, options.seconds, known),
            ]
        )

    command.hold(race, entered, options, options.seconds, report, options.step_seconds)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = command.parser(__doc__, seeds=1, turns=15)
    found.add_argument("--data", default="mechas", help="mechas, or a prepared .h5 file")
    found.add_argument("--size", type=int, default=64, help="of the images, in px (default 64)")
    found.add_argument("--seconds", type=float, default=300.0, help="of each run (default 300)")
    found.add_argument("--folder", type=Path, help="default: data/quality-DATA-SIZE")
    found.add_argument(
        "--cores", type=int, default=cores(),
        help="of the machine whose seconds they are (default all)",
    )  # fmt: skip
    found.add_argument(
        "--step-seconds", type=float,
        help="what a step of the default takes, where that is known from a quieter hour",
    )  # fmt: skip
    found.add_argument(
        "--precision", choices=("", "float32", "bfloat16"), default="",
        help="of ours; left out, what the scripts' auto takes here",
    )  # fmt: skip
    return found


def make_race(options: argparse.Namespace) -> Race:
    """The race that the command line asks for."""
    data = options.data if options.data == "mechas" else str(Path(options.data).resolve())
    folder = REPOSITORY / "data" / f"quality-{slug(Path(data).stem)}-{options.size}"
    folder = (options.folder or folder).absolute()
    known = read_json(folder / "step_times.json")
    precision = options.precision or known.get("precision")
    if not precision and not options.table:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        used = first_cores(options.cores, "--cores")
        precision = timed_elsewhere(["precision"], folder / "logs" / "precision.log", used)
    settings = {
        "data": data, "size": options.size, "precision": precision, "cores": options.cores
    }  # fmt: skip
    if options.table:
        settings |= {name: known[name] for name in settings if name in known}
    return Race(
        folder=folder,
        baseline=OURS[0],
        options=[
            "--data", settings["data"], "--image-size", str(settings["size"]),
            "--precision", str(settings["precision"]), *OPTIONS.split(),
        ],
        settings=settings,
        clock="wall",
        cores=settings["cores"],
        turn_seconds=0.5,
        timed_at_once=4,
        scored_at=MOMENTS,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------
# Order
# ------------------------------------------------------------------------------------------------


def ranked(rows: Sequence[Row], floor: Mapping[str, float]) -> list[Row]:
    """The rows that count, by mean KID: of each historical recipe the better form.

    Those that are out because they copy come after the others, and those that were not scored at
    the last moment at the end.
    """

    def rank(row: Row) -> tuple[bool, bool, float]:
        return not row.finals, bool(row.copies(floor)), row.mean("kid")

    counted: dict[str, Row] = {}
    for row in sorted(rows, key=rank):
        key = row.contestant.recipe or row.contestant.name
        if key in counted:
            counted[key].beaten = row
        else:
            row.beaten = None
            counted[key] = row
    return list(counted.values())


def best_historical(rows: Sequence[Row], floor: Mapping[str, float], score: str) -> Row | None:
    """Of the historical rows that were scored and do not copy, the one with the least score."""
    sound = [row for row in rows if row.contestant.recipe and row.finals and not row.copies(floor)]
    return min(sound, key=lambda row: row.mean(score), default=None)


def excess_ratio(mine: float, other: float, floor: float) -> float:
    """How far above the floor, by how far the other one is; NaN where that is not above it."""
    return (mine - floor) / (other - floor) if other > floor else math.nan


def second_reached(curve: Sequence[tuple[float, float]], target: float) -> float:
    """The second at which a falling score was first at or below the target; NaN if it never was.

    It is interpolated between two moments; at the first moment, it may have been earlier.

    Args:
        curve: seconds, ascending, and the score at each.
        target: what is to be reached.
    """
    before = None
    for seconds, value in curve:
        if value <= target:
            if before is None:
                return seconds
            share = (before[1] - target) / (before[1] - value)
            return before[0] + share * (seconds - before[0])
        before = seconds, value
    return math.nan


# ------------------------------------------------------------------------------------------------
# Text
# ------------------------------------------------------------------------------------------------


def table(rows: Sequence[Row], floor: Mapping[str, float], seeds: int) -> str:
    """The scores at the last moment in Markdown, those of real pictures last.

    Args:
        rows: as `ranked` leaves them.
        floor: what real pictures get; may be empty.
        seeds: how many each should have.
    """
    head = ["contestant", "s a step", "steps", *(f"`{score}`" for score in SHOWN)]
    head[5:5] = ["excess `swd`", "of the best historical's"]
    lines = [[*head, "its `swd` after", ""]]
    best = best_historical(rows, floor, "swd")
    for row in rows:
        name = row.contestant.name
        cells = score_cells(row, SHOWN)
        cells[2:2] = excess_cells(row, best, floor)
        lines.append(
            [
                f"*{name}*" if row.contestant.recipe else name,
                f"{row.step_seconds:.3g}",
                f"{row.moments[-1].steps:,}",
                *cells,
                time_cell(row, best),
                "; ".join(all_notes(row, floor, seeds)),
            ]
        )
    if floor:
        cells = floor_cells(floor, SHOWN)
        cells[2:2] = ["", ""]
        lines.append(["real pictures", "", "", *cells, "", ""])
    return markdown(lines)


def excess_cells(row: Row, best: Row | None, floor: Mapping[str, float]) -> list[str]:
    """SWD above that of real pictures, and its ratio to the best historical recipe's."""
    if not floor or not row.finals:
        return ["", ""]
    excess = f"{row.mean('swd') - floor['swd']:.1f}"
    share = excess_ratio(row.mean("swd"), best.mean("swd"), floor["swd"]) if best else math.nan
    return [excess, "" if math.isnan(share) else f"{share:.2f}"]


def time_cell(row: Row, best: Row | None) -> str:
    """The second at which the best historical recipe's final SWD was reached."""
    if best is None or not row.finals:
        return ""
    curve = row.curve("swd")
    second = second_reached(curve, best.mean("swd"))
    if math.isnan(second):
        return "never"
    return "≤ " * (second == curve[0][0] and len(curve) > 1) + f"{second:.0f} s"


def all_notes(row: Row, floor: Mapping[str, float], seeds: int) -> list[str]:
    """What is to be said of a contestant."""
    found = notes(row, seeds)
    if copies := row.copies(floor):
        found.insert(0, f"**out: copies** ({len(copies)} of {len(row.finals)})")
    if any("originality" not in scores for scores in row.finals.values()):
        found.append("copies not looked for")
    if row.beaten is not None:
        form = "at our width" if row.beaten.contestant.name != row.contestant.recipe else "as it is"
        kid = row.beaten.mean("kid")
        result = "failed" if row.beaten.errors else "not scored"
        result = result if math.isnan(kid) else f"kid {kid:.0f}"
        result += ", copies" * bool(row.beaten.copies(floor))
        found.append(f"{form}: {result}")
    return found


def verdict(rows: Sequence[Row], floor: Mapping[str, float], refused: Mapping[str, str]) -> str:
    """Who wins, from whom that cannot be told apart, and who is out."""
    sound = [row for row in rows if row.finals and not row.copies(floor)]
    step = least_difference(rows, "kid")
    lines = leaders(sound, "kid", step, "Least mean `kid`: {name}, {mean:.0f}")
    for score in ("kid", "swd"):
        best = best_historical(rows, floor, score)
        if best is not None:
            mean = f"{best.mean(score):.{SCORES[score].decimals}f}"
            lines.append(f"* Best historical recipe by `{score}`: {best.contestant.name}, {mean}.")
    lines.append(f"* Out because of copies: {names_of([r for r in rows if r.copies(floor)])}.")
    lines.append(failures(rows))
    if refused:
        lines.append(f"* Left out: {'; '.join(f'{x} ({why})' for x, why in refused.items())}.")
    return "\n".join(lines)


def footnote(rows: Sequence[Row], seconds: float, settings: Mapping[str, Any]) -> str:
    """How the table came about, and which of its differences mean something."""
    return (
        f"{Path(settings['data']).name} at {settings['size']} px. What {seconds:g} seconds of this "
        f"machine ({settings['cores']} cores, by the clock, steps alone) reach: steps are timed in "
        "turns with the default's on all cores, and each training makes as many steps as fit. "
        "Scores of the averaged generator against the pictures kept from training; ordered by "
        "`kid`. In italics: historical recipes, the better of both forms (as it is; at our width). "
        '"Excess `swd`": over that of real pictures; then its ratio to the excess of the '
        'historical recipe with the least `swd`. "Its `swd` after": the second at which that '
        "recipe's final `swd` was first reached, on straight lines between moments. "
        + chance(rows, SHOWN)
    )


if __name__ == "__main__":
    main()

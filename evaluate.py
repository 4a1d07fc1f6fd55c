"""Score what a run has learned, every number beside what real pictures get.

    python evaluate.py dcgan-1                          # one table, and nearest.png
    python evaluate.py dcgan-1 --json > scores.json     # JSON alone on standard output
    python evaluate.py --compare dcgan-1 dcgan-2        # side by side, and a chart
    python evaluate.py dcgan-1 --features inception     # FID, if the weights are there

The reals of every score are the pictures that the run kept from its training, so that a generator
which knows its training pictures by heart does not win. The floor is what as many of the training
pictures get in place of generated ones: no generator can be expected to do better.

docs/metrics.md says what each score sees and which to trust for what.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from utils import backend  # before Keras: it keeps its start quiet

# isort: split
import numpy as np
import tyro
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tqdm import tqdm

from utils.common import grids
from utils.common.commandline import parse
from utils.common.errors import UserError, one_line_errors
from utils.common.fields import Seed
from utils.common.files import atomic_path
from utils.data.dataset import Dataset
from utils.data.opening import open_dataset
from utils.sampling import latents, runs
from utils.scoring.distances import nearest
from utils.scoring.scorer import Scorer
from utils.training.arguments import check_run_name
from utils.training.options import RunOptions
from utils.watching import outputs


@dataclasses.dataclass
class Options:
    """What to score, and with what."""

    run: Annotated[str, tyro.conf.Positional] = ""
    """The run to score."""
    compare: tuple[str, ...] = ()
    """Runs to score side by side, instead of one."""
    data: str = ""
    """Another data set to score against than the run's own; all of it counts as held out."""
    features: Literal["random", "inception"] = "random"
    """What KID, precision, coverage and the search for copies see: three convolutional networks
    with fixed random weights, or Inception's, which has to be there."""
    images: int = 0
    """How many images to generate, and as many real ones; 0 takes as many as are held out, at most
    2000."""
    seed: Seed = 0
    """Of the latent vectors, and of everything a score draws."""
    json: bool = False
    """Print JSON on standard output, and nothing else there."""
    images_dir: str = RunOptions.images_dir
    """Where pictures of runs are."""
    models_dir: str = RunOptions.models_dir
    """Where networks of runs are."""


FEWEST_IMAGES = 50
MOST_IMAGES = 2000
MOST_TRAINING_IMAGES = 10_000
"""Among more, spread evenly, the nearest is hardly nearer; of 256 px they take 2 GB."""
MEANINGS = {
    "kid": "distance of the distributions, x 1000; less is better",
    "fid": "distance of the distributions, of papers; less is better",
    "f_score": "precision and recall in one; more is better",
    "precision": "share of images that look real; more is better",
    "recall": "share of reals that could be generated; more is better",
    "density": "how deep among the reals; 1 is right",
    "coverage": "share of reals with an image nearby; more is better",
    "copies": "share of images suspiciously near a training picture",
    "closeness": "distance to training pictures, of reals 1; 0 is a copy",
    "swd": "distance of patches, all sizes; less is better",
    "diversity": "mean likeness of two images; as for reals",
    "sharpness": "fine detail, of reals 1; less is smudged, more speckled",
}


# ------------------------------------------------------------------------------------------------
# Scoring one run
# ------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Evaluation:
    """The scores of a run."""

    run: str
    pictures: int
    """How many generated images were scored against as many real ones."""
    floor: dict[str, float]
    """What real pictures get; empty where there are too few of them."""
    scores: dict[str, dict[str, float]]
    """By generator: ``last, averaged`` and so on."""
    steps: dict[str, int]
    """How many steps each generator had been trained."""
    reals: str
    """A hash of the real pictures: where it is the same, scores can be compared."""


def open_pictures(run: runs.Run, options: Options) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """The data set to score with, and which of its pictures are held out and trained on.

    Raises:
        UserError: it is not there, or no longer the one of the run.
    """
    known = run.config["data_set"]
    source, size = options.data or run.hyperparameter("data"), run.hyperparameter("image_size")
    limit, seed = None, options.seed
    if not options.data:
        limit, seed = run.hyperparameter("limit") or None, run.hyperparameter("seed")
    is_prepared = bool(options.data) and os.path.isfile(os.path.expanduser(source))
    dataset = open_dataset(source, None if is_prepared else size, limit, seed)
    if dataset.image_size != size:
        raise UserError(
            f"--data {source}: holds pictures of {dataset.image_size} px, wanted {size} px as of "
            "the run"
        )
    if options.data:
        return dataset, np.arange(len(dataset)), np.arange(0)
    if dataset.fingerprint() != known.get("fingerprint"):
        raise UserError(
            f"--data {source}: its pictures are no longer those of the run; bring them back, or "
            "give --data with others to score against"
        )
    held_out = np.array(known.get("held_out", []), np.int64)
    return dataset, held_out, np.delete(np.arange(len(dataset)), held_out)


def open_run(run: str, options: Options) -> runs.Run:
    """Open a run by its name.

    Raises:
        UserError: there is none.
    """
    check_run_name("RUN", run)
    return runs.open_run(run, options.images_dir, options.models_dir)


def evaluate(run: str, options: Options) -> Evaluation:
    """Score the generators of a run, and draw ``nearest.png`` in its folder of pictures.

    Raises:
        UserError: there is no such run, its pictures have changed, or too few were held out.
    """
    opened = open_run(run, options)
    dataset, held_out, trained_on = open_pictures(opened, options)
    number = min(len(held_out), options.images or MOST_IMAGES)
    if number < FEWEST_IMAGES:
        raise UserError(
            f"{run}: {number} pictures to score against, wanted at least {FEWEST_IMAGES}; give "
            "--data with pictures that it was not trained on"
        )
    chosen = np.random.default_rng(options.seed).permutation(held_out)
    spread = np.linspace(0, len(trained_on) - 1, min(len(trained_on), MOST_TRAINING_IMAGES))
    training = dataset.take(trained_on[spread.astype(int)]) if len(trained_on) else None
    reals = dataset.take(np.sort(chosen[:number]))
    scorer = Scorer(reals, training, options.features, options.seed)
    has_floor = training is not None and len(training) >= number
    floor = scorer.floor() if has_floor else {}
    evaluation = Evaluation(run, number, floor, {}, {}, hashlib.sha256(reals).hexdigest()[:16])
    images = None
    folder = opened.models
    found = {
        name: folder / file for name, file in runs.GENERATORS.items() if (folder / file).exists()
    }
    for name, path in tqdm(found.items(), desc=f"scoring {run}", unit="networks", leave=False):
        generator = runs.load_network(path)
        # The same latent vectors for every generator.
        drawn = latents.draw(number, generator.input_shape[1], options.seed)
        generated = runs.generate(generator, drawn)
        images = generated if images is None else images
        evaluation.scores[name] = scorer.score(generated)
        evaluation.steps[name] = runs.trained_steps(folder, name)
    if images is None:
        raise UserError(f"{run}: {folder / 'generator.keras'} does not exist")
    if training is not None:
        path = opened.images / outputs.NEAREST
        try:
            draw_nearest(path, images, training, scorer)
        except OSError as error:
            # The scores, which took long, are worth more.
            print(f"{path}: cannot be written: {error.strerror or error}", file=sys.stderr)
    return evaluation


def draw_nearest(path: Path, images: np.ndarray, training: np.ndarray, scorer: Scorer) -> None:
    """Draw the images that are nearest to a training picture beside these, the nearest first.

    Three columns of pairs, generated on the left: memorising shows at once. Below, three pairs a
    row as well, are as many from the middle of the order.
    """
    network = scorer.networks[0]
    found = nearest(network(images), network(training))
    order = np.argsort(found.distances)
    middle = len(order) // 2
    rows = 5
    shown = np.concatenate([order[: 3 * rows], order[middle : middle + 3 * rows]])
    pairs = np.stack([images[shown], training[found.indices[shown]]], axis=1)
    grid = grids.tile(pairs.reshape(-1, *images.shape[1:]), columns=6)
    grids.save_png(path, grid)


# ------------------------------------------------------------------------------------------------
# Showing
# ------------------------------------------------------------------------------------------------


def shown_scores(columns: Sequence[Mapping[str, float]]) -> list[str]:
    """The names of scores in the order in which they are shown; levels of SWD after their mean."""
    names = list(dict.fromkeys(name for column in columns for name in column))
    return [name for name in names if not name.endswith("_spread")]


def cell(scores: Mapping[str, float], name: str) -> str:
    """A score and its spread, three digits."""
    if name not in scores:
        return ""
    found = (scores[name], scores.get(f"{name}_spread", math.nan))
    texts = [f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" for value in found]
    return texts[0] if math.isnan(found[1]) else f"{texts[0]} ± {texts[1]}"


def table(columns: Mapping[str, Mapping[str, float]]) -> str:
    """Scores as rows, generators as columns."""
    names = shown_scores(list(columns.values()))
    lines = [["", *columns, ""]]
    for name in names:
        cells = [cell(scores, name) for scores in columns.values()]
        lines.append([name, *cells, MEANINGS.get(name, "")])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if place in (0, len(line) - 1) else text.rjust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def print_evaluation(evaluation: Evaluation, options: Options) -> None:
    """One run: its generators beside the floor."""
    columns = {"floor": evaluation.floor} if evaluation.floor else {}
    for name, scores in evaluation.scores.items():
        columns[f"{name} ({evaluation.steps[name]})"] = scores
    print(
        f"run {evaluation.run}: {evaluation.pictures} generated images against as many real ones, "
        f"{options.features} features; in brackets, steps\n\n{table(columns)}\n"
    )


def draw_comparison(path: Path, evaluations: Sequence[Evaluation]) -> None:
    """A small chart for every score: a bar for every run, the floor as a line."""
    names = [name for name in shown_scores([first(e) for e in evaluations]) if name in MEANINGS]
    columns = 3
    rows = -(-len(names) // columns)
    # On the same pictures it differs by the training pictures alone.
    has_one_floor = len({e.reals for e in evaluations}) == 1
    figure = Figure(figsize=(4 * columns, 0.6 + rows * (0.9 + 0.35 * len(evaluations))))
    figure.set_layout_engine("constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis, name in zip(axes, names, strict=False):
        values = [first(e).get(name, math.nan) for e in evaluations]
        spreads = [first(e).get(f"{name}_spread", 0.0) for e in evaluations]
        places = np.arange(len(values))[::-1]
        axis.barh(places, values, xerr=spreads, height=0.7)
        floors = [e.floor[name] for e in evaluations if name in e.floor and has_one_floor]
        if floors:
            axis.axvline(float(np.mean(floors)), color="black", linestyle="--", linewidth=1)
        axis.set_yticks(places, [e.run for e in evaluations])
        axis.set_title(name, fontsize=10)
        axis.set_xlabel(MEANINGS[name], fontsize=7)
    for axis in axes[len(names) :]:
        axis.set_axis_off()
    figure.suptitle(
        "averaged weights of the last checkpoint; "
        + ("dashed: real pictures" if has_one_floor else "scored against different pictures")
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


def first(evaluation: Evaluation) -> dict[str, float]:
    """The scores of the generator that the run would be judged by."""
    return next(iter(evaluation.scores.values()))


@one_line_errors
def main() -> None:
    """Score one run, or several side by side."""
    options = parse(Options, "evaluate.py", __doc__)
    names = tuple(dict.fromkeys(options.compare)) or ((options.run,) if options.run else ())
    if not names:
        raise UserError("RUN: which run? Give its name, or --compare and several")
    if options.run and options.compare:
        raise UserError(f"--compare: and {options.run} as well; name it among those to compare")
    if options.images and options.images < FEWEST_IMAGES:
        raise UserError(
            f"--images {options.images}: wanted at least {FEWEST_IMAGES}, or 0 for all held out"
        )
    backend.seed_everything(options.seed, deterministic=True)
    for run in names:  # a name that is none, before the first is scored
        open_run(run, options)
    evaluations = [evaluate(run, options) for run in names]
    if len({e.reals for e in evaluations}) > 1:
        print(
            "--compare: these runs are scored against different pictures, and what differs may be "
            "these; give --data, or runs of one data set",
            file=sys.stderr,
        )
    if options.compare:
        chart = Path(options.images_dir, "comparison.png")
        draw_comparison(chart, evaluations)
    if options.json:
        print(json.dumps([dataclasses.asdict(e) for e in evaluations], indent=2))
        return
    if options.compare:
        columns = {}
        for number, e in enumerate(evaluations):
            if e.floor and (not number or e.reals != evaluations[0].reals):
                columns["floor" if not number else f"floor of {e.run}"] = e.floor
            columns[e.run] = first(e)
        print(table(columns))
        print(f"\nchart: {chart}")
        return
    print_evaluation(evaluations[0], options)
    drawn = open_run(options.run, options).images / outputs.NEAREST
    if drawn.exists() and not options.data:
        print(f"generated images beside the nearest training pictures: {drawn}")


if __name__ == "__main__":
    main()

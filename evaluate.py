"""Score what a run has learned, every number next to what real pictures get.

    python evaluate.py dcgan-1                          # one table, and nearest.png
    python evaluate.py dcgan-1 --json > scores.json     # JSON alone on standard output
    python evaluate.py --compare dcgan-1 dcgan-2        # side by side, and a chart
    python evaluate.py dcgan-1 --features random        # colours and textures only

The reals of every score are the pictures that the run kept from its training, so that a generator
which memorises its training pictures does not win. The floor is what as many of the training
pictures get in place of generated ones: no generator can be expected to do better.

docs/metrics.md says what each score sees and which to trust for what.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from utils import backend  # before Keras: it keeps its start quiet

# isort: split
import numpy as np
import tyro
from tqdm import tqdm

from utils.common import grids
from utils.common.commandline import parse
from utils.common.errors import RunError, UserError, one_line_errors, or_warning
from utils.common.fields import Seed
from utils.data.dataset import Dataset
from utils.data.opening import open_dataset
from utils.sampling import latents, runs
from utils.scoring.registry import FeatureKind
from utils.scoring.report import caution, draw_comparison, table
from utils.scoring.scorer import Scorer
from utils.training.arguments import check_run_name
from utils.training.options import RunOptions
from utils.watching import outputs

FEWEST_IMAGES = 50
MOST_IMAGES = 2000
MOST_TRAINING_IMAGES = 10_000
"""Among more, spread evenly, the nearest is hardly nearer; of 256 px they take 2 GB."""


@dataclasses.dataclass
class Options:
    """What to score, and with what."""

    run: Annotated[str, tyro.conf.Positional] = ""
    """The run to score."""
    compare: tuple[str, ...] = ()
    """Runs to score side by side, instead of one."""
    data: str = ""
    """Another data set to score against than the run's own; all of it counts as held out."""
    features: FeatureKind = "imagenet"
    """What KID, precision, coverage and the search for copies see: shapes and objects (imagenet),
    colours and textures alone (random), or what Inception does, whose weights have to be there."""
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


@dataclasses.dataclass
class Evaluation:
    """The scores of a run, as ``--json`` prints them."""

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
    features: str
    """Kind, input size and hash of the features: where they differ, scores do not compare."""
    caution: list[str]
    """What these scores cannot tell."""

    @property
    def first(self) -> dict[str, float]:
        """The scores of the generator that stands for the run."""
        return next(iter(self.scores.values()))


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
            f"--images {options.images}: expected at least {FEWEST_IMAGES}, or 0 for all held out"
        )
    backend.seed_everything(options.seed, deterministic=True)
    for run in names:  # a wrong name is an error before the first run is scored
        open_run(run, options)
    evaluations = [evaluate(run, options) for run in names]
    features = list(dict.fromkeys(each.features for each in evaluations))
    if len(features) > 1:
        raise UserError(
            f"--compare: scores of {' and '.join(features)} do not compare; expected runs of one "
            "image size, or --features imagenet"
        )
    same_reals = len({each.reals for each in evaluations}) == 1
    if not same_reals:
        print(
            "--compare: these runs are scored against different pictures, and what differs may be "
            "these; give --data, or runs of one data set",
            file=sys.stderr,
        )
    chart = Path(options.images_dir, "comparison.png")
    if options.compare:
        with or_warning(chart):
            draw_comparison(
                chart,
                {each.run: each.first for each in evaluations},
                # On the same pictures it differs by the training pictures alone.
                [each.floor for each in evaluations] if same_reals else [],
                f"averaged weights of the last checkpoint; {features[0]} features; "
                + ("dashed: real pictures" if same_reals else "scored against different pictures"),
            )
    if options.json:
        print(json.dumps([dataclasses.asdict(each) for each in evaluations], indent=2))
    elif options.compare:
        print_comparison(evaluations)
        if chart.exists():
            print(f"\nchart: {chart}")
    else:
        print_evaluation(evaluations[0])
        drawn = open_run(options.run, options).images / outputs.NEAREST
        if drawn.exists() and not options.data:
            print(f"generated images beside the nearest training pictures: {drawn}")
    sys.stdout.flush()
    if problem := getattr(sys.stdout, "problem", ""):  # here, what is printed is the work
        raise RunError(f"standard output: {problem}; the scores are lost")


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
            f"{run}: {number} pictures to score against, expected at least {FEWEST_IMAGES}; give "
            "--data with pictures that it was not trained on"
        )
    chosen = np.random.default_rng(options.seed).permutation(held_out)
    reals = dataset.take(np.sort(chosen[:number]))
    spread = np.linspace(0, len(trained_on) - 1, min(len(trained_on), MOST_TRAINING_IMAGES))
    training = dataset.take(trained_on[spread.astype(int)]) if len(trained_on) else None
    scorer = Scorer(reals, training, options.features, options.seed)
    has_floor = training is not None and len(training) >= number
    floor = scorer.floor() if has_floor else {}
    digest = hashlib.sha256(reals).hexdigest()[:16]
    cautions = caution(options.features, number)
    evaluation = Evaluation(run, number, floor, {}, {}, digest, scorer.features, cautions)
    folder = opened.models
    found = {
        name: folder / file for name, file in runs.GENERATORS.items() if (folder / file).exists()
    }
    if not found:
        raise UserError(f"{run}: {folder / 'generator.keras'} does not exist")
    shown = None
    for name, path in tqdm(found.items(), desc=f"scoring {run}", unit="networks", leave=False):
        generator = runs.load_network(path)
        # The same latent vectors for every generator.
        drawn = latents.draw(number, generator.input_shape[1], options.seed)
        generated = runs.generate(generator, drawn)
        shown = generated if shown is None else shown
        evaluation.scores[name] = scorer.score(generated)
        evaluation.steps[name] = runs.trained_steps(folder, name)
    if training is not None:
        path = opened.images / outputs.NEAREST
        with or_warning(path):
            draw_nearest(path, shown, scorer)
    return evaluation


def open_run(run: str, options: Options) -> runs.Run:
    """Open a run by its name.

    Raises:
        UserError: there is none.
    """
    check_run_name("RUN", run)
    return runs.open_run(run, options.images_dir, options.models_dir)


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
            f"--data {source}: holds pictures of {dataset.image_size} px, expected {size} px as of "
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


def draw_nearest(path: Path, images: np.ndarray, scorer: Scorer) -> None:
    """Draw pairs of a generated image, left, and its nearest training picture: copies show at once.

    Three pairs a row: the nearest in the upper half, as many from the middle of the order below.
    """
    found = scorer.nearest_training(images)
    order = np.argsort(found.distances)
    middle, pairs = len(order) // 2, 15
    shown = np.concatenate([order[:pairs], order[middle : middle + pairs]])
    drawn = np.stack([images[shown], scorer.training[found.indices[shown]]], axis=1)
    grids.save_png(path, grids.tile(drawn.reshape(-1, *images.shape[1:]), columns=6))


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the generators of one run next to the floor."""
    columns = {"floor": evaluation.floor} if evaluation.floor else {}
    for name, scores in evaluation.scores.items():
        columns[f"{name} ({evaluation.steps[name]})"] = scores
    print(
        f"run {evaluation.run}: {evaluation.pictures} generated images against as many real ones, "
        f"{evaluation.features} features; in brackets, steps\n\n{table(columns)}\n"
    )
    print(*evaluation.caution, sep="\n", end="\n" if evaluation.caution else "")


def print_comparison(evaluations: Sequence[Evaluation]) -> None:
    """Print the runs side by side, with every floor that is another one."""
    columns = {}
    for number, each in enumerate(evaluations):
        if each.floor and (not number or each.reals != evaluations[0].reals):
            columns[f"floor of {each.run}" if number else "floor"] = each.floor
        columns[each.run] = each.first
    print(f"{evaluations[0].features} features\n\n{table(columns)}")
    print(*dict.fromkeys(line for each in evaluations for line in each.caution), sep="\n")


if __name__ == "__main__":
    main()

"""Score what a run has learned, every number next to what real pictures get.

    python evaluate.py dcgan-1                          # one table, and nearest.png
    python evaluate.py dcgan-1 --json > scores.json     # JSON alone on standard output
    python evaluate.py --compare dcgan-1 dcgan-2        # side by side, and a chart
    python evaluate.py dcgan-1 --features random        # colours and textures only

The reals of every score are the pictures that the run kept from its training, so that a generator
which memorises its training pictures does not win. The floor is what as many of the training
pictures get in place of generated ones: no generator can be expected to do better. Where too few
were held out, there are no scores, but copies are looked for all the same.

docs/metrics.md says what each score sees and which to trust for what.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from utils.common.commandline import parse  # first: it says what is not installed

# isort: split
import tyro

from utils.common.errors import RunError, UserError, one_line_errors, or_warning
from utils.common.fields import FilePath, Seed
from utils.scoring.registry import FeatureKind
from utils.training.options import RunOptions

FEWEST_IMAGES = 50
IMAGES_OF_FEW = 200
"""Generated to look for copies in, where fewer pictures than `FEWEST_IMAGES` are held out."""
MOST_IMAGES = 2000
MOST_TRAINING_IMAGES = 10_000
"""Among more, spread evenly, the nearest is hardly nearer; of 256 px they take 2 GB."""


@dataclasses.dataclass
class Options:
    """What to score, and with what."""

    run: Annotated[FilePath, tyro.conf.Positional] = ""
    """The run to score."""
    compare: tuple[FilePath, ...] = ()
    """Runs to score side by side, instead of one."""
    data: FilePath = ""
    """Another data set to score against than the run's own; all of it counts as held out."""
    features: FeatureKind = "imagenet"
    """What KID, precision, recall and coverage see: shapes and objects (imagenet), colours and
    textures alone (random), or what Inception does, whose weights have to be there."""
    images: int = 0
    """How many images to generate, and as many real ones; 0 takes as many as are held out, at most
    2000."""
    seed: Seed = 0
    """Of the latent vectors, and of everything a score draws."""
    json: bool = False
    """Print JSON on standard output, and nothing else there."""
    images_dir: FilePath = RunOptions.images_dir
    """Where pictures of runs are."""
    models_dir: FilePath = RunOptions.models_dir
    """Where networks of runs are."""

    def meant_by(self, words: list[str]) -> str:
        """The option that further words were meant as."""
        return shlex.join(["--compare", self.run, *self.compare, *words])


def read_options() -> Options:
    """What the command line asks for."""
    options = parse(Options, "evaluate.py", __doc__)
    if not (options.run or options.compare):
        raise UserError("RUN: which run? Give its name, or --compare and several")
    if options.run and options.compare:
        raise UserError(
            f"--compare: and {options.run} as well; did you mean {options.meant_by([])}?"
        )
    if options.images and options.images < FEWEST_IMAGES:
        raise UserError(
            f"--images {options.images}: expected at least {FEWEST_IMAGES}, or 0 for all held out"
        )
    return options


if __name__ == "__main__":  # --help and mistakes come before Keras, which takes seconds to load
    one_line_errors(read_options)()

from utils import backend  # before Keras: it keeps its start quiet

# isort: split
import keras
import numpy as np
from tqdm import tqdm

from utils.common import grids
from utils.common.channels import CHANNELS, how_to_prepare
from utils.data.classes import labels
from utils.data.dataset import Dataset
from utils.data.hdf5 import File
from utils.preparing.opening import open_dataset, source_of
from utils.sampling import runs
from utils.scoring.classes import GENERATED, Labelled, class_scores
from utils.scoring.copies import nearest_pictures, small_pictures
from utils.scoring.features import feature_networks
from utils.scoring.few import FewScorer
from utils.scoring.images import views
from utils.scoring.report import caution, class_table, draw_comparison, table
from utils.scoring.scorer import Scorer
from utils.training.config import saved_channels
from utils.training.names import named_run
from utils.training.split import spread
from utils.watching import outputs


@dataclasses.dataclass
class Subject:
    """A run that can be scored."""

    run: runs.Run
    generators: dict[str, keras.Model]
    """By the names of `runs.GENERATORS`."""
    chosen: np.ndarray
    """Numbers of the real pictures to score against, ascending."""
    trained_on: np.ndarray
    """Numbers of the pictures that it was trained on."""
    reals: str
    """A hash of the real pictures."""
    features: str
    """Kind, input size and hash of the features."""


@dataclasses.dataclass
class Evaluation:
    """The scores of a run, as ``--json`` prints them."""

    run: str
    pictures: int
    """How many real images there were to score against, and as many generated ones where these are
    enough for scores."""
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
    classes: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    """By class, of the generator that stands for the run; empty without classes."""

    @property
    def first(self) -> dict[str, float]:
        """The scores of the generator that stands for the run."""
        return next(iter(self.scores.values()))


@one_line_errors
def main() -> None:
    """Score one run, or several side by side."""
    options = read_options()
    given = options.compare or (options.run,)
    backend.seed_everything(options.seed, deterministic=True)
    opened.cache_clear()
    places = options.images_dir, options.models_dir
    names = dict.fromkeys(named_run("RUN", run, *places) for run in given)
    # All are looked at before the first is scored, which takes long.
    subjects = [look_at(name, options) for name in names]
    features = list(dict.fromkeys(each.features for each in subjects))
    if len(features) > 1:
        raise UserError(
            f"--compare: scores of {' and '.join(features)} do not compare; expected runs of one "
            "image size, or --features imagenet"
        )
    same_reals = len({each.reals for each in subjects}) == 1
    if not same_reals:
        print(
            "--compare: these runs are scored against different pictures, and what differs may be "
            "these; give --data, or runs of one data set",
            file=sys.stderr,
        )
    evaluations = [evaluate(subject, options) for subject in subjects]
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
        drawn = subjects[0].run.images / outputs.NEAREST
        if drawn.exists() and not options.data:
            print(f"generated images beside the nearest training pictures: {drawn}")
    sys.stdout.flush()
    if problem := getattr(sys.stdout, "problem", ""):  # here, what is printed is the work
        raise RunError(f"standard output: {problem}; the scores are lost")


def look_at(name: str, options: Options) -> Subject:
    """Open a run and its pictures, without scoring anything.

    Raises:
        UserError: there is no such run, its networks are damaged, its pictures have changed, or too
            few were held out.
    """
    run = runs.open_run(name, options.images_dir, options.models_dir)
    dataset, held_out, trained_on = open_pictures(run, options)
    number = min(len(held_out), options.images or MOST_IMAGES)
    if options.data and number < FEWEST_IMAGES:
        raise UserError(
            f"--data {options.data}: {number} pictures to score against, expected at least "
            f"{FEWEST_IMAGES}"
        )
    files = {each: run.models / file for each, file in runs.GENERATORS.items()}
    generators = {
        each: run.let_classes_in(runs.load_network(path), each)
        for each, path in files.items()
        if path.exists()
    }
    if not generators:
        raise UserError(f"{name}: {run.models / 'generator.keras'} does not exist")
    chosen = np.random.default_rng(options.seed).permutation(held_out)
    chosen = np.sort(chosen[:number])
    reals = hashlib.sha256(dataset.take(chosen)).hexdigest()[:16]
    features = feature_networks(options.features, dataset.image_size)[0].name
    return Subject(run, generators, chosen, trained_on, reals, features)


def evaluate(subject: Subject, options: Options) -> Evaluation:
    """Score the generators of a run, and draw ``nearest.png`` in its folder of pictures."""
    run, number = subject.run, len(subject.chosen)
    dataset, trained_on = open_pictures(run, options)[0], subject.trained_on
    reals = dataset.take(subject.chosen) if number else None
    compared = trained_on[spread(trained_on, min(len(trained_on), MOST_TRAINING_IMAGES))]
    training = dataset.take(compared) if len(compared) else None
    is_few = number < FEWEST_IMAGES
    if is_few:
        scorer, floor = FewScorer(training, reals, seed=options.seed), {}
        cautions = [
            f"{number} pictures are held out, expected {FEWEST_IMAGES} for scores; --data takes "
            "others that it was not trained on"
        ]
    else:
        scorer = Scorer(reals, training, options.features, options.seed)
        has_floor = training is not None and len(training) >= number
        floor = scorer.floor() if has_floor else {}
        cautions = caution(options.features, number)
    if options.data and run.classes:
        cautions.append("no scores by class: they take the pictures that the run was trained on")
    evaluation = Evaluation(
        run.name, number, floor, {}, {}, subject.reals, subject.features, cautions
    )
    known = None if options.data else labels_of(run, dataset)
    # As many of each class as reals.
    like = np.resize(trained_on, options.images or IMAGES_OF_FEW) if is_few else subject.chosen
    asked = None if known is None else known[like]
    shown = None
    bar = tqdm(subject.generators.items(), f"scoring {run.name}", unit="networks", leave=False)
    for name, generator in bar:
        # The same latent vectors for every generator.
        drawn = runs.draw(generator, len(like), options.seed, labels=asked)
        generated = runs.generate(generator, drawn)
        shown = generated if shown is None else shown
        evaluation.scores[name] = scorer.score(generated)
        evaluation.steps[name] = runs.trained_steps(run.models, name)
    if known is not None and training is not None and not is_few:
        evaluation.classes = score_classes(
            subject, scorer, Labelled(training, known[compared]), Labelled(reals, asked),
            options.seed,
        )  # fmt: skip
    if training is not None:
        path = run.images / outputs.NEAREST
        with or_warning(path):
            draw_nearest(path, shown, training)
    return evaluation


def labels_of(run: runs.Run, dataset: Dataset) -> np.ndarray | None:
    """The class of each picture, (N,); None without classes.

    Raises:
        UserError: the data set has no such attribute.
    """
    names = list(run.classes)
    return labels(dataset, run.hyperparameter("classes"), names) if names else None


def score_classes(
    subject: Subject, scorer: Scorer, training: Labelled, held_out: Labelled, seed: int
) -> dict[str, dict[str, float]]:
    """Score `GENERATED` images of each class, of the generator that stands for the run."""
    names, generator = list(subject.run.classes), next(iter(subject.generators.values()))
    asked = np.repeat(np.arange(len(names)), GENERATED)
    vectors = runs.draw(generator, len(asked), seed, labels=asked)
    generated = Labelled(runs.generate(generator, vectors), asked)
    return class_scores(scorer.networks[0], training, held_out, generated, names)


@functools.lru_cache(maxsize=1)
def opened(source: str, size: int | None, limit: int | None, seed: int) -> tuple[Dataset, str]:
    """A data set and its fingerprint: runs that are compared mostly share one."""
    dataset = open_dataset(source, size, limit, seed)
    return dataset, dataset.fingerprint()


def open_pictures(run: runs.Run, options: Options) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """The data set to score with, and which of its pictures are held out and trained on.

    Raises:
        UserError: it is not there, or no longer the one of the run.
    """
    source, size = options.data or run.hyperparameter("data"), run.hyperparameter("image_size")
    limit, seed = None, options.seed
    if not options.data:
        limit, seed = run.hyperparameter("limit") or None, run.hyperparameter("seed")
    is_prepared = bool(options.data) and isinstance(source_of(source), File)
    dataset, fingerprint = opened(source, None if is_prepared else size, limit, seed)
    if dataset.image_size != size:
        raise UserError(
            f"--data {source}: holds pictures of {dataset.image_size} px, expected {size} px as of "
            "the run"
        )
    if dataset.channels != (channels := saved_channels(run.config)):
        raise UserError(
            f"--data {source}: holds {CHANNELS[dataset.channels]} images, expected "
            f"{CHANNELS[channels]} as of the run{how_to_prepare(channels)}"
        )
    if options.data:
        return dataset, np.arange(len(dataset)), np.arange(0)
    remedy = "; bring them back, or give --data with others to score against"
    held_out = run.held_out(dataset, fingerprint, remedy)
    return dataset, held_out, np.delete(np.arange(len(dataset)), held_out)


def draw_nearest(path: Path, images: np.ndarray, training: np.ndarray) -> None:
    """Draw pairs of a generated image, left, and its nearest training picture: copies show at once.

    Three pairs a row, under captions: the nearest, and as many from the middle of the order.
    """
    found = nearest_pictures(views(images), small_pictures(views(training)))
    order = np.argsort(found.distances)
    pairs, blocks = min(15, len(order) // 2), []
    for first, text in ((0, f"The {pairs} nearest"), (len(order) // 2, "From the middle")):
        shown = order[first : first + pairs]
        drawn = np.stack([images[shown], training[found.indices[shown]]], axis=1)
        grid = grids.grid(drawn.reshape(-1, *images.shape[1:]), columns=6)
        headed = grids.caption(grid, ["generated", "training"] * 3, centred=True)
        blocks.append(grids.caption(headed, [f"{text} of {len(order)} pairs"]))
    grids.save_png(path, grids.stack(blocks))


def print_evaluation(evaluation: Evaluation) -> None:
    """Print the generators of one run next to the floor."""
    columns = {"floor": evaluation.floor} if evaluation.floor else {}
    for name, scores in evaluation.scores.items():
        columns[f"{name} ({evaluation.steps[name]})"] = scores
    number = evaluation.pictures
    against = (
        "generated images against the training pictures"
        if number < FEWEST_IMAGES
        else f"{number} generated images against as many real ones, {evaluation.features} features"
    )
    print(f"run {evaluation.run}: {against}; in brackets, steps\n\n{table(columns)}\n")
    if evaluation.classes:
        print(
            f"{GENERATED} images of each class, {next(iter(evaluation.scores))}: the share whose "
            "class a small classifier sees, that of\nheld-out reals, the mean distance between "
            f"images divided by that of reals, kid\n\n{class_table(evaluation.classes)}\n"
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

"""Time to quality: which method draws the best pictures after N seconds of this machine?

    python benchmarks/quality.py                             # all contestants, 300 s each
    python benchmarks/quality.py --only default "radford dcgan" --seconds 60
    python benchmarks/quality.py --seconds 1200 --seeds 3    # goes on from the 300 s
    python benchmarks/quality.py --data data/robots-64.h5    # a prepared data set
    python benchmarks/quality.py --table                     # what there is so far; trains nothing

**The score that decides, named before anything was trained, is KID** of the averaged generator at
the last moment, against the pictures kept from training: the least wins. (`f_score` is chance on
some data sets, and SWD prefers speckle.) A contestant that draws copies is out: one whose images
are less than `utils.watching.rules.Limits.closeness` times as far from the training pictures as
real ones are, or of which more than `MOST_COPIES` of the images are suspiciously near to one (as
``evaluate.py`` says it), beyond the share of real pictures of which that is true.

Contestants are our scripts with some options, and *historical* ones: the presets of known projects
(`utils/training/presets.py`), each once as it is but at the benchmark's image size, and once at our
width: with our filters, batch and precision. The better of the two counts.

**Seconds are of this machine,** all its cores, by the clock, spent on steps alone: neither start
nor compilation nor scoring. The steps of all contestants are timed first, in turns beside the
default's (the median of the ratios within a turn, times the default's step in the fastest third of
its turns, so that a moment of other load does not count); the number of steps is the seconds
divided by that. The trainings may then run as they come, several at a time, each on its share of
the cores, however slowly: the outcome is what the machine would have reached in those seconds.
(Another number of cores adds numbers up in another order: the outcome is one of the same kind, not
the same to the bit. What a step costs is what it costs at the beginning of a training.)

At fixed moments (30, 60, 120, ... s) the averaged generator is scored and its grid kept; at the
last, by all of ``evaluate.py``. All have the same pictures held out, whatever the seed. Everything
is kept in ``--folder``: stop it with Ctrl-C, and the same command goes on where it stopped; with
more ``--seconds``, runs go on from where they ended. After a change of the scripts, take another
folder: what is there is not made again.

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
import importlib
import json
import math
import os
import signal
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.tables import COLLAPSED, cell, difference_of_chance, markdown, pooled_deviation
from benchmarks.timing import (
    REPOSITORY,
    STEPS_BETWEEN_FETCHES,
    first_cores,
    ratio,
    seconds_a_step,
    threads,
    timed_elsewhere,
)
from benchmarks.trainings import (
    AVERAGED,
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
from utils.common.grids import caption, save_png, tile
from utils.common.pictures import read_picture
from utils.scoring.registry import SCORES
from utils.scoring.similarity import alikeness
from utils.training.presets import DCGAN_PRESETS, WGAN_PRESETS

# ------------------------------------------------------------------------------------------------
# Contestants
# ------------------------------------------------------------------------------------------------

BASE = (
    "--holdout 0.2 --score none --sample-interval 100000000 --checkpoint-interval 100000000 "
    "--keep-checkpoints 1 --sample-rows 4 --sample-columns 8"
)
"""Nothing but training: grids and checkpoints only where a run is stopped."""
OUR_WIDTH = {
    "dcgan.py": "--generator-filters 32 --discriminator-filters 32 --batch-size 16",
    "wgan.py": "--generator-filters 32 --critic-filters 32 --batch-size 16",
}
"""Filters and batch of the scripts' own defaults."""


@dataclass(frozen=True)
class Contestant:
    """A script and what is turned in it."""

    name: str
    flags: str = ""
    """Options beyond `BASE`, as on the command line."""
    script: str = "dcgan.py"
    recipe: str = ""
    """Of a historical one: what it is a form of; the better form counts."""
    has_own_precision: bool = False
    """Whether it computes in what its preset says, not in what ours do."""
    schedule: str = ""
    """An option that is given the run's number of steps: a schedule that ends with the training.
    (With other ``--seconds``, such a contestant begins anew.)"""

    @property
    def slug(self) -> str:
        """The name as part of a run's name."""
        return slug(self.name)

    def arguments(self, setting: Setting) -> list[str]:
        """The options of the script that are the same for every seed and number of steps."""
        precision = [] if self.has_own_precision else ["--precision", setting.precision]
        return [
            *self.flags.split(), "--data", setting.data, "--image-size", str(setting.size),
            *precision, *BASE.split(),
        ]  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What is the same for all contestants of a folder."""

    data: str
    size: int
    precision: str
    """What the default computes in; empty: not known yet."""


ALWAYS = "--augmentation-probability 1"
"""It cannot rise from there."""
CONSTANT = "--augmentation-target 0 --augmentation-confidence 1"
"""The augmentation's probability stays as it is."""
PUBLISHED = f"{ALWAYS} --color-strength 1 --discriminator-learning-rate 2e-4"
"""Augmentation and the discriminator's learning rate as their papers have them."""
OURS = (
    Contestant("default"),
    Contestant("constant", CONSTANT),
    Contestant("by heart only", "--augmentation-confidence 1"),
    Contestant("probability 0.2", f"{CONSTANT} --augmentation-probability 0.2"),
    Contestant("probability 0.5", f"{CONSTANT} --augmentation-probability 0.5"),
    Contestant("probability 0.9", f"{CONSTANT} --augmentation-probability 0.9"),
    Contestant("constant, color strength 0.1", f"{CONSTANT} --color-strength 0.1"),
    Contestant(
        "constant, rate 2e-4, color strength 0.1",
        f"{CONSTANT} --discriminator-learning-rate 2e-4 --color-strength 0.1",
    ),
    Contestant("constant, generator's rate 2e-4", f"{CONSTANT} --generator-learning-rate 2e-4"),
    Contestant(
        "constant, both rates doubled",
        f"{CONSTANT} --generator-learning-rate 8e-4 --discriminator-learning-rate 2e-4",
    ),
    Contestant(
        "constant, 24 filters", f"{CONSTANT} --generator-filters 24 --discriminator-filters 24"
    ),
    Contestant("constant, batch 8", f"{CONSTANT} --batch-size 8"),
    Contestant("rate 2e-4", "--discriminator-learning-rate 2e-4"),
    Contestant("24 filters", "--generator-filters 24 --discriminator-filters 24"),
    Contestant("48 filters", "--generator-filters 48 --discriminator-filters 48"),
    Contestant("batch 32", "--batch-size 32"),
    Contestant("always", ALWAYS),
    Contestant("always, rate 5e-5", f"{ALWAYS} --discriminator-learning-rate 5e-5"),
    Contestant("always, rate 2e-4", f"{ALWAYS} --discriminator-learning-rate 2e-4"),
    Contestant("always, color strength 0.1", f"{ALWAYS} --color-strength 0.1"),
    Contestant("always, color strength 1", f"{ALWAYS} --color-strength 1"),
    Contestant("always, deviation", f"{ALWAYS} --minibatch deviation"),
    Contestant(
        "always, rate 2e-4, color strength 0.1",
        f"{ALWAYS} --discriminator-learning-rate 2e-4 --color-strength 0.1",
    ),
    Contestant(
        "always, rate 2e-4, dropout 0.1",
        f"{ALWAYS} --discriminator-learning-rate 2e-4 --discriminator-dropout 0.1",
    ),
    Contestant(
        "always, rate 2e-4, batch 32",
        f"{ALWAYS} --discriminator-learning-rate 2e-4 --batch-size 32",
    ),
    Contestant(
        "always, rate 2e-4, deviation",
        f"{ALWAYS} --discriminator-learning-rate 2e-4 --minibatch deviation",
    ),
    Contestant("published", PUBLISHED),
    Contestant("published, cutout", f"{PUBLISHED} --augmentation color translation cutout"),
    Contestant("published, translation alone", f"{PUBLISHED} --augmentation translation"),
    Contestant("published, rate 4e-4", f"{PUBLISHED} --discriminator-learning-rate 4e-4"),
    Contestant("published, dropout 0.25", f"{PUBLISHED} --discriminator-dropout 0.25"),
    Contestant("published, batch 32", f"{PUBLISHED} --batch-size 32"),
    Contestant("published, deviation", f"{PUBLISHED} --minibatch deviation"),
    Contestant("published, mirror", f"{PUBLISHED} --mirror"),
    Contestant("published, upsampling", f"{PUBLISHED} --upscaling upsample"),
    Contestant("published, spectral norm", f"{PUBLISHED} --spectral-normalization"),
    Contestant("published, not normalised", f"{PUBLISHED} --discriminator-normalized 99 99"),
    Contestant("plain", "--preset plain"),
    Contestant(
        "plain, slow discriminator",
        "--preset plain --discriminator-learning-rate 5e-5 --discriminator-dropout 0.4",
    ),
    Contestant("wgan penalty", script="wgan.py"),
    Contestant("r3gan", script="r3gan.py", schedule="--schedule-steps"),
    Contestant("r3gan, shared pass", "--shared-pass", "r3gan.py", schedule="--schedule-steps"),
    Contestant(
        "r3gan, shared pass, lazy",
        "--shared-pass --penalty-interval 4",
        "r3gan.py",
        schedule="--schedule-steps",
    ),
)
BASELINE = OURS[0]
HISTORICAL = (
    ("dcgan.py", "radford", ""),
    ("dcgan.py", "keras-gan", ""),
    ("dcgan.py", "gandam-v1", ""),
    ("dcgan.py", "gandam-v2", ""),
    # Of a project with a preset for 64 px and another for 256 px, the former.
    ("dcgan.py", "edouard99-64", ""),
    ("dcgan.py", "edouard99-64", "--balance monitored"),
    ("dcgan.py", "edouard99-64", "--balance boosting --label-noise 0.1"),
    ("wgan.py", "arjovsky", ""),
    ("wgan.py", "gulrajani", ""),
    ("wgan.py", "keras-gan", ""),
    ("wgan.py", "edouard99-64", ""),
)
"""Script, preset, and options beyond it."""


def historical(script: str, preset: str, flags: str, size: int) -> list[Contestant]:
    """The two forms of a preset: as it is, but of that image size, and at our width.

    Where the preset is for larger images and lists its widths, those of the largest maps are left
    out, so that the smallest ones are what they were.
    """
    values = {"dcgan.py": DCGAN_PRESETS, "wgan.py": WGAN_PRESETS}[script][preset].values
    doublings = max(0, round(math.log2(values["image_size"] / size)))
    fitted = ""
    for network in ("generator", "discriminator", "critic"):
        widths = values.get(f"{network}_filters", ())
        if len(widths) > 1 and doublings:
            kept = widths[:-doublings] if network == "generator" else widths[doublings:]
            fitted += f" --{network}-filters {' '.join(map(str, kept))}"
    recipe = f"{preset} {script.removesuffix('.py')}"
    if flags.startswith("--balance"):
        recipe += f" {flags.split()[1]}"
    flags = f"--preset {preset} {flags}"
    return [
        Contestant(recipe, flags + fitted, script, recipe, has_own_precision=True),
        Contestant(f"{recipe}, our width", f"{flags} {OUR_WIDTH[script]}", script, recipe),
    ]


def contestants(size: int) -> list[Contestant]:
    """All of them, for that image size."""
    return [*OURS, *(form for line in HISTORICAL for form in historical(*line, size))]


def chosen_contestants(names: Sequence[str] | None, size: int) -> list[Contestant]:
    """Those of these names, or forms of recipes of these names; None takes all.

    Raises:
        UserError: there is none of a name.
    """
    everyone = contestants(size)
    wanted = {slug(name): name for name in names or ()}
    known = {key for each in everyone for key in (each.slug, slug(each.recipe))}
    for key, name in wanted.items():
        if key not in known:
            existing = "; ".join(each.name for each in everyone)
            raise UserError(f"--only {name!r}: no such contestant; there are {existing}")
    return [
        each
        for each in everyone
        if not wanted or each.slug in wanted or (each.recipe and slug(each.recipe) in wanted)
    ]


# ------------------------------------------------------------------------------------------------
# Seconds to steps
# ------------------------------------------------------------------------------------------------

TURN_SECONDS = 0.5
CONTESTANTS_A_PROCESS = 4
"""Timed beside the default; the networks of all of them at once would take too much memory."""
MOMENTS = (30, 60, 120, 180, 240, 300, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200)
"""Seconds at which a run is scored, besides its last."""


class Moment(NamedTuple):
    """A point of a training."""

    seconds: float
    steps: int


def moments(seconds: float, step_seconds: float) -> tuple[Moment, ...]:
    """When a run of that many seconds is scored, the end included."""
    times = [float(time) for time in MOMENTS if time < seconds] + [float(seconds)]
    return tuple(Moment(time, max(1, round(time / step_seconds))) for time in times)


def time_contestants(
    chosen: Sequence[Contestant], setting: Setting, turns: int
) -> dict[str, list[float] | str]:
    """Seconds of a step by contestant, a number for each turn, measured in this process.

    The default is measured as well, unless its script knows none of the chosen. A contestant that
    its script does not know has the error in place of the numbers.

    Raises:
        UserError: the data set cannot be opened.
    """
    from utils import backend
    from utils.data.opening import open_dataset
    from utils.training.arguments import parse_command_line
    from utils.training.split import choose_held_out
    from utils.training.trainer import Trainer

    dataset = open_dataset(setting.data, setting.size)
    timed: dict[str, tuple[Any, int]] = {}
    found: dict[str, Any] = {}

    def build(contestant: Contestant) -> None:
        try:
            script = importlib.import_module(contestant.script.removesuffix(".py"))
            h, *_ = parse_command_line(script.Hyperparameters, "", contestant.arguments(setting))
            kept = choose_held_out(h, dataset, None, "")
            backend.seed_everything(h.seed, h.deterministic)
            backend.set_precision(h.precision)
            method = getattr(script, h.METHOD.upper())(h)
        except (ModuleNotFoundError, UserError, ValueError) as error:
            found[contestant.name] = " ".join(str(error).split())
            return
        trained_on = dataset.part(np.delete(np.arange(len(dataset)), kept))
        trainer = Trainer(method, h, trained_on)
        seconds_a_step(trainer, 0, time.perf_counter, 1)  # compiles
        once = seconds_a_step(trainer, 0, time.perf_counter, 1)
        # As often as the scripts wait for the device, but where that is longer than a turn.
        fetched = min(STEPS_BETWEEN_FETCHES, max(1, round(TURN_SECONDS / once)))
        timed[contestant.name] = trainer, fetched

    for contestant in chosen:
        build(contestant)
    if timed and BASELINE.name not in timed:
        build(BASELINE)
    for _ in range(turns):
        for name, (trainer, fetched) in timed.items():
            taken = seconds_a_step(trainer, TURN_SECONDS, time.perf_counter, fetched)
            found.setdefault(name, []).append(taken)
    return found


def found_precision() -> str:
    """What ``--precision auto`` takes on this machine."""
    from utils import backend

    return backend.set_precision("auto")


def quiet_seconds(turns: Sequence[float]) -> float:
    """What a step takes where nothing disturbs it: the mean of the fastest third of its turns."""
    return statistics.fmean(sorted(turns)[: max(1, len(turns) // 3)])


def calibrate(
    folder: Path, chosen: Sequence[Contestant], turns: int, baseline: float | None
) -> dict[str, str]:
    """Time the contestants that are not timed yet, and keep it in ``step_times.json``.

    Args:
        folder: where everything is kept.
        chosen: the contestants.
        turns: of each.
        baseline: seconds of a step of the default, where they are known; None measures them. They
            are settled once for the folder: contestants that come later are measured with the same
            yardstick.

    Returns:
        By contestant, why its script refuses it.

    Raises:
        RunError: they could not be timed.
    """
    path, log = folder / "step_times.json", folder / "logs" / "timing.log"
    known = read_json(path)
    setting, cores = setting_of(known), known["cores"]

    def on_all_cores(*arguments: str) -> Any:
        where = ["--data", setting.data, "--size", str(setting.size)]
        command = [__file__, *where, "--precision", setting.precision, *arguments]
        return timed_elsewhere(command, log, first_cores(cores, "--cores"), threads(cores))

    if not setting.precision:
        known["precision"] = on_all_cores("--time", "0")["precision"]
        setting = setting_of(known)
        write_json(path, known)
    entries = known.setdefault("contestants", {})
    missing = [each for each in chosen if not step_seconds(known, each, is_settled=False)]
    refused: dict[str, str] = {}
    for start in range(0, len(missing), CONTESTANTS_A_PROCESS):
        some = missing[start : start + CONTESTANTS_A_PROCESS]
        print(f"timing {', '.join(each.name for each in some)}: {turns} turns ...", flush=True)
        found = on_all_cores("--time", str(turns), "--only", *(each.name for each in some))
        if isinstance(found.get(BASELINE.name), str):
            raise RunError(f"{BASELINE.name} cannot be timed: {found[BASELINE.name]}")
        for each in some:
            if isinstance(found[each.name], str):
                refused[each.name] = found[each.name]
                continue
            entries[each.name] = {
                "command": [each.script, *each.arguments(setting)],
                "turns": found[each.name],
                "default": found[BASELINE.name],
            }
        write_json(path, known)
    if entries and "default_seconds" not in known:
        measured = [x for entry in entries.values() for x in entry["default"]]
        known["default_seconds"] = baseline or quiet_seconds(measured)
    asked = {each.name for each in missing}
    before = {name: why for name, why in known.get("refused", {}).items() if name not in asked}
    known["refused"] = before | refused
    write_json(path, known)
    return refused


def setting_of(known: Mapping[str, Any]) -> Setting:
    """The setting of a folder, from its ``step_times.json``."""
    return Setting(known["data"], known["size"], known.get("precision", ""))


def step_seconds(
    known: Mapping[str, Any], contestant: Contestant, is_settled: bool = True
) -> float | None:
    """Seconds of a step on all cores, if they were measured with the options it has now.

    Args:
        known: what ``step_times.json`` says.
        contestant: whose step.
        is_settled: whether the default's step time has to be known; otherwise it is 1.
    """
    entry = known.get("contestants", {}).get(contestant.name, {})
    if entry.get("command") != [contestant.script, *contestant.arguments(setting_of(known))]:
        return None
    yardstick = known.get("default_seconds") if is_settled else 1.0
    return yardstick and yardstick * ratio(entry["turns"], entry["default"])


def settle(folder: Path, data: str, size: int, precision: str, cores: int) -> None:
    """Keep what all runs of a folder have in common.

    Raises:
        UserError: they have something else.
    """
    path = folder / "step_times.json"
    known = read_json(path)
    wanted = {"data": data, "size": size, "precision": precision, "cores": cores}
    for name, value in wanted.items():
        if value and known.setdefault(name, value) != value:
            raise UserError(
                f"--{name} {value}: {folder} holds runs of {known[name]}; choose another --folder"
            )
    write_json(path, known)


# ------------------------------------------------------------------------------------------------
# Runs
# ------------------------------------------------------------------------------------------------

GROUPS = ("kid", "neighbours", "swd", "diversity", "sharpness")
"""Of `utils.scoring.registry.METRICS`, what every moment is scored by."""


@dataclass(frozen=True)
class Run(Training):
    """A contestant with a seed, and where its files are."""

    contestant: Contestant
    seed: int
    setting: Setting
    step_seconds: float
    moments: tuple[Moment, ...]
    folder: Path

    @property
    def name(self) -> str:
        """Of the run and its files."""
        return f"{self.contestant.slug}-{self.seed}"

    @property
    def last(self) -> Moment:
        """When it ends."""
        return self.moments[-1]

    def command(self) -> list[str]:
        """What decides about the outcome; not the number of steps, for more of them go on."""
        each = self.contestant
        schedule = [each.schedule, str(self.last.steps)] if each.schedule else []
        return [
            each.script, *each.arguments(self.setting), *schedule, "--seed", str(self.seed),
        ]  # fmt: skip

    def scores(self) -> dict[int, dict[str, float]]:
        """Of the averaged generator, by steps, those of the moments that have been scored."""
        steps = {moment.steps for moment in self.moments}
        known = self.state().get("scores", {})
        return {int(step): scores for step, scores in known.items() if int(step) in steps}

    def is_done(self) -> bool:
        """Whether its end was scored, or it has ended in an error that would come again."""
        return "error" in self.state() or self.last.steps in self.scores()

    def carry_out(self) -> Work:
        """Train from moment to moment, and score at each; the last one is evaluated in full."""
        for moment in self.moments:
            if moment.steps in self.scores():
                continue
            reason = yield from train_to(
                self, moment.steps, [*self.command(), "--steps", str(moment.steps)]
            )
            if reason or "error" in self.state():
                return reason
            if self.last_step() > moment.steps:
                if moment == self.last:
                    return f"has made more than its {moment.steps} steps: take another --folder"
                continue
            if moment.steps == self.last.steps:
                script = ["evaluate.py", self.name, "--json", *self.folders]
            else:
                script = ["benchmarks/quality.py", "--score", self.name]
                script += ["--folder", str(self.folder)]
            found, reason = yield from read_output(self, script)
            if reason:
                return reason
            state = self.state()
            if moment.steps == self.last.steps:
                found = found[0]
                state["floor"] = found["floor"]
                state.setdefault("evaluations", {})[str(moment.steps)] = found
                found = found["scores"][AVERAGED]
            state.setdefault("scores", {})[str(moment.steps)] = found
            write_json(self.result, state)
        return ""

    def outcome(self) -> str:
        """What came of it, in a line."""
        state = self.state()
        if "error" in state:
            return state["error"]
        scores = self.scores()[self.last.steps]
        return f"kid {scores['kid']:.0f}, swd {scores['swd']:.1f}"


def score_run(name: str, folder: Path) -> dict[str, float]:
    """Score the averaged generator of a run as ``evaluate.py`` does, by `GROUPS` alone.

    Raises:
        UserError: there is no such run, or its pictures have changed.
    """
    import evaluate
    from utils import backend
    from utils.sampling import latents, runs
    from utils.scoring.scorer import Scorer

    options = evaluate.Options(images_dir=str(folder / "images"), models_dir=str(folder / "models"))
    backend.seed_everything(options.seed, deterministic=True)
    run = runs.open_run(name, options.images_dir, options.models_dir)
    dataset, held_out, _ = evaluate.open_pictures(run, options)
    # The same pictures, whatever the run: see `utils.data.order.held_out`.
    chosen = np.random.default_rng(options.seed).permutation(held_out)[: evaluate.MOST_IMAGES]
    scorer = Scorer(dataset.take(np.sort(chosen)), seed=options.seed)
    generator = runs.load_network(run.models / runs.GENERATORS[AVERAGED])
    drawn = latents.draw(len(chosen), generator.input_shape[1], options.seed)
    return scorer.score(runs.generate(generator, drawn), GROUPS)


def order_of_work(
    chosen: Sequence[Contestant], seeds: int, seconds: float, folder: Path
) -> list[Run]:
    """The runs of all contestants whose step time is known, seed by seed.

    Args:
        chosen: what to train.
        seeds: how many; they are 0, 1, ...
        seconds: of the machine, for each run.
        folder: where everything is kept.
    """
    known = read_json(folder / "step_times.json")
    if not known:
        return []
    return [
        Run(each, seed, setting_of(known), taken, moments(seconds, taken), folder)
        for seed in range(seeds)
        for each in chosen
        if (taken := step_seconds(known, each))
    ]


# ------------------------------------------------------------------------------------------------
# What came of it
# ------------------------------------------------------------------------------------------------

DECIMALS = {
    name: SCORES[name].decimals for name in ("kid", "swd", "coverage", "recall", "sharpness")
}
"""The scores of the table, and with how many decimals they are shown."""
MOST_COPIES = 0.05


@dataclass
class Row:
    """What the seeds of one contestant came to."""

    contestant: Contestant
    step_seconds: float
    moments: tuple[Moment, ...]
    scores: dict[int, dict[int, dict[str, float]]]
    """By seed, by steps: of the averaged generator."""
    errors: dict[int, str]
    """By seed, how it ended."""
    beaten: Row | None = None
    """The other form of the same historical recipe, which does not count."""

    @property
    def finals(self) -> dict[int, dict[str, float]]:
        """By seed, the scores at the last moment."""
        last = self.moments[-1].steps
        return {seed: scores[last] for seed, scores in self.scores.items() if last in scores}

    @property
    def collapsed(self) -> list[int]:
        """The seeds that have collapsed."""
        return [seed for seed, scores in self.finals.items() if alikeness(scores) > COLLAPSED]

    @property
    def is_historical(self) -> bool:
        """Whether it is a preset of a known project."""
        return bool(self.contestant.recipe)

    def values(self, score: str) -> list[float]:
        """A score at the last moment, a number for each seed."""
        return [scores[score] for scores in self.finals.values()]

    def mean(self, score: str) -> float:
        """Over the seeds, at the last moment; NaN where none was scored."""
        return statistics.fmean(self.values(score)) if self.finals else math.nan

    def curve(self, score: str) -> list[tuple[float, float]]:
        """Seconds and the mean over the seeds, for each moment that was scored."""
        found = []
        for moment in self.moments:
            values = [x[moment.steps][score] for x in self.scores.values() if moment.steps in x]
            if values:
                found.append((moment.seconds, statistics.fmean(values)))
        return found

    def copies(self, floor: Mapping[str, float]) -> list[int]:
        """The seeds that draw copies of training pictures."""
        from utils.watching.rules import Limits

        return [
            seed
            for seed, scores in self.finals.items()
            if scores.get("closeness", 1.0) < Limits().closeness
            or scores.get("copies", 0.0) > floor.get("copies", 0.0) + MOST_COPIES
        ]


def collect(runs: Sequence[Run]) -> tuple[list[Row], dict[str, float]]:
    """A row for each contestant that was scored or has failed, and the floor."""
    rows: dict[str, Row] = {}
    floor: dict[str, float] = {}
    for run in runs:
        state, scores = run.state(), run.scores()
        if not scores and "error" not in state:
            continue
        row = rows.setdefault(
            run.contestant.name, Row(run.contestant, run.step_seconds, run.moments, {}, {})
        )
        row.scores[run.seed] = scores
        if "error" in state:
            row.errors[run.seed] = state["error"]
        floor = state.get("floor") or floor
    return list(rows.values()), floor


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
    sound = [row for row in rows if row.is_historical and row.finals and not row.copies(floor)]
    return min(sound, key=lambda row: row.mean(score), default=None)


def excess_ratio(mine: float, other: float, floor: float) -> float:
    """How far above the floor, beside how far the other one is; NaN where that is not above it."""
    return (mine - floor) / (other - floor) if other > floor else math.nan


def second_reached(curve: Sequence[tuple[float, float]], target: float) -> float:
    """When a falling score was first at or below the target.

    Args:
        curve: seconds, ascending, and the score at each.
        target: what is to be reached.

    Returns:
        Seconds, on the straight line between the two moments; the first moment if it was below
        already, and NaN if it never was.
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


def deviation(rows: Sequence[Row], score: str) -> float:
    """How far seeds of one contestant differ, pooled; those that failed or collapsed left out."""
    return pooled_deviation(
        [row.values(score) for row in rows if not row.collapsed and not row.errors]
    )


def least_difference(rows: Sequence[Row], score: str) -> float:
    """Means of two contestants that differ by less may differ by chance."""
    seeds = max((len(row.finals) for row in rows), default=0)
    return difference_of_chance(deviation(rows, score), seeds)


# ------------------------------------------------------------------------------------------------
# The table
# ------------------------------------------------------------------------------------------------


def shown_name(row: Row) -> str:
    """Historical ones in italics."""
    return f"*{row.contestant.name}*" if row.is_historical else row.contestant.name


def notes(row: Row, floor: Mapping[str, float], seeds: int) -> str:
    """What is to be said of a contestant."""
    found = []
    if copies := row.copies(floor):
        found.append(f"**out: copies** ({len(copies)} of {len(row.finals)})")
    if row.errors:
        found.append(f"became NaN ({len(row.errors)} of {len(row.scores)})")
    if row.collapsed:
        found.append(f"collapsed ({len(row.collapsed)} of {len(row.finals)})")
    if not row.finals and not row.errors:
        found.append(f"at {row.curve('kid')[-1][0]:g} s")
    elif len(row.finals) + len(row.errors) < seeds:
        found.append(f"{len(row.finals) + len(row.errors)} of {seeds} seeds")
    if any("closeness" not in scores for scores in row.finals.values()):
        found.append("copies not looked for")
    if row.beaten is not None:
        form = "at our width" if row.beaten.contestant.name != row.contestant.recipe else "as it is"
        kid = row.beaten.mean("kid")
        result = "failed" if row.beaten.errors else "not scored"
        result = result if math.isnan(kid) else f"kid {kid:.0f}"
        result += ", copies" * bool(row.beaten.copies(floor))
        found.append(f"{form}: {result}")
    return "; ".join(found)


def table(rows: Sequence[Row], floor: Mapping[str, float], seeds: int) -> str:
    """The scores at the last moment in Markdown, the floor last.

    Args:
        rows: as `ranked` leaves them.
        floor: what real pictures get; may be empty.
        seeds: how many each should have.
    """
    scores = [f"`{score}`" for score in DECIMALS]
    head = ["contestant", "s a step", "steps", *scores]
    head[5:5] = ["excess `swd`", "of the best historical's"]
    lines = [[*head, "its `swd` after", ""]]
    best = best_historical(rows, floor, "swd")
    for row in rows:
        cells = [cell(row.values(score), decimals) for score, decimals in DECIMALS.items()]
        excess = part = reached = ""
        if floor and row.finals:
            excess = f"{row.mean('swd') - floor['swd']:.1f}"
        if best is not None and row.finals:
            if floor:
                share = excess_ratio(row.mean("swd"), best.mean("swd"), floor["swd"])
                part = "" if math.isnan(share) else f"{share:.2f}"
            curve = row.curve("swd")
            second = second_reached(curve, best.mean("swd"))
            first = "≤ " * (second == curve[0][0] and len(curve) > 1)
            reached = "never" if math.isnan(second) else f"{first}{second:.0f} s"
        cells[2:2] = [excess, part]
        lines.append(
            [
                shown_name(row),
                f"{row.step_seconds:.3g}",
                f"{row.moments[-1].steps:,}",
                *cells,
                reached,
                notes(row, floor, seeds),
            ]
        )
    if floor:
        cells = [cell([floor[score]], decimals) for score, decimals in DECIMALS.items()]
        cells[2:2] = ["", ""]
        lines.append(["real pictures", "", "", *cells, "", ""])
    return markdown(lines)


def verdict(rows: Sequence[Row], floor: Mapping[str, float], refused: Mapping[str, str]) -> str:
    """Who wins, from whom that cannot be told apart, and who is out."""
    lines = []
    sound = [row for row in rows if row.finals and not row.copies(floor)]
    if sound:
        best, least = sound[0], least_difference(rows, "kid")
        lines.append(f"* Least mean `kid`: {best.contestant.name}, {best.mean('kid'):.0f}.")
        if not math.isnan(least):
            equal = [row for row in sound[1:] if row.mean("kid") - best.mean("kid") < least]
            lines.append(f"* Not to be told apart from it: {names_of(equal)}.")
    for score in ("kid", "swd"):
        best = best_historical(rows, floor, score)
        if best is not None:
            mean = f"{best.mean(score):.{DECIMALS[score]}f}"
            lines.append(f"* Best historical recipe by `{score}`: {best.contestant.name}, {mean}.")
    lines.append(f"* Out because of copies: {names_of([r for r in rows if r.copies(floor)])}.")
    failed = [
        f"{row.contestant.name} (seed {seed}: {error})"
        for row in rows
        for seed, error in row.errors.items()
    ]
    lines.append(f"* Ended in an error: {'; '.join(failed) or 'none'}.")
    if refused:
        lines.append(f"* Left out: {'; '.join(f'{x} ({why})' for x, why in refused.items())}.")
    return "\n".join(lines)


def names_of(rows: Sequence[Row]) -> str:
    """The contestants in a sentence."""
    return "; ".join(row.contestant.name for row in rows) or "none"


def footnote(rows: Sequence[Row], seconds: float, setting: Setting, cores: int) -> str:
    """How the table came about, and which of its differences mean something."""
    text = (
        f"{Path(setting.data).name} at {setting.size} px. What {seconds:g} seconds of this "
        f"machine ({cores} cores, by the clock, steps alone) reach: steps are timed beside the "
        "default's on all cores, and the trainings made with as many steps as fit. Scores of the "
        "averaged generator against the pictures kept from training; ordered by `kid`, which was "
        "chosen beforehand. In italics: historical recipes, the better of both forms (as it is; "
        'at our width). "Excess `swd`": over that of real pictures; beside it, its ratio to the '
        'excess of the historical recipe with the least `swd`. "Its `swd` after": the second at '
        "which that recipe's final `swd` was first reached, on straight lines between moments."
    )
    if math.isnan(deviation(rows, "kid")):
        return (
            f"{text} Which differences mean something cannot be told without two seeds of a "
            "contestant that neither collapsed nor failed."
        )
    spreads = [
        f"`{score}` {deviation(rows, score):.{decimals + 1}f} "
        f"({least_difference(rows, score):.{decimals + 1}f})"
        for score, decimals in DECIMALS.items()
    ]
    return (
        f"{text} Standard deviation between seeds of the same contestant, pooled over all that "
        "neither collapsed nor failed, and in brackets the least difference of two means that is "
        f"not to be expected from chance alone (twice its own deviation): {', '.join(spreads)}."
    )


# ------------------------------------------------------------------------------------------------
# The pictures
# ------------------------------------------------------------------------------------------------

GRID_COLUMNS = 3


def draw_curves(path: Path, rows: Sequence[Row], floor: Mapping[str, float]) -> None:
    """Scores against seconds, a panel each; historical recipes broken, the floor a dotted line."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullLocator

    figure = Figure(figsize=(15, 6.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = {"kid": "KID x 1000, less is better", "swd": "SWD, less is better",
              "coverage": "coverage, more is better"}  # fmt: skip
    axes = figure.subplots(1, len(panels))
    numbers = {True: 0, False: 0}
    styles = []
    for row in rows:
        number = numbers[row.is_historical]
        numbers[row.is_historical] += 1
        # By rank: the legend is read from the best down.
        palette = colormaps["Set2" if row.is_historical else "tab10"].colors
        turn = number // len(palette)  # of the colours
        style = {
            "color": palette[number % len(palette)],
            "marker": "osD^vPX*"[turn % 8],
            "linewidth": 2.2,
            "markersize": 4.5,
            "zorder": 4 - number / 100,
        }
        if row.is_historical:
            dashes = (0, (4, 2)) if turn % 2 == 0 else (0, (1, 1.2))
            style |= {"linestyle": dashes, "linewidth": 1.4, "markersize": 3, "zorder": 2}
        styles.append(style)
    times = sorted({moment.seconds for row in rows for moment in row.moments})
    for axis, (score, title) in zip(axes, panels.items(), strict=True):
        axis.set_xscale("log")
        for row, style in zip(rows, styles, strict=True):
            curve = [(x, y) for x, y in row.curve(score) if score != "kid" or y > 0]
            if curve:
                axis.plot(*zip(*curve, strict=True), label=row.contestant.name, **style)
        if score == "kid":
            axis.set_yscale("log")
            axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        elif score in floor:
            axis.axhline(floor[score], color="black", linestyle=":", linewidth=1.2)
            axis.annotate(
                "real pictures", (0.99, floor[score]), xycoords=("axes fraction", "data"),
                xytext=(0, 3), textcoords="offset points", ha="right", fontsize=8,
            )  # fmt: skip
        axis.set_title(title, fontsize=11)
        axis.set_xlabel("seconds of the machine")
        shown = [t for t in times if t in (30, 60, 120, 300, 600, 1200, 3600)] or times
        axis.set_xticks(shown, [f"{t:g}" for t in shown])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    lines, labels = max(
        (axis.get_legend_handles_labels() for axis in axes), key=lambda x: len(x[1])
    )
    figure.legend(
        lines, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False,
        title="in the order of the table; dashed or dotted: historical recipes", title_fontsize=9,
        handlelength=3,
    )  # fmt: skip
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=100)


def draw_grids(shown: Sequence[tuple[str, np.ndarray]], columns: int) -> np.ndarray:
    """Grids beside each other, row by row, each under its label.

    Args:
        shown: label and grid, uint8 (H, W, 3), all of one size.
        columns: grids in a row.

    Returns:
        uint8 (H', W', 3).
    """
    labelled = np.stack([caption(grid, [label], size=18) for label, grid in shown])
    return tile(labelled, columns, padding=10)


def final_grids(rows: Sequence[Row], runs: Sequence[Run]) -> list[tuple[str, np.ndarray]]:
    """Real pictures, and the last grid of seed 0 of every row that has one."""
    by_name = {run.contestant.name: run for run in runs if run.seed == 0}
    shown: list[tuple[str, np.ndarray]] = []
    for row in rows:
        run = by_name[row.contestant.name]
        path = run.grid(run.last.steps)
        if 0 not in row.finals or not path.exists():
            continue
        if not shown:
            reals = path.with_name("reals.png")
            shown.append(("real pictures", np.asarray(read_picture(reals))))
        label = f"{row.contestant.name}: KID {row.finals[0]['kid']:.0f}"
        label += " (historical)" * row.is_historical
        shown.append((label, np.asarray(read_picture(path))))
    return shown


def grids_through_moments(run: Run) -> list[tuple[str, np.ndarray]]:
    """The grids of a run at each of its moments that was scored."""
    scores = run.scores()
    return [
        (
            f"{run.contestant.name}, {moment.seconds:g} s: KID {scores[moment.steps]['kid']:.0f}",
            np.asarray(read_picture(run.grid(moment.steps))),
        )
        for moment in run.moments
        if moment.steps in scores and run.grid(moment.steps).exists()
    ]


# ------------------------------------------------------------------------------------------------
# The command line
# ------------------------------------------------------------------------------------------------


def report(folder: Path, chosen: Sequence[Contestant], seeds: int, seconds: float) -> None:
    """Print the table and what it says, and draw the pictures, of what there is so far."""
    runs = order_of_work(chosen, seeds, seconds, folder)
    found, floor = collect(runs)
    if not found:
        print("nothing has been scored yet")
        return
    rows = ranked(found, floor)
    known = read_json(folder / "step_times.json")
    text = "\n\n".join(
        [
            table(rows, floor, seeds),
            verdict(rows, floor, known.get("refused", {})),
            footnote(rows, seconds, setting_of(known), known["cores"]),
        ]
    )
    with atomic_path(folder / "table.md") as temporary:
        temporary.write_text(text + "\n")
    print(f"\n{text}\n")
    draw_curves(folder / "curves.png", rows, floor)
    if shown := final_grids(rows, runs):
        save_png(folder / "grids.png", draw_grids(shown, GRID_COLUMNS))
    winner = next(run for run in runs if run.contestant == rows[0].contestant)
    if shown := grids_through_moments(winner):
        save_png(folder / "moments.png", draw_grids(shown, GRID_COLUMNS))
    print(f"table and pictures: {folder}/table.md, curves.png, grids.png, moments.png")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--data", default="mechas", help="mechas, or a prepared .h5 file")
    found.add_argument("--size", type=int, default=64, help="of the images, in px (default 64)")
    found.add_argument("--seconds", type=float, default=300.0, help="of each run (default 300)")
    found.add_argument("--seeds", type=int, default=1, help="of each contestant (default 1)")
    found.add_argument("--jobs", type=int, default=1, help="runs at a time; they share the cores")
    found.add_argument("--folder", type=Path, help="default: data/quality-DATA-SIZE")
    found.add_argument("--only", nargs="+", metavar="NAME", help="some contestants or recipes")
    found.add_argument("--table", action="store_true", help="show what there is; train nothing")
    found.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0))
                       if hasattr(os, "sched_getaffinity") else os.cpu_count(),
                       help="of the machine whose seconds they are (default all)")  # fmt: skip
    found.add_argument("--turns", type=int, default=15, help="of timing the steps (default 15)")
    found.add_argument(
        "--step-seconds", type=float,
        help="what a step of the default takes, where that is known from a quieter hour",
    )  # fmt: skip
    found.add_argument(
        "--precision", choices=("", "float32", "bfloat16"), default="",
        help="of ours; left out, what the scripts' auto takes here",
    )  # fmt: skip
    found.add_argument("--time", type=int, help=argparse.SUPPRESS)
    found.add_argument("--score", help=argparse.SUPPRESS)
    return found


@one_line_errors
def main() -> None:
    """Do what the command line says."""
    options = parser().parse_args()
    data = options.data if options.data == "mechas" else str(Path(options.data).resolve())
    stem = Path(data).stem
    if options.score:
        print(json.dumps(score_run(options.score, options.folder)))
        return
    if options.time == 0:
        print(json.dumps({"precision": found_precision()}))
        return
    for name in ("size", "seconds", "seeds", "turns", "step_seconds"):
        value = getattr(options, name)
        if value is not None and not value > 0:
            raise UserError(f"--{name.replace('_', '-')} {value}: must be more than 0")
    chosen = chosen_contestants(options.only, options.size)
    if options.time:
        # One by one: a recipe and its first form have the same name.
        exact = [each for each in chosen if each.name in options.only]
        setting = Setting(data, options.size, options.precision)
        print(json.dumps(time_contestants(exact, setting, options.time)))
        return
    folder = options.folder or REPOSITORY / "data" / f"quality-{slug(stem)}-{options.size}"
    folder = folder.absolute()
    if options.table:
        report(folder, chosen, options.seeds, options.seconds)
        return
    first_cores(options.jobs)
    first_cores(options.cores, "--cores")
    for kind in ("logs", "results"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with lock_folder(folder) as lock:
        try:
            settle(folder, data, options.size, options.precision, options.cores)
            refused = calibrate(folder, chosen, options.turns, options.step_seconds)
            for name, error in refused.items():
                print(f"{name}: left out: {error}", flush=True)
            runs = order_of_work(chosen, options.seeds, options.seconds, folder)
            cores = first_cores(max(options.cores, options.jobs), "--cores")
            failures = run_all(runs, options.jobs, lock, cores)
        except KeyboardInterrupt:
            print("stopped; the same command goes on, --table shows what there is", file=sys.stderr)
            raise SystemExit(130) from None
    report(folder, chosen, options.seeds, options.seconds)
    if failures:
        raise RunError(f"{failures} runs failed; the same command tries them again")


if __name__ == "__main__":
    main()

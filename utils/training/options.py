"""The command line: every field of a method's hyperparameters is an option."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import re
import shlex
import sys
from pathlib import Path
from typing import Any, ClassVar, Literal

from utils.common.commandline import option_name, parse, require_between, with_hyphens
from utils.common.errors import UserError
from utils.common.grids import PADDING
from utils.common.pictures import MAX_PIXELS
from utils.data import IMAGE_SIZES
from utils.training import checkpoints
from utils.training.presets import Preset


@dataclasses.dataclass
class RunOptions:
    """The options that every method has. A method's ``Hyperparameters`` adds its own."""

    batch_size: int
    """Real images, and as many generated ones, in one update."""
    latent_dim: int
    """Length of the random vector that an image is generated from."""
    data: str = "mechas"
    """A built-in data set (mechas), a prepared .h5 file, or a folder of pictures."""
    image_size: int = 0
    """Side of the images in pixels: 32, 64, 128 or 256; 0 takes the data set's own, which is 64
    for mechas and for folders."""
    mirror: bool = False
    """Train on every picture's mirror image as well."""
    limit: int = 0
    """Take that many pictures only, those held out included; 0 takes all."""
    memory_budget: float = 0.0
    """Gigabytes of pictures to hold in memory; from an .h5 file with more, pictures are read while
    the training goes on. 0 takes a quarter of the machine's memory."""
    holdout: float = 0.2
    """Share of the pictures kept from training, to score with: a generator that only knows the
    training pictures by heart must not win."""
    epochs: int = 200
    """Passes over the data set, counted from the run's beginning; 0 goes on until stopped."""
    augmentation: tuple[Literal["color", "translation", "cutout"], ...] = ()
    """What is done at random to every image, real or generated, before the network that judges sees
    it (Zhao et al. 2020, arXiv:2006.10738): against learning few pictures by heart. Any of the
    three; without a value, none."""
    augmentation_probability: float = 0.75
    """With which each kind is done to an image at first; below 1, some are seen as they are."""
    augmentation_target: float = 0.2
    """Raise that probability, at most to 1, while the network that judges answers held-out pictures
    as if they were more than this share of the way from training pictures to generated ones, for
    then it knows these by heart. It is lowered again, not below what is given, while there is no
    reason to raise it; 0: not for that."""
    color_strength: float = 0.3
    """How far color goes; 1 is as published, where the tint of a ground is hardly seen any more."""
    steps: int = 0
    """End when that many steps have been made in all; if given, epochs do not count."""
    seed: int = 0
    """The same seed gives the same run on the same machine."""
    deterministic: bool = True
    """Keep to GPU kernels that give the same bits every time; they can be slower."""
    precision: Literal["float32", "bfloat16", "auto"] = "auto"
    """Numbers that the networks compute with; auto takes bfloat16 where this device multiplies
    matrices clearly faster in it. Weights, losses, optimizers and images stay float32."""
    devices: Literal["one", "all"] = "one"
    """Split every batch among all GPUs (or TPUs) there are; all needs the JAX backend."""
    average_half_life: int = 10_000
    """Generated images after which a weight counts half in the generator's moving average, which
    grids and generator.keras are made of; 0 makes them of the weights as they are."""
    score: Literal["f_score", "kid", "swd", "coverage", "none"] = "f_score"
    """What decides which networks are the best so far, in best/: measured on as many averaged
    samples as pictures are held out, at most 500 (see docs/metrics.md)."""
    score_interval: int = 1000
    """Steps from one score to the next."""
    sample_interval: int = 200
    """Steps from one sample grid to the next."""
    sample_rows: int = 6
    """Rows of a sample grid."""
    sample_columns: int = 8
    """Columns of a sample grid."""
    checkpoint_interval: int = 1000
    """Steps from one checkpoint to the next; there is also one at every stop."""
    keep_checkpoints: int = 3
    """How many of the last checkpoints are kept."""
    history_interval: int = 10
    """Steps that a row of history.csv averages."""
    tensorboard: bool = False
    """Write event files for TensorBoard as well; needs the package tensorboardX."""
    preset: str = "none"
    """The networks and training of a known project (see above) in place of the defaults; every
    option given besides wins."""
    run_name: str = ""
    """Name of the run; the method and the next free number if not given."""
    resume: str = ""
    """Name of a run to go on with. It keeps its hyperparameters but for the options given."""
    images_dir: str = "images"
    """Where the pictures of a run go, in a folder of its name."""
    models_dir: str = "saved_models"
    """Where the networks and checkpoints of a run go, in a folder of its name."""
    dry_run: bool = False
    """Build everything, measure a step, say what it takes, and exit."""

    METHOD: ClassVar[str] = ""
    """The name of the script without .py."""
    PRESETS: ClassVar[dict[str, Preset]] = {}
    """What --preset can be."""
    BEFORE: ClassVar[dict[str, Any]] = {
        "augmentation": (), "augmentation_probability": 1.0, "augmentation_target": 0.0,
        "color_strength": 1.0,
    }  # fmt: skip
    """What runs did before there was an option, where that is not its default."""
    augmentation_sureness: ClassVar[float] = 1.0
    """See dcgan.py. Of answers that are no probabilities, none is a sure one."""
    ON_ACCELERATOR: ClassVar[dict[str, Any]] = {}
    """Defaults on a GPU or TPU that differ from those on a CPU."""
    FIXED_FIELDS: ClassVar[tuple[str, ...]] = (
        "image_size", "latent_dim", "sample_rows", "sample_columns", "holdout", "preset",
    )  # fmt: skip
    """What cannot change when a run is resumed; a method adds what shapes its networks."""

    @property
    def batches_per_step(self) -> int:
        """Batches of real images that one step takes."""
        return 1

    def adapts_augmentation(self) -> bool:
        """Whether the training moves the augmentation's probability."""
        can_rise = bool(self.augmentation) and self.augmentation_probability < 1
        can_ask = self.augmentation_target > 0 and self.holdout > 0
        return can_rise and (can_ask or self.augmentation_sureness < 1)

    def surest_answer(self) -> float:
        """What is answered to real images, a probability, when nothing is in doubt."""
        return 1.0

    def described(self) -> str:
        """What depends on the device, in a few words."""
        return f"batches of {self.batch_size}"

    def check(self) -> None:
        """Raise UserError for values that cannot be meant."""
        if self.image_size not in (0, *IMAGE_SIZES):
            raise UserError(f"--image-size {self.image_size}: must be 32, 64, 128 or 256")
        self.require_between(0, math.inf, "limit", "epochs", "steps", "average_half_life")
        self.require_between(0, 1e6, "memory_budget")
        self.require_between(0, 2**32 - 1, "seed")
        self.require_between(0, 0.5, "holdout")
        self.require_between(0, 1, "augmentation_probability", "augmentation_target")
        self.require_between(0, 1, "augmentation_sureness")
        self.require_between(0, 1, "color_strength")
        self.require_between(2, math.inf, "batch_size")
        self.require_between(
            1, math.inf, "latent_dim",
            "score_interval", "sample_interval", "sample_rows", "sample_columns",
            "checkpoint_interval", "keep_checkpoints", "history_interval",
        )  # fmt: skip
        height, width = (
            number * (self.image_size + PADDING) + PADDING
            for number in (self.sample_rows, self.sample_columns)
        )
        if height * width > MAX_PIXELS:
            raise UserError(
                f"--sample-rows {self.sample_rows} --sample-columns {self.sample_columns}: a grid "
                f"of {width} x {height} pixels; wanted at most {MAX_PIXELS:,} in all"
            )
        check_run_name("--run-name", self.run_name)

    def require_between(self, lowest: float, highest: float, *fields: str) -> None:
        """Raise UserError for the first field whose value, or one of whose values, is outside."""
        require_between(self, lowest, highest, *fields)

    def resume_command(self) -> str:
        """What goes on with this run."""
        words = ["python", f"{self.METHOD}.py", "--resume", self.run_name]
        if self.models_dir != RunOptions.models_dir:
            words += ["--models-dir", self.models_dir]
        return shlex.join(words)


def check_run_name(option: str, name: str) -> None:
    """Raise UserError for a name that is no plain folder name; an empty one is fine."""
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UserError(
            f"{option} {name!r}: must be letters, digits, '.', '_' and '-', starting with a letter "
            "or digit"
        )


def parse_command_line(
    hyperparameters: type[RunOptions],
    description: str,
    arguments: list[str] | None = None,
    has_accelerator: bool = False,
) -> tuple[RunOptions, dict[str, Any] | None]:
    """Make the hyperparameters from the command line, and from a run's own where one is resumed.

    Args:
        hyperparameters: their class; each field is an option.
        description: stands at the top of ``--help``.
        arguments: the options; None takes the command line.
        has_accelerator: whether options that are not given take the values of ``ON_ACCELERATOR``,
            but for presets and resumed runs, which have theirs.

    Returns:
        The hyperparameters, and the ``config.json`` of the run that is resumed (or None).

    Raises:
        UserError: an option that does not exist, a value it cannot take, a run to resume that is
            not there, or an option that would change what a resumed run has to keep.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    arguments = [with_hyphens(argument) for argument in arguments]
    first = _first_options(arguments)
    config, default = None, hyperparameters()
    if first.resume:
        check_run_name("--resume", first.resume)
        path = Path(first.models_dir, first.resume, "config.json")
        config = checkpoints.read_config(first.resume, path)
        default = _from_config(hyperparameters, config, first.resume)
        default.run_name, default.models_dir = first.resume, first.models_dir
    elif first.preset != "none":
        default = from_preset(hyperparameters, first.preset)
    elif has_accelerator:
        default = dataclasses.replace(default, **hyperparameters.ON_ACCELERATOR)

    description += _describe_presets(hyperparameters.PRESETS)
    chosen = parse(hyperparameters, f"{default.METHOD}.py", description, arguments, default)
    chosen.check()
    if config is None:
        return chosen, None
    for field in (*chosen.FIXED_FIELDS, "run_name"):
        was, now = getattr(default, field), getattr(chosen, field)
        if was != now:
            raise UserError(
                f"{option_name(field)} {_spell(now)}: run {first.resume} has {_spell(was)}, which "
                "a resumed run keeps; leave the option out or start a new run"
            )
    given = {argument.split("=")[0] for argument in arguments}
    if "--epochs" in given and "--steps" not in given:
        chosen.steps = 0  # the run had been started with --steps, which would win
    return chosen, config


def _first_options(arguments: list[str]) -> argparse.Namespace:
    """What decides about the defaults of all others, before everything else is read."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--resume", default="")
    parser.add_argument("--preset", default=RunOptions.preset)
    parser.add_argument("--models-dir", default=RunOptions.models_dir)
    known = parser.parse_args([])
    with contextlib.suppress(argparse.ArgumentError):  # a missing value is reported later
        known, _ = parser.parse_known_args(arguments)
    known.resume = known.resume.rstrip("/")
    return known


def from_preset(hyperparameters: type[RunOptions], name: str) -> RunOptions:
    """The hyperparameters of a preset.

    Raises:
        UserError: there is none of that name.
    """
    presets = hyperparameters.PRESETS
    if name not in presets:
        known = f"{', '.join(presets)} or none" if presets else "none"
        raise UserError(f"--preset {name}: must be {known}")
    return dataclasses.replace(hyperparameters(), preset=name, **presets[name].values)


def _describe_presets(presets: dict[str, Preset]) -> str:
    if not presets:
        return ""
    lines = [
        f"{name}: {preset.source}. Differs: {preset.differs}." for name, preset in presets.items()
    ]
    return "\n\nPresets:\n\n" + "\n\n".join(lines)


def _from_config(hyperparameters: type[RunOptions], config: dict[str, Any], run: str) -> RunOptions:
    """The hyperparameters of a run as it was; what is missing in an older one is as it was then.

    Raises:
        UserError: another method's run, or values that are not of their fields' types.
    """
    if config.get("method") != hyperparameters.METHOD:
        raise UserError(
            f"--resume {run}: was made by {config.get('method')}.py, not by "
            f"{hyperparameters.METHOD}.py"
        )
    default = dataclasses.replace(hyperparameters(), **hyperparameters.BEFORE)
    known_values = dataclasses.asdict(default)
    for name, value in config["hyperparameters"].items():
        value = tuple(value) if isinstance(value, list) else value
        known = known_values.get(name)
        if isinstance(known, float) and type(value) is int:
            value = float(value)
        if not _is_of_type(value, known):
            raise UserError(
                f"--resume {run}: its config.json is damaged or from another version: "
                f"{name} is {value!r}"
            )
        setattr(default, name, value)
    return default


def _is_of_type(value: Any, known: Any) -> bool:
    """Whether a value is of the type of a known one; of a tuple, each item is.

    Only a tuple of words can be empty.
    """
    if not (isinstance(value, tuple) and isinstance(known, tuple)):
        return type(value) is type(known)
    types = {type(item) for item in known} or {str}
    return {type(item) for item in value} == types or (not value and types == {str})


def _spell(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)

"""From the command line to the hyperparameters of a run, new or resumed."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import re
import sys
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from utils.common.commandline import parse, with_hyphens
from utils.common.errors import UserError
from utils.common.fields import check_fields, fixed_fields, mismatch, option_name, spell
from utils.training.config import read_config
from utils.training.options import RunOptions
from utils.training.presets import Preset

Options = TypeVar("Options", bound=RunOptions)

RENAMED = {"augmentation_sureness": "augmentation_confidence"}
"""Names that options had in the configurations of older runs."""
GONE = {"score": ("f_score",)}
"""Values that options no longer have: the default takes their place."""
BEFORE: dict[str, Any] = {
    "augmentation": (), "augmentation_probability": 1.0, "augmentation_target": 0.0,
    "color_strength": 1.0, "augmentation_confidence": 1.0,
}  # fmt: skip
"""What runs did before there was an option, where that is not its default."""


def parse_command_line(
    hyperparameters: type[Options],
    description: str,
    arguments: list[str] | None = None,
    has_accelerator: bool = False,
) -> tuple[Options, dict[str, Any] | None]:
    """Make the hyperparameters from the command line, and from a run's own where one is resumed.

    A default stands in the script or in `utils.training.options`. A preset or, without one, a GPU
    (``ON_ACCELERATOR``) takes the place of some; a resumed run has what it began with.

    Args:
        hyperparameters: their class; each field is an option.
        description: stands at the top of ``--help``.
        arguments: the options; None takes the command line.
        has_accelerator: whether there is a GPU or TPU.

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
    check_fields(default)  # those that somebody has edited
    if first.resume:
        check_run_name("--resume", first.resume)
        path = Path(first.models_dir, first.resume, "config.json")
        config = read_config(first.resume, path)
        default = _from_config(hyperparameters, config, first.resume)
        default.run_name, default.models_dir = first.resume, first.models_dir
    elif first.preset != "none":
        default = from_preset(hyperparameters, first.preset)
    elif has_accelerator:
        default = dataclasses.replace(default, **hyperparameters.ON_ACCELERATOR)

    presets = _describe_presets(hyperparameters.PRESETS)
    chosen = parse(
        hyperparameters, f"{default.METHOD}.py", description, arguments, default, presets
    )
    check_run_name("--run-name", chosen.run_name)
    chosen.check()
    if config is None:
        return chosen, None
    for field in (*fixed_fields(hyperparameters), "run_name"):
        was, now = getattr(default, field), getattr(chosen, field)
        if was != now:
            raise UserError(
                f"{option_name(field)} {spell(now)}: run {first.resume} has {spell(was)}, which "
                "a resumed run keeps; leave the option out or start a new run"
            )
    given = {argument.split("=")[0] for argument in arguments}
    if "--epochs" in given and "--steps" not in given:
        chosen.steps = 0  # the run had been started with --steps, which would win
    return chosen, config


def check_run_name(option: str, name: str) -> None:
    """Raise UserError for a name that is no plain folder name; an empty one is fine."""
    if name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise UserError(
            f"{option} {name!r}: must be letters, digits, '.', '_' and '-', starting with a letter "
            "or digit"
        )


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
    lines = [
        f"{name}: {preset.source}. Differs: {preset.differs}." for name, preset in presets.items()
    ]
    return "Presets\n\n" + "\n\n".join(lines) if presets else ""


def _from_config(hyperparameters: type[Options], config: dict[str, Any], run: str) -> Options:
    """The hyperparameters of a run as it was; what is missing in an older one is as it was then.

    Raises:
        UserError: another method's run, or values that are not of their fields' types.
    """
    if config.get("method") != hyperparameters.METHOD:
        raise UserError(
            f"--resume {run}: was made by {config.get('method')}.py, not by "
            f"{hyperparameters.METHOD}.py"
        )
    hints = get_type_hints(hyperparameters, include_extras=True)
    known = {field.name for field in dataclasses.fields(hyperparameters)}
    values = {name: value for name, value in BEFORE.items() if name in known}
    for name, value in config["hyperparameters"].items():
        name = RENAMED.get(name, name)
        value = tuple(value) if isinstance(value, list) else value
        if value in GONE.get(name, ()):
            continue
        if name not in known or mismatch(value, hints[name]):
            raise UserError(
                f"--resume {run}: its config.json is damaged or from another version: "
                f"{name} is {value!r}"
            )
        values[name] = value
    return dataclasses.replace(hyperparameters(), **values)

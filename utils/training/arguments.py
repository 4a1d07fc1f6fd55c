"""From the command line to the hyperparameters of a run, new or resumed."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any, get_type_hints

from utils.common.commandline import given_options, parse, with_hyphens
from utils.common.errors import UserError
from utils.common.fields import check_fields, fixed_fields, is_path, option_name, spell
from utils.hosts.place import Place, place_of
from utils.training.config import CONFIG, options_in, read_config
from utils.training.names import check_run_name, named_run
from utils.training.options import Options, RunOptions
from utils.training.presets import Preset


def parse_command_line(
    hyperparameters: type[Options],
    description: str,
    arguments: list[str] | None = None,
    has_accelerator: bool = False,
) -> tuple[Options, dict[str, Any] | None]:
    """Make the hyperparameters from the command line, and from a run's own where one is resumed.

    A default stands in the script or in `utils.training.options`. A GPU (``ON_ACCELERATOR``) takes
    the place of some, and a preset of any; a resumed run has what it began with, and one that
    begins with the networks of another has their shape. A process that follows another one has its
    own mistakes here, and its options in `options_like`.

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
    place = place_among_hosts(arguments)
    if place is not None and place.number:
        name = f"{hyperparameters.METHOD}.py"
        return parse(hyperparameters, name, description, arguments), None
    first = _first_options(arguments)
    config, start, default = None, None, hyperparameters()
    check_fields(default)  # those that somebody has edited
    if first.resume is not None:
        run = named_run("--resume", first.resume, first.images_dir, first.models_dir)
        config = read_config(run, Path(first.models_dir, run, CONFIG))
        default = options_in(hyperparameters, config, run)
        default.run_name, default.models_dir = run, first.models_dir
    else:
        default = from_preset(hyperparameters, first.preset, has_accelerator)
        if first.start_from is not None:
            from utils.training.start import Start  # and with it Keras, which takes seconds to load

            start = Start(hyperparameters, first.start_from, first.images_dir, first.models_dir)
            default = start.taken_over(default)

    presets = _describe_presets(hyperparameters.PRESETS)
    chosen = parse(
        hyperparameters, f"{default.METHOD}.py", description, arguments, default, presets
    )
    check_run_name("--run-name", chosen.run_name)
    given = given_options(arguments)
    if start is not None and chosen.image_size:
        start.fit(chosen, given)
    chosen.check()
    if config is None:
        return chosen, None
    chosen.resume = run
    if chosen.start_from != default.start_from:
        raise UserError(
            f"--start-from {chosen.start_from}: goes with a new run, and --resume {run} goes on "
            "with its own networks; leave one of them out"
        )
    for field in (*fixed_fields(hyperparameters), "run_name"):
        was, now = getattr(default, field), getattr(chosen, field)
        if was != now:
            raise UserError(
                f"{option_name(field)} {spell(now)}: run {run} has {spell(was)}, which "
                "a resumed run keeps; leave the option out or start a new run"
            )
    if "--images-dir" not in given:
        chosen.images_dir = default.images_dir  # where its pictures are, also in a folder named ~
    if "--epochs" in given and "--steps" not in given:
        chosen.steps = 0  # the run had been started with --steps, which would win
    return chosen, config


def place_among_hosts(arguments: list[str] | None = None) -> Place | None:
    """Which process of how many this one is, by the command line or the environment.

    Raises:
        UserError: it cannot be one.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if {"-h", "--help"} & set(arguments):
        return None
    given = _first_options([with_hyphens(argument) for argument in arguments]).hosts
    return place_of(given, os.environ)


def options_like(first: Options, description: str, arguments: list[str] | None = None) -> Options:
    """The options of a process that follows another one: what is not given is as it is there.

    Files and folders are each machine's own.

    Args:
        first: the options of the process that it follows.
        description: stands at the top of ``--help``.
        arguments: its own command line.

    Raises:
        UserError: an option that does not exist, or another value than there.
    """
    chosen = parse(type(first), f"{first.METHOD}.py", description, arguments, first)
    hints = get_type_hints(type(first), include_extras=True)
    for field in dataclasses.fields(first):
        there, here = getattr(first, field.name), getattr(chosen, field.name)
        is_own = field.name == "hosts" or is_path(hints[field.name])
        if here != there and not is_own:
            raise UserError(
                f"{option_name(field.name)} {spell(here)}: process 0 has {spell(there)}; expected "
                "the same on every process"
            )
    return chosen


def _first_options(arguments: list[str]) -> argparse.Namespace:
    """What decides about the defaults of all others, before everything else is read."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for option in ("--resume", "--start-from"):
        parser.add_argument(option, type=os.path.expanduser)
    parser.add_argument("--hosts", default=RunOptions.hosts)
    parser.add_argument("--preset", default=RunOptions.preset)
    for option in ("--images-dir", "--models-dir"):
        default = getattr(RunOptions, option[2:].replace("-", "_"))
        parser.add_argument(option, default=default, type=os.path.expanduser)
    known = parser.parse_args([])
    with contextlib.suppress(argparse.ArgumentError):  # a missing value is reported later
        known, _ = parser.parse_known_args(arguments)
    return known


def from_preset(
    hyperparameters: type[RunOptions], name: str, has_accelerator: bool = False
) -> RunOptions:
    """The defaults, on a GPU or TPU with those of one, and over them what a preset says.

    Raises:
        UserError: there is none of that name.
    """
    presets = hyperparameters.PRESETS
    if name not in ("none", *presets):
        known = f"{', '.join(presets)} or none" if presets else "none"
        raise UserError(f"--preset {name}: must be {known}")
    values = dict(hyperparameters.ON_ACCELERATOR) if has_accelerator else {}
    values |= presets[name].values if name in presets else {}
    return dataclasses.replace(hyperparameters(), preset=name, **values)


def _describe_presets(presets: dict[str, Preset]) -> str:
    lines = [f"{name}: {preset.described()}" for name, preset in presets.items()]
    return "Presets\n\n" + "\n\n".join(lines) if presets else ""

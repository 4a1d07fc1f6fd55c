"""``config.json``: the hyperparameters of a run, and what it was trained on."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from utils.common.channels import CHANNELS
from utils.common.errors import UserError
from utils.common.fields import mismatch
from utils.common.files import atomic_path
from utils.training.options import Options

CONFIG = "config.json"
RENAMED = {"augmentation_sureness": "augmentation_confidence"}
"""Names that options had in the configurations of older runs."""
GONE = {"score": ("f_score",)}
"""Values that options no longer have: the default takes their place."""
BEFORE: dict[str, Any] = {
    "augmentation": (), "augmentation_probability": 1.0, "augmentation_target": 0.0,
    "color_strength": 1.0, "augmentation_confidence": 1.0, "generator_architecture": "plain",
    "upscaling": "transposed",
}  # fmt: skip
"""What runs did before there was an option, where that is not its default."""


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file for a person to read."""
    text = json.dumps(values, indent=2)
    # Numbers in a row, such as those of the pictures held out, take a line and not a thousand.
    text = re.sub(r"\[[\d,\s]+\]", lambda found: "[" + " ".join(found[0][1:-1].split()) + "]", text)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_config(run: str, path: Path, option: str = "--resume") -> dict[str, Any]:
    """Read the ``config.json`` of a run.

    Args:
        run: its name.
        path: of the file.
        option: by which the person gave the name.

    Raises:
        UserError: there is no such run, or its file is damaged.
    """
    if not path.exists():
        runs = sorted(folder.parent.name for folder in path.parent.parent.glob("*/config.json"))
        found = (
            f"there are {', '.join(runs)}" if runs else f"there is no run in {path.parent.parent}"
        )
        raise UserError(f"{option} {run}: {path} does not exist; {found}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        for part in ("hyperparameters", "data_set"):
            if not isinstance(config[part], dict):
                raise ValueError(f"{part} is no object")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{option} {run}: {path} is damaged ({type(error).__name__}: {error}); bring it back "
            "from a copy"
        ) from None
    return config


def options_in(
    hyperparameters: type[Options], config: Mapping[str, Any], run: str, option: str = "--resume"
) -> Options:
    """The hyperparameters of a run as it was; what is missing in an older one is as it was then.

    Args:
        hyperparameters: their class.
        config: of `read_config`.
        run: its name.
        option: by which the person gave the name.

    Raises:
        UserError: another method's run, or values that are not of their fields' types.
    """
    if config.get("method") != hyperparameters.METHOD:
        raise UserError(
            f"{option} {run}: was made by {config.get('method')}.py, not by "
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
                f"{option} {run}: its config.json is damaged or from another version: "
                f"{name} is {value!r}"
            )
        values[name] = value
    return dataclasses.replace(hyperparameters(), **values)


def saved_channels(config: Mapping[str, Any]) -> int:
    """How many channels the images of a run have; those of older runs 3, as of a damaged file."""
    channels = config["data_set"].get("channels", 3)
    return channels if isinstance(channels, int) and channels in CHANNELS else 3


def saved_classes(shown: str, config: Mapping[str, Any]) -> dict[str, int]:
    """The classes of a run, by name their numbers of pictures; empty without classes.

    Args:
        shown: the run, as the person named it.
        config: of `read_config`.

    Raises:
        UserError: the file is damaged.
    """
    damaged = f"{shown}: its config.json is damaged"
    saved, attribute = (
        config["data_set"].get("classes", {}),
        config["hyperparameters"].get("classes"),
    )
    if not isinstance(saved, dict) or not {type(count) for count in saved.values()} <= {int}:
        raise UserError(f"{damaged}: classes of data_set: expected names with numbers of pictures")
    if bool(saved) != bool(attribute):
        raise UserError(
            f"{damaged}: found {len(saved)} classes in data_set and --classes {attribute!r}, "
            "expected both or neither"
        )
    return saved


def saved_held_out(shown: str, config: Mapping[str, Any], count: int) -> list[int]:
    """The numbers of the pictures that a run has kept from training, ascending.

    Args:
        shown: the run, as the person named it.
        config: of `read_config`.
        count: how many pictures there are.

    Raises:
        UserError: the file is damaged.
    """
    saved = config["data_set"].get("held_out", [])
    if not isinstance(saved, list) or not {type(number) for number in saved} <= {int}:
        raise UserError(f"{shown}: its config.json is damaged: held_out is no list of numbers")
    if not set(saved) <= set(range(count)):
        raise UserError(
            f"{shown}: its config.json is damaged: held_out names pictures beyond the {count} "
            "there are"
        )
    return sorted(saved)

"""Command lines that repeat a run, and that go on with it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from utils.common import commandline
from utils.common.commandline import option_name
from utils.common.errors import UserError
from utils.training.arguments import from_preset
from utils.training.config import CONFIG, read_config
from utils.training.options import RunOptions
from utils.training.start import Start
from utils.watching.contents import NOT_SHOWN


def command(method: str, *words: str) -> str:
    """A command line of a method's script, with the backend of this process."""
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    chosen = f"KERAS_BACKEND={shlex.quote(backend)} " if backend != "tensorflow" else ""
    return chosen + commandline.command(f"{method}.py", *words)


def repeat_command(h: RunOptions, has_accelerator: bool) -> str:
    """The command line that trains a run of the same options, under a name of its own.

    Args:
        h: the options.
        has_accelerator: whether the run is on a GPU or TPU, where defaults differ.
    """
    words, usual = [], type(h)()
    spelled = set(h.ON_ACCELERATOR if has_accelerator else ())
    if h.preset in h.PRESETS:  # one of another version is spelled out
        words = ["--preset", h.preset]
        usual = from_preset(type(h), h.preset)
        spelled -= h.PRESETS[h.preset].values.keys()
    if h.start_from:
        with contextlib.suppress(UserError):  # it may be gone
            start = Start(type(h), h.start_from, h.images_dir, h.models_dir)
            usual = start.taken_over(usual)
    return command(h.METHOD, *words, *_options(h, dataclasses.asdict(usual), {"preset"}, spelled))


def resume_command(h: RunOptions, **changed: Any) -> str:
    """The command line that goes on with a run.

    It names what was asked of this process and the run's ``config.json`` does not have yet.

    Args:
        h: the options.
        changed: values of options to go on with instead.
    """
    known = dataclasses.asdict(h)
    with contextlib.suppress(UserError):
        config = read_config(h.run_name, Path(h.models_dir, h.run_name, CONFIG))
        known = dataclasses.asdict(type(h)()) | config["hyperparameters"]
    known = {name: tuple(x) if isinstance(x, list) else x for name, x in known.items()}
    known["models_dir"] = RunOptions.models_dir
    goes_on = _options(dataclasses.replace(h, **changed), known, spelled=changed)
    if h.hosts:
        goes_on += ["--hosts", h.hosts]
    return command(h.METHOD, "--resume", h.run_name, *goes_on)


def _options(
    h: RunOptions,
    usual: Mapping[str, Any],
    left_out: Collection[str] = (),
    spelled: Collection[str] = (),
) -> list[str]:
    """Those options that are not as usual, and those to be spelled in any case."""
    words = []
    for field in dataclasses.fields(h):
        name, value = field.name, getattr(h, field.name)
        if name in (*NOT_SHOWN, *left_out):
            continue
        if name not in spelled and value == usual.get(name, value):
            continue
        option = option_name(name)
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        else:
            words += [option, *map(str, value if isinstance(value, tuple) else [value])]
    return words

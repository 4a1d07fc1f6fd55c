"""The command line that repeats a run."""

from __future__ import annotations

import dataclasses
import shlex

from utils.common.commandline import option_name
from utils.training.arguments import from_preset
from utils.training.options import RunOptions
from utils.watching.contents import NOT_SHOWN


def repeat_command(h: RunOptions, has_accelerator: bool) -> str:
    """The command line that trains a run of the same options, under a name of its own.

    Args:
        h: the options.
        has_accelerator: whether the run is on a GPU or TPU, where defaults differ.
    """
    words, usual = ["python", f"{h.METHOD}.py"], type(h)()
    spelled = h.ON_ACCELERATOR if has_accelerator and h.preset == "none" else {}
    if h.preset in h.PRESETS:  # one of another version is spelled out
        words += ["--preset", h.preset]
        usual = from_preset(type(h), h.preset)
    for field in dataclasses.fields(h):
        name, value = field.name, getattr(h, field.name)
        if name in (*NOT_SHOWN, "preset"):
            continue
        if value == getattr(usual, name) and name not in spelled:
            continue
        option = option_name(name)
        if isinstance(value, bool):
            words.append(option if value else option.replace("--", "--no-", 1))
        else:
            words += [option, *map(str, value if isinstance(value, tuple) else [value])]
    return shlex.join(words)

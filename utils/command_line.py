"""A command line made of a dataclass: every field an option, every mistake one line.

Knows nothing of Keras, so that scripts that only fetch or prepare pictures start at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import math
import re
import sys
from typing import Any, TypeVar

import tyro

from utils.errors import UserError

Options = TypeVar("Options")


def option_name(field: str) -> str:
    """The option of a field: ``latent_dim`` is ``--latent-dim``."""
    return "--" + field.replace("_", "-")


def given_arguments(arguments: list[str] | None = None) -> list[str]:
    """What was typed, by default after the script's name; --latent_dim is as good as --latent-dim.

    Values keep their underscores.
    """
    return [
        re.sub(r"^--[^=]+", lambda found: found[0].replace("_", "-"), argument)
        for argument in (sys.argv[1:] if arguments is None else arguments)
    ]


def parse_options(
    default: Options, program: str, description: str, arguments: list[str]
) -> Options:
    """Make a copy of the dataclass ``default``, changed by ``arguments``; --help ends the script.

    Raises:
        UserError: an option that does not exist, or a value it cannot take.
    """
    standard_error = io.StringIO()
    try:
        with contextlib.redirect_stderr(standard_error):
            chosen, unknown = tyro.cli(
                type(default),
                prog=program,
                args=arguments,
                default=default,
                description=description,
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if stop.code:
            raise UserError(_one_line(standard_error.getvalue())) from None
        raise
    if unknown:
        names = [option_name(field.name) for field in dataclasses.fields(default)]
        close = difflib.get_close_matches(unknown[0].split("=")[0], names, n=1)
        hint = f"did you mean {close[0]}?" if close else "--help lists the options"
        raise UserError(f"{unknown[0]}: no such option; {hint}")
    return chosen


def require_between(options: Any, lowest: float, highest: float, *fields: str) -> None:
    """Raise UserError for the first field whose value, or one of whose values, is outside."""
    wanted = f"{lowest:g} or more" if highest == math.inf else f"from {lowest:g} to {highest:g}"
    for field in fields:
        value = getattr(options, field)
        for number in value if isinstance(value, tuple) else (value,):
            if not lowest <= number <= highest:  # true for a NaN as well
                raise UserError(f"{option_name(field)} {number}: must be {wanted}")


def _one_line(message: str) -> str:
    """The sentence in the message that tyro prints, without its frame, headline and help."""
    parts = re.split(r"[-─]{4,}", re.sub(r"[│╭╮╰╯|]", " ", message))
    parts = [" ".join(part.strip(" -─\n").split()) for part in parts]
    headline_and_sentence = [part for part in parts if part][:2]
    sentence = headline_and_sentence[-1].split("Got errors:")[0].strip()
    return sentence.removeprefix("Error parsing ")

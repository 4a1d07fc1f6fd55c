"""A dataclass as a command line: every field is an option, every mistake one line."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import itertools
import os
import re
import shlex
import sys
import typing
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from utils.common.errors import UserError
from utils.common.fields import check_fields, expand_paths, expected, option_name, option_names
from utils.common.guesses import guess
from utils.common.help import help_text

Options = TypeVar("Options")


def parse(
    dataclass_type: type[Options],
    program: str,
    description: str,
    arguments: list[str] | None = None,
    default: Options | None = None,
    ending: str = "",
) -> Options:
    """A dataclass filled from the command line.

    Args:
        dataclass_type: each field is an option, with the sentence under it as its help. Its
            ``meant_by(words)``, if there is one, spells what words without an option meant.
        program: the name of the script, for ``--help``.
        description: stands at the top of ``--help``.
        arguments: the command line; None takes that of this process.
        default: its values replace the defaults of the fields.
        ending: stands at the end of its help.

    Raises:
        UserError: an option that does not exist, or a value that its type or range excludes.
        SystemExit: after ``--help``, with code 0.
    """
    arguments = [with_hyphens(each) for each in (sys.argv[1:] if arguments is None else arguments)]
    default = dataclass_type() if default is None else default
    if {"-h", "--help"} & set(arguments):
        print(help_text(program, description, default, ending))
        raise SystemExit(0)
    standard_error = io.StringIO()
    try:
        with contextlib.redirect_stderr(standard_error):
            chosen, unknown = tyro.cli(
                dataclass_type,
                prog=program,
                args=arguments,
                default=default,
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if stop.code:
            raise UserError(_refusal(standard_error.getvalue(), arguments, default)) from None
        raise
    if unknown:
        raise UserError(_not_understood(unknown, arguments, chosen))
    expand_paths(chosen)
    check_fields(chosen)
    return chosen


def command(script: str, *words: str) -> str:
    """A command line of one of the scripts, to be pasted where this process was started."""
    beside = os.path.join(os.path.dirname(sys.argv[0]), script)
    is_beside = sys.argv[0].endswith(".py") and os.path.isfile(beside)
    return shlex.join(["python", beside if is_beside else script, *words])


def positive(text: str) -> int:
    """A whole number from 1 up, for argparse.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    if not re.fullmatch(r"0*[1-9][0-9]{0,11}", text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number, 1 or more")
    return int(text)


def with_hyphens(argument: str) -> str:
    """The argument, with ``--latent_dim`` spelled ``--latent-dim``."""
    return re.sub(r"^--[^=]+", lambda found: found[0].replace("_", "-"), argument)


def given_options(arguments: list[str] | None = None) -> set[str]:
    """The options on a command line, such as ``--latent-dim``; None takes that of this process."""
    arguments = sys.argv[1:] if arguments is None else arguments
    return {with_hyphens(argument).split("=")[0] for argument in arguments}


def _not_understood(unknown: Sequence[str], arguments: Sequence[str], chosen: Any) -> str:
    """The line for the first argument that is no option, or belongs to none."""
    first, hints = unknown[0], typing.get_type_hints(type(chosen))
    if re.match("--?[A-Za-z]", first):
        hint = guess(first, option_names(type(chosen))) or "--help lists the options"
        return f"{first}: no such option; {hint}"
    for name in (name for name, hint in hints.items() if hint is bool):
        on, off = option_name(name), option_name(f"no_{name}")
        for flag in (on, off):
            if f"{flag}={first}" in arguments or (flag, first) in itertools.pairwise(arguments):
                return f"{flag} {first}: takes no value; expected {on} or {off} alone"
    # Of options that several words follow, these would have been taken.
    words = list(itertools.takewhile(lambda word: not word.startswith("-"), unknown))
    meant = chosen.meant_by(words) if hasattr(chosen, "meant_by") else ""
    if f"--{first}" in option_names(type(chosen)):
        meant = f"--{shlex.join(words)}"
    hint = f"did you mean {meant}?" if meant else "--help lists the options"
    return f"{shlex.join(words)}: belongs to no option; {hint}"


def _refusal(message: str, arguments: Sequence[str], default: Any) -> str:
    """The line for values that tyro has refused, in the words of `check_fields` where it can be."""
    parts = re.split(r"[-─]{4,}", re.sub(r"[│╭╮╰╯|]", " ", message))
    parts = [" ".join(part.strip(" -─\n").split()) for part in parts]
    headline_and_sentence = [part for part in parts if part][:2]
    sentence = headline_and_sentence[-1].split("Got errors:")[0].strip()
    hints = typing.get_type_hints(type(default), include_extras=True)
    for field in dataclasses.fields(default):
        option = option_name(field.name)
        if option not in arguments or not re.search(rf"{option}(?![\w-])", sentence):
            continue
        first = arguments.index(option) + 1
        given = itertools.takewhile(lambda word: not word.startswith("--"), arguments[first:])
        given = " ".join(given)
        if given:
            return f"{option} {given}: must be {expected(hints[field.name])}"
    return sentence.removeprefix("Error parsing ")

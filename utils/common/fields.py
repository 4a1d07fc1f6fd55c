"""The types of options: what a value may be, and whether a resumed run keeps it.

A field says all of it where it stands: ``depth: Fixed[Count] = 4`` is a whole number from 1 up that
shapes a network. `check_fields` reads that, for values from the command line, from a saved
configuration and from a default that somebody has edited.
"""

from __future__ import annotations

import dataclasses
import math
import os
import types
import typing
from typing import Annotated, Any, Literal, TypeVar

from utils.common.errors import UserError

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Between:
    """The range of a number, both ends included."""

    lowest: float
    highest: float = math.inf

    def __str__(self) -> str:
        if self.highest == math.inf:
            return f"{self.lowest:g} or more"
        return f"from {self.lowest:g} to {self.highest:.10g}"


FIXED = "fixed"
Fixed = Annotated[T, FIXED]
"""Shapes a network or gives its weights their meaning: stays as it is when a run is resumed."""
PATH = "path"
FilePath = Annotated[str, PATH]
"""A file or folder; a leading ``~`` is somebody's home."""
Count = Annotated[int, Between(1)]
CountOrZero = Annotated[int, Between(0)]
Several = Annotated[int, Between(2)]
Share = Annotated[float, Between(0, 1)]
Dropout = Annotated[float, Between(0, 0.99)]
Amount = Annotated[float, Between(0, 1e9)]
Momentum = Annotated[float, Between(0, 0.9999)]
Seed = Annotated[int, Between(0, 2**32 - 1)]
Upscaling = Literal["filtered", "transposed", "upsample"]
"""How a generator doubles its maps: see `utils.models.blocks.double`."""

NAMES = {int: "a whole number", float: "a number", bool: "True or False", str: "text in quotes"}


def option_name(field: str) -> str:
    """The option of a field: ``latent_dim`` is ``--latent-dim``, and ``class_`` ``--class``."""
    return "--" + field.rstrip("_").replace("_", "-")


def option_names(dataclass_type: type) -> list[str]:
    """The options of a dataclass, as they are written on the command line."""
    return [option_name(field.name) for field in dataclasses.fields(dataclass_type)]


def fixed_fields(options: type) -> list[str]:
    """The names of the fields that a resumed run keeps."""
    hints = typing.get_type_hints(options, include_extras=True)
    return [
        field.name
        for field in dataclasses.fields(options)
        if FIXED in getattr(hints[field.name], "__metadata__", ())
    ]


def expand_paths(options: Any) -> None:
    """Write out the ``~`` of every `FilePath` of a dataclass, also where a field has several."""
    hints = typing.get_type_hints(type(options), include_extras=True)
    for field in dataclasses.fields(options):
        value, hint = getattr(options, field.name), hints[field.name]
        if is_path(hint):
            setattr(options, field.name, os.path.expanduser(value))
        elif isinstance(value, tuple) and is_path(typing.get_args(_plain(hint))[0]):
            setattr(options, field.name, tuple(map(os.path.expanduser, value)))


def is_path(hint: Any) -> bool:
    """Whether a field of this type, with its annotations, is a file or folder."""
    return PATH in getattr(hint, "__metadata__", ())


def check_fields(options: Any) -> None:
    """Check every value of a dataclass against the type of its field.

    A whole number where a number is expected becomes one.

    Raises:
        UserError: names the option of the first field whose value does not fit, and what does.
    """
    hints = typing.get_type_hints(type(options), include_extras=True)
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        problem = mismatch(value, hints[field.name])
        if problem:
            raise UserError(f"{option_name(field.name)} {spell(value)}: must be {problem}")
        if type(value) is int and _plain(hints[field.name]) is float:
            setattr(options, field.name, float(value))


def mismatch(value: Any, hint: Any) -> str:
    """What was expected instead of ``value``; empty if it fits the type hint."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        ranges = [each for each in arguments[1:] if isinstance(each, Between)]
        return mismatch(value, arguments[0]) or _outside(value, ranges)
    if origin is Literal:
        return "" if value in arguments else f"one of {', '.join(map(str, arguments))}"
    if origin in (typing.Union, types.UnionType):
        problems = [mismatch(value, each) for each in arguments]
        return "" if "" in problems else problems[0]
    if hint is type(None):
        return "" if value is None else "None"
    if origin is not tuple:
        fits = type(value) in (int, float) if hint is float else type(value) is hint
        return "" if fits else NAMES[hint]
    if type(value) is not tuple:
        return f"a list, such as {_example(hint)}"
    if arguments[-1] is not ...:
        if len(value) != len(arguments):
            return f"{len(arguments)} values, such as {_example(hint)}"
        problems = map(mismatch, value, arguments)
    else:
        problems = (mismatch(item, arguments[0]) for item in value)
    return next(filter(None, problems), "")


def expected(hint: Any) -> str:
    """What a value of this type is, in words."""
    if typing.get_origin(hint) in (Annotated, typing.Union, types.UnionType):
        return expected(typing.get_args(hint)[0])
    if typing.get_origin(hint) is tuple:
        item, *more = typing.get_args(hint)
        if ... in more:
            return f"{expected(item)}, or several of these"
        return f"{1 + len(more)} values, each {expected(item)}"
    return mismatch(object(), hint)


def spell(value: Any) -> str:
    """A value as it is written on the command line."""
    return (" ".join(map(str, value)) if isinstance(value, tuple) else str(value)) or "''"


def _outside(value: Any, ranges: list[Between]) -> str:
    # Written so that a NaN is outside as well.
    outside = (str(each) for each in ranges if not each.lowest <= value <= each.highest)
    return next(outside, "")


def _plain(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint


def _example(hint: Any) -> str:
    items = [_plain(each) for each in typing.get_args(hint) if each is not ...]
    values = [typing.get_args(each)[0] if typing.get_args(each) else each(1) for each in items]
    return str(tuple(values))

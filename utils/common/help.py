"""What ``--help`` prints: the options of a script as they stand in its text.

Options come in the order of the source, under its headings: a comment line ``# Data`` above a
field. The sentence under a field is its help. Options of base classes follow, under the first line
of each class's docstring.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import shutil
import textwrap
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import tyro

from utils.common.fields import option_name, spell

MOST_COLUMNS = 100


def help_text(program: str, description: str, default: Any, ending: str = "") -> str:
    """The page for ``--help``.

    Args:
        program: the name of the script.
        description: stands at the top.
        default: an instance of the options' dataclass: its values are shown as defaults.
        ending: stands at the end.
    """
    width = min(MOST_COLUMNS, shutil.get_terminal_size().columns)
    hints = typing.get_type_hints(type(default), include_extras=True)
    fields = {field.name: field for field in dataclasses.fields(default)}
    places = [name for name in fields if _is_positional(hints[name])]
    usage = " ".join(["python", program, *map(str.upper, places), "[--option value ...]"])
    lines = [f"usage: {usage}", "", description.strip(), ""]
    for title, sentences in documented(type(default)).items():
        shown = [name for name in sentences if name in fields]
        if not shown:
            continue
        lines += [title, ""]
        for name in shown:
            value = getattr(default, name)
            given = f" ({spell(value)})" if value not in ("", None, ()) else ""
            head = name.upper() if name in places else option_name(name)
            lines.append(f"  {head} {_placeholder(hints[name])}".rstrip() + given)
            lines += textwrap.wrap(
                sentences[name], width, initial_indent=" " * 6, subsequent_indent=" " * 6
            )
        lines.append("")
    paragraphs = ending.split("\n\n") if ending else []
    lines += ["\n".join(textwrap.wrap(each, width)) + "\n" for each in paragraphs]
    return "\n".join(lines)


def documented(options: type) -> dict[str, dict[str, str]]:
    """The sentence under each field, by headings and names, in the order of the source.

    Of a field that a class declares anew, the class's own place and sentence count.
    """
    found: dict[str, dict[str, str]] = {}
    seen: set[str] = set()
    for cls in options.__mro__:
        if not dataclasses.is_dataclass(cls):
            continue
        first_line = inspect.getdoc(cls).splitlines()[0].rstrip(".")
        for heading, name, sentence in _fields_of(cls):
            if sentence and name not in seen:
                found.setdefault(heading or first_line, {})[name] = sentence
                seen.add(name)
    return found


def _fields_of(cls: type) -> Iterator[tuple[str, str, str]]:
    """Heading, name and sentence of each field in a class's own source."""
    source = textwrap.dedent(inspect.getsource(cls))
    lines = source.splitlines()
    body = ast.parse(source).body[0].body
    heading, line = "", 0
    for node, after in zip(body, [*body[1:], None], strict=True):
        if not isinstance(node, ast.AnnAssign):
            continue
        for text in lines[line : node.lineno - 1]:
            comment = re.fullmatch(r"    # ([A-Z][^.:]*)", text)
            heading = comment[1] if comment else heading
        line = node.lineno
        is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        sentence = " ".join(str(after.value.value).split()) if is_text else ""
        yield heading, node.target.id, sentence


def _is_positional(hint: Any) -> bool:
    return tyro.conf.Positional in _markers(hint)


def _markers(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint)[1:] if typing.get_origin(hint) is Annotated else ()


def _placeholder(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _placeholder(arguments[0])
    if origin is Literal:
        return "{" + ",".join(map(str, arguments)) + "}"
    if origin is tuple:
        items = [_placeholder(each) for each in arguments if each is not ...]
        return " ".join(items) + (" ..." if ... in arguments else "")
    if arguments:  # something or None
        return _placeholder(next(each for each in arguments if each is not type(None)))
    return {int: "N", float: "X", str: "TEXT", bool: ""}.get(hint, "TEXT")

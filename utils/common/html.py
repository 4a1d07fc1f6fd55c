"""Web pages in one file that make no request."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path


def fill_template(template: Path, parts: Mapping[str, str]) -> str:
    """A template with a text in place of each mark; the marks come in the order of ``parts``."""
    # From front to back, so that marks in a text that has been filled in stay.
    filled, rest = [], template.read_text(encoding="utf-8")
    for mark, text in parts.items():
        before, rest = rest.split(mark, 1)
        filled += [before, text]
    return "".join([*filled, rest])


def content_policy(scripts: Iterable[str], *more: str, also: str = "") -> str:
    """A content security policy that allows these scripts, and no request.

    Args:
        scripts: the text of each script element.
        more: whole directives.
        also: further sources of scripts.
    """
    hashes = [hashlib.sha256(script.encode()).digest() for script in scripts]
    sources = [f"'sha256-{base64.b64encode(each).decode()}'" for each in hashes]
    return "; ".join(
        [
            "default-src 'none'",
            "style-src 'unsafe-inline'",
            " ".join(["script-src", *sources, *([also] if also else [])]),
            *more,
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def script_safe(value: object) -> str:
    """JSON for a script element, whatever strings the value holds.

    Raises:
        ValueError: it holds a NaN or an infinity, which JSON lacks.
    """
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

"""Pages of one file that ask nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path


def fill_template(template: Path, parts: Mapping[str, str]) -> str:
    """A template with a text in place of each mark; the marks come in the order of ``parts``."""
    # From the front to the back: what has been filled in is not looked at again.
    filled, rest = [], template.read_text(encoding="utf-8")
    for mark, text in parts.items():
        before, rest = rest.split(mark, 1)
        filled += [before, text]
    return "".join([*filled, rest])


def content_policy(scripts: Iterable[str], *more: str, also: str = "") -> str:
    """A content security policy that lets these scripts run and no other, and no request out.

    Args:
        scripts: the text of each, as it stands in its element.
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
    """JSON that can stand in a script element of a page, whatever names it holds.

    Raises:
        ValueError: it holds a NaN or an infinity, which JSON has not.
    """
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

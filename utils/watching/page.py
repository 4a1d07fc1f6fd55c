"""``index.html``: the page of a run, from its first steps to its end, in the run's own folder.

The page shows the pictures in its folder and contains everything else: curves, options, the
plotting library. It needs no server and makes no network requests; its content security policy
forbids them, and any script but its own two.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from utils.common.files import atomic_path
from utils.common.html import content_policy, fill_template, script_safe
from utils.watching.contents import files

TEMPLATE = Path(__file__).with_name("page.html")
SCRIPT = Path(__file__).with_name("page.js")
STYLE = Path(__file__).with_name("page.css")
"""What the page and the explorer look like."""
LIBRARY = Path(__file__).parents[2] / "assets" / "uplot"


def write_page(path: Path, data: Mapping[str, Any]) -> None:
    """Write the page of a run, whole, in place of the one before.

    Args:
        path: the file.
        data: see `contents.contents`.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    library = (LIBRARY / "uPlot.iife.min.js").read_text(encoding="utf-8")
    script = SCRIPT.read_text(encoding="utf-8")
    # A page from the file system has no origin: the scheme allows the files in its folder.
    policy = content_policy([library, script], "img-src 'self' file:", "frame-src 'self' file:")
    parts = {
        "@POLICY@": policy,
        "@LICENCE@": (LIBRARY / "LICENSE").read_text(encoding="utf-8"),
        "@LIBRARY-STYLE@": (LIBRARY / "uPlot.min.css").read_text(encoding="utf-8"),
        "@STYLE@": STYLE.read_text(encoding="utf-8"),
        "@LIBRARY@": library,
        "@DATA@": script_safe(data),
        "@SCRIPT@": script,
    }
    with atomic_path(path) as temporary:
        temporary.write_text(fill_template(TEMPLATE, parts), encoding="utf-8")


def refresh_page(path: Path) -> None:
    """Let an existing page show the files that were added to its folder; the rest stays.

    Raises:
        OSError: the file cannot be read or written.
    """
    with contextlib.suppress(ValueError):  # damaged: nothing of it could be kept
        text = path.read_text(encoding="utf-8")
        found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
        if found:
            write_page(path, json.loads(found[1]) | files(path.parent))

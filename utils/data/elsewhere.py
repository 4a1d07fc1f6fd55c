"""What to do with data that prepare_dataset.py reads and a training does not."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from utils.common.commandline import command


def to_prepare(source: str, image_size: int | None = None) -> str:
    """A sentence with the command that makes a data set file of a source.

    Args:
        source: a path, as the person gave it.
        image_size: of the data set, if the person has said so.
    """
    stem = re.sub(r"[^\w.-]+", "-", Path(source).resolve().stem).strip("-.") or "pictures"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    output = next(path for name in names if not (path := Path("data", f"{name}.h5")).exists())
    words = [source, "--output", str(output)]
    if image_size:
        words += ["--size", str(image_size)]
    return f"make a data set of it with: {command('prepare_dataset.py', *words)}"

"""Writing files so that neither a kill nor a full disk leaves half a file under a real name."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; when the block ends well it is renamed to ``path``.

    The temporary name starts with a dot, ends in ``.part`` plus the suffix of ``path`` (so that
    libraries that look at the suffix still work) and lies in the same folder, which makes the
    rename atomic. The file is flushed to the disk before the rename. If the block raises, the
    temporary file is removed and whatever stood at ``path`` before is untouched.

    Raises:
        OSError: the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.stem}-{secrets.token_hex(4)}.part{path.suffix}"
    try:
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def script_safe(value: object) -> str:
    """JSON that can stand in a script element of a page, whatever names it holds.

    Raises:
        ValueError: it holds a NaN or an infinity, which JSON has not.
    """
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

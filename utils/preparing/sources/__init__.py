"""Where pictures come from: a folder, an archive, a table, an array.

A new kind is one class, named in ``KINDS``. Nothing is unpacked to disk; names and sizes that
a file claims are not believed.
"""

from __future__ import annotations

import stat
from pathlib import Path

from utils.common.commandline import command
from utils.common.errors import UserError, printable
from utils.common.kinds import HEAD_BYTES, kind_of
from utils.common.pictures import is_picture_signature
from utils.data.hdf5 import read_dataset
from utils.preparing.sources.archive import Zip
from utils.preparing.sources.entries import EXPECTED, Source
from utils.preparing.sources.folder import Folder
from utils.preparing.sources.foreign import Hdf5
from utils.preparing.sources.npy import NumPy
from utils.preparing.sources.parquet import Parquet
from utils.preparing.sources.tar import Tar

KINDS: tuple[type[Source], ...] = (Folder, NumPy, Zip, Tar, Parquet, Hdf5)


def open_source(source: str, image_column: str = "") -> Source:
    """Open what a person named as a source.

    Args:
        source: a path.
        image_column: of a table; may be left out where there is but one.

    Raises:
        UserError: nothing there, or nothing that can be a source.
    """
    path, shown = Path(source), printable(source)
    try:
        mode, head = path.stat().st_mode, b""
        if stat.S_ISREG(mode):
            with open(path, "rb") as file:
                head = file.read(HEAD_BYTES)
        elif not stat.S_ISDIR(mode):
            raise UserError(f"{shown}: neither a file nor a folder; {EXPECTED}")
        for kind in KINDS:
            if kind.recognises(path, head):
                return kind(path, shown, image_column)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{shown}: {reason.lower()}; {EXPECTED}") from error
    if head.startswith(b"\x89HDF"):
        read_dataset(path, limit=1)  # whatever is wrong with it is said there
        trained = command("dcgan.py", "--data", source)
        raise UserError(
            f"{shown}: an HDF5 file that a training reads as it is; train on it with: {trained}"
        )
    found = "a picture" if is_picture_signature(head[:12]) else kind_of(head) or "of another kind"
    raise UserError(f"{shown}: {found}; {EXPECTED}")

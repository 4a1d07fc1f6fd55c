"""Arrays of pictures, of whatever files hold them."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from utils.common.channels import CHANNELS
from utils.common.errors import UserError, printable
from utils.preparing.sources.entries import (
    MAX_ATTRIBUTES,
    MAX_ENTRIES,
    MAX_ROW_BYTES,
    Entry,
    attributes_of,
    damage_in_one_line,
    listed,
    text,
    usual,
)

BLOCK_BYTES = 4 * 2**20
MAX_COLUMN_BYTES = 64 * 2**20
MAX_ARRAYS = 1000
NAMES = "names"

# Ends of the ranges that floats are known to have, and how far resizing may have overshot them.
RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
OVERSHOOT = 0.125  # of the range


@dataclass(frozen=True)
class Form:
    """How a row of an array becomes a picture."""

    shape: tuple[int, ...]
    dtype: str
    layout: str
    """HW, HWC or CHW."""
    span: tuple[float, float] | None = None
    """What is black and what is white; None for bytes, which stay as they are."""

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def described(self, is_one: bool) -> str:
        """In words, of one picture or many."""
        span = f", {self.span[0]:g} to {self.span[1]:g}" if self.span else ""
        return f"{np.dtype(self.dtype).name} {'N' * (not is_one)}{self.layout}{span}"


class Arrays:
    """Arrays by their names, of which one has a picture in each row."""

    suffix = ""

    def __init__(self, path: Path, shown: str, image_column: str = "") -> None:
        self.path, self.shown = path, shown
        self.left_out: list[tuple[str, str]] = []
        self.columns: dict[str, np.ndarray] = {}
        with damage_in_one_line(shown, f"{self.suffix} file"):
            arrays = self.arrays()
            self.name = _chosen(arrays, image_column, shown)
            shape, dtype = arrays[self.name]
            layout = _layout(shape)
            self.is_one = len(shape) == len(layout)  # and not one a row
            self.count = 1 if self.is_one else shape[0]
            self.form = Form(shape if self.is_one else shape[1:], dtype.str, layout)
            self._check(shape)
            for name, (other, kind) in arrays.items():
                if name != self.name:
                    self._take_column(name, other, kind)
            self.form = replace(self.form, span=self._span())
        self.kind = f"{self.suffix} of {self.form.described(self.is_one)}"

    def arrays(self) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Shape and type of each array in the file, by its name."""
        raise NotImplementedError

    def blocks(self, name: str, form: Form) -> Iterator[np.ndarray]:
        """All rows of an array in order, some at a time."""
        raise NotImplementedError

    def column(self, name: str) -> np.ndarray:
        """A small array."""
        raise NotImplementedError

    def holds(self, path: Path) -> bool:
        """Whether it is this very file."""
        return path.exists() and path.samefile(self.path)

    def __len__(self) -> int:
        return self.count

    def entries(self) -> Iterator[Entry]:
        """The rows in order."""
        row = 0
        names = self.columns.get(NAMES)
        others = {name: column for name, column in self.columns.items() if name != NAMES}
        with damage_in_one_line(self.shown, f"{self.suffix} file"):
            for block in self.blocks(self.name, self.form):
                for each in block:
                    place = self.path.stem + f"-{row:06d}" * (not self.is_one)
                    file = (text(names[row]) if names is not None else "") or place
                    known = {name: column[row].item() for name, column in others.items()}
                    yield Entry(
                        name=file,
                        file=file,
                        read=functools.partial(picture_file, each.tobytes(), self.form),
                        attributes=attributes_of(known),
                    )
                    row += 1

    def _check(self, shape: tuple[int, ...]) -> None:
        found = f"{self.shown}: {printable(self.name)}: {np.dtype(self.form.dtype)} {shape}"
        if not self.count:
            raise UserError(f"{found}, no picture")
        if self.count > MAX_ENTRIES:
            raise UserError(f"{found}, more than {MAX_ENTRIES:,} pictures")
        if not 0 < self.form.row_bytes <= MAX_ROW_BYTES:
            raise UserError(f"{found}; expected up to {MAX_ROW_BYTES // 2**20} MB a picture")

    def _take_column(self, name: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
        """Keep an array with a value for each picture; others are left out."""
        is_short = shape in ((self.count,), (self.count, 1)) and not self.is_one
        is_large = math.prod(shape) * dtype.itemsize > MAX_COLUMN_BYTES
        if not is_short or is_large or len(self.columns) == MAX_ATTRIBUTES:
            self.left_out.append((text(name), f"an array of {dtype} {shape}"))
            return
        try:
            group = self.name.rpartition("/")[0] + "/"
            label = name.removeprefix(group).removeprefix("attributes/")
            self.columns[label] = self.column(name).reshape(-1)
        except UserError as error:
            reason = str(error).rpartition(": ")[2]
            self.left_out.append((text(name), reason))

    def _span(self) -> tuple[float, float] | None:
        """The range that the pictures are of, of those that are usual."""
        dtype = np.dtype(self.form.dtype)
        if dtype == np.uint8:
            return None
        if dtype.kind == "b":
            return 0, 1
        low, high = np.inf, -np.inf
        for block in self.blocks(self.name, self.form):
            finite = block[np.isfinite(block)] if dtype.kind == "f" else block
            if finite.size:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        for black, white in RANGES if dtype.kind == "f" else RANGES[-1:]:
            over = OVERSHOOT * (white - black) if dtype.kind == "f" else 0
            if white == 255 and high < 8:
                continue  # nearly black, if it were so
            if black - over <= low and high <= white + over:
                return black, white
        raise UserError(
            f"{self.shown}: {printable(self.name)}: {dtype.name} from {low:.4g} to {high:.4g}; "
            "expected uint8, or a range of 0 to 1, -1 to 1 or 0 to 255"
        )


def picture_file(data: bytes, form: Form) -> bytes:
    """A row of an array as a PNG, which is read like any other picture."""
    row = np.frombuffer(data, form.dtype).reshape(form.shape)
    if form.layout == "CHW":
        row = row.transpose(1, 2, 0)
    if form.layout != "HW" and row.shape[2] == 1:
        row = row[..., 0]
    if form.span:
        black, white = form.span
        share = (np.nan_to_num(row.astype(np.float32), nan=black) - black) / (white - black)
        row = np.rint(255 * np.clip(share, 0, 1)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(row)).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def _layout(shape: tuple[int, ...]) -> str:
    """HW, HWC or CHW, without the N that stands before it in an array of many; else empty."""
    if len(shape) == 4 and shape[3] in CHANNELS:
        return "HWC"
    if len(shape) == 4 and shape[1] in CHANNELS:
        return "CHW"
    if len(shape) == 3 and shape[2] != 1 and shape[2] in CHANNELS:
        return "HWC"  # of a single picture
    return "HW" if len(shape) in (2, 3) else ""


def _chosen(arrays: dict[str, tuple[tuple[int, ...], np.dtype]], asked_for: str, shown: str) -> str:
    """The name of the array of pictures."""
    able = {
        name: len(shape)
        for name, (shape, dtype) in arrays.items()
        if dtype.kind in "buif" and _layout(shape) and (len(shape) > 2 or len(arrays) == 1)
    }
    if asked_for:
        if asked_for not in able:
            raise UserError(
                f"--image-column {printable(asked_for)}: {shown} has no such array of pictures; "
                f"found {listed(list(able))}"
            )
        return asked_for
    names = [name for name, sides in able.items() if sides == max(able.values())]
    found = usual(names)
    if found:
        return found
    every = [f"{name} ({dtype} {shape})" for name, (shape, dtype) in arrays.items()]
    raise UserError(
        f"{shown}: expected one array of pictures, uint8 or float, N x H x W x C or N x C x H x W, "
        + (
            f"found {listed(names)}; choose with prepare_dataset.py --image-column"
            if names
            else f"found {listed(every)}"
        )
    )

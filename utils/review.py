"""Pages to judge a preparation by eye: a page to overrule decisions on, and a contact sheet."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from utils.examine import Heap, RowsOnDisk
from utils.filters import Thresholds, suspicion
from utils.pictures import save_png, tile

if TYPE_CHECKING:
    from prepare_dataset import Picture

TEMPLATE = Path(__file__).with_name("review.html")

# +1 where large values are doubtful, -1 where small ones are.
MEASURES = {"colour": -1, "plainness": -1, "lightness": -1, "photo": 1, "aspect": -1}

SHEET_SIDE = 64
SHEET_PICTURES = 4096


def write_page(
    path: Path, title: str, pictures: Sequence[Picture], thresholds: Thresholds, heap: Heap
) -> None:
    """Write the review page: one file that needs no other and asks nothing of any network.

    Args:
        path: the file.
        title: of the data set.
        pictures: all of them, judged.
        thresholds: of the filters, for the score that the page is sorted by.
        heap: their thumbnails.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    before, after = TEMPLATE.read_text(encoding="utf-8").split("DATA", 1)
    head = {
        "title": title,
        "measures": MEASURES,
        "oriented": any(picture.mirrored for picture in pictures),
    }
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + _script_safe(head)[:-1] + ', "pictures": [')
        for number, picture in enumerate(pictures):
            file.write(("," if number else "") + "\n")
            file.write(_script_safe(_card(picture, thresholds, heap)))
        file.write("\n]}" + after)


def _card(picture: Picture, thresholds: Thresholds, heap: Heap) -> dict[str, object]:
    examined, measures = picture.examined, picture.examined.measures
    thumbnail, _ = heap.get(picture.details)
    return {
        "name": examined.name,
        "file": examined.file,
        "sha256": examined.sha256.hex(),
        "width": examined.width,
        "height": examined.height,
        "filter": picture.rejected_by,
        "reason": picture.reason,
        "decision": picture.decision,
        "mirrored": picture.mirrored,
        "certainty": picture.certainty,
        "score": None if measures is None else round(suspicion(measures, thresholds), 4),
        "measures": {}
        if measures is None
        else {name: round(value, 4) for name, value in measures._asdict().items()},
        "thumbnail": base64.b64encode(thumbnail).decode(),
    }


def _script_safe(value: object) -> str:
    """JSON that can stand in a script element whatever names it holds."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def write_contact_sheet(path: Path, pictures: Sequence[Picture], squares: RowsOnDisk) -> None:
    """Write all kept pictures as they are stored, and under a red bar the rejected ones, as a PNG.

    Of more than four thousand, evenly chosen ones.

    Args:
        path: the file.
        pictures: all of them, judged.
        squares: every readable picture has a row.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    kept = [n for n, picture in enumerate(pictures) if picture.kept]
    rejected = [n for n, p in enumerate(pictures) if not p.kept and not p.examined.problem]
    share = min(1.0, SHEET_PICTURES / max(1, len(kept) + len(rejected)))
    columns = max(8, math.ceil(math.sqrt(1.5 * share * (len(kept) + len(rejected)))))
    parts = []
    for numbers in (kept, rejected):
        chosen = np.linspace(0, len(numbers) - 1, math.ceil(share * len(numbers)))
        cells = [_cell(pictures, squares, numbers[round(each)]) for each in chosen]
        if cells:
            parts.append(tile(np.stack(cells), columns))
    if len(parts) == 2:
        parts.insert(1, np.full((6, parts[0].shape[1], 3), (200, 40, 30), np.uint8))
    save_png(path, np.concatenate(parts))


def _cell(pictures: Sequence[Picture], squares: RowsOnDisk, number: int) -> np.ndarray:
    square = Image.fromarray(squares.row(number))
    if square.width != SHEET_SIDE:
        square = square.resize((SHEET_SIDE, SHEET_SIDE), Image.Resampling.LANCZOS)
    if pictures[number].mirrored:
        square = square.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(square)

"""What a person looks through: a page on which decisions can be overruled, and a contact sheet."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from utils.common.channels import as_rgb, premultiplied
from utils.common.html import script_safe
from utils.common.pictures import WHITE
from utils.preparing.decisions import Picture
from utils.preparing.filters import Thresholds, filter_score
from utils.preparing.scratch import Heap, RowsOnDisk

TEMPLATE = Path(__file__).with_name("review.html")

# +1 where large values are doubtful, -1 where small ones are.
MEASURES = {"colour": -1, "plainness": -1, "lightness": -1, "photo": 1, "aspect": -1}

# Attributes that the page sorts and shows by, as classes.
MOST_CLASSES = 60
MOST_KINDS = 6

SHEET_SIDE = 64
SHEET_PICTURES = 2000


def write_page(
    path: Path, title: str, pictures: Sequence[Picture], thresholds: Thresholds, heap: Heap
) -> None:
    """Write the review page: one file that needs no other and asks nothing of any network.

    Args:
        path: the file.
        title: of the data set.
        pictures: all of them, decided.
        thresholds: of the filters, for the score that the page is sorted by.
        heap: their thumbnails and attributes.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    kinds = _kinds_of_classes(pictures, heap)
    before, after = TEMPLATE.read_text(encoding="utf-8").split("DATA", 1)
    head = {
        "title": title,
        "measures": MEASURES,
        "oriented": any(picture.mirrored for picture in pictures),
        "classes": kinds,
    }
    with open(path, "w", encoding="utf-8") as file:
        file.write(before + script_safe(head)[:-1] + ', "pictures": [')
        for number, picture in enumerate(pictures):
            file.write(("," if number else "") + "\n")
            file.write(script_safe(_card(picture, thresholds, heap, kinds)))
        file.write("\n]}" + after)


def _kinds_of_classes(pictures: Sequence[Picture], heap: Heap) -> list[str]:
    """The attributes that have few values, each of several pictures."""
    counts: dict[str, Counter[str | int]] = {}
    for picture in pictures:
        for name, value in heap.get(picture.details)[1].items():
            count = counts.setdefault(name, Counter())
            if not isinstance(value, float) and len(count) <= MOST_CLASSES:
                count[value] += 1
    found = [
        name
        for name, count in counts.items()
        if 2 <= len(count) <= MOST_CLASSES and count.total() >= 2 * len(count)
    ]
    return found[:MOST_KINDS]


def _card(
    picture: Picture, thresholds: Thresholds, heap: Heap, kinds: Sequence[str]
) -> dict[str, object]:
    examined, measures = picture.examined, picture.examined.measures
    thumbnail, attributes = heap.get(picture.details)
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
        "score": None if measures is None else round(filter_score(measures, thresholds), 4),
        "measures": {}
        if measures is None
        else {name: round(value, 4) for name, value in measures._asdict().items()},
        "classes": {name: str(attributes[name]) for name in kinds if name in attributes},
        "thumbnail": base64.b64encode(thumbnail).decode(),
    }


def write_contact_sheet(path: Path, pictures: Sequence[Picture], squares: RowsOnDisk) -> None:
    """Write all kept pictures as they are stored, and under a red bar the rejected ones, as a PNG.

    Of more than 2,000, some, evenly chosen.

    Args:
        path: the file.
        pictures: all of them, decided.
        squares: every readable picture has a row.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    kept = [n for n, picture in enumerate(pictures) if picture.kept]
    rejected = [n for n, p in enumerate(pictures) if not p.kept and not p.examined.problem]
    share = min(1.0, SHEET_PICTURES / max(1, len(kept) + len(rejected)))
    parts = []
    for numbers in (kept, rejected):
        chosen = np.linspace(0, len(numbers) - 1, math.ceil(share * len(numbers)))
        parts.append([numbers[round(each)] for each in chosen])
    columns = max(8, math.ceil(math.sqrt(1.5 * sum(map(len, parts)))))
    cell = SHEET_SIDE + 2
    heights = [cell * math.ceil(len(part) / columns) for part in parts]
    bar = 6 if parts[1] else 0
    sheet = Image.new("RGB", (columns * cell, max(1, sum(heights) + bar)), WHITE)
    sheet.paste((200, 40, 30), (0, heights[0], sheet.width, heights[0] + bar))
    for top, part in zip((0, heights[0] + bar), parts, strict=True):
        for index, number in enumerate(part):
            row, column = divmod(index, columns)
            place = column * cell + 1, top + row * cell + 1
            sheet.paste(_small(squares.row(number), pictures[number].mirrored), place)
    sheet.save(path, format="PNG")


def _small(square: np.ndarray, mirrored: bool) -> Image.Image:
    small = Image.fromarray(as_rgb(premultiplied(square)))
    if small.width != SHEET_SIDE:
        small = small.resize((SHEET_SIDE, SHEET_SIDE), Image.Resampling.LANCZOS)
    return small.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else small

"""What a preparation tells of itself: a summary to read, a report to repeat it, columns of data."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import ImageColor

from utils.common.commandline import option_name
from utils.common.errors import UserError
from utils.common.pictures import Colour
from utils.data.datasets import MAX_COLUMN_BYTES, printable
from utils.preparing.examine import Heap
from utils.preparing.filters import FILTER_NAMES, Decisions, Thresholds
from utils.preparing.orientation import Orientation
from utils.preparing.sources import MAX_ATTRIBUTES, Source

if TYPE_CHECKING:
    from prepare_dataset import Options, Picture

REPORT_VERSION = 1
MADE_BY = "prepare_dataset.py"
MIRRORED = " (mirrored)"


def colour(option: str, value: str) -> Colour:
    """A colour from its name or code.

    Raises:
        UserError: there is no such colour.
    """
    try:
        return ImageColor.getrgb(value)[:3]
    except ValueError as error:
        raise UserError(
            f"{option} {printable(value)}: wanted a colour such as white or #f0f0f0"
        ) from error


def checked_output(output: str, sources: Iterable[str], beside: Iterable[str] = ()) -> Path:
    """Where the data set goes.

    Args:
        output: as on the command line.
        sources: where its pictures come from.
        beside: names of files that will be written beside it.

    Raises:
        UserError: it would be among its own pictures, or take the place of something else.
    """
    path = Path(os.path.expanduser(output))
    shown = f"--output {printable(output)}"
    for source in sources:
        folder = Path(os.path.expanduser(source))
        inside = folder.is_dir() and folder.resolve() in path.resolve().parents
        if inside or (path.exists() and folder.exists() and path.samefile(folder)):
            raise UserError(
                f"{shown}: lies in the source {printable(source)}; wanted a place beside it, so "
                "that a second run finds the same pictures"
            )
    for other in (path.with_suffix(".report.json"), *map(path.with_name, beside)):
        if other.is_dir():
            raise UserError(
                f"{shown}: {printable(other.name)} beside it is a folder; wanted a place for a "
                "file of that name"
            )
    if path.exists():
        import h5py

        try:
            with h5py.File(path, "r") as file:
                ours = str(file.attrs.get("made_by", "")).startswith(MADE_BY)
        except (OSError, RuntimeError, ValueError, KeyError):
            ours = False
        if not ours:
            raise UserError(f"{shown}: exists and is not of {MADE_BY}; wanted another name")
    return path


class Report:
    """Of every picture, what became of it; and all that it takes to get the same again."""

    def __init__(
        self,
        options: Options,
        thresholds: Thresholds,
        least_side: int,
        sources: Sequence[Source],
        pictures: Sequence[Picture],
        orientation: Orientation | None,
        decisions: Sequence[Decisions],
    ) -> None:
        self.options, self.thresholds, self.least_side = options, thresholds, least_side
        self.sources, self.pictures = sources, pictures
        self.orientation, self.decisions = orientation, decisions
        self.kept = sum(picture.kept for picture in pictures)
        self.rejected = Counter(
            "excluded" if picture.decision == "excluded" else picture.rejected_by
            for picture in pictures
            if not picture.kept
        )

    def _options(self, *without: str) -> list[str]:
        """The options that are not at their defaults, as on a command line."""
        words = []
        for field in dataclasses.fields(self.options):
            value = getattr(self.options, field.name)
            if value == field.default or field.name in ("sources", "processes", *without):
                continue
            words.append(option_name(field.name))
            words += [] if value is True else [str(value)]
        return words

    def made_by(self) -> str:
        """A line for the data set itself, without any path."""
        words = self._options("output", "exclude", "include", "review")
        return f"{MADE_BY} {' '.join(words)}: {self.kept} of {len(self.pictures)} pictures"

    def summary(self) -> list[str]:
        """Lines to read: how many came, how many go, and why."""
        lines = []
        for source, path in zip(self.sources, self.options.sources, strict=True):
            other = f", and {source.other_files} other files" if source.other_files else ""
            lines.append(f"{len(source):6} pictures in {printable(path)} ({source.kind}){other}")
        if len(self.sources) != 1:
            lines.append(f"{len(self.pictures):6} pictures in all")
        for name in FILTER_NAMES:
            if self.rejected[name]:
                lines.append(f"{-self.rejected[name]:6} {name}")
        overruled = sum(p.decision == "included" and bool(p.rejected_by) for p in self.pictures)
        included = f", {overruled} of them against a filter" if overruled else ""
        lines.append(f"{self.kept:6} pictures kept{included}")
        if self.options.mirror:
            lines.append(f"{2 * self.kept:6} pictures stored, with their mirror images")
        if self.orientation is not None:
            lines.append(
                f"{int(self.orientation.mirrored.sum()):6} of them mirrored to face the same side; "
                f"agreement {self.orientation.agreement:.2f} (below 0.5: rather look at them)"
            )
        for decisions in self.decisions:
            for number in sorted(decisions.unused)[:10]:
                lines.append(
                    f"       {decisions.option}, line {number}: no picture is called "
                    f"{printable(decisions.lines[number])}"
                )
            if len(decisions.unused) > 10:
                lines.append(f"       and {len(decisions.unused) - 10} more such lines")
        return lines

    def write(self, path: Path, heap: Heap) -> None:
        """Write the report, a line for each picture."""
        command = ["python", MADE_BY, *self.options.sources, *self._options()]
        packages = ("Pillow", "numpy", "h5py", "ImageHash", "pyarrow")
        head = {
            "report_version": REPORT_VERSION,
            "command": shlex.join(command),
            "options": {
                name: value
                for name, value in dataclasses.asdict(self.options).items()
                if name != "processes"  # changes nothing
            },
            "thresholds": {"min_side": self.least_side, **dataclasses.asdict(self.thresholds)},
            "versions": {"python": platform.python_version()} | _versions(packages),
            "sources": [
                {"source": path, "kind": source.kind, "pictures": len(source),
                 "other_files": source.other_files}
                for source, path in zip(self.sources, self.options.sources, strict=True)
            ],
            "found": len(self.pictures),
            "kept": self.kept,
            "stored": self.kept * (2 if self.options.mirror else 1),
            "rejected": {name: self.rejected[name] for name in FILTER_NAMES if self.rejected[name]},
            "decisions": {
                decisions.option.lstrip("-"): list(decisions.lines.values())
                for decisions in self.decisions
            },
            "agreement": round(self.orientation.agreement, 3) if self.orientation else None,
            "summary": self.summary(),
        }  # fmt: skip
        row = 0
        # Names of folders need not be UTF-8.
        with open(path, "w", encoding="utf-8", errors="replace") as file:
            file.write(json.dumps(head, indent=1, ensure_ascii=False)[:-2] + ',\n "pictures": [')
            for number, picture in enumerate(self.pictures):
                line = self._line(picture, row if picture.kept else None, heap)
                row += picture.kept
                file.write((",\n  " if number else "\n  ") + json.dumps(line, ensure_ascii=False))
            file.write("\n ]\n}\n")

    def _line(self, picture: Picture, row: int | None, heap: Heap) -> dict[str, Any]:
        examined = picture.examined
        line: dict[str, Any] = {
            "name": examined.name,
            "file": examined.file,
            "source": examined.source,
            "sha256": examined.sha256.hex(),
            "verdict": "rejected" if row is None else "kept",
            "filter": picture.rejected_by,
            "reason": picture.reason,
            "decision": picture.decision,
            "row": row,
            "width": examined.width,
            "height": examined.height,
        }
        if examined.measures is not None:
            measures = examined.measures._asdict()
            line["measures"] = {name: round(value, 4) for name, value in measures.items()}
        if self.orientation is not None and row is not None:
            line |= {"mirrored": picture.mirrored, "certainty": picture.certainty}
        _, attributes = heap.get(picture.details)
        if attributes:
            line["attributes"] = attributes
        return line


def _versions(packages: Iterable[str]) -> dict[str, str]:
    versions = {}
    for package in packages:
        try:
            versions[package.lower()] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def columns(
    pictures: Sequence[Picture], kept: np.ndarray, sources: int, mirror: bool, heap: Heap
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names and attributes of the rows of the data set.

    Returns:
        The names; and for each attribute an array: of integers or floats if every picture has one,
        otherwise of strings, empty where nothing is known.
    """
    names = [pictures[number].examined.name for number in kept]
    labels: Counter[str] = Counter()
    for number in kept:
        labels.update(list(dict.fromkeys(map(_label, heap.get(pictures[number].details)[1]))))
    ours: dict[str, list[Any]] = {
        "file": [pictures[number].examined.file for number in kept],
        "sha256": [pictures[number].examined.sha256.hex() for number in kept],
    }
    if sources > 1:
        ours["source"] = [pictures[number].examined.source for number in kept]
    # The most common ones; their order is that of the first picture that has them.
    common = {label for label, _ in labels.most_common(MAX_ATTRIBUTES)}
    table: dict[str, list[Any]] = {
        label: [] for label in labels if label in common and label not in (*ours, "mirrored", "")
    }
    for number in kept:
        known = {_label(k): v for k, v in heap.get(pictures[number].details)[1].items()}
        for label, column in table.items():
            column.append(known.get(label))
    longest = min(500, MAX_COLUMN_BYTES // (8 * len(kept)))
    names = [name[: longest - len(MIRRORED)] for name in names]
    attributes = {label: _array(column, longest) for label, column in (ours | table).items()}
    mirrored = np.array([pictures[number].mirrored for number in kept])
    if mirror:
        names += [name + MIRRORED for name in names]
        attributes = {name: np.concatenate([a, a]) for name, a in attributes.items()}
        mirrored = np.concatenate([mirrored, ~mirrored])
    return names, attributes | {"mirrored": mirrored}


def _label(label: str) -> str:
    return re.sub(r"\W+", "_", label.lower()).strip("_")


def _array(column: list[Any], longest: int) -> np.ndarray:
    kinds = {type(value) for value in column}
    if kinds == {int}:
        return np.array(column, np.int64)
    if kinds and kinds <= {int, float}:
        return np.array(column, np.float64)
    texts = ["" if value is None else str(value)[:longest].replace("\0", "") for value in column]
    return np.array(texts, dtype=object)

"""What a preparation says of itself: a summary to read, and a report to repeat it."""

from __future__ import annotations

import functools
import json
import platform
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from utils.common.commandline import option_name
from utils.common.errors import printable
from utils.preparing.decisions import Picture
from utils.preparing.filters import FILTER_NAMES, Thresholds
from utils.preparing.orientation import Orientation
from utils.preparing.output import MADE_BY
from utils.preparing.overrides import Overrides
from utils.preparing.scratch import Heap
from utils.preparing.sources.entries import Source
from utils.preparing.sources.finding import by_reason, first_of

REPORT_VERSION = 1
LISTED = 100  # reasons for leaving files out that the report lists, and names of each
PACKAGES = ("Pillow", "numpy", "h5py", "ImageHash", "pyarrow")


@dataclass(frozen=True)
class Report:
    """Of every picture, what became of it; and all that it takes to get the same again."""

    options: Mapping[str, Any]
    """All of them by their fields, as chosen."""
    defaults: Mapping[str, Any]
    thresholds: Thresholds
    least_side: int
    sources: Sequence[Source]
    pictures: Sequence[Picture]
    orientation: Orientation | None
    overrides: Sequence[Overrides]

    @functools.cached_property
    def kept(self) -> int:
        """How many pictures go into the data set."""
        return sum(picture.kept for picture in self.pictures)

    @functools.cached_property
    def rejected(self) -> Counter[str]:
        """How many each filter rejects."""
        return Counter(
            "excluded" if picture.decision == "excluded" else picture.rejected_by
            for picture in self.pictures
            if not picture.kept
        )

    def _words(self, *without: str) -> list[str]:
        """The options that are not at their defaults, as on a command line."""
        words = []
        for name, value in self.options.items():
            if value == self.defaults[name] or name in ("sources", "processes", *without):
                continue
            words.append(option_name(name))
            words += [] if value is True else [str(value)]
        return words

    def made_by(self) -> str:
        """A line for the data set itself, without any path."""
        words = self._words("output", "exclude", "include", "review")
        return f"{MADE_BY} {' '.join(words)}: {self.kept} of {len(self.pictures)} pictures"

    def summary(self) -> list[str]:
        """Lines to read: how many came, how many go, and why."""
        lines = []
        for source, path in zip(self.sources, self.options["sources"], strict=True):
            lines.append(f"{len(source):6} pictures in {printable(path)} ({source.kind})")
            lines += _of_reasons(source.left_out, "left out: ")
        if len(self.sources) != 1:
            lines.append(f"{len(self.pictures):6} pictures in all")
        for name in FILTER_NAMES:
            if self.rejected[name]:
                lines.append(f"{-self.rejected[name]:6} {name}")
            why = [
                (picture.examined.file, picture.reason)
                for picture in self.pictures
                if picture.rejected_by == name and not (picture.kept or picture.decision)
            ]
            if name == "unreadable":
                lines += _of_reasons(why)
            elif why and not self.kept:
                lines.append(f"{'':12} such as {why[0][0]}: {why[0][1]}")
        overruled = sum(p.decision == "included" and bool(p.rejected_by) for p in self.pictures)
        included = f", {overruled} of them against a filter" if overruled else ""
        lines.append(f"{self.kept:6} pictures kept{included}")
        blank = [p.examined.file for p in self.pictures if p.kept and p.examined.one_coloured]
        if blank:
            lines.append(f"{len(blank):6} of them one-coloured ({first_of(blank)})")
        lines += self._transparency()
        if self.options["mirror"]:
            lines.append(f"{2 * self.kept:6} pictures stored, with their mirror images")
        if self.orientation is not None:
            lines.append(
                f"{int(self.orientation.mirrored.sum()):6} of them mirrored to face the same side; "
                f"agreement {self.orientation.agreement:.2f} (below 0.5: look at them)"
            )
        for overrides in self.overrides:
            for number in sorted(overrides.unused)[:10]:
                lines.append(
                    f"       {overrides.option}, line {number}: no picture is called "
                    f"{printable(overrides.lines[number])}"
                )
            if len(overrides.unused) > 10:
                lines.append(f"       and {len(overrides.unused) - 10} more such lines")
        return lines

    def _transparency(self) -> list[str]:
        number = sum(picture.kept and picture.examined.transparent for picture in self.pictures)
        line = f"{number:6} of them transparent in places"
        if self.options["alpha"]:
            return [line if number or not self.kept else f"{line}; leave out --alpha"]
        drawn = f"drawn on {printable(self.options['background'])}; --alpha keeps that"
        return [f"{line}, {drawn}"] if number else []

    def write(self, path: Path, heap: Heap) -> None:
        """Write the report, a line for each picture."""
        command = ["python", MADE_BY, *self.options["sources"], *self._words()]
        head = {
            "report_version": REPORT_VERSION,
            "command": shlex.join(command),
            "options": {
                name: value
                for name, value in self.options.items()
                if name != "processes"  # changes nothing
            },
            "thresholds": {"min_side": self.least_side, **asdict(self.thresholds)},
            "versions": {"python": platform.python_version()} | _versions(PACKAGES),
            "sources": [
                {"source": path, "kind": source.kind, "pictures": len(source),
                 "left_out": {
                    reason: {"count": len(names), "names": names[:LISTED]}
                    for reason, names in by_reason(source.left_out, LISTED).items()
                 }}
                for source, path in zip(self.sources, self.options["sources"], strict=True)
            ],
            "found": len(self.pictures),
            "kept": self.kept,
            "stored": self.kept * (2 if self.options["mirror"] else 1),
            "rejected": {name: self.rejected[name] for name in FILTER_NAMES if self.rejected[name]},
            "decisions": {
                overrides.option.lstrip("-"): list(overrides.lines.values())
                for overrides in self.overrides
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


def _of_reasons(of_files: Iterable[tuple[str, str]], before: str = "") -> list[str]:
    """Lines to read: of each reason, how many files and the first of them."""
    return [
        f"{len(names):12} {before}{reason} ({first_of(names)})"
        for reason, names in by_reason(of_files).items()
    ]


def _versions(packages: Iterable[str]) -> dict[str, str]:
    versions = {}
    for package in packages:
        try:
            versions[package.lower()] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions

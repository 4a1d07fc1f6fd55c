"""Turn collected pictures into one data set file, with every decision visible and reversible.

    python prepare_dataset.py data/mahq --output data/mahq-128.h5 --filters mecha --orient --review

Look at data/review.html, click on what is wrong, save its two lists, and prepare once more with

    python prepare_dataset.py … --exclude exclude.txt --include include.txt
    python dcgan.py --data data/mahq-128.h5

A source is a folder (a scraper's, with its manifest.jsonl, or any other), a .zip, or a .parquet
file with a column of pictures. Nothing is left out silently: NAME.report.json tells of every
picture what became of it. The same input and flags give the same bytes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from utils.common.commandline import parse, require_between  # first: it says what is not installed

# isort: split
from tyro.conf import Positional

from utils.common.errors import RunError, UserError, one_line_errors

if TYPE_CHECKING:  # what works on pictures is imported when there are some: --help starts at once
    import numpy as np

    from utils.preparing.examine import Examined, Heap, Instructions, RowsOnDisk
    from utils.preparing.filters import Decisions, Thresholds
    from utils.preparing.orientation import Orientation
    from utils.preparing.sources import Source

# ------------------------------------------------------------------------------------------------
# Options
# ------------------------------------------------------------------------------------------------


@dataclass
class Options:
    """What there is to choose. Each field is an option: min_side is --min-side."""

    sources: Positional[tuple[str, ...]] = ()
    """Folders, .zip archives and .parquet files of pictures."""
    output: str = ""
    """The data set file to write, ending in .h5. The report goes beside it."""
    size: Literal[32, 64, 128, 256] = 128
    """Side of the squares in pixels."""

    # Framing.
    fit: Literal["pad", "crop", "figure"] = "pad"
    """Pad the picture to a square with its own background; crop the middle square; or cut out the
    figure and pad that, so that all figures are as tall."""
    margin: float = 0.04
    """With --fit figure: share of the square left free on each side of the figure."""
    background: str = "white"
    """What shows through transparent pixels: a name, or #rrggbb."""
    resampling: Literal["lanczos", "bicubic", "hamming", "box"] = "lanczos"
    """How pixels are made fewer; lanczos keeps outlines the darkest, box is the softest."""

    # Orientation.
    orient: bool = False
    """Mirror pictures so that all figures face the same side, found by comparing them."""
    mirror: bool = False
    """Store every picture's mirror image as well."""

    # Filters. Unreadable pictures and exact duplicates never pass.
    filters: Literal["basic", "mecha"] = "basic"
    """mecha switches on all of the filters below, which are made for drawings of machines. A
    filter whose option is given is on in any case."""
    min_side: int = 0
    """Fewer pixels than this to make --size of are too small; 0 takes half of --size."""
    min_colour: float | None = None
    """Black and white: how colourful the most colourful 2 % of the figure must be, 0 to 1; 0.06
    with --filters mecha."""
    min_plainness: float | None = None
    """Background: the share of the border that must be of one colour, 0 to 1; 0.65 with mecha."""
    min_lightness: float | None = None
    """Background: how light that colour must be, 0 (black) to 1 (white); 0.7 with mecha."""
    max_photo: float | None = None
    """Photographs: the largest share of gentle slopes, as of lit bodies, among slopes and outlines,
    0 to 1; 0.62 with mecha."""
    min_aspect: float | None = None
    """Shape: the smallest height of the figure, in widths; 0.7 with mecha."""
    max_aspect: float | None = None
    """Shape: the greatest height of the figure, in widths; 3.5 with mecha."""
    near_duplicates: int | None = None
    """Near duplicates: in how many of 256 bits the perceptual hashes of two pictures, or of one and
    the mirror image of the other, may differ for the smaller picture to go; 8 with mecha."""
    exclude: str = ""
    """A file of pictures to leave out whatever the filters say: names or SHA-256, one a line."""
    include: str = ""
    """A file of pictures to keep whatever the filters say."""

    # Reading.
    image_column: str = ""
    """The column of pictures in a .parquet file, if there are several."""
    max_pixels: int = 64_000_000
    """Pictures of more pixels are refused before they are decoded."""

    # Looking.
    review: bool = False
    """Write review.html, to look through the pictures and overrule decisions, and the contact sheet
    review.png."""
    processes: int = 0
    """How many processes work; 0 takes one a core. The result is the same."""

    def check(self) -> None:
        """Raise UserError for values that cannot be meant."""
        if not self.sources:
            raise UserError("no source: wanted a folder, a .zip or a .parquet file of pictures")
        if Path(self.output).suffix.lower() not in (".h5", ".hdf5"):
            raise UserError(f"--output {self.output!r}: wanted the name of a file ending in .h5")
        if self.orient and self.mirror:
            raise UserError(
                "--orient --mirror: wanted one of them; a set with every picture's mirror image "
                "faces both sides"
            )
        require_between(self, 0, 1, "min_colour", "min_plainness", "min_lightness", "max_photo")
        require_between(self, 0, 0.45, "margin")
        require_between(self, 0, 100_000, "min_side")
        require_between(self, 0, 1000, "min_aspect", "max_aspect")
        require_between(self, 0, 128, "near_duplicates")
        require_between(self, 1, 178_956_970, "max_pixels")  # more is a bomb to Pillow
        require_between(self, 0, 256, "processes")


# ------------------------------------------------------------------------------------------------
# 1. Reading: every picture is decoded, measured and framed once, by all cores
# ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Picture:
    """A picture and what becomes of it."""

    examined: Examined
    details: int = 0
    """Where its thumbnail and attributes lie on disk."""
    rejected_by: str = ""
    """The filter that rejects it, by itself; nothing if none does."""
    reason: str = ""
    """Why, in words."""
    decision: Literal["", "excluded", "included"] = ""
    """What a person said instead."""
    mirrored: bool = False
    certainty: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether it goes into the data set."""
        return self.decision == "included" or not (self.rejected_by or self.decision)


def read_pictures(
    sources: list[Source], instructions: Instructions, processes: int, heap: Heap
) -> list[Picture]:
    """Examine every picture of every source, in order; squares and details go to disk."""
    from tqdm import tqdm

    from utils.common.processes import cores, ordered_map
    from utils.preparing import examine

    def tasks() -> Iterator[tuple[int, int, object, Instructions]]:
        index = 0
        for number, source in enumerate(sources):
            for entry in source.entries():
                yield index, number, entry, instructions
                index += 1

    total = sum(map(len, sources))
    processes = min(processes or cores(), -(-total // 16))  # starting one takes a while as well
    pictures = []
    with (
        tqdm(total=total, desc="reading pictures", unit="pictures", file=sys.stderr) as progress,
        closing(ordered_map(examine.examine, tasks(), processes, examine.died)) as results,
    ):
        for examined in results:
            place = heap.add(examined.thumbnail, examined.attributes or {})
            examined.thumbnail, examined.attributes = b"", None
            pictures.append(Picture(examined, place))
            progress.update()
    return pictures


# ------------------------------------------------------------------------------------------------
# 2. Judging: the filters, and what a person says about them
# ------------------------------------------------------------------------------------------------


def chosen_thresholds(options: Options) -> Thresholds:
    """What ``--filters`` sets, overruled by the options given."""
    from dataclasses import asdict, replace

    from utils.preparing.filters import MECHA, Thresholds

    base = MECHA if options.filters == "mecha" else Thresholds()
    given = {name: getattr(options, name) for name in asdict(base)}
    return replace(base, **{name: value for name, value in given.items() if value is not None})


def judge_pictures(
    pictures: list[Picture],
    thresholds: Thresholds,
    least_side: int,
    exclude: Decisions,
    include: Decisions,
) -> None:
    """Say of every picture which filter rejects it and why, and what a person decided."""
    from utils.preparing.filters import judge

    for decisions in (exclude, include):
        decisions.settle(picture.examined.named() for picture in pictures)
    in_person = set()  # this very picture is wanted, although it may be a copy
    for number, picture in enumerate(pictures):
        examined = picture.examined
        excluded, included = (d.match(examined.named()) for d in (exclude, include))
        if excluded and excluded == included:
            raise UserError(f"--exclude and --include both name {examined.name}: wanted in one")
        if excluded and included:  # this very picture is meant by one of them, its copies by both
            excluded, included = (each * (each == "name") for each in (excluded, included))
        if examined.problem:
            picture.rejected_by, picture.reason = "unreadable", examined.problem
            continue
        if excluded:
            picture.decision = "excluded"
        elif included:
            picture.decision = "included"
            if included == "name":
                in_person.add(number)
        verdict = judge(examined.measures, thresholds)
        if examined.side < least_side:
            picture.rejected_by = "too small"
            picture.reason = (
                f"{examined.width} x {examined.height} pixels, --size would be made of "
                f"{examined.side}, wanted {least_side}"
            )
        elif verdict:
            picture.rejected_by, picture.reason = verdict

    reject_copies(pictures, in_person)
    if thresholds.near_duplicates is not None:
        reject_near_duplicates(pictures, thresholds.near_duplicates)


def reject_copies(pictures: list[Picture], in_person: set[int]) -> None:
    """Of equal pictures, the first kept one stays; one that a person names stays in any case."""
    seen: dict[bytes, str] = {}
    numbers = [number for number, picture in enumerate(pictures) if picture.kept]
    numbers.sort(key=lambda number: number not in in_person)  # a stable sort: these come first
    for number in numbers:
        picture = pictures[number]
        keys = picture.examined.sha256, picture.examined.pixels
        first = next((seen[key] for key in keys if key in seen), None)
        if first is not None:
            picture.rejected_by, picture.reason = "exact duplicate", f"the same picture as {first}"
            if number not in in_person:
                picture.decision = ""
        for key in keys:
            seen.setdefault(key, picture.examined.name)


def reject_near_duplicates(pictures: list[Picture], threshold: int) -> None:
    """Of pictures that look alike, the largest stays; those that a person includes stay anyway."""
    from utils.preparing.filters import NearDuplicates

    numbers = [number for number, picture in enumerate(pictures) if picture.kept]

    def rank(number: int) -> tuple[bool, int, int]:
        picture = pictures[number]
        area = picture.examined.width * picture.examined.height
        return picture.decision != "included", -area, number

    known = NearDuplicates(len(numbers), threshold)
    for number in sorted(numbers, key=rank):
        picture = pictures[number]
        found = known.find(picture.examined.hashes)
        if found:
            like, bits, mirrored = found
            picture.rejected_by = "near duplicate"
            picture.reason = (
                f"{bits} of 256 bits away from {pictures[like].examined.name}"
                f"{', mirrored' if mirrored else ''}; wanted more than {threshold}"
            )
        if picture.kept:
            known.add(number, picture.examined.hashes)


# ------------------------------------------------------------------------------------------------
# 3. Orientation, and the squares in the order of the file
# ------------------------------------------------------------------------------------------------


def orient_pictures(pictures: list[Picture], descriptors: RowsOnDisk) -> Orientation:
    """Mirror the pictures that face the other way."""
    from utils.preparing.orientation import orient

    found = orient(descriptors)
    for number, mirrored, certainty in zip(
        descriptors.rows, found.mirrored, found.certainty, strict=True
    ):
        pictures[number].mirrored = bool(mirrored)
        pictures[number].certainty = round(float(certainty), 3)
    return found


def squares_in_order(
    pictures: list[Picture], squares: RowsOnDisk, and_mirrored: bool
) -> Iterator[np.ndarray]:
    """The squares of the kept pictures; after all of them, if wanted, their mirror images."""
    for again in (False, True) if and_mirrored else (False,):
        for number in squares.rows:
            square = squares.row(number)
            yield square[:, ::-1] if pictures[number].mirrored or again else square


# ------------------------------------------------------------------------------------------------
# 4. Everything together
# ------------------------------------------------------------------------------------------------


def prepare(options: Options) -> None:
    """Read, judge, orient and write. All files appear together at the end, or none.

    Raises:
        UserError: bad input, or nothing left of it.
        OSError: the disk is full or cannot be written.
    """
    import tempfile

    import numpy as np

    from utils.common.files import FolderLock, atomic_path, remove_abandoned
    from utils.data.datasets import printable, write_pictures
    from utils.preparing import report, review
    from utils.preparing.examine import Heap, Instructions, RowsOnDisk
    from utils.preparing.filters import Decisions
    from utils.preparing.orientation import LENGTH
    from utils.preparing.sources import open_source

    beside = ("review.html", "review.png") if options.review else ()
    output = report.checked_output(options.output, options.sources, beside)
    background = report.colour("--background", options.background)
    exclude = Decisions("--exclude", options.exclude)
    include = Decisions("--include", options.include)
    sources = [open_source(source, options.image_column) for source in options.sources]
    thresholds = chosen_thresholds(options)
    output.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(output.parent, f".{output.stem}-", ".part")  # of runs that were killed

    with ExitStack() as stack:
        work = stack.enter_context(
            tempfile.TemporaryDirectory(
                prefix=f".{output.stem}-", suffix=".part", dir=output.parent
            )
        )
        stack.enter_context(FolderLock(Path(work)))
        squares, descriptors = Path(work, "squares"), Path(work, "descriptors")
        squares.touch()
        descriptors.touch()
        heap = stack.enter_context(closing(Heap(str(Path(work, "details")))))
        instructions = Instructions(
            size=options.size,
            fit=options.fit,
            margin=options.margin,
            background=background,
            resampling=options.resampling,
            max_pixels=options.max_pixels,
            squares=str(squares),
            descriptors=str(descriptors) if options.orient else "",
            hashes=thresholds.near_duplicates is not None,
            thumbnails=options.review,
        )
        pictures = read_pictures(sources, instructions, options.processes, heap)
        least_side = options.min_side or options.size // 2
        judge_pictures(pictures, thresholds, least_side, exclude, include)

        kept = np.array([n for n, picture in enumerate(pictures) if picture.kept], np.int64)
        rows = RowsOnDisk(str(squares), (options.size, options.size, 3), np.uint8, kept)
        stack.callback(rows.close)
        orientation = None
        if options.orient:
            turned = RowsOnDisk(str(descriptors), (LENGTH,), np.float16, kept)
            stack.callback(turned.close)
            orientation = orient_pictures(pictures, turned)

        told = report.Report(
            options, thresholds, least_side, sources, pictures, orientation, (exclude, include)
        )
        if not len(kept):
            raise UserError("no picture is left: " + "; ".join(told.summary()[1:]))
        # All are written under other names; the renaming comes last, the data set's first.
        report_path = output.with_suffix(".report.json")
        told.write(stack.enter_context(atomic_path(report_path)), heap)
        if options.review:
            page = stack.enter_context(atomic_path(output.with_name("review.html")))
            review.write_page(page, output.name, pictures, thresholds, heap)
            sheet = stack.enter_context(atomic_path(output.with_name("review.png")))
            review.write_contact_sheet(sheet, pictures, rows)
        mirror = options.mirror
        names, attributes = report.columns(pictures, kept, len(sources), mirror, heap)
        write_pictures(
            output,
            squares_in_order(pictures, rows, mirror),
            (len(names), options.size, options.size, 3),
            names,
            attributes,
            made_by=told.made_by(),
        )
    print("\n".join(told.summary()))
    written = ", ".join((report_path.name, *beside))
    print(f"\n{printable(str(output))} and {printable(written)}")


@one_line_errors
def main() -> None:
    """Prepare a data set as the command line says."""
    # Before NumPy is imported: its threads would fight with the processes over the cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    options = parse(Options, "prepare_dataset.py", __doc__ or "")
    options.check()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        prepare(options)
    except KeyboardInterrupt:
        print("prepare_dataset.py: stopped; nothing was written", file=sys.stderr)
        raise SystemExit(130) from None
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise RunError(f"{options.output}: cannot be written: {error}") from error
    except MemoryError as error:
        raise RunError("out of memory: fewer --processes or --max-pixels need less") from error


if __name__ == "__main__":
    main()

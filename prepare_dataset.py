"""Turn collected pictures into one data set file, with every decision visible and reversible.

    python prepare_dataset.py data/mahq --output data/mahq-128.h5 --filters mecha --orient --review

Look at data/mahq-128.review.html, click on what is wrong, save its two lists, and prepare once
more with

    python prepare_dataset.py … --exclude exclude.txt --include include.txt
    python dcgan.py --data data/mahq-128.h5

A source is a folder, a .zip, .tar or .tar.gz, a .parquet file, or an array of pictures in a .npz,
.npy or .h5 file. NAME.report.json says what became of every picture. The same input
and options give the same bytes.
"""

from __future__ import annotations

import os

# Before NumPy is imported: its threads would compete with the processes for the cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from utils.common.commandline import parse  # first: it says what is not installed

# isort: split
import numpy as np
from tqdm import tqdm
from tyro.conf import Positional

from utils.common.errors import RunError, UserError, one_line_errors, printable
from utils.common.fields import Between, FilePath, Share
from utils.common.pictures import Colour, named_colour
from utils.common.processes import cores, ordered_map
from utils.data.hdf5 import write_dataset
from utils.preparing.columns import columns
from utils.preparing.decisions import Picture, decide
from utils.preparing.examine import Fit, Instructions, Resampling, Task, died, examine
from utils.preparing.filters import MECHA, Thresholds
from utils.preparing.orientation import LENGTH, Orientation, orient
from utils.preparing.output import checked_output, report_path, review_paths
from utils.preparing.overrides import Overrides
from utils.preparing.report import Report
from utils.preparing.review import write_contact_sheet, write_page
from utils.preparing.scratch import ChosenRows, Heap, RowsOnDisk, move_all, scratch_folder
from utils.preparing.sources import open_source
from utils.preparing.sources.entries import EXPECTED, Source

Aspect = Annotated[float, Between(0, 1000)]
Pixels = Annotated[int, Between(1, 178_956_970)]  # Pillow takes more for a bomb

# ------------------------------------------------------------------------------------------------
# Options
# ------------------------------------------------------------------------------------------------


@dataclass
class Options:
    """Each field is an option: ``min_side`` is ``--min-side``."""

    sources: Positional[tuple[FilePath, ...]] = ()
    """Folders, and .zip, .tar, .tar.gz, .parquet, .npz, .npy and .h5 files of pictures."""
    output: FilePath = ""
    """The data set file to write, ending in .h5. The report goes into the same folder."""
    size: Literal[32, 64, 128, 256] = 128
    """Side of the squares in pixels."""
    alpha: bool = False
    """Keep transparency, in four channels (RGBA)."""
    grey: bool = False
    """Store one channel, which is grey, and not three."""

    # Framing.
    fit: Fit = "pad"
    """Pad the picture to a square with its own background; crop the middle square; or cut out the
    figure and pad that, so that all figures are as tall."""
    margin: Annotated[float, Between(0, 0.45)] = 0.04
    """With --fit figure: share of the square left free on each side of the figure."""
    background: str = "white"
    """What shows through transparent pixels: a name, or #rrggbb. With --alpha, only to filters."""
    resampling: Resampling = "lanczos"
    """How pictures are made smaller: lanczos keeps outlines the darkest, box is the softest."""

    # Orientation.
    orient: bool = False
    """Mirror pictures so that all figures face the same side."""
    mirror: bool = False
    """Store every picture's mirror image as well."""

    # Filters. Unreadable pictures and exact duplicates never pass.
    filters: Literal["basic", "mecha"] = "basic"
    """mecha switches on all of the filters below, which are made for drawings of machines. Giving
    a filter's option switches that one on."""
    min_side: Annotated[int, Between(0, 100_000)] = 0
    """Too small: the fewest pixels that a side of --size may be made of; 0 takes half of --size."""
    min_colour: Share | None = None
    """Black and white: how colourful the most colourful 2 % of the figure must be, 0 to 1; 0.06
    with mecha."""
    min_plainness: Share | None = None
    """Background: the share of the border that must be of one colour, 0 to 1; 0.65 with mecha."""
    min_lightness: Share | None = None
    """Background: how light that colour must be, 0 (black) to 1 (white); 0.7 with mecha."""
    max_photo: Share | None = None
    """Photographs: the largest share of gentle slopes, as of lit bodies, among slopes and outlines,
    0 to 1; 0.62 with mecha."""
    min_aspect: Aspect | None = None
    """Shape: the smallest height of the figure, in widths; 0.7 with mecha."""
    max_aspect: Aspect | None = None
    """Shape: the greatest height of the figure, in widths; 3.5 with mecha."""
    near_duplicates: Annotated[int, Between(0, 128)] | None = None
    """Near duplicates: in how many of 256 bits the perceptual hashes of two pictures, or of one and
    the mirror image of the other, differ at most for the smaller to be rejected; 8 with mecha."""
    exclude: FilePath = ""
    """A file of pictures to reject whatever the filters say: names or SHA-256, one a line."""
    include: FilePath = ""
    """A file of pictures to keep whatever the filters say: names or SHA-256, one a line."""

    # Reading.
    image_column: str = ""
    """The column or array of pictures in a file of several."""
    max_pixels: Pixels = 64_000_000
    """Pictures of more pixels are rejected before they are decoded."""
    processes: Annotated[int, Between(0, 256)] = 0
    """How many processes work; 0 takes one a core. The result is the same."""

    # Looking.
    review: bool = False
    """Write NAME.review.html, to look through the pictures and overrule decisions, and the contact
    sheet NAME.review.png."""

    def check(self) -> None:
        """Raise UserError for values that cannot be meant."""
        if not self.sources:
            raise UserError(f"no source: {EXPECTED}")
        endings, last = (".h5", ".hdf5"), self.sources[-1]
        if not self.output and last.lower().endswith(endings):
            raise UserError(f"{last}: did you mean --output {shlex.quote(last)}?")
        if Path(self.output).suffix.lower() not in endings:
            raise UserError(f"--output {self.output!r}: expected the name of a file ending in .h5")
        if self.orient and self.mirror:
            raise UserError(
                "--orient --mirror: expected one of them; a set with every picture's mirror image "
                "faces both sides"
            )
        if self.alpha and self.grey:
            raise UserError("--alpha --grey: expected one of them; transparent images have colours")
        self.background_colour()

    def background_colour(self) -> Colour:
        """The colour under transparent pixels; UserError if there is none of that name."""
        return named_colour("--background", self.background)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image in the data set."""
        return self.size, self.size, 4 if self.alpha else 1 if self.grey else 3

    def thresholds(self) -> Thresholds:
        """What ``--filters`` sets, overruled by the options given."""
        base = MECHA if self.filters == "mecha" else Thresholds()
        given = {name: getattr(self, name) for name in asdict(base)}
        return replace(base, **{name: value for name, value in given.items() if value is not None})


# ------------------------------------------------------------------------------------------------
# Everything together; the steps follow below
# ------------------------------------------------------------------------------------------------


def prepare(options: Options) -> None:
    """Collect, examine, decide, orient, write and report.

    Raises:
        UserError: bad input, or nothing left of it.
        OSError: the disk is full or cannot be written.
    """
    exclude = Overrides("--exclude", options.exclude)
    include = Overrides("--include", options.include)
    sources = [open_source(source, options.image_column) for source in options.sources]
    output = checked_output(options.output, options.sources, sources, options.review)
    thresholds, least_side = options.thresholds(), options.min_side or options.size // 2

    with scratch_folder(output) as folder, closing(Heap(folder / "details")) as heap:
        squares = RowsOnDisk(folder / "squares", options.shape, np.uint8)
        descriptors = RowsOnDisk(folder / "descriptors", (LENGTH,), np.float16)
        instructions = Instructions(
            size=options.size,
            channels=options.shape[-1],
            fit=options.fit,
            margin=options.margin,
            background=options.background_colour(),
            resampling=options.resampling,
            max_pixels=options.max_pixels,
            squares=squares,
            descriptors=descriptors if options.orient else None,
            hashes=thresholds.near_duplicates is not None,
            thumbnails=options.review,
        )
        pictures = examine_all(sources, instructions, options.processes, heap)
        decide(pictures, thresholds, least_side, exclude, include)
        kept = np.array([n for n, picture in enumerate(pictures) if picture.kept], np.int64)
        oriented = options.orient and len(kept)
        orientation = orient_all(pictures, kept, descriptors) if oriented else None
        report = Report(
            options=asdict(options),
            defaults=asdict(Options()),
            thresholds=thresholds,
            least_side=least_side,
            sources=sources,
            pictures=pictures,
            orientation=orientation,
            overrides=(exclude, include),
        )
        written = write(options, output, folder, report, kept, squares, heap)
    print("\n".join(report.summary()))
    if not len(kept):
        said = f"{written[0]} says why" if written else f"{output.name} stays as it was"
        if not pictures:
            raise UserError(f"no picture in {', '.join(options.sources)}; {EXPECTED}; {said}")
        raise UserError(f"no picture is left; {said}")
    print(f"\n{printable(str(output))} and {printable(', '.join(written[:-1]))}")


# ------------------------------------------------------------------------------------------------
# 1. Collect and examine: every picture is decoded, measured and framed once, by all cores
# ------------------------------------------------------------------------------------------------


def examine_all(
    sources: Sequence[Source], instructions: Instructions, processes: int, heap: Heap
) -> list[Picture]:
    """All pictures of all sources, in order; their squares and details go to disk."""

    def tasks() -> Iterator[Task]:
        index = 0
        for number, source in enumerate(sources):
            for entry in source.entries():
                yield Task(index, number, entry, instructions)
                index += 1

    total = sum(map(len, sources))
    processes = min(processes or cores(), -(-total // 16))  # starting one takes a while as well
    pictures = []
    with (
        tqdm(total=total, desc="reading pictures", unit="pictures", file=sys.stderr) as progress,
        closing(ordered_map(examine, tasks(), processes, died)) as results,
    ):
        for examined in results:
            place = heap.add(examined.thumbnail, examined.attributes or {})
            examined.thumbnail, examined.attributes = b"", None
            pictures.append(Picture(examined, place))
            progress.update()
    return pictures


# ------------------------------------------------------------------------------------------------
# 2. Orient what utils/preparing/decisions.py keeps
# ------------------------------------------------------------------------------------------------


def orient_all(
    pictures: Sequence[Picture], kept: np.ndarray, descriptors: RowsOnDisk
) -> Orientation:
    """Mirror the kept pictures that face the other way."""
    found = orient(ChosenRows(descriptors, kept))
    for number, mirrored, certainty in zip(kept, found.mirrored, found.certainty, strict=True):
        pictures[number].mirrored = bool(mirrored)
        pictures[number].certainty = round(float(certainty), 3)
    return found


# ------------------------------------------------------------------------------------------------
# 3. Write and report. All files appear together at the end, or none
# ------------------------------------------------------------------------------------------------


def write(
    options: Options,
    output: Path,
    folder: Path,
    report: Report,
    kept: np.ndarray,
    squares: RowsOnDisk,
    heap: Heap,
) -> list[str]:
    """Write the report, with ``--review`` what a person looks through, and last the data set.

    Where no picture is left there is no data set; the report and page of an earlier one stay.

    Returns:
        The names of the files.
    """
    pictures = report.pictures

    def squares_in_order() -> Iterator[np.ndarray]:
        for and_mirrored in (False, True) if options.mirror else (False,):
            for number in kept:
                square = squares.row(number)
                yield square[:, ::-1] if pictures[number].mirrored or and_mirrored else square

    if output.exists() and not len(kept):
        return []
    names = [report_path(output).name]
    report.write(folder / names[0], heap)
    if options.review:
        page, sheet = (path.name for path in review_paths(output))
        write_page(folder / page, output.name, pictures, report.thresholds, heap)
        write_contact_sheet(folder / sheet, pictures, squares)
        names += [page, sheet]
    if len(kept):
        labels, attributes = columns(pictures, kept, len(report.sources), options.mirror, heap)
        shape = len(labels), *options.shape
        data = folder / output.name
        write_dataset(data, squares_in_order(), labels, attributes, report.made_by(), shape)
        names.append(output.name)
    move_all(folder, names, output.parent)
    return names


@one_line_errors
def main() -> None:
    """Prepare a data set as the command line says."""
    options = parse(Options, "prepare_dataset.py", __doc__ or "")
    options.check()
    try:
        prepare(options)
    except KeyboardInterrupt:
        print("prepare_dataset.py: stopped; nothing was written", file=sys.stderr)
        raise SystemExit(130) from None
    except OSError as error:
        raise RunError(f"{options.output}: cannot be written: {error}") from error
    except MemoryError as error:
        raise RunError("out of memory: fewer --processes or --max-pixels need less") from error


if __name__ == "__main__":
    main()

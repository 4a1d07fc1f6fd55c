"""How fast prepare_dataset.py is, on one core and on two, and what memory it takes.

    python benchmarks/prepare.py                 # 1,500 JPEGs of 400 px, three rounds
    python benchmarks/prepare.py --memory        # 2,000 of them, and 20,000
    python benchmarks/prepare.py --orientation   # share of the built-in robots on one side
    python benchmarks/prepare.py --framing docs/framing.png   # the choices side by side

The pictures are the built-in robots, enlarged; the script runs as a person runs it, its start and
the writing of the data set included. Runs on one core and on two take turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from utils.common.commandline import positive  # noqa: E402
from utils.common.grids import save_png, tile  # noqa: E402
from utils.data import mechas  # noqa: E402


def write_jpegs(folder: Path, count: int, side: int = 400) -> None:
    """Write ``count`` different JPEGs; beyond the 300 that are drawn, with a dot in a corner."""
    drawn, _, _ = mechas.draw_dataset(min(count, 300), 256)
    large = [Image.fromarray(each).resize((side, side)) for each in drawn]
    for index in range(count):
        image = large[index % len(large)].copy()
        image.putpixel((0, index // len(large)), (index % 251, index // 251 % 256, 0))
        image.save(folder / f"{index:05d}.jpg", quality=90)


def write_flipped_pngs(folder: Path, count: int) -> np.ndarray:
    """Write the built-in robots as PNGs; returns which of them face left, bool (count,)."""
    drawn, _, attributes = mechas.draw_dataset(count, 128)
    for index, each in enumerate(drawn):
        Image.fromarray(each).save(folder / f"{index:05d}.png")
    return attributes["facing"].astype(str) == "left"


def run(source: Path, output: Path, *arguments: object) -> tuple[float, float]:
    """Run the script; returns the seconds it took and the most memory one process had, in MB."""
    command = [sys.executable, REPOSITORY / "prepare_dataset.py", source, "--output", output]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*map(str, command), *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return time.perf_counter() - start, kilobytes / 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=positive, default=1500)
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--orientation", action="store_true")
    parser.add_argument("--framing", metavar="PNG")
    parser.add_argument("options", nargs="*", help="further options of the script, after --")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if chosen.framing:
            draw_framings(Path(name), Path(chosen.framing))
        elif chosen.orientation:
            measure_orientation(Path(name))
        elif chosen.memory:
            for count in (2_000, 20_000):
                folder = Path(name, str(count))
                folder.mkdir()
                write_jpegs(folder, count)
                seconds, memory = run(folder, Path(name, "set.h5"), *chosen.options)
                print(f"{count:6} pictures: {memory:.0f} MB, {seconds:.0f} s", flush=True)
        else:
            measure_speed(Path(name), chosen.count, chosen.rounds, chosen.options)


def measure_speed(folder: Path, count: int, rounds: int, options: list[str]) -> None:
    """Print pictures a second on one core and on two, and how many times as fast two are."""
    pictures = folder / "pictures"
    pictures.mkdir()
    write_jpegs(pictures, count)
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for cores in seconds:
            took, _ = run(pictures, folder / "set.h5", "--processes", cores, *options)
            seconds[cores].append(took)
            print(f"{cores} core(s): {count / took:6.0f} pictures a second", flush=True)
    ratios = [one / two for one, two in zip(seconds[1], seconds[2], strict=True)]
    print(
        f"median: {count / statistics.median(seconds[1]):.0f} on one core, "
        f"{count / statistics.median(seconds[2]):.0f} on two, "
        f"{statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def measure_orientation(folder: Path) -> None:
    """Print the share of the built-in robots that end up facing the same side."""
    for count in (50, 100, 200, 400, mechas.DEFAULT_COUNT):
        pictures = folder / f"facing-{count}"
        pictures.mkdir()
        left = write_flipped_pngs(pictures, count)
        run(pictures, folder / "set.h5", "--orient")
        with h5py.File(folder / "set.h5") as file:
            right = float(np.mean(file["attributes/mirrored"][...] == left))
        print(f"{count:5} robots: {max(right, 1 - right):.1%}", flush=True)


def draw_framings(folder: Path, path: Path) -> None:
    """Draw how the same pictures come out: a row for each --fit, then for each --resampling.

    At 32 px, every pixel drawn four times as wide, so that the pixels can be seen.
    """
    pictures = folder / "pictures"
    pictures.mkdir()
    drawn, _, _ = mechas.draw_dataset(8, 256)
    for index, each in enumerate(drawn):
        # Some small, some off the centre, as collected pictures are.
        side, left = 256 + 40 * (index % 4), 40 * (index % 3)
        background = tuple(int(channel) for channel in each[0, 0])
        canvas = Image.new("RGB", (side + 60, side), background)
        canvas.paste(Image.fromarray(each), (left, (side - 256) // 2))
        canvas.save(pictures / f"{index}.png")
    rows = []
    choices = [("--fit", fit, "128") for fit in ("pad", "crop", "figure")]
    choices += [("--resampling", name, "32") for name in ("lanczos", "bicubic", "hamming", "box")]
    for option, value, size in choices:
        run(pictures, folder / "set.h5", option, value, "--size", size)
        with h5py.File(folder / "set.h5") as file:
            images = file["images"][...]
        rows.append(images.repeat(128 // int(size), 1).repeat(128 // int(size), 2))
    save_png(path, tile(np.concatenate(rows), len(drawn)))


if __name__ == "__main__":
    main()

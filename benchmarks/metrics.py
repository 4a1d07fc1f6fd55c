"""Time and memory of every metric.

    python benchmarks/metrics.py                              # 1,000 and 10,000 of 64 and 128 px
    python benchmarks/metrics.py --counts 1000 --sizes 64     # some of it

Each measurement is a process of its own: as many generated images as reals, coloured
rectangles. "first" includes what is computed once for the reals; "again" is another set of
generated images against the same reals, what a training pays each time; "CPU" the seconds of all
cores that "again" takes, the better measure where other programs run (of "first" with --once).
"memory" is the most that the process had beyond what it had with the images in it and the libraries
loaded; "images" what both sets take.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.common.commandline import positive
from utils.scoring.registry import METRICS

MEASURED = [name for name, each in METRICS.items() if "inception" not in each.needs]


def make_images(count: int, size: int, seed: int) -> np.ndarray:
    """Rectangles of any colour on white, uint8 (count, size, size, 3)."""
    random = np.random.default_rng(seed)
    images = np.full((count, size, size, 3), 255, np.uint8)
    for image in images:
        for _ in range(12):
            row, column = random.integers(0, size - 8, 2)
            height, width = random.integers(4, size // 2, 2)
            image[row : row + height, column : column + width] = random.integers(0, 256, 3)
    return images


def peak_memory() -> int:
    """Bytes, the most that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def measure(score: str, count: int, size: int, again: bool) -> dict[str, float]:
    """Seconds and bytes of one score, in this process."""
    from utils.scoring.scorer import Scorer

    reals, fakes = (make_images(count, size, seed) for seed in range(2))
    training = make_images(count, size, 2) if "training" in METRICS[score].needs else None
    # What libraries load when they are first used is theirs.
    small = make_images(8, size, 3)
    Scorer(small, small[::-1] // 2).score(small, (score,))
    before = peak_memory()
    started, cpu = time.perf_counter(), time.process_time()
    scorer = Scorer(reals, training)
    scorer.score(fakes, (score,))
    row = {"first": time.perf_counter() - started, "again": float("nan")}
    if again:
        started, cpu = time.perf_counter(), time.process_time()
        scorer.score(fakes, (score,))
        row["again"] = time.perf_counter() - started
    row["cpu"] = time.process_time() - cpu
    return row | {"memory": peak_memory() - before}


def main() -> None:
    """Measure what the command line says and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=positive, nargs="+", default=[1000, 10000])
    parser.add_argument("--sizes", type=positive, nargs="+", default=[64, 128])
    parser.add_argument("--scores", nargs="+", choices=MEASURED, default=MEASURED)
    parser.add_argument("--once", action="store_true", help="leave the second time out")
    parser.add_argument(
        "--measure", nargs=3, metavar=("SCORE", "COUNT", "SIZE"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.measure:
        score, count, size = options.measure
        print(json.dumps(measure(score, int(count), int(size), not options.once)))
        return
    print(f"{os.cpu_count()} cores")
    columns = "".join(f"{name:>10}" for name in ("first", "again", "CPU", "memory", "images"))
    print(f"{'images':>15} {'score':>11}{columns}")
    for count in options.counts:
        for size in options.sizes:
            for score in options.scores:
                command = [sys.executable, __file__, "--measure", score, str(count), str(size)]
                result = subprocess.run(
                    command + ["--once"] * options.once, stdout=subprocess.PIPE, text=True
                )
                label = f"{count} x {size} px"
                if result.returncode:
                    print(f"{label:>15} {score:>11} ended with {result.returncode}", flush=True)
                    continue
                row = json.loads(result.stdout.splitlines()[-1])
                seconds = "".join(f"{row[name]:8.1f} s" for name in ("first", "again", "cpu"))
                both = 2 * count * size * size * 3
                gigabytes = f"{row['memory'] / 1e9:7.2f} GB{both / 1e9:7.2f} GB"
                print(f"{label:>15} {score:>11}{seconds}{gigabytes}", flush=True)


if __name__ == "__main__":
    main()

"""A set three times its memory budget, streamed from disk, compared with the same set in memory.

    python benchmarks/streaming.py
    python benchmarks/streaming.py --rows 64        # a file with 64 pictures in a chunk

Default networks and batch size, 64 px. Each run is a process of its own, the two kinds by turns, so
that neither does the other's reading. Times are what the training loop sees: losses are fetched
every ten steps. "peak" is the most memory the process ever had, "growth" what it gained from the
middle of its steps to their end.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.common.commandline import positive

KINDS = ("memory", "streamed")
IMAGE_SIZE = 64
WARM_UP_STEPS = 20


def make_set(path: Path, count: int, rows: int) -> int:
    """Write ``count`` pictures that compress about as well as drawings; return their bytes."""
    import h5py

    from utils.data.hdf5 import write_dataset

    random = np.random.default_rng(0)
    images = np.full((count, IMAGE_SIZE, IMAGE_SIZE, 3), 255, np.uint8)
    for image in images:
        for _ in range(12):
            row, column = random.integers(0, IMAGE_SIZE - 8, 2)
            height, width = random.integers(4, 40, 2)
            image[row : row + height, column : column + width] = random.integers(0, 256, 3)
        # Shading, as drawings have it.
        image[8:56] -= random.integers(0, 4, (48, IMAGE_SIZE, 1), dtype=np.uint8)
    if rows == 1:
        write_dataset(path, images, [""] * count)
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset(
                "images", data=images, chunks=(rows, *images.shape[1:]), compression="gzip"
            )
    return images.nbytes


def train(kind: str, path: str, budget: int, steps: int) -> dict[str, float]:
    """Train in this process; seconds a step, memory in bytes."""
    from utils import backend
    from utils.preparing.opening import open_dataset
    from utils.training.trainer import Trainer

    # isort: split
    import dcgan

    h = dcgan.Hyperparameters(data=path, image_size=IMAGE_SIZE)
    backend.seed_everything(h.seed, h.deterministic)
    dataset = open_dataset(path, memory_budget=budget if kind == "streamed" else None)
    trainer = Trainer(dcgan.DCGAN(h), h, dataset)
    memory = []

    def make_steps(number: int) -> None:
        for start in range(0, number, h.history_interval):
            count = min(h.history_interval, number - start)
            backend.fetch([trainer.one_step() for _ in range(count)])
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        memory.append(pages * resource.getpagesize())

    make_steps(WARM_UP_STEPS)
    started, cpu = time.perf_counter(), time.process_time()
    waited = trainer.waiting.seconds["data"]
    for number in (steps // 2, steps - steps // 2):
        make_steps(number)
    return {
        "seconds": (time.perf_counter() - started) / steps,
        "cpu": (time.process_time() - cpu) / steps,
        "waited": (trainer.waiting.seconds["data"] - waited) / steps,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "growth": memory[2] - memory[1],
    }


def main() -> None:
    """Make the set, run both kinds by turns, print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=positive, default=5, help="runs of each kind (default 5)")
    parser.add_argument("--steps", type=int, default=400, help="steps a run (default 400)")
    parser.add_argument("--count", type=positive, default=12_000, help="pictures (default 12,000)")
    parser.add_argument("--rows", type=int, default=1, help="pictures in a chunk (default 1)")
    parser.add_argument("--only", help=argparse.SUPPRESS)  # what a process of its own is to do
    options = parser.parse_args()
    if options.only:
        print(json.dumps(train(**json.loads(options.only))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "set.h5")
        size = make_set(path, options.count, options.rows)
        budget = size // 3
        print(
            f"{options.count} pictures of {IMAGE_SIZE} px, {size / 1e6:.0f} MB in memory, "
            f"{path.stat().st_size / 1e6:.0f} MB on disk, budget {budget / 1e6:.0f} MB; "
            f"medians of {options.rounds} runs of {options.steps} steps"
        )
        results: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
        for _ in range(options.rounds):
            for kind in KINDS:
                job = {"kind": kind, "path": str(path), "budget": budget, "steps": options.steps}
                command = [sys.executable, __file__, "--only", json.dumps(job)]
                process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                results[kind].append(json.loads(process.stdout))
    medians = {
        kind: {name: float(np.median([run[name] for run in runs])) for name in runs[0]}
        for kind, runs in results.items()
    }
    for kind, found in medians.items():
        print(
            f"{kind:9} {1000 * found['seconds']:6.1f} ms a step "
            f"({1000 * found['cpu']:.1f} ms of all cores, {1000 * found['waited']:.2f} ms waiting "
            f"for data), peak {found['peak'] / 1e6:.0f} MB, growth {found['growth'] / 1e6:+.1f} MB"
        )
    ratios = sorted(
        streamed["seconds"] / memory["seconds"]
        for memory, streamed in zip(results["memory"], results["streamed"], strict=True)
    )
    print(f"ratio     {np.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})")


if __name__ == "__main__":
    main()

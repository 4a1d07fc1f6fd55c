"""Which alarms healthy and broken trainings raise.

    python benchmarks/alarms.py --folder data/alarms --set choose           # limits are chosen here
    python benchmarks/alarms.py --folder data/alarms --set prove            # and tried on new seeds
    python benchmarks/alarms.py --folder data/alarms --set prove --data data/robots-32.h5 --size 32
    python benchmarks/alarms.py --folder data/alarms --table                # of the runs there are

Every run is a training by one of the scripts, with small networks, and is made once: an interrupted
one is resumed. The table is read from the ``health.csv`` of each run, so that other limits can be
tried on the same runs in a second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.race.contestants import slug
from benchmarks.race.files import read_json, write_json
from benchmarks.race.tables import markdown
from benchmarks.race.timing import REPOSITORY
from utils.watching.alarms import Alarm, Health

BASE = (
    "--generator-filters 16 --batch-size 16 --precision float32 --score-interval 500 "
    "--sample-interval 500 --checkpoint-interval 2000"
)


@dataclass(frozen=True)
class Case:
    """A training, and the alarms that it should raise."""

    name: str
    flags: str
    expected: tuple[str, ...] = ()
    """At least one of these alarms must come; if empty, none may come."""
    script: str = "dcgan.py"
    preset: str = "plain"
    """Of dcgan.py: what the flags are added to."""
    steps: int = 10_000

    def arguments(self) -> list[str]:
        """The options that do not depend on data and seed."""
        networks = "--critic-filters 16"
        if self.script == "dcgan.py":
            networks = f"--preset {self.preset} --discriminator-filters 16"
        return f"{BASE} {networks} {self.flags}".split()


COLLAPSING = (
    "--discriminator-filters 8 --latent-dim 4 --normalization none --generator-beta1 0.9 "
    "--discriminator-beta1 0.9 --generator-learning-rate 1e-3 --discriminator-dropout 0 "
    "--average-half-life 0"
)
DEAD = "--generator-learning-rate 1 --normalization none --average-half-life 0"
FEW = "--limit 100 --holdout 0.5 --discriminator-dropout 0"
"""Fifty training pictures."""
RUNAWAY = ("runaway discriminator", "discriminator wins")
BLIND = ("discriminator sees nothing", "collapse")
STILL = ("dead generator", "runaway generator")
OVERFITTING = ("memorised", "copies")
CASES = (
    Case("baseline", ""),
    Case("equal rates", "--generator-learning-rate 2e-4"),
    Case("one-sided smoothing", "--label-smoothing 0.1"),
    Case("normalisation after", "--normalization after-activation"),
    Case("feature matching", "--feature-matching 1"),
    Case("wgan penalty", "--n-critic 2", script="wgan.py", steps=5_000),
    Case("forced collapse", COLLAPSING, ("collapse",)),
    Case("discriminator x 50", "--discriminator-learning-rate 1e-2", RUNAWAY),
    Case("discriminator / 50", "--discriminator-learning-rate 4e-6", BLIND),
    Case("dead generator", DEAD, STILL),
    Case("memorised", FEW, OVERFITTING, steps=20_000),
    # The same with the defaults: augmentation, and half the learning rate of the discriminator.
    Case("defaults", "", preset="none"),
    Case("defaults, forced collapse", COLLAPSING, ("collapse",), preset="none"),
    Case("defaults, discriminator x 50", "--discriminator-learning-rate 5e-3", RUNAWAY,
         preset="none"),
    Case("defaults, discriminator / 50", "--discriminator-learning-rate 2e-6", BLIND,
         preset="none"),
    Case("defaults, dead generator", DEAD, STILL, preset="none"),
    Case("defaults, few pictures", FEW, OVERFITTING, preset="none", steps=20_000),
)  # fmt: skip
SEEDS = {"choose": (0,), "prove": (1,)}


def train(case: Case, data: str, size: int, seed: int, folder: Path) -> None:
    """Make the run, or resume it, unless it is complete."""
    name = f"{slug(case.name)}-{Path(data).stem}-{size}-{seed}"
    done = folder / f"{name}.json"
    if done.exists():
        return
    where = ["--images-dir", str(folder / "images"), "--models-dir", str(folder / "models")]
    command = [sys.executable, str(REPOSITORY / case.script)]
    if (folder / "models" / name / "config.json").exists():
        command += ["--resume", name, *where]
    else:
        command += [*case.arguments(), "--data", data, "--image-size", str(size)]
        command += ["--seed", str(seed), "--steps", str(case.steps), "--run-name", name, *where]
    print(f"{name} ...", flush=True)
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    (folder / f"{name}.log").write_text(result.stdout + result.stderr)
    if result.returncode not in (0, 1):  # 1: a loss became NaN
        raise SystemExit(f"{name} failed: {result.stderr.strip().splitlines()[-1]}")
    write_json(done, {"training": case.name, "seed": seed, "data": f"{Path(data).stem}-{size}"})


def alarms_of(folder: Path, name: str) -> tuple[list[Alarm], int]:
    """The alarms of a run, and its last step with a row."""
    scoring = read_json(folder / "models" / name / "config.json").get("scoring", {})
    health = Health(folder / "images" / name / "health.csv", features=scoring.get("features", ""))
    if not health.path.exists():
        return [], 0
    health.read(10**12)
    return health.alarms(), int(health.rows[-1][0]) if health.rows else 0


def verdict(case: Case, alarms: list[Alarm], ended_early: bool) -> str:
    """Whether these are the expected alarms."""
    names = {alarm.name for alarm in alarms}
    if not case.expected:
        return "false alarm" if names else "quiet, as expected"
    if names & set(case.expected):
        return "caught"
    return "stopped by itself" if ended_early else "MISSED"


def table(folder: Path) -> str:
    """All complete runs in the folder, in Markdown."""
    lines = [["training", "seed", "data", "alarms, and the step at which they came", "result"]]
    runs = {path.stem: read_json(path) for path in sorted(folder.glob("*.json"))}
    for case in CASES:
        for name, run in runs.items():
            if run["training"] != case.name:
                continue
            alarms, last = alarms_of(folder, name)
            raised = "; ".join(
                f"{alarm.name} {alarm.step:,}" + (f" (over {alarm.over:,})" if alarm.over else "")
                for alarm in alarms
            )
            outcome = verdict(case, alarms, last < case.steps)
            lines.append([case.name, str(run["seed"]), run["data"], raised, outcome])
    return markdown(lines)


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "data" / "alarms")
    parser.add_argument("--set", choices=SEEDS, default="choose")
    parser.add_argument("--data", default="mechas")
    parser.add_argument("--size", type=int, default=32, help="of the images, in pixels")
    parser.add_argument(
        "--only", nargs="+", choices=[case.name for case in CASES], metavar="CASE",
        help="some of the trainings",
    )  # fmt: skip
    parser.add_argument("--table", action="store_true", help="train nothing")
    options = parser.parse_args()
    if options.table and not options.folder.is_dir():
        parser.error(f"--folder {options.folder}: is not there, and --table trains nothing")
    options.folder.mkdir(parents=True, exist_ok=True)
    if not options.table:
        for seed in SEEDS[options.set]:
            for case in CASES:
                if not options.only or case.name in options.only:
                    train(case, options.data, options.size, seed, options.folder.absolute())
    print(table(options.folder))


if __name__ == "__main__":
    main()

"""The loop around a ``train_step``: command line, epochs, progress, when to sample, save and stop.

A method is a class such as ``dcgan.DCGAN`` with the attributes of `Method`; everything that is the
same for every method happens here, and nothing here knows a loss or a network.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import difflib
import io
import math
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import tyro
from tqdm import tqdm

from utils import backend, checkpoints, datasets, pictures
from utils.errors import RunError, UserError
from utils.monitor import History

# isort: split
import keras
from keras import ops


class Method(Protocol):
    """What a script hands over: networks, and one alternation between them."""

    batches_per_step: ClassVar[int]
    """Batches of real images that one step takes."""
    networks: dict[str, keras.Model]
    """By the names under which they are saved; ``generator``, (B, latent_dim) to images in
    [-1, 1], is among them."""

    def state(self) -> dict[str, list[keras.Variable]]:
        """Every variable that a step reads or changes: what a checkpoint must hold."""

    def train_step(self, real_batches: backend.Tensor) -> dict[str, backend.Tensor]:
        """One alternation on uint8 (batches_per_step, B, H, W, 3); returns named scalars."""


# ------------------------------------------------------------------------------------------------
# Command line
# ------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class RunOptions:
    """The options that every method has. A method's ``Hyperparameters`` adds its own."""

    data: str = "mechas"
    """A built-in data set (mechas), a prepared .h5 file, or a folder of pictures."""
    image_size: int = 0
    """Side of the images in pixels: 32, 64, 128 or 256; 0 takes the data set's own (64 for mechas
    and for folders)."""
    mirror: bool = False
    """Train on every picture's mirror image as well."""
    limit: int = 0
    """Train on that many pictures only; 0 takes all."""
    epochs: int = 200
    """Passes over the data set, counted from the run's beginning; 0 goes on until stopped."""
    steps: int = 0
    """End when that many generator updates have been made in all; if given, epochs do not count."""
    seed: int = 0
    """The same seed gives the same run on the same machine."""
    deterministic: bool = True
    """Keep to GPU kernels that give the same bits every time; they can be slower."""
    sample_interval: int = 200
    """Steps from one sample grid to the next."""
    sample_rows: int = 6
    """Rows of a sample grid."""
    sample_columns: int = 8
    """Columns of a sample grid."""
    checkpoint_interval: int = 1000
    """Steps from one checkpoint to the next; there is also one at every stop."""
    keep_checkpoints: int = 3
    """How many of the last checkpoints are kept."""
    history_interval: int = 10
    """Steps that a row of history.csv averages."""
    run_name: str = ""
    """Name of the run; the method and the next free number if not given."""
    resume: str = ""
    """Name of a run to go on with. It keeps its hyperparameters but for the options given."""
    images_dir: str = "images"
    """Where the pictures of a run go, in a folder of its name."""
    models_dir: str = "saved_models"
    """Where the networks and checkpoints of a run go, in a folder of its name."""
    dry_run: bool = False
    """Build everything, measure a step, say what it takes, and exit."""

    METHOD: ClassVar[str] = ""
    """The name of the script without .py."""
    NETWORK_FIELDS: ClassVar[tuple[str, ...]] = ("image_size",)
    """What cannot change when a run is resumed."""

    def check(self) -> None:
        """Raise UserError for values that cannot be meant."""
        if self.image_size not in (0, *datasets.IMAGE_SIZES):
            raise UserError(f"--image-size {self.image_size}: must be 32, 64, 128 or 256")
        self.require_between(0, math.inf, "limit", "epochs", "steps", "seed")
        self.require_between(
            1, math.inf,
            "sample_interval", "sample_rows", "sample_columns",
            "checkpoint_interval", "keep_checkpoints", "history_interval",
        )  # fmt: skip
        if self.run_name and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", self.run_name):
            raise UserError(
                f"--run-name {self.run_name!r}: must be letters, digits, '.', '_' and '-', "
                "starting with a letter or digit"
            )

    def require_between(self, lowest: float, highest: float, *fields: str) -> None:
        """Raise UserError for the first field whose value, or one of whose values, is outside."""
        wanted = (
            f"between {lowest:g} and {highest:g}" if highest < math.inf else f"{lowest:g} or more"
        )
        for field in fields:
            value = getattr(self, field)
            for number in value if isinstance(value, tuple) else (value,):
                if not lowest <= number <= highest:  # false for a NaN as well
                    raise UserError(f"{option_name(field)} {number}: must be {wanted}")

    def require_length(self, lowest: int, highest: int, *fields: str) -> None:
        """Raise UserError for the first field that lists fewer or more values."""
        for field in fields:
            if not lowest <= len(getattr(self, field)) <= highest:
                raise UserError(
                    f"{option_name(field)}: {len(getattr(self, field))} numbers given, must be "
                    f"{lowest} to {highest} at {self.image_size} px"
                )


def option_name(field: str) -> str:
    """The option of a field: ``latent_dim`` is ``--latent-dim``."""
    return "--" + field.replace("_", "-")


def parse_command_line(
    hyperparameters: type[RunOptions], description: str, arguments: list[str] | None = None
) -> tuple[RunOptions, dict[str, Any] | None]:
    """Make the hyperparameters from the command line, and from a run's own where one is resumed.

    Returns:
        The hyperparameters, and the ``config.json`` of the run that is resumed (or None).

    Raises:
        UserError: an option that does not exist, a value it cannot take, a run to resume that is
            not there, or an option that would change the networks of a run that is.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    first_look = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first_look.add_argument("--resume", default="")
    first_look.add_argument("--models-dir", default=RunOptions.models_dir)
    with contextlib.suppress(argparse.ArgumentError):
        known, _ = first_look.parse_known_args(arguments)
    config, default = None, hyperparameters()
    if known.resume:
        config = checkpoints.read_config(
            known.resume, Path(known.models_dir, known.resume, "config.json")
        )
        default = _from_config(hyperparameters, config, known.resume)
        default.models_dir = known.models_dir

    standard_error = io.StringIO()
    try:
        with contextlib.redirect_stderr(standard_error):
            chosen, unknown = tyro.cli(
                hyperparameters,
                args=arguments,
                default=default,
                description=description,
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if stop.code:
            raise UserError(_one_line(standard_error.getvalue())) from None
        raise
    if unknown:
        names = [option_name(field.name) for field in dataclasses.fields(hyperparameters)]
        close = difflib.get_close_matches(unknown[0].split("=")[0], names, n=1)
        hint = f"did you mean {close[0]}?" if close else "--help lists the options"
        raise UserError(f"{unknown[0]}: no such option; {hint}")

    chosen.check()
    if config is None:
        return chosen, None
    chosen.resume = known.resume
    for field in (*chosen.NETWORK_FIELDS, "run_name"):
        was, now = getattr(default, field), getattr(chosen, field)
        if was != now:
            reason = "keeps its name" if field == "run_name" else "keeps its networks"
            raise UserError(
                f"{option_name(field)} {_spell(now)}: run {known.resume} has {_spell(was)}, and a "
                f"resumed run {reason}; leave the option out or start a new run"
            )
    given = {argument.split("=")[0] for argument in arguments}
    if "--epochs" in given and "--steps" not in given:
        chosen.steps = 0  # the run had been started with --steps, which would win
    return chosen, config


def _from_config(hyperparameters: type[RunOptions], config: dict[str, Any], run: str) -> RunOptions:
    fields = {field.name for field in dataclasses.fields(hyperparameters)}
    stored = config["hyperparameters"]
    unknown = sorted(stored.keys() - fields)
    if config.get("method") != hyperparameters.METHOD or unknown:
        raise UserError(
            f"--resume {run}: was made by {config.get('method')}.py"
            + (f" with {', '.join(unknown)}" if unknown else "")
            + f", not by this {hyperparameters.METHOD}.py"
        )
    return hyperparameters(
        **{name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
    )


def _spell(value: Any) -> str:  # noqa: ANN401
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _one_line(message: str) -> str:
    """The sentence in the message that tyro prints, without its frame, headline and help."""
    parts = re.split(r"[-─]{4,}", re.sub(r"[│╭╮╰╯|]", " ", message))
    parts = [" ".join(part.strip(" -─\n").split()) for part in parts]
    headline_and_sentence = [part for part in parts if part][:2]
    sentence = headline_and_sentence[-1].split("Got errors:")[0].strip()
    return sentence.removeprefix("Error parsing ")


# ------------------------------------------------------------------------------------------------
# A run
# ------------------------------------------------------------------------------------------------


def run(
    method_class: Callable[[Any], Method], hyperparameters: type[RunOptions], description: str
) -> None:
    """What every script's ``main`` does: read the command line, open the data, train or dry-run.

    Raises:
        UserError, RunError: see `utils.errors`; a line for the person each.
    """
    h, config = parse_command_line(hyperparameters, description)
    folders = None if h.dry_run else Folders(h, new=config is None)
    dataset = datasets.open_dataset(h.data, h.image_size or None, h.limit or None, seed=h.seed)
    h.image_size = dataset.image_size
    h.check()
    check_data(h, method_class, dataset, config)
    backend.seed_everything(h.seed, h.deterministic)
    with explained_memory(h):
        method = method_class(h)
        trainer = Trainer(method, h, dataset)
        if folders is None:
            trainer.dry_run()
        else:
            trainer.train(folders, resume=config is not None)


def check_data(
    h: RunOptions,
    method_class: type[Method],
    dataset: datasets.Dataset,
    config: dict[str, Any] | None,
) -> None:
    """Raise UserError where the data set is too small, or not the one a resumed run began with."""
    wanted = h.batch_size * method_class.batches_per_step
    if wanted > len(dataset):
        raise UserError(
            f"--batch-size {h.batch_size}: a step takes {wanted} pictures, and {h.data} has "
            f"{len(dataset)}; wanted is at most {len(dataset) // method_class.batches_per_step}"
        )
    if config is None:
        return
    was = config["hyperparameters"]
    if (was["data"], was["limit"]) == (h.data, h.limit):
        known = config["data_set"]["fingerprint"]
        if known != dataset.fingerprint():
            raise UserError(
                f"--data {h.data}: its pictures are no longer those that run {h.resume} began "
                "with; bring them back, or give another --data to go on with that"
            )


class Folders:
    """The two folders of a run, and the names of the files in them."""

    def __init__(self, h: RunOptions, new: bool) -> None:
        """Find them, or make them for a new run.

        Raises:
            UserError: the name is taken, or a folder cannot be written.
        """
        images_dir, models_dir = Path(h.images_dir), Path(h.models_dir)
        self.is_new = new
        if new and not h.run_name:
            taken = {path.name for folder in (images_dir, models_dir) for path in folder.glob("*")}
            h.run_name = next(
                name for number in range(1, 10**9) if (name := f"{h.METHOD}-{number}") not in taken
            )
        self.images = images_dir / h.run_name
        self.models = models_dir / h.run_name
        self.checkpoints = self.models / "checkpoints"
        self.config = self.models / "config.json"
        self.history = self.images / "history.csv"
        if new:
            for folder in (self.images, self.models):
                if folder.exists():
                    raise UserError(
                        f"--run-name {h.run_name}: {folder} exists already; "
                        f"choose another name, or go on with --resume {h.run_name}"
                    )
        for option, folder in (("--images-dir", images_dir), ("--models-dir", models_dir)):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                probe = folder / f".{h.run_name}.probe"
                probe.touch()
                probe.unlink()
            except OSError as error:
                raise UserError(
                    f"{option} {folder}: cannot be written ({error.strerror})"
                ) from None

    def make(self) -> None:
        """Make the folders of a new run; clear what a killed run left half-written."""
        for folder in (self.images, self.models):
            folder.mkdir(exist_ok=not self.is_new)
            for leftover in folder.rglob(".*.part*"):
                leftover.unlink(missing_ok=True)

    def sample(self, step: int) -> Path:
        """Where the sample grid of a step goes."""
        return self.images / f"step_{step:07d}.png"

    def samples(self) -> list[Path]:
        """The sample grids there are, in the order of their steps."""
        return sorted(self.images.glob("step_*.png"))


class StopRequest:
    """Ctrl-C or SIGTERM while the block runs sets ``requested``; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.requested = ""

    def _handle(self, number: int, _frame: object) -> None:
        if self.requested and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = signal.Signals(number).name

    def __enter__(self) -> StopRequest:
        self._previous = {
            number: signal.signal(number, self._handle)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def explained_memory(h: RunOptions) -> Iterator[None]:
    """Turn a backend's page about exhausted memory into one line that says what to change."""
    try:
        yield
    except Exception as error:
        if not backend.is_out_of_memory(error):
            raise
        raise RunError(
            f"out of memory at --batch-size {h.batch_size} and {h.image_size} px: lower "
            "--batch-size, the numbers of filters or --image-size; --dry-run estimates what a "
            "run takes"
        ) from None


class Trainer:
    """A method, its data on the device, and the compiled functions that bring them together."""

    def __init__(self, method: Method, h: RunOptions, dataset: datasets.Dataset) -> None:
        self.method = method
        self.h = h
        self.dataset = dataset
        self.state = method.state()
        # With --mirror, number N + i is the mirror image of picture i.
        self.count = len(dataset) * (2 if h.mirror else 1)
        self.images_per_step = method.batches_per_step * h.batch_size
        self.images = backend.to_device(dataset.images)
        self.order = datasets.BatchOrder(self.count, h.seed)

        variables = [variable for group in self.state.values() for variable in group]
        self.compiled_step = backend.compile_step(self._step, variables)
        self.compiled_sample = backend.compile_step(self._sample, variables)

        self.step = 0
        self.images_seen = 0
        self.seconds = 0.0
        self.pending: list[dict[str, float]] = []  # of the steps since the last row of history
        self.history: History | None = None
        shape = (h.sample_rows * h.sample_columns, h.latent_dim)
        self.fixed_latents = np.random.default_rng(h.seed).standard_normal(shape, dtype=np.float32)

    def _step(self, images: backend.Tensor, indices: backend.Tensor) -> dict[str, backend.Tensor]:
        h = self.h
        batch = ops.take(images, indices % len(self.dataset), axis=0)
        if h.mirror:
            is_mirrored = ops.reshape(indices >= len(self.dataset), (-1, 1, 1, 1))
            batch = ops.where(is_mirrored, ops.flip(batch, axis=2), batch)
        size = h.image_size
        return self.method.train_step(
            ops.reshape(batch, (self.method.batches_per_step, h.batch_size, size, size, 3))
        )

    def _sample(self, latents: backend.Tensor) -> dict[str, backend.Tensor]:
        return {"images": self.method.networks["generator"](latents, training=False)}

    def one_step(self) -> dict[str, backend.Tensor]:
        """Make one alternation; the scalars it returns are still on the device."""
        indices = self.order.indices(self.images_seen, self.images_per_step)
        scalars = self.compiled_step(self.images, indices)
        self.step += 1
        self.images_seen += self.images_per_step
        return scalars

    def sample(self, latents: np.ndarray) -> np.ndarray:
        """Generate uint8 (N, H, W, 3) from (N, latent_dim), never more than a batch at once."""
        batches = []
        for start in range(0, len(latents), self.h.batch_size):
            batch = latents[start : start + self.h.batch_size]
            # Always a whole batch: another shape would be compiled anew.
            padded = np.resize(batch, (self.h.batch_size, latents.shape[1]))
            images = ops.convert_to_numpy(self.compiled_sample(padded)["images"])
            batches.append(pictures.to_uint8(images[: len(batch)]))
        return np.concatenate(batches)

    # --------------------------------------------------------------------------------------------

    def train(self, folders: Folders, resume: bool) -> None:
        """Train until the epochs or steps are done, or until Ctrl-C or SIGTERM."""
        h = self.h
        self.folders = folders
        self.saved = checkpoints.Checkpoints(folders.checkpoints, h.keep_checkpoints)
        if resume:
            self._restore()
        total = self.total_steps()
        if resume and total is not None and self.step >= total:
            raise UserError(
                f"--resume {h.resume}: it has made its {self.step} steps "
                f"({self.images_seen / self.count:.1f} epochs); give more --epochs or --steps"
            )
        with self._explained_disk():
            self._train(total, resume)

    def _train(self, total: int | None, resume: bool) -> None:
        h, folders = self.h, self.folders
        folders.make()
        self._write_config()
        print(f"{backend.describe_device()}; {len(self.dataset)} pictures, {h.image_size} px")
        print(f"run {h.run_name}: pictures in {folders.images}/, networks in {folders.models}/")
        with StopRequest() as stop, self._progress_bar(total) as bar:
            if not resume:
                self._save_reals()
                self._save_sample()
                self._save_checkpoint()
            try:
                self._loop(total, stop, bar)
            finally:
                # After a NaN as well: the curves show how it came about.
                self._draw_summary()
        end = f"stopped by {stop.requested}" if stop.requested else "done"
        print(
            f"{end} at step {self.step} ({self.images_seen / self.count:.1f} epochs); "
            f"go on with: python {h.METHOD}.py --resume {h.run_name}"
        )

    @contextlib.contextmanager
    def _explained_disk(self) -> Iterator[None]:
        """Turn a failed write, of whatever file, into one line that says what is still there."""
        try:
            yield
        except OSError as error:
            raise RunError(
                f"{self.folders.images} or {self.folders.models} could not be written: "
                f"{error.strerror or error}; {self.saved.kept()}; make room and go on with "
                f"--resume {self.h.run_name}"
            ) from None

    def total_steps(self) -> int | None:
        """The step at which the run ends; None if it ends only when it is stopped."""
        if self.h.steps:
            return self.h.steps
        if self.h.epochs:
            missing = self.h.epochs * self.count - self.images_seen
            return self.step + max(0, math.ceil(missing / self.images_per_step))
        return None

    def _progress_bar(self, total: int | None) -> tqdm:
        return tqdm(
            total=total,
            initial=self.step,
            unit="step",
            dynamic_ncols=True,
            # A log file is not a screen: a line every few seconds is enough there.
            mininterval=0.2 if sys.stderr.isatty() else 10.0,
        )

    def _loop(self, total: int | None, stop: StopRequest, bar: tqdm) -> None:
        h = self.h
        on_device: list[dict[str, backend.Tensor]] = []  # scalars of the last steps
        started = time.monotonic() - self.seconds
        next_plot = 0.0
        while not stop.requested and (total is None or self.step < total):
            on_device.append(self.one_step())
            if self.history is None:
                self.history = History(self.folders.history, list(on_device[0]))
                self.history.resume(self.step - 1)
            bar.update()
            saves = self.step % h.checkpoint_interval == 0
            if self.step % h.history_interval == 0 or saves:
                # Only here does the host wait for the device.
                self._fetch(on_device, bar)
                self.seconds = time.monotonic() - started
            if self.step % h.history_interval == 0:
                self._write_history()
            if self.step % h.sample_interval == 0:
                self._save_sample()
                if time.monotonic() > next_plot:
                    plotting = time.monotonic()
                    self._plot_history()
                    # Where steps are quick, drawing must not take more time than a twentieth.
                    next_plot = time.monotonic() + 20 * (time.monotonic() - plotting)
            if saves:
                self._save_checkpoint()
        bar.set_description("saving")
        self._fetch(on_device, bar)
        self.seconds = time.monotonic() - started
        if not self.folders.sample(self.step).exists():
            self._save_sample()
        if self.step not in self.saved.steps():
            self._save_checkpoint()

    def _fetch(self, on_device: list[dict[str, backend.Tensor]], bar: tqdm) -> None:
        """Move the scalars of the last steps to ``pending``; stop at the first NaN or infinity."""
        rows = backend.fetch(on_device)
        for number, row in enumerate(rows):
            for name, value in row.items():
                if not math.isfinite(value):
                    rate = "generator" if name.startswith("g_") else "discriminator"
                    raise RunError(
                        f"{name} became {value} at step {self.step - len(rows) + number + 1}: "
                        f"lower --{rate}-learning-rate, or both learning rates; "
                        f"{self.saved.kept()}: --resume {self.h.run_name}"
                    )
        on_device.clear()
        self.pending += rows
        if rows:
            bar.set_postfix({name: f"{v:.3f}" for name, v in rows[-1].items()}, refresh=False)

    def _write_history(self) -> None:
        means = [
            float(np.mean([scalars[name] for scalars in self.pending])) for name in self.pending[0]
        ]
        self.history.append([(self.step, self.images_seen / self.count, self.seconds, *means)])
        self.pending.clear()

    def _save_reals(self) -> None:
        columns, rows = self.h.sample_columns, self.h.sample_rows
        chosen = self.order.indices(0, min(columns * rows, self.count)) % len(self.dataset)
        grid = pictures.tile(self.dataset.images[np.sort(chosen)], columns)
        pictures.save_png(self.folders.images / "reals.png", grid)

    def _save_sample(self) -> None:
        grid = pictures.tile(self.sample(self.fixed_latents), self.h.sample_columns)
        pictures.save_png(self.folders.sample(self.step), grid)

    def _plot_history(self) -> None:
        self.history.plot(self.folders.images / "history.png", self.h.run_name)

    def _draw_summary(self) -> None:
        with contextlib.suppress(OSError):  # a full disk has been reported already
            if self.history is not None and self.history.rows:
                self._plot_history()
            pictures.save_gif(self.folders.images / "training.gif", self.folders.samples())

    # --------------------------------------------------------------------------------------------

    def _write_config(self) -> None:
        checkpoints.write_config(
            self.folders.config,
            {
                "method": self.h.METHOD,
                "hyperparameters": dataclasses.asdict(self.h) | {"resume": "", "dry_run": False},
                "data_set": {
                    "made_by": self.dataset.made_by,
                    "pictures": len(self.dataset),
                    "fingerprint": self.dataset.fingerprint(),
                },
                "versions": {"keras": keras.__version__, "numpy": np.__version__},
            },
        )

    def _save_checkpoint(self) -> None:
        loop = {
            "step": self.step,
            "images_seen": self.images_seen,
            "seconds": self.seconds,
            "fixed_latents": self.fixed_latents,
            "pending": [list(scalars.values()) for scalars in self.pending],
            "pending_names": list(self.pending[0]) if self.pending else [],
        }
        self.saved.save(self.step, self.state, loop)
        for name, network in self.method.networks.items():
            checkpoints.save_network(self.folders.models / f"{name}.keras", network)

    def _restore(self) -> None:
        """Go back to the newest checkpoint that is whole, and drop the pictures made after it."""
        reasons = []
        for step in reversed(self.saved.steps()):
            try:
                loop = self.saved.load(step, self.state)
            except ValueError as error:
                reasons.append(str(error))
                print(f"warning: {error}; trying the one before", file=sys.stderr)
                continue
            self.step = int(loop["step"])
            self.images_seen = int(loop["images_seen"])
            self.seconds = float(loop["seconds"])
            self.fixed_latents = loop["fixed_latents"]
            names = [str(name) for name in loop["pending_names"]]
            self.pending = [
                dict(zip(names, map(float, row), strict=True)) for row in loop["pending"]
            ]
            for path in self.folders.samples():
                if path > self.folders.sample(self.step):
                    path.unlink()
            return
        found = reasons[0] if reasons else f"there is no checkpoint in {self.saved.folder}"
        raise UserError(f"--resume {self.h.resume}: {found}")

    # --------------------------------------------------------------------------------------------

    def dry_run(self, timed_steps: int = 10) -> None:
        """Print the networks, what a run takes in memory and on disk, and how long a step takes."""
        h = self.h
        networks = self.method.networks
        for network in networks.values():
            network.summary()
        parameters = {name: network.count_params() for name, network in networks.items()}
        generator = parameters["generator"]
        ratios = ", ".join(
            f"{name} {number:,} parameters"
            + f" ({number / generator:.2f} of the generator's)" * (name != "generator")
            for name, number in parameters.items()
        )
        # Weights, their gradients, and Adam's two moments.
        weights = 4 * 4 * sum(parameters.values())
        activations = 4 * h.batch_size * sum(map(_values_per_image, networks.values()))
        state = checkpoints.state_bytes(self.state)
        files = 4 * sum(parameters.values())

        seconds = []
        for _ in range(timed_steps + 2):
            started = time.perf_counter()
            backend.fetch([self.one_step()])
            seconds.append(time.perf_counter() - started)
        step_seconds = float(np.median(seconds[2:]))  # the first ones compile
        self.step = self.images_seen = 0
        total = self.total_steps()
        whole = f"; {total} steps take {_duration(total * step_seconds)}" if total else ""
        print(f"device      {backend.describe_device()}")
        print(
            f"data set    {h.data}: {len(self.dataset)} pictures, {h.image_size} px"
            + f", with mirror images {self.count}" * h.mirror
        )
        print(f"networks    {ratios}")
        print(
            f"memory      about {_size(weights + 3 * activations + self.dataset.images.nbytes)}: "
            f"{_size(weights)} weights, gradients and optimizers, {_size(3 * activations)} "
            f"activations at batch size {h.batch_size}, {_size(self.dataset.images.nbytes)} data"
        )
        print(
            f"disk        {_size(state)} a checkpoint, {h.keep_checkpoints} kept, "
            f"and {_size(files)} for the networks"
        )
        print(
            f"speed       {step_seconds:.3g} s a step (median of {timed_steps}), "
            f"{self.images_per_step / step_seconds:,.0f} images/s{whole}"
        )


def _values_per_image(network: keras.Model) -> int:
    """How many numbers the layers of a network put out for one image."""
    return sum(int(np.prod(layer.output.shape[1:])) for layer in network.layers)


def _size(number_of_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number_of_bytes < 1000:
            return f"{number_of_bytes:.3g} {unit}"
        number_of_bytes /= 1000
    return f"{number_of_bytes:.3g} GB"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"

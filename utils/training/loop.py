"""The loop around a ``train_step``: epochs, progress, when to sample, save, stop and resume.

A method is a class such as ``dcgan.DCGAN`` with the attributes of `Method`; everything that is the
same for every method happens here, and nothing here knows a loss or a network.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from utils import backend
from utils.common import films, grids, pictures
from utils.common.commandline import option_name, option_names
from utils.common.errors import RunError, UserError
from utils.data.dataset import Dataset
from utils.data.streaming import ReadAhead
from utils.models.adversarial import AveragedNetwork, kernel_size
from utils.models.augmentation import Augmentation, draw_examples
from utils.scoring.scorer import Scorer
from utils.training import checkpoints
from utils.training.folders import Folders
from utils.training.options import RunOptions
from utils.training.repeat import repeat_command
from utils.training.signals import StopRequest
from utils.training.writer import BackgroundWriter, Job, Waiting
from utils.watching import architecture, outputs
from utils.watching.alarms import Health
from utils.watching.answers import Answers, overfitting
from utils.watching.contents import contents
from utils.watching.history import History, is_for_history_only, read_rows
from utils.watching.page import write_page
from utils.watching.probe import MOST_ASKED, Probe, best_and_worst, number_asked
from utils.watching.rules import MEASURED
from utils.watching.tensorboard import EventLog

# isort: split
import keras
from keras import ops

REFRESHING_BATCHES = 8
"""Batches of generated images that the statistics of the averaged generator are made from."""


FEWEST_SCORED = 50
"""With fewer pictures held out, a score would be mostly chance."""
MOST_SCORED = 500
"""More would take longer and hardly change the order of two scores."""
SCORES = {
    "f_score": {"f_score": 1, "kid": -1},
    "kid": {"kid": -1},
    "swd": {"swd": -1},
    "coverage": {"coverage": 1, "kid": -1},
}
"""What ranks two networks, and what does where they are equal; -1 where less is better."""
CHANCE = {"f_score": 0.1}
"""Below that, a score is mostly chance and counts as nothing (see docs/metrics.md)."""
HEALTH_GROUPS = ("kid", "diversity", "copies")
"""Of `scorer.GROUPS`, what alarms are raised by."""
MOST_COMPARED = 2000
"""Training pictures in which copies are looked for."""
IMAGES_TO_ADAPT = 4000
"""Generated images after which the probability of the augmentation is moved: 250 batches of 16."""
COMPARED_PAIRS = 150
"""Pairs of generated images that their diversity is measured on."""
GROUPS = {"f_score": "neighbours", "coverage": "neighbours", "kid": "kid", "swd": "swd"}
"""The group of `scorer.GROUPS` that a score belongs to."""


class Method(Protocol):
    """What a script hands over: networks, and one alternation between them."""

    networks: dict[str, keras.Model]
    """By the names under which they are saved; ``generator``, (B, latent_dim) to images, is among
    them: the average; and ``discriminator`` or ``critic``, images to answers (B, 1), the larger the
    more real. Images are meant to lie in [-1, 1]; what is beyond is clipped when they are made to
    pictures (`grids.to_uint8`), drawn or scored."""
    average: AveragedNetwork
    """Of the generator that is trained."""
    augment: Augmentation
    """What the discriminator or critic is shown of the images."""

    def state(self) -> dict[str, list[keras.Variable]]:
        """Every variable that a step reads or changes: what a checkpoint must hold. Only the
        probability of ``augment`` is left to the loop, which moves it."""

    def train_step(self, real_batches: backend.Tensor) -> dict[str, backend.Tensor]:
        """One alternation on uint8 (h.batches_per_step, B, H, W, 3); returns named scalars, always
        the same names; where ``h.augmentation_confidence`` is below 1, ``d_real`` is one of them,
        the mean answer to real images, a probability."""


@contextlib.contextmanager
def explained_disk(h: RunOptions, saved: checkpoints.Checkpoints) -> Iterator[None]:
    """Turn a failed write, of whatever file of the run, into one line that says what is left."""
    try:
        yield
    except BrokenPipeError:  # nobody reads what is printed: that is no matter of the disk
        raise
    except OSError as error:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        raise RunError(
            f"run {h.run_name} could not be written: {error.strerror or error}; {saved.kept()}; "
            f"{'make room and ' if is_full else ''}go on with: {h.resume_command()}"
        ) from None
    except KeyboardInterrupt:
        raise RunError(
            f"stopped at once; {saved.kept()}; go on with: {h.resume_command()}"
        ) from None


class Trainer:
    """A method, its data, and the compiled functions that bring them together.

    Pictures in memory are on the device as a whole, and a step takes its batch from there; those on
    disk are read ahead of the steps, batch by batch.
    """

    def __init__(
        self,
        method: Method,
        h: RunOptions,
        dataset: Dataset,
        held_out: Dataset | None = None,
        origin: dict[str, Any] | None = None,
    ) -> None:
        """Bring them together.

        Args:
            method: networks and their alternation.
            h: the options of the run.
            dataset: the pictures to train on.
            held_out: pictures that are not trained on, to score with; None is none.
            origin: what ``config.json`` says of both.
        """
        self.method = method
        self.h = h
        self.dataset = dataset
        self.number_held_out = len(held_out) if held_out else 0
        self.origin = origin or {}
        self.state = method.state()
        self.order = dataset.order(h.mirror, h.seed)
        self.count = self.order.count
        self.images_per_step = h.batches_per_step * h.batch_size
        self.waiting = Waiting("data", "disk")
        self.device = backend.describe_device(h.devices)

        variables = [variable for group in self.state.values() for variable in group]
        # What the loop moves between steps; None where it stays as it is.
        self.adapting: Augmentation | None = None
        if h.adapts_augmentation() and (self.number_held_out or h.augmentation_confidence < 1):
            self.adapting = method.augment
            variables.append(method.augment.probability)
        self.steps_to_adapt = max(1, IMAGES_TO_ADAPT // h.batch_size)
        self.reader: ReadAhead | None = None
        if dataset.is_streamed:
            batch_bytes = self.images_per_step * dataset.images.picture_bytes
            batches = max(2, dataset.images.bytes_ahead // batch_bytes)
            self.reader = ReadAhead(self._read_batch, self.images_per_step, batches)
            self.compiled_step = backend.compile_step(self._step, variables)
        else:
            self.images = backend.images_to_device(dataset.images)
            self.compiled_step = backend.compile_step(self._step_on_device, variables)
        self.compiled_sample = backend.compile_step(self._sample, variables)
        self.compiled_refresh = backend.compile_step(self._refresh, variables)
        random = np.random.default_rng([h.seed, 1])
        self.refreshing_latents = random.standard_normal(
            (REFRESHING_BATCHES, h.batch_size, h.latent_dim), dtype=np.float32
        )
        self.refreshed_at = -1
        self.scorer: Scorer | None = None
        if h.score != "none" and self.number_held_out >= FEWEST_SCORED:
            number = min(self.number_held_out, MOST_SCORED)
            spread = np.linspace(0, self.number_held_out - 1, number).astype(int)
            compared = np.linspace(0, len(dataset) - 1, min(len(dataset), MOST_COMPARED))
            self.scorer = Scorer(
                held_out.take(spread), dataset.take(compared.astype(int)), pairs=COMPARED_PAIRS
            )
            self.scoring_latents = np.random.default_rng([h.seed, 2]).standard_normal(
                (number, h.latent_dim), dtype=np.float32
            )
        self.judge: Probe | None = None
        networks = method.networks
        for name in ("discriminator", "critic"):
            if name in networks:
                trained = method.average.original
                self.judge = Probe(networks[name], trained, h.batch_size, variables)
        if self.judge is not None:
            number = number_asked(len(dataset), h.batch_size)
            # The first ones in the order of training: shuffled, and near each other on a disk.
            chosen = np.sort(self.order.indices(0, number) % len(dataset))
            self.judged = {"training": dataset.take(chosen)}
            if held_out:
                spread = np.linspace(
                    0, len(held_out) - 1, number_asked(len(held_out), h.batch_size)
                )
                self.judged["held out"] = held_out.take(spread.astype(int))
            self.judged_latents = np.random.default_rng([h.seed, 3]).standard_normal(
                (number, h.latent_dim), dtype=np.float32
            )
        self.best: dict[str, float] = {}  # step and score
        self.last_score = math.nan  # since the last row of history

        self.step = 0
        self.seconds = 0.0
        # Of the stream of images. It begins anew, after whole or broken epochs, where a resumed
        # run is given another number of images, or another way to shuffle them.
        self.images_seen = 0
        self.epochs_before = 0.0
        self.pending: list[dict[str, float]] = []  # of the steps since the last row of history
        self.d_real: list[float] = []  # of those since the augmentation was adapted
        self.history: History | None = None
        self.answers: Answers | None = None
        self.events: EventLog | None = None
        self.health: Health | None = None
        self.on_grid: Callable[[Path], None] | None = None
        self.next_plot = 0.0
        self.writer = BackgroundWriter()
        shape = (h.sample_rows * h.sample_columns, h.latent_dim)
        self.fixed_latents = np.random.default_rng(h.seed).standard_normal(shape, dtype=np.float32)

    @property
    def epoch(self) -> float:
        """Passes over the data set since the run began."""
        return self.epochs_before + self.images_seen / self.count

    def total_steps(self) -> int | None:
        """The step at which the run ends; None if it ends only when it is stopped."""
        if self.h.steps:
            return self.h.steps
        if self.h.epochs:
            missing = (self.h.epochs - self.epochs_before) * self.count - self.images_seen
            return self.step + max(0, math.ceil(missing / self.images_per_step))
        return None

    def _step(self, batch: backend.Tensor) -> dict[str, backend.Tensor]:
        h, size = self.h, self.h.image_size
        return self.method.train_step(
            ops.reshape(batch, (h.batches_per_step, h.batch_size, size, size, 3))
        )

    def _step_on_device(
        self, images: backend.Tensor, indices: backend.Tensor
    ) -> dict[str, backend.Tensor]:
        batch = backend.take_images(images, indices % len(self.dataset), self.h.image_size)
        if self.h.mirror:
            is_mirrored = ops.reshape(indices >= len(self.dataset), (-1, 1, 1, 1))
            batch = ops.where(is_mirrored, ops.flip(batch, axis=2), batch)
        return self._step(batch)

    def _read_batch(self, start: int) -> np.ndarray:
        """What `_step_on_device` takes from the device, read from the disk."""
        indices = self.order.indices(start, self.images_per_step)
        batch = self.dataset.take(indices % len(self.dataset))
        is_mirrored = indices >= len(self.dataset)
        batch[is_mirrored] = batch[is_mirrored, :, ::-1]
        return batch

    def _sample(self, latents: backend.Tensor) -> dict[str, backend.Tensor]:
        return {"images": self.method.networks["generator"](latents, training=False)}

    def _refresh(self, latents: backend.Tensor) -> dict[str, backend.Tensor]:
        self.method.average.recompute_statistics(latents)
        return {}

    def refresh_average(self) -> None:
        """Make the averaged generator ready for use, unless it is."""
        if self.refreshed_at != self.step:
            self.compiled_refresh(self.refreshing_latents)
            self.refreshed_at = self.step

    def one_step(self) -> dict[str, backend.Tensor]:
        """Make one alternation; the scalars it returns are still on the device.

        Raises:
            RunError: the pictures are on disk and cannot be read.
        """
        if self.reader is not None:
            with self.waiting.on("data"):
                batch = self.reader.batch(self.images_seen)
            scalars = self.compiled_step(batch)
        else:
            indices = self.order.indices(self.images_seen, self.images_per_step)
            scalars = self.compiled_step(self.images, indices)
        self.step += 1
        self.images_seen += self.images_per_step
        return scalars

    def sample(self, latents: np.ndarray) -> np.ndarray:
        """Generate uint8 (N, H, W, 3) from (N, latent_dim), never more than a batch at once."""
        self.refresh_average()
        batches = []
        for start in range(0, len(latents), self.h.batch_size):
            batch = latents[start : start + self.h.batch_size]
            # Always a whole batch: another shape would be compiled anew.
            padded = np.resize(batch, (self.h.batch_size, latents.shape[1]))
            images = ops.convert_to_numpy(self.compiled_sample(padded)["images"])
            batches.append(grids.to_uint8(images[: len(batch)]))
        return np.concatenate(batches)

    def ask(self) -> dict[str, np.ndarray]:
        """The discriminator's answers, (N,) for each kind of picture; nothing is changed by it."""
        answers = {name: self.judge.answers_to_real(x) for name, x in self.judged.items()}
        return answers | {"generated": self.judge.answers_to_generated(self.judged_latents)}

    def trained_networks(self) -> dict[str, keras.Model]:
        """The networks that an optimizer updates, by their names."""
        return {
            name.removesuffix("-current"): network
            for name, network in self.method.networks.items()
            if network is not self.method.average.network
        }

    def train(self, folders: Folders, on_grid: Callable[[Path], None] | None = None) -> None:
        """Train until the epochs or steps are done, or until Ctrl-C or SIGTERM.

        Goes on from the newest checkpoint in ``folders`` if there is one.

        Args:
            folders: where the run's files go.
            on_grid: see `utils.training.run.run`.

        Raises:
            UserError: there is nothing left to do, or the checkpoints are of other networks.
            RunError: a loss became NaN, a file could not be written, or a picture could not be
                read.
        """
        h = self.h
        self.folders = folders
        self.on_grid = on_grid
        self.saved = checkpoints.Checkpoints(folders.checkpoints, h.keep_checkpoints)
        self._restore()
        total = self.total_steps()
        if self.step and total is not None and self.step >= total:
            raise UserError(
                f"--resume {h.run_name}: it has made its {self.step} steps "
                f"({self.epoch:.1f} epochs); give more --epochs or --steps"
            )
        self.events = EventLog(folders.events) if h.tensorboard else None
        with (
            explained_disk(h, self.saved),
            StopRequest() as stop,
            contextlib.closing(self.events) if self.events else contextlib.nullcontext(),
            self._progress_bar(total) as bar,
            self.writer,
            self.reader or contextlib.nullcontext(),
        ):
            if not self.step:
                self._write_config()
            if self.events is not None:
                self._begin_events()
            streamed = ", streamed from disk" if self.dataset.is_streamed else ""
            bar.write(
                f"{self.device} in {h.precision}; {h.described()}; "
                f"{self._counted()}, {h.image_size} px{streamed}\n"
                f"run {h.run_name}: pictures in {folders.images}/, networks in {folders.models}/",
                file=sys.stdout,
            )
            preset = h.PRESETS.get(h.preset)
            if preset is not None:
                bar.write(
                    f"preset {h.preset}: {preset.source}. Differs: {preset.differs}.",
                    file=sys.stdout,
                )
            if self.number_held_out and self.scorer is None and h.score != "none":
                bar.write(
                    f"no scores, no best networks and fewer alarms: {self.number_held_out} "
                    f"pictures are held out, wanted are {FEWEST_SCORED}; take more pictures or a "
                    "larger --holdout",
                    file=sys.stdout,
                )
            print(end="", flush=True)
            if self.judge is not None:
                self.answers = Answers(folders.answers)
                # Without a checkpoint, the sample of step 0 is still to be made.
                self.answers.resume(self.step or -1)
            networks = [name for name in self.trained_networks() if name != "generator"]
            self.health = Health(
                folders.health, option_names(type(h)), self.origin.get("pictures_since", 0),
                *networks[:1],
            )  # fmt: skip
            self.health.resume(self.step or -1)
            if not folders.architecture.exists():
                self._draw_architecture()
            if h.augmentation:
                self._save_augmented()
            # Those of a run that is resumed with others are no longer what it learns from.
            if not folders.reals.exists() or self.origin.get("pictures_since") == self.step:
                self._save_reals()
            if not self.step:
                self._save_sample()
                self._save_checkpoint()
                self._submit(functools.partial(self._note_health, 0, self._kernel_sizes(), bar))
                self._submit(self._write_page)
            try:
                self._loop(total, stop, bar)
            except RunError:
                # The curves show how it came about.
                with contextlib.suppress(OSError, ValueError):
                    self._flush()
                    self._draw_summary()
                raise
            self._draw_summary()
        end = f"stopped by {stop.requested}" if stop.requested else "done"
        print(
            f"{end} at step {self.step} ({self.epoch:.1f} epochs); go on with: {h.resume_command()}"
        )

    def _counted(self) -> str:
        if not self.number_held_out:
            return f"{len(self.dataset)} pictures"
        return f"{len(self.dataset)} pictures and {self.number_held_out} held out"

    def _progress_bar(self, total: int | None) -> tqdm:
        options: dict[str, Any] = {"mininterval": 0.2, "dynamic_ncols": True}
        if type(sys.stderr).__module__.startswith("ipykernel"):
            # A notebook goes back to the beginning of a line, but has no width to fill.
            options = {"mininterval": 0.5, "bar_format": "{l_bar}{bar:20}{r_bar}"}
            options["file"] = sys.stdout  # the other one has a red background there
        elif not sys.stderr.isatty():
            # A log file is not a screen: a line of its own every few seconds.
            options = {"mininterval": 10.0, "bar_format": "{l_bar}{bar:10}{r_bar}\n"}
        return tqdm(total=total, initial=self.step, unit="step", **options)

    def _loop(self, total: int | None, stop: StopRequest, bar: tqdm) -> None:
        h = self.h
        on_device: list[dict[str, backend.Tensor]] = []  # scalars of the last steps
        started = time.monotonic() - self.seconds
        while not stop.requested and (total is None or self.step < total):
            try:
                on_device.append(self.one_step())
            except RunError as error:
                self._flush()
                raise RunError(
                    f"{error}; {self.saved.kept()}; go on with: {h.resume_command()}"
                ) from None
            if self.history is None:
                names = [*on_device[0], *self._adapted(), *([h.score] if self.scorer else [])]
                history = History(self.folders.history, names)
                history.resume(self.step - 1)
                self.history = history  # whole: the writer's thread reads it as well
            bar.update()
            adapts = self.adapting is not None and self.step % self.steps_to_adapt == 0
            saves = self.step % h.checkpoint_interval == 0
            if self.step % h.history_interval == 0 or saves or adapts:
                # Only here does the host wait for the device.
                self._fetch(on_device, bar)
                self.seconds = time.monotonic() - started
            if adapts:
                self._adapt()
            scores: dict[str, float] = {}
            if self.scorer is not None and self.step % h.score_interval == 0:
                scores = self._score()
            elif self.judge is not None and self.step % h.score_interval == 0:
                self._save_best_and_worst(self.sample(self.judged_latents))
            if self.step % h.history_interval == 0:
                self._write_history()
            if self.step % h.sample_interval == 0:
                self._save_sample()
                self._submit(self._plot_now_and_then)
            if self.step % h.score_interval == 0:
                known = scores | self._kernel_sizes()
                self._submit(functools.partial(self._note_health, self.step, known, bar))
            if saves:
                self._save_checkpoint()
        bar.set_description("saving")
        self._fetch(on_device, bar)
        self.seconds = time.monotonic() - started
        self._flush()
        if self.step not in self.folders.samples():
            self._save_sample()
        if self.step not in self.saved.steps():
            self._save_checkpoint()
        self._flush()
        bar.set_description("")

    def _fetch(self, on_device: list[dict[str, backend.Tensor]], bar: tqdm) -> None:
        """Move the scalars of the last steps to ``pending``; stop at the first NaN or infinity."""
        first = self.step - len(on_device) + 1
        rows = backend.fetch(on_device)
        on_device.clear()
        for number, row in enumerate(rows):
            for name, value in row.items():
                if not math.isfinite(value):
                    rates = [
                        option_name(field.name)
                        for field in dataclasses.fields(self.h)
                        if field.name.endswith("learning_rate")
                    ]
                    self._flush()
                    raise RunError(
                        f"{name} became {value} at step {first + number}: lower "
                        f"{' or '.join(rates)}; {self.saved.kept()}; go on with: "
                        f"{self.h.resume_command()} {rates[0]} ..."
                    )
        self.pending += rows
        if self.adapting is not None:
            self.d_real += [row["d_real"] for row in rows if "d_real" in row]
        if rows:
            shown = {
                name: f"{value:.3f}"
                for name, value in rows[-1].items()
                if not is_for_history_only(name)
            }
            made = bar.format_dict
            rate = made["rate"] or (self.step - made["initial"]) / max(made["elapsed"], 1e-9)
            shown["images/s"] = f"{rate * self.images_per_step:.0f}"
            # Waiting for the device is no waiting: it is at work.
            shown |= {f"{name} wait": f"{x:.0%}" for name, x in self.waiting.shares().items()}
            bar.set_postfix(shown, False)

    def _write_history(self) -> None:
        # Steps before a run was resumed with other options may have had other scalars.
        means = {
            name: np.mean([row[name] for row in self.pending if name in row])
            for name in self.pending[-1]
        }
        counts = {name: x for name, x in self.pending[-1].items() if name.endswith("_updates")}
        row = [self.step, self.epoch, self.seconds, *map(float, (means | counts).values())]
        row += self._adapted().values()
        if self.scorer is not None:
            row.append(self.last_score)
            self.last_score = math.nan
        self._submit(lambda: self.history.append([row]))
        if self.events is not None:
            # Columns that are measured no longer come last.
            by_columns = dict(zip(self.history.columns, row, strict=False))
            self._submit(lambda: self.events.add_row(by_columns))
        self.pending.clear()

    def _adapt(self) -> None:
        """Move the augmentation's probability, as of the steps since the last time."""
        h = self.h
        excesses = []
        if h.augmentation_target and self.number_held_out:
            excesses.append(overfitting(self.ask()) - h.augmentation_target)
        # Of few of these steps, if it has only just become an option of the run, nothing follows.
        if h.augmentation_confidence < 1 and 2 * len(self.d_real) >= self.steps_to_adapt:
            sureness = float(np.mean(self.d_real)) / h.most_confident_answer()
            excesses.append(sureness - h.augmentation_confidence)
        self.d_real.clear()
        self.adapting.adapt(excesses, self.steps_to_adapt * h.batch_size)

    def _adapted(self) -> dict[str, float]:
        """What the loop moves, if it does."""
        if self.adapting is None:
            return {}
        return {"augmentation_probability": self.adapting.current_probability()}

    def _score(self) -> dict[str, float]:
        """Score the averaged generator, and keep the networks if it is the best so far."""
        ranks = SCORES[self.h.score]
        groups = {*HEALTH_GROUPS, *(GROUPS[name] for name in ranks)}
        images = self.sample(self.scoring_latents)
        found = self.scorer.score(images, groups)
        self._save_best_and_worst(images[:MOST_ASKED])
        self.last_score = found[self.h.score]
        if self.best and not self._is_better(found, self.best):
            return found
        self.best = {"step": self.step} | {name: found[name] for name in ranks}
        networks = self.method.networks
        weights = {name: checkpoints.copy_weights(network) for name, network in networks.items()}
        best = dict(self.best)
        self._submit(
            lambda: checkpoints.save_best(self.folders.best, networks, weights, best),
            sum(copy.nbytes for copy in itertools.chain.from_iterable(weights.values())),
        )
        return found

    def _kernel_sizes(self) -> dict[str, float]:
        networks = self.trained_networks()
        return {
            f"{'generator' if name == 'generator' else 'judge'}_weights": kernel_size(network)
            for name, network in networks.items()
        }

    def _note_health(self, step: int, known: dict[str, float], bar: tqdm) -> None:
        """Note what was measured since the last time, and say what has begun to go wrong.

        Runs where files are written: all rows and grids up to the step are there.
        """
        before = self.health.rows[-1][0] if self.health.rows else 0
        measured = {name: known[name] for name in MEASURED if name in known}
        if "diversity" in known:
            reals = known["diversity_reals"]
            measured["alikeness"] = (known["diversity"] - reals) / (1 - reals)
        if self.history is not None:
            measured |= self.history.means(before, step)
        asked = [] if self.answers is None else self.answers.overfitting()[:, 0]
        if len(asked) and asked[-1] > before:
            measured["overfitting"] = self.answers.significant_overfitting()
        grids = self.folders.samples()
        newest = max((number for number in grids if before < number <= step), default=None)
        older = max((number for number in grids if number <= before), default=None)
        if newest is not None and older is not None:
            with contextlib.suppress(pictures.UnreadablePicture):  # changed by somebody else
                last, other = (
                    np.asarray(pictures.read_picture(grids[number]), float)
                    for number in (newest, older)
                )
                measured["change"] = float(np.abs(last - other).mean())
        self.health.add(step, measured)
        for alarm in self.health.alarms():
            if alarm.step == step:
                bar.write(f"ALARM at {alarm.sentence()}.", file=sys.stdout)
            elif alarm.over == step:
                bar.write(
                    f"step {step}: {alarm.name}, said at step {alarm.step}, is over.",
                    file=sys.stdout,
                )

    def _is_better(self, found: dict[str, float], best: dict[str, float]) -> bool:
        def rank(scores: dict[str, float]) -> list[float]:
            ranks = SCORES[self.h.score].items()
            above = {name: scores[name] > CHANCE.get(name, -math.inf) for name, _ in ranks}
            return [sign * scores[name] * above[name] for name, sign in ranks]

        return rank(found) > rank(best)

    def _save_reals(self) -> None:
        number = min(self.h.sample_columns * self.h.sample_rows, self.count)
        chosen = self.order.indices(0, number) % len(self.dataset)
        images = self.dataset.take(np.sort(chosen))
        self._submit_grid(self.folders.reals, images, "reals")

    def _save_augmented(self, rows: int = 4) -> None:
        """Also where a run is resumed, which may have been told to augment otherwise."""
        chosen = self.order.indices(0, min(rows, self.count)) % len(self.dataset)
        images = self.dataset.take(np.sort(chosen))
        picture = draw_examples(
            images, self.h.augmentation, self.h.seed,
            color_strength=self.h.color_strength,
            probability=self.method.augment.current_probability(),
        )  # fmt: skip
        self._submit(lambda: grids.save_png(self.folders.augmented, picture), picture.nbytes)

    def _save_sample(self) -> None:
        images = self.sample(self.fixed_latents)
        path = self.folders.sample(self.step)
        self._submit_grid(path, images, "samples")
        if self.on_grid is not None:
            self._submit(lambda: self.on_grid(path))
        if self.answers is not None:
            answers = self.ask()
            step, table = self.step, self.answers
            self._submit(lambda: table.add(step, answers))

    def _save_best_and_worst(self, images: np.ndarray) -> None:
        """Those that are the most and the least real to the discriminator or critic."""
        if self.judge is None or len(images) < 2:
            return
        answers = self.judge.answers_to_real(images)
        count = min(self.h.sample_columns, len(images) // 2)
        name = next(name for name in self.trained_networks() if name != "generator")
        picture, _ = best_and_worst(images, answers, count, count, name)
        self._submit(lambda: grids.save_png(self.folders.best_and_worst, picture))

    def _submit_grid(self, path: Path, images: np.ndarray, name: str) -> None:
        columns, step = self.h.sample_columns, self.step
        self._submit(lambda: grids.save_png(path, grids.tile(images, columns)), images.nbytes)
        if self.events is not None:
            self._submit(lambda: self.events.add_grid(name, step, path))

    def _begin_events(self) -> None:
        step, folders = self.step, self.folders
        grids = {"reals": {0: folders.reals}, "samples": folders.samples()}
        self._submit(lambda: self.events.begin(step, read_rows(folders.history, step), grids))

    def _plot_now_and_then(self) -> None:
        # Where steps are quick, drawing must not take more than a fiftieth of the time.
        started = time.monotonic()
        if started > self.next_plot:
            self._plot_history()
            self._write_page()
            self.next_plot = time.monotonic() + 50 * (time.monotonic() - started)

    def _plot_history(self) -> None:
        if self.history is not None and self.history.rows:
            self.history.plot(self.folders.images / outputs.HISTORY_PLOT, self.h.run_name)
        if self.answers is not None and self.answers.latest:
            self.answers.plot(self.folders.images / outputs.ANSWERS_PLOT, self.h.run_name)

    def _draw_architecture(self) -> None:
        networks = {
            name: architecture.blocks(network) for name, network in self.trained_networks().items()
        }
        path, title = self.folders.architecture, self.h.run_name
        self._submit(lambda: architecture.draw(networks, path, title))

    def _draw_summary(self) -> None:
        if self.history is None and self.folders.history.exists():  # stopped before the first step
            self.history = History.of_file(self.folders.history)
        self._plot_history()
        frames = list(self.folders.samples().values())
        films.save_gif(self.folders.images / outputs.FILM, frames)
        self._write_page(is_running=False)

    def _write_page(self, is_running: bool = True) -> None:
        config = self._config()
        config["hyperparameters"]["resume"] = self.h.resume
        defaults = dataclasses.asdict(type(self.h)())
        command = repeat_command(self.h, backend.has_accelerator())
        shown = contents(
            self.folders.images, config, defaults, command,
            self.history, self.answers, self.health, self.best, is_running,
        )  # fmt: skip
        write_page(self.folders.page, shown)

    # --------------------------------------------------------------------------------------------

    def _submit(self, job: Job, size: int = 0) -> None:
        """Have something written in the background; the job must not read what a step changes."""
        with self.waiting.on("disk"):
            self.writer.submit(job, size)

    def _flush(self) -> None:
        """Wait until all that was submitted is on the disk."""
        with self.waiting.on("disk"):
            self.writer.flush()

    def _config(self) -> dict[str, Any]:
        return {
            "method": self.h.METHOD,
            "hyperparameters": dataclasses.asdict(self.h) | {"resume": "", "dry_run": False},
            "data_set": self.origin,
            "device": self.device,
            "versions": {"keras": keras.__version__, "numpy": np.__version__},
        }

    def _write_config(self) -> None:
        checkpoints.write_config(self.folders.config, self._config())

    def _save_checkpoint(self) -> None:
        """Write the networks, then the state: where there is a checkpoint, all the rest is."""
        self.refresh_average()
        try:
            arrays = self.saved.collect(self.step, self.state)
        except RunError as error:
            self._flush()
            raise RunError(f"{error}; {self.saved.kept()}") from None
        networks = self.method.networks
        weights = {name: checkpoints.copy_weights(network) for name, network in networks.items()}
        step = self.step
        names = list(dict.fromkeys(itertools.chain(*reversed(self.pending))))
        loop = {
            "step": step,
            "images_seen": self.images_seen,
            "count": self.count,
            "window": self.order.window,
            "epochs_before": self.epochs_before,
            "seconds": self.seconds,
            "augmentation_probability": self.method.augment.current_probability(),
            "augmentation_began": self.method.augment.least_probability,
            "d_real": list(self.d_real),
            "last_score": [] if math.isnan(self.last_score) else [self.last_score],
            "fixed_latents": self.fixed_latents,
            # NaN where a step, made before the run was resumed, had not this scalar.
            "pending": [[row.get(name, math.nan) for name in names] for row in self.pending],
            "pending_names": names,
        }

        def write() -> None:
            for name, network in networks.items():
                path = self.folders.models / f"{name}.keras"
                checkpoints.save_network(path, network, weights[name])
            self._write_config()
            self.saved.save(step, arrays, loop)

        copies = [*arrays.values(), *itertools.chain.from_iterable(weights.values())]
        self._submit(write, sum(copy.nbytes for copy in copies))

    def _restore(self) -> None:
        """Go back to the newest checkpoint that is whole; without any, the run begins at step 0.

        Pictures made after it are removed: the steps that made them will be made again.
        """
        loop = self.saved.load_newest(self.state)
        if loop is None:
            self._check_nothing_is_lost()
            return
        self.step = int(loop["step"])
        self.seconds = float(loop["seconds"])
        self.images_seen = int(loop["images_seen"])
        self.epochs_before = float(loop["epochs_before"])
        if (int(loop["count"]), int(loop.get("window", 0))) != (self.count, self.order.window):
            self.epochs_before += self.images_seen / int(loop["count"])
            self.images_seen = 0
        if "augmentation_probability" in loop:
            began = float(loop.get("augmentation_began", self.h.augmentation_probability))
            self.method.augment.resume(float(loop["augmentation_probability"]), began)
        if self.adapting is not None:
            self.d_real = list(map(float, loop.get("d_real", ())))
        self.fixed_latents = loop["fixed_latents"]
        self.last_score = float(next(iter(loop.get("last_score", ())), math.nan))
        self._judge_by_these_pictures()
        names = [str(name) for name in loop["pending_names"]]
        for values in loop["pending"]:
            row = dict(zip(names, map(float, values), strict=True))
            self.pending.append({name: x for name, x in row.items() if not math.isnan(x)})
        for step, path in self.folders.samples().items():
            if step > self.step:
                path.unlink()

    def _judge_by_these_pictures(self) -> None:
        """Find the best networks so far; those that were scored with other pictures do not count.

        They are kept in a folder of another name.
        """
        since = self.origin.get("pictures_since", 0)
        if since is None:
            since = self.origin["pictures_since"] = self.step
            print(
                f"other pictures than up to step {self.step}: the search for the best networks "
                "begins anew, and pictures that are held out now may have been trained on before, "
                "which flatters the scores"
            )
        folder = self.folders.best
        self.best = checkpoints.read_best(folder, SCORES.get(self.h.score, {}))
        found = checkpoints.read_best(folder, ()).get("step", math.inf)
        if found <= since:
            self._set_best_aside(since)
        elif not self.best and math.isfinite(found):
            kept = self._set_best_aside(self.step)
            print(
                f"--score {self.h.score}: the best networks so far, of step {found:.0f}, were "
                f"chosen by another score, and stay as {kept}"
            )

    def _set_best_aside(self, step: int) -> Path:
        """Begin the search for the best networks anew; returns where those so far are."""
        self.best = {}
        folder = self.folders.best
        kept = folder.with_name(f"{folder.name}-before-{step}")
        number = 1
        while kept.exists():  # the run has gone back to an earlier checkpoint since
            number += 1
            kept = folder.with_name(f"{folder.name}-before-{step}-{number}")
        return folder.rename(kept)

    def _check_nothing_is_lost(self) -> None:
        """Raise UserError for a run that has trained, but whose checkpoints are gone.

        Before anything else is written, a checkpoint of step 0 is: where there is none, a run was
        killed in its first seconds, and may begin again.
        """
        made = max([0, *self.folders.samples()])
        made = max([made, *(int(row["step"]) for row in read_rows(self.folders.history, math.inf))])
        if made or self.folders.best.exists():
            raise UserError(
                f"--resume {self.h.run_name}: there is no checkpoint in "
                f"{self.folders.checkpoints}, and the run has trained to step {made} at least; "
                "bring its checkpoints back, or start another run (its networks are still there)"
            )

    # --------------------------------------------------------------------------------------------

    def dry_run(self, timed_steps: int = 10) -> None:
        """Print the networks, what a run takes in memory and on disk, and how long a step takes."""
        h = self.h
        averaged = self.method.average.network
        networks = self.trained_networks()
        for network in networks.values():
            network.summary()
        parameters = {name: network.count_params() for name, network in networks.items()}
        shares = ", ".join(
            f"{name} {number:,} parameters"
            + (
                f" ({number / parameters['generator']:.2f} of the generator's)"
                * (name != "generator")
            )
            for name, number in parameters.items()
        )
        # Weights, their gradients, and Adam's two moments; of the average the weights alone.
        average = 4 * averaged.count_params()
        weights = 4 * 4 * sum(parameters.values()) + average
        activations = 3 * 4 * h.batch_size * sum(map(_values_per_image, networks.values()))
        images = self.dataset.images
        data = images.bytes_held if self.dataset.is_streamed else images.nbytes
        streamed = (
            f" streamed from disk ({_size(images.nbytes)})" if self.dataset.is_streamed else ""
        )

        seconds = []
        for _ in range(timed_steps + 2):
            started = time.perf_counter()
            backend.fetch([self.one_step()])
            seconds.append(time.perf_counter() - started)
        step_seconds = float(np.median(seconds[2:]))  # the first ones compile
        self.step = self.images_seen = 0
        if self.reader is not None:
            self.reader.close()
        total = self.total_steps()
        mirrored = f", {self.count} with mirror images" if h.mirror else ""
        whole = f"; {total} steps take {_duration(total * step_seconds)}" if total else ""
        print(
            f"device      {self.device} in {h.precision}; {h.described()}\n"
            f"data set    {h.data}: {self._counted()}, {h.image_size} px{mirrored}\n"
            f"networks    {shares}\n"
            f"memory      about {_size(weights + activations + data)}: {_size(weights)} weights, "
            f"gradients and optimizers, {_size(activations)} activations at batch size "
            f"{h.batch_size}, {_size(data)} data{streamed}\n"
            f"disk        {_size(checkpoints.state_bytes(self.state))} a checkpoint, "
            f"{h.keep_checkpoints} kept, and {_size(4 * sum(parameters.values()) + average)} for "
            "the networks\n"
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

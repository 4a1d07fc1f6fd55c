"""The loop around a ``train_step``: when to write history, draw, score, save and stop.

Nothing here knows a loss, a drawing, a score or the format of a file: the loop says when, and small
objects do it. They write in the background, so that no step waits for the disk. What Ctrl-C does is
written down in `signals`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from utils import backend, hosts
from utils.common.errors import RunError, UserError
from utils.common.fields import fixed_fields, option_name, spell
from utils.scoring.report import caution
from utils.training.adapt import AugmentationControl
from utils.training.best import FEWEST_SCORED, BestNetworks, Scoring
from utils.training.config import write_json
from utils.training.drawing import Drawing
from utils.training.failures import explained_end, lower_learning_rates
from utils.training.folders import Folders
from utils.training.health import HealthCheck
from utils.training.method import discriminator_name, trained_networks
from utils.training.probing import RunProbe
from utils.training.progress import ProgressBar
from utils.training.record import Record
from utils.training.repeat import resume_command
from utils.training.report import Report
from utils.training.samples import Samples
from utils.training.saving import Saving
from utils.training.signals import StopRequest
from utils.training.snapshots import read_best
from utils.training.split import Split
from utils.training.trainer import Trainer
from utils.training.writer import BackgroundWriter
from utils.watching.alarms import Health
from utils.watching.answers import Answers
from utils.watching.history import History
from utils.watching.probe import MOST_ASKED
from utils.watching.rules import Limits
from utils.watching.table import read_rows
from utils.watching.tensorboard import EventLog

# isort: split
import keras


class Loop:
    """Trains a run, from its newest checkpoint on if there is one, until its end."""

    def __init__(
        self,
        trainer: Trainer,
        split: Split,
        folders: Folders,
        on_grid: Callable[[Path], None] | None = None,
    ) -> None:
        """Go back to the newest checkpoint; without any, begin at step 0.

        Args:
            trainer: makes the steps.
            split: the pictures.
            folders: where the run's files go.
            on_grid: see `utils.training.run.run`.

        Raises:
            UserError: the checkpoints or the tables are damaged, of other networks, or lost.
        """
        h = trainer.h
        self.trainer, self.split, self.folders, self.h = trainer, split, folders, h
        self.progress = trainer.progress
        self.writer = writer = BackgroundWriter(trainer.waiting)
        self.events = EventLog(folders.events) if h.tensorboard else None
        rows = trainer.classes.row_names()
        self.drawing = Drawing(h, folders, writer, self.events, on_grid, rows)
        discriminator = discriminator_name(trainer.method.networks)
        self.answers = Answers(folders.answers, discriminator)
        with backend.distributed():
            self.probe = RunProbe(trainer, split.held_out)
        self.samples = Samples(trainer, self.probe, self.drawing, self.answers, writer)
        self.control = AugmentationControl(trainer.method.augment, h, split.held_out is not None)
        self.scoring = Scoring(trainer, split.held_out)
        self.best = BestNetworks(folders.best, h.score, writer, self.scoring.features)
        self.record = Record(
            folders.history, writer, self.events, self.scoring.column, self.control.columns()
        )
        parts = (self.progress, self.samples, self.control, self.record)
        self.saving = Saving(trainer, folders, writer, parts)
        if self.saving.checkpoints.steps():
            # What is damaged is said before anything changes.
            Answers(folders.answers).read()
            Health(folders.health).read()
            History(folders.history).read()
            read_best(folders.best)
        self.saving.restore()
        self.pictures_since = split.since(self.progress.step)
        self.best.resume(self.progress.step, self.pictures_since)
        self.config = {
            "method": h.METHOD,
            "hyperparameters": dataclasses.asdict(h)
            | {"resume": "", "dry_run": False, "hosts": ""},
            "data_set": split.origin | {"pictures_since": self.pictures_since},
            "scoring": {"features": self.scoring.features, "pictures": self.scoring.pictures},
            "device": backend.describe_device(h.devices),
            "versions": {"keras": keras.__version__, "numpy": np.__version__},
        }
        self.health = Health(
            folders.health,
            {option_name(name): spell(value) for name, value in dataclasses.asdict(h).items()},
            self.pictures_since,
            discriminator,
            self.scoring.features,
            [option_name(name) for name in fixed_fields(type(h))],
        )
        self.health_check = HealthCheck(
            trainer, folders, writer, self.record, self.answers, self.health
        )
        self.report = Report(
            h, folders, self.config, self.record, self.answers, self.health, self.best,
            trainer.clock,
        )  # fmt: skip

    def train(self) -> None:
        """Train until the epochs or steps are done, or until Ctrl-C, SIGTERM or SIGHUP.

        Raises:
            UserError: there is nothing left to do.
            RunError: a loss became NaN, a file could not be written, or a picture not be read.
        """
        h, progress = self.h, self.progress
        last = progress.last_step(h)
        if progress.step and last is not None and progress.step >= last:
            raise UserError(
                f"--resume {h.run_name}: it has made its {progress.step} steps "
                f"({progress.epoch:.1f} epochs); go on with: "
                f"{resume_command(h, **progress.more(h))}"
            )
        with (
            explained_end(h, self.saving.checkpoints, progress),
            StopRequest() as stop,
            contextlib.closing(self.events) if self.events else contextlib.nullcontext(),
            self.trainer.clock as clock,
            ProgressBar(last, progress.step, clock) as bar,
            self.writer,
            contextlib.closing(self.trainer.feed),
        ):
            hosts.on_stop(stop.request)
            self._begin(bar)
            try:
                self._make_steps(last, stop, bar)
            except RunError:
                # The curves show how it came about.
                with contextlib.suppress(OSError, ValueError):
                    self.writer.flush()
                    self.health_check.tell(bar.say)
                    self.report.at_the_end()
                raise
            self.report.at_the_end()
        end = f"stopped by {stop.requested}" if stop.requested else "done"
        print(
            f"{end} at step {progress.step} ({progress.epoch:.1f} epochs); go on with: "
            f"{resume_command(h, **progress.more(h))}"
        )

    def _begin(self, bar: ProgressBar) -> None:
        """Say what the run is, and write what there is before its next step."""
        h, folders, step = self.h, self.folders, self.progress.step
        if not step:
            write_json(folders.config, self.config)
        if self.events is not None:
            rows = read_rows(folders.history, step)
            grids = {"reals": {0: folders.reals}, "samples": folders.samples()}
            self.writer.submit(lambda: self.events.begin(step, rows, grids))
        bar.say(self._announcement())
        print(end="", flush=True)
        for table in (self.answers, self.health):
            table.resume(step or -1)  # without a checkpoint, the row of step 0 is still to be made
        if not step:  # first of all pictures: it is what a person waits for
            self.samples.draw()
        if not folders.architecture.exists():
            self.drawing.architecture(trained_networks(self.trainer.method.networks))
        if h.augmentation:
            probability = self.trainer.method.augment.current_probability()
            pictures = self.trainer.dataset.take(self.trainer.first_indices(4))
            self.drawing.augmented(pictures, probability)
        if not folders.reals.exists() or self.pictures_since == step:
            classes, dataset = self.trainer.classes, self.trainer.dataset
            if classes.names:
                shown = classes.reals_of_grid(dataset)
            else:
                shown = dataset.take(self.trainer.first_indices(h.sample_rows * h.sample_columns))
            self.drawing.reals(step, shown)
        if not step:
            self.saving.save(self.config)
            self.health_check.check({})
            self.writer.submit(self.report.page)

    def _make_steps(self, last: int | None, stop: StopRequest, bar: ProgressBar) -> None:
        """Make steps until ``last``, or until a stop is requested; then save the run."""
        h, progress = self.h, self.progress
        clock = self.trainer.clock
        started = clock() - progress.seconds
        while not stop.requested and (last is None or progress.step < last):
            try:
                scalars = self.trainer.one_step()
            except RunError as error:
                raise self.saving.failure(error, f"; go on with: {resume_command(h)}") from None
            step = progress.step
            self.record.add(step, scalars)
            bar.update()
            adapts, saves = self.control.is_due(step), step % h.checkpoint_interval == 0
            if step % h.history_interval == 0 or saves or adapts:
                # Only here does the host wait for the device.
                self._fetch(bar)
                progress.seconds = clock() - started
            if adapts:
                self.control.move(self.probe.ask)
            scores = self._score() if step % h.score_interval == 0 else {}
            if step % h.history_interval == 0:
                self.record.write(progress, self.control.columns())
            if step % h.sample_interval == 0:
                self.samples.draw()
                self.writer.submit(self.report.now_and_then)
            if step % h.score_interval == 0:
                self.health_check.check(scores)
            if saves:
                self.saving.save(self.config)
            # A terminal that is stopped, or a full pipe, keeps nothing from the disk.
            self.health_check.tell(bar.say)
        bar.set_description("saving")
        self._fetch(bar)
        progress.seconds = clock() - started
        self.writer.flush()
        if progress.step not in self.folders.samples():
            self.samples.draw()
        if progress.step not in self.saving.checkpoints.steps():
            self.saving.save(self.config)
        self.writer.flush()
        self.health_check.tell(bar.say)
        bar.set_description("")

    def _fetch(self, bar: ProgressBar) -> None:
        """Bring what the last steps returned to the host."""
        try:
            rows = self.record.fetch(self.progress.step)
        except RunError as error:
            lower = lower_learning_rates(self.h)
            raise self.saving.failure(
                f"{error}: lower {' or '.join(map(option_name, lower))}",
                f"; go on with: {resume_command(self.h, **lower)}",
            ) from None
        self.control.observe(rows)
        if rows:
            waited = self.trainer.waiting.shares()
            bar.show(rows[-1], self.scoring.shown, self.progress.images_per_step, waited)

    def _score(self) -> dict[str, float]:
        """Score the averaged generator, and draw the best and the worst of its samples."""
        (images, scores), labels = self.scoring.score(), self.scoring.labels
        if self.scoring.column:
            self.record.last_score = scores[self.h.score]
            self.best.consider(self.progress.step, scores, self.trainer.method.networks)
        images, labels = images[:MOST_ASKED], None if labels is None else labels[:MOST_ASKED]
        picture = self.probe.best_and_worst(images, labels, self.h.sample_columns)
        self.drawing.best_and_worst(picture)
        return scores

    def _announcement(self) -> str:
        h, folders, split = self.h, self.folders, self.split
        streamed = ", streamed from disk" if split.trained_on.is_streamed else ""
        described = h.described(backend.has_accelerator())
        lines = [
            f"{self.config['device']} in {h.precision}; {described}; {split.described()}, "
            f"{h.image_size} px{streamed}",
            f"run {h.run_name}: pictures in {folders.images}/, networks in {folders.models}/",
        ]
        if preset := h.PRESETS.get(h.preset):
            lines.append(f"preset {h.preset}: {preset.described()}")
        if classes := split.classes():
            first, last = h.class_steps
            lines.append(f"{h.classes}: {classes}; let in from step {first:,} to {last:,}")
        if self.scoring.column:
            scoring = self.scoring
            lines.append(f"scores: {scoring.features} features of {scoring.pictures} pictures")
            lines += caution(h.features, scoring.pictures)
        elif h.holdout and h.score != "none":
            number = len(split.held_out or ())
            lines.append(
                f"no scores, no best networks and fewer alarms: {number} pictures are held out, "
                f"expected {FEWEST_SCORED}; {split.hint(h)}"
            )
        last = None if h.steps else self.progress.last_step(h)
        if h.epochs == type(h).epochs and last and last < Limits().first_step:
            start = "" if h.start_from else " and --start-from"
            lines.append(
                f"{h.epochs} epochs of so few pictures are only {last:,} steps; try --steps 4000"
                f"{start} (docs/troubleshooting.md)"
            )
        return "\n".join(lines)

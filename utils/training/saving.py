"""Saving a run as a whole, and going on with it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from utils import hosts
from utils.common.errors import RunError, UserError
from utils.training.checkpoints import Checkpoints, digest
from utils.training.config import write_json
from utils.training.failures import lower_learning_rates
from utils.training.folders import Folders
from utils.training.method import discriminator_name
from utils.training.repeat import resume_command
from utils.training.snapshots import Snapshot
from utils.training.trainer import Trainer
from utils.training.writer import BackgroundWriter
from utils.watching.table import read_rows


class Part(Protocol):
    """Something of the loop that a run goes on with."""

    def saved(self) -> dict[str, Any]:
        """What a checkpoint holds of it; no two parts have a name in common."""

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Go on from a checkpoint, with all parts in it; an older one may lack some names."""


class Saving:
    """Writes a run's networks and checkpoints in the background, and restores it from them."""

    def __init__(
        self, trainer: Trainer, folders: Folders, writer: BackgroundWriter, parts: Sequence[Part]
    ) -> None:
        """Say what a checkpoint holds.

        Args:
            trainer: has the state of the method.
            folders: of the run.
            writer: writes its files.
            parts: what else there is to save.
        """
        self._trainer, self._folders, self._writer, self._parts = trainer, folders, writer, parts
        self.checkpoints = Checkpoints(folders.checkpoints, trainer.h.keep_checkpoints)

    def save(self, config: Mapping[str, Any]) -> None:
        """Have the networks written, then the state: where there is a checkpoint, all the rest is.

        Args:
            config: what ``config.json`` is to say.

        Raises:
            RunError: a weight is not a finite number.
        """
        self._trainer.refresh_average()
        step = self._trainer.progress.step
        try:
            arrays = self.checkpoints.collect(step, self._trainer.state)
        except RunError as error:
            h = self._trainer.h
            goes_on = resume_command(h, **lower_learning_rates(h))
            raise self.failure(error, f"; go on with: {goes_on}") from None
        self._compare(step, arrays)
        loop: dict[str, Any] = {}
        for part in self._parts:
            loop |= part.saved()
        snapshot = Snapshot(self._trainer.method.networks)

        def write() -> None:
            snapshot.save(self._folders.models)
            write_json(self._folders.config, config)
            self.checkpoints.save(step, arrays, loop)
            hosts.note(self.checkpoints.kept())

        size = snapshot.nbytes + sum(array.nbytes for array in arrays.values())
        self._writer.submit(write, size)

    def restore(self) -> None:
        """Go back to the newest checkpoint; without any, the run begins at step 0.

        Sample grids made after it are removed: the steps that made them will be made again.

        Raises:
            UserError: the checkpoints are damaged, of other networks, or lost.
        """
        saved = self.checkpoints.load_newest(self._trainer.state)
        if saved is None:
            self._check_nothing_is_lost()
            return
        hosts.note(self.checkpoints.kept())
        try:
            for part in self._parts:
                part.resume(saved)
        except (KeyError, ValueError, TypeError) as error:
            newest = self.checkpoints.path(self.checkpoints.steps()[-1])
            raise UserError(
                f"{newest} is damaged or of another version ({type(error).__name__}: {error}); "
                "move it away to go on from the one before"
            ) from None
        for step, path in self._folders.samples().items():
            if step > self._trainer.progress.step:
                path.unlink()

    def failure(self, reason: object, advice: str = "") -> RunError:
        """The error of a run that cannot go on, once all that was submitted is on the disk."""
        self._writer.flush()
        return RunError(f"{reason}; {self.checkpoints.kept()}{advice}")

    def _compare(self, step: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Raise RunError where another process has other weights: nothing would notice it."""
        found = self._trainer.digests()
        own = digest(arrays.values()) if found else ""
        other = next((number for number in found if found[number] != own), None)
        if other is not None:
            raise self.failure(
                f"process {other} has other weights than process 0 at step {step}: the memory of a "
                "machine, or the network between them, is not reliable",
                f"; go on with: {resume_command(self._trainer.h)}",
            )

    def _check_nothing_is_lost(self) -> None:
        # Before anything else a checkpoint of step 0 is written: a run without any was killed in
        # its first seconds, and may begin again.
        folders = self._folders
        rows = read_rows(folders.history, math.inf)
        made = max([0, *folders.samples(), *(int(row["step"]) for row in rows)])
        if made or folders.best.exists() or any(folders.models.glob("*.keras")):
            name = self._trainer.h.run_name
            found = f"has trained to step {made} at least" if made else "has networks"
            discriminator = discriminator_name(self._trainer.method.networks)
            if (folders.models / f"{discriminator}.keras").exists():
                remedy = f"or begin another run with --start-from {name}"
            else:
                remedy = "or go on with a run that has both networks; a tuned copy has one"
            raise UserError(
                f"--resume {name}: there is no checkpoint in {folders.checkpoints}, and the run "
                f"{found}; bring its checkpoints back, {remedy}"
            )

"""The pictures of a run: which it trains on, and which it keeps to score with."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Sized
from typing import Any, NamedTuple

import numpy as np

from utils import hosts
from utils.common.channels import CHANNELS, how_to_prepare
from utils.common.errors import UserError, printable
from utils.data.classes import class_names, described, labels
from utils.data.dataset import Dataset
from utils.data.order import held_out
from utils.preparing.opening import open_dataset
from utils.training.config import saved_channels, saved_classes, saved_held_out
from utils.training.options import RunOptions

FEWEST_SCORED = 50
"""With fewer pictures held out, a score would be mostly chance."""


class Split(NamedTuple):
    """A data set in two parts."""

    trained_on: Dataset
    held_out: Dataset | None
    """None where nothing is held out."""
    origin: dict[str, Any]
    """What ``config.json`` says of both. ``pictures_since`` is the step from which on these are the
    pictures of the run; None is the one at which it is resumed."""

    def described(self) -> str:
        """How many pictures there are of either part."""
        channels = self.trained_on.channels
        kind = f" {CHANNELS[channels]}" if channels != 3 else ""
        line = f"{len(self.trained_on)}{kind} pictures"
        return line if self.held_out is None else f"{line} and {len(self.held_out)} held out"

    def classes(self) -> str:
        """A line about its classes, such as "2 classes: red 24, blue 21"; empty without any."""
        found = self.origin.get("classes", {})
        return described(found, self.origin["pictures"]) if found else ""

    def hint(self, h: RunOptions) -> str:
        """What a person can do where too few are held out."""
        count = len(self.trained_on) + len(self.held_out or ())
        expected = fewest_for_scores(h)
        if count < expected:
            return f"take {expected} pictures or more"
        return f"a new run holds out {FEWEST_SCORED}"

    def since(self, step: int) -> int:
        """The step from which on the run, which is now at ``step``, has these pictures."""
        since = self.origin.get("pictures_since", 0)
        if since is not None:
            return since
        print(
            f"other pictures than up to step {step}: the search for the best networks begins anew, "
            "and pictures that are held out now may have been trained on before, which flatters "
            "the scores"
        )
        return step


def open_split(h: RunOptions, config: dict[str, Any] | None) -> Split:
    """Open the data set and divide it; a resumed run keeps those from training that it always did.

    Args:
        h: the options; ``image_size`` and ``channels`` become those of the data set,
            ``class_names`` those of its classes.
        config: of the run that is resumed, or None.

    Raises:
        UserError: it cannot be opened, is too small, or not the one that the run began with.
    """
    dataset = open_dataset(
        h.data,
        h.image_size or None,
        h.limit or None,
        seed=h.seed,
        memory_budget=int(h.memory_budget * 1e9) or (hosts.memory_of_each() or 0) // 4,
    )
    h.image_size, h.channels = dataset.image_size, dataset.channels
    if config is not None and (was := saved_channels(config)) != h.channels:
        raise UserError(
            f"--data {h.data}: holds {CHANNELS[h.channels]} images, expected {CHANNELS[was]} as of "
            f"run {h.run_name}{how_to_prepare(was)}"
        )
    fingerprint = dataset.fingerprint()  # once: it reads thousands of pictures
    kept = choose_held_out(h, dataset, config, fingerprint)
    since: int | None = 0
    if config is not None:
        same = config["data_set"].get("fingerprint") == fingerprint
        since = config["data_set"].get("pictures_since", 0) if same else None
    origin = {
        "made_by": dataset.made_by,
        "pictures": len(dataset),
        "channels": dataset.channels,
        "held_out": kept.tolist(),
        "fingerprint": fingerprint,
        "pictures_since": since,
    }
    if h.classes:
        origin["classes"] = choose_classes(h, dataset, config)
        h.class_names = tuple(origin["classes"])
        found = labels(dataset, h.classes, h.class_names)
        origin["labels"] = hashlib.sha256(found.tobytes()).hexdigest()[:16]
        if since is not None and config is not None:
            _check_labels(h, config, origin["labels"])
    if not len(kept):
        return Split(dataset, None, origin)
    # Copies, so that the whole does not stay in memory.
    trained_on = dataset.part(np.delete(np.arange(len(dataset)), kept))
    return Split(trained_on, dataset.part(kept), origin)


def choose_classes(
    h: RunOptions, dataset: Dataset, config: dict[str, Any] | None
) -> dict[str, int]:
    """The classes and their numbers of pictures; a resumed run keeps those that it began with.

    Raises:
        UserError: the data set has no such attribute, or too few classes.
    """
    if config is None:
        return class_names(dataset, h.classes)
    names = list(saved_classes(f"--resume {h.run_name}", config))
    found = labels(dataset, h.classes, names)
    counts = np.bincount(found[found >= 0], minlength=len(names))
    if not counts.any():
        raise UserError(
            f"--classes {h.classes}: no picture of {printable(h.data)} is of the run's classes, "
            f"{printable(', '.join(names))[:200]}"
        )
    return dict(zip(names, counts.tolist(), strict=True))


def _check_labels(h: RunOptions, config: dict[str, Any], found: str) -> None:
    """Raise UserError where the same pictures are of other classes than before."""
    if config["data_set"].get("labels", found) != found:
        raise UserError(
            f"--classes {h.classes}: the pictures of {printable(h.data)} are of other classes than "
            f"those that run {h.run_name} began with; bring these back, or begin another run with "
            f"--start-from {h.run_name}"
        )


def fewest_for_scores(h: RunOptions) -> int:
    """The fewest pictures of which enough to score with are held out, and enough left to train."""
    return FEWEST_SCORED + max(FEWEST_SCORED, h.batch_size * h.batches_per_step)


def choose_held_out(
    h: RunOptions, dataset: Dataset, config: dict[str, Any] | None, fingerprint: str
) -> np.ndarray:
    """The numbers of the pictures that are kept from training, ascending.

    Raises:
        UserError: too few are left, or the data set is not the one that a resumed run began with.
    """
    is_known = config is not None and config["data_set"].get("fingerprint") == fingerprint
    can_score = h.holdout > 0 and len(dataset) >= fewest_for_scores(h)
    least = FEWEST_SCORED if can_score and not is_known else 0
    kept = held_out(len(dataset), h.holdout, dataset.files(), least)
    if config is not None:
        was, now = dict(config["hyperparameters"]), dataclasses.asdict(h)
        for each in (was, now):
            each["data"] = os.path.normpath(str(each.get("data")))
        # With --limit, the seed decides which pictures are taken.
        same_choice = all(was.get(name) == now[name] for name in ("data", "limit", "seed"))
        known = config["data_set"].get("fingerprint")
        if same_choice and known != fingerprint:
            raise UserError(
                f"--data {h.data}: its pictures are no longer those that run {h.run_name} began "
                "with; bring them back, or give another --data to go on with that"
            )
        # Others would have been trained on.
        if known == fingerprint and "held_out" in config["data_set"]:
            shown = f"--resume {h.run_name}"
            kept = np.array(saved_held_out(shown, config, len(dataset)), np.int64)
    required = h.batch_size * h.batches_per_step
    number = len(dataset) - len(kept)
    if required > number:
        kept_out = f" besides {len(kept)} held out" if len(kept) else ""
        most = number // h.batches_per_step
        expected = f"at most {most}" if most > 1 else f"{2 * h.batches_per_step} pictures at least"
        raise UserError(
            f"--batch-size {h.batch_size}: a step takes {required} pictures, and {h.data} has "
            f"{number}{kept_out}; expected {expected}"
        )
    return kept


def spread(pictures: Sized, number: int) -> np.ndarray:
    """Numbers of pictures spread evenly over a data set, (number,), ascending."""
    return np.linspace(0, len(pictures) - 1, number).astype(int)

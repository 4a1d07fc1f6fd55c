"""What every script's ``main`` does: read the command line, open the data, train or dry-run."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from utils import backend  # before Keras: it keeps its start quiet
from utils.common.errors import RunError, UserError
from utils.data.dataset import Dataset
from utils.data.opening import open_dataset
from utils.data.order import held_out
from utils.training.arguments import parse_command_line
from utils.training.folders import Folders, check_folders
from utils.training.loop import Method, Trainer
from utils.training.options import RunOptions
from utils.watching.tensorboard import require_tensorboard


def run(
    method_class: Callable[[Any], Method],
    hyperparameters: type[RunOptions],
    description: str,
    arguments: list[str] | None = None,
    on_grid: Callable[[Path], None] | None = None,
) -> Folders | None:
    """What every script's ``main`` does: read the command line, open the data, train or dry-run.

    Args:
        method_class: makes the networks from hyperparameters.
        hyperparameters: their class; each field is an option.
        description: stands at the top of ``--help``.
        arguments: the options, as on a command line; None takes the command line.
        on_grid: is called with every sample grid once it is written, in the thread that writes: a
            notebook shows it. What it raises ends the run.

    Returns:
        Where the run's files are; None after ``--dry-run``.

    Raises:
        UserError, RunError: see `utils.common.errors`; a line for the person each.
    """
    h, config = parse_command_line(hyperparameters, description, arguments)
    check_folders(h)
    if h.tensorboard:
        require_tensorboard()
    backend.seed_everything(h.seed, h.deterministic)
    # Only now: what makes a device deterministic is read when it is first looked for.
    if backend.has_accelerator():
        h, config = parse_command_line(hyperparameters, description, arguments, True)
    backend.use_devices(h.devices, h.batch_size)
    dataset = open_dataset(
        h.data,
        h.image_size or None,
        h.limit or None,
        seed=h.seed,
        memory_budget=int(h.memory_budget * 1e9),
    )
    h.image_size = dataset.image_size
    h.check()
    fingerprint = dataset.fingerprint()  # once: it reads thousands of pictures
    kept = check_data(h, dataset, config, fingerprint)
    origin = {
        "made_by": dataset.made_by,
        "pictures": len(dataset),
        "held_out": kept.tolist(),
        "fingerprint": fingerprint,
        "pictures_since": 0,
    }
    if config is not None:
        before = config["data_set"]
        same = before.get("fingerprint") == fingerprint
        # None: from the step on at which it is resumed.
        origin["pictures_since"] = before.get("pictures_since", 0) if same else None
    held_out = None
    if len(kept):
        held_out = dataset.part(kept)
        # It takes the place of the whole, which would stay in memory beside it.
        dataset = dataset.part(np.delete(np.arange(len(dataset)), kept))
    h.precision = backend.set_precision(h.precision)
    folders = None if h.dry_run else Folders(h, is_new=config is None)
    with explained_memory(h), folders.begun() if folders else contextlib.nullcontext():
        method = method_class(h)
        trainer = Trainer(method, h, dataset, held_out, origin)
        if folders is None:
            trainer.dry_run()
        else:
            trainer.train(folders, on_grid)
    return folders


def check_data(
    h: RunOptions,
    dataset: Dataset,
    config: dict[str, Any] | None,
    fingerprint: str,
) -> np.ndarray:
    """Check the data set, and say which of its pictures are kept from training.

    A resumed run keeps those that it began with: others would have been trained on.

    Returns:
        Their numbers, ascending.

    Raises:
        UserError: it is too small, or not the one that a resumed run began with.
    """
    kept = held_out(len(dataset), h.holdout, dataset.files())
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
        saved = config["data_set"].get("held_out")
        if known == fingerprint and isinstance(saved, list):
            if not set(saved) <= set(range(len(dataset))):
                raise UserError(
                    f"--resume {h.run_name}: its config.json is damaged: held_out names pictures "
                    f"beyond the {len(dataset)} there are"
                )
            kept = np.array(sorted(saved), np.int64)
    wanted = h.batch_size * h.batches_per_step
    number = len(dataset) - len(kept)
    if wanted > number:
        kept_out = f" besides {len(kept)} held out" if len(kept) else ""
        most = number // h.batches_per_step
        raise UserError(
            f"--batch-size {h.batch_size}: a step takes {wanted} pictures, and {h.data} has "
            f"{number}{kept_out}; wanted "
            + (
                f"is at most {most}"
                if most > 1
                else f"are {2 * h.batches_per_step} pictures at least"
            )
        )
    return kept


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

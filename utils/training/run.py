"""What every script's ``main`` does: read the command line, open the data, train or dry-run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from utils import backend  # before Keras: it keeps its start quiet
from utils.common.commandline import given_options
from utils.common.files import files_by_step
from utils.models.adversarial import freeze_first
from utils.scoring.features import require_features
from utils.training.arguments import parse_command_line, place_among_hosts
from utils.training.dry_run import dry_run
from utils.training.failures import explained_memory
from utils.training.folders import CHECKPOINTS, Folders, check_folders
from utils.training.loop import Loop
from utils.training.method import Method, discriminator_name
from utils.training.options import RunOptions
from utils.training.several import begin, follow, leading
from utils.training.split import open_split
from utils.training.start import start_of
from utils.training.trainer import Trainer
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
        Where the run's files are; None after ``--dry-run``, and in other processes than the first.

    Raises:
        UserError, RunError: see `utils.common.errors`; a line for the person each.
    """
    place = place_among_hosts(arguments)
    h, config = parse_command_line(hyperparameters, description, arguments)
    if place is not None and place.number:
        follow(place, method_class, hyperparameters, description, arguments)
        return None
    check_folders(h)
    if h.tensorboard:
        require_tensorboard()
    if h.score != "none" and h.holdout:
        require_features(h.features)
    backend.seed_everything(h.seed, h.deterministic)
    with leading(place, h, config):
        # Only now: what makes a device deterministic is read when it is first looked for.
        if backend.has_accelerator():
            h, config = parse_command_line(hyperparameters, description, arguments, True)
        backend.use_devices(h.devices, h.batch_size)
        split = open_split(h, config)
        # Once there is a checkpoint, the networks are in it.
        checkpoints = Path(h.models_dir, h.run_name, CHECKPOINTS)
        start = None if config and files_by_step(checkpoints, ".npz") else start_of(h)
        if start and config is None:
            start.fit(h, given_options(arguments))
        h.check()  # with the data set's image size
        h.precision = backend.set_precision(h.precision)
        begin(place, h, split)
        folders = None if h.dry_run else Folders(h, is_new=config is None)
        with explained_memory(h), folders.begun() if folders else contextlib.nullcontext():
            with backend.distributed():
                method = method_class(h)
                trainer = Trainer(method, h, split.trained_on)
            if start:
                print(start.begin(method, h))
            discriminator = method.networks[discriminator_name(method.networks)]
            freeze_first(discriminator, h.freeze_discriminator)
            if folders is None:
                dry_run(trainer, split)
            else:
                Loop(trainer, split, folders, on_grid).train()
        return folders

"""One training in several processes: what the first one tells the others, and what these do."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import platform
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from utils import backend, hosts
from utils.common.errors import UserError
from utils.data.classes import labels
from utils.data.dataset import machine_memory
from utils.hosts.place import Place
from utils.models.adversarial import freeze_first
from utils.training.arguments import options_like
from utils.training.failures import explained_memory
from utils.training.method import Method, discriminator_name
from utils.training.options import Options, RunOptions
from utils.training.probing import RunProbe
from utils.training.signals import StopRequest
from utils.training.split import Split, open_split
from utils.training.trainer import Trainer

# isort: split
import keras


@contextlib.contextmanager
def leading(place: Place | None, h: RunOptions, config: Mapping[str, Any] | None) -> Iterator[None]:
    """In the block, be the first of several processes, which have these options; else be alone.

    Raises:
        UserError: they cannot train together.
    """
    if place is None:
        yield
        return
    place.check(keras.backend.backend(), h.devices)
    with hosts.lead(place, _hello(place, h.METHOD)) as first:
        first.ask("options", dataclasses.asdict(h), config)
        coordinator = _free_address(first.address)
        first.tell("join", coordinator)
        backend.join(place, coordinator)
        yield


def begin(place: Place | None, h: RunOptions, split: Split) -> None:
    """Tell the other processes, where there are any, what has been decided before the training.

    Raises:
        LostProcessError: one of them has other pictures, or cannot open them.
    """
    if place is None:
        return
    _check_name(place)
    memory = hosts.memory_of_each()
    hosts.ask("train", dataclasses.asdict(h), _fingerprint(h, split), memory)


def follow(
    place: Place,
    method_class: Callable[[Any], Method],
    hyperparameters: type[Options],
    description: str,
    arguments: list[str] | None,
) -> None:
    """Be another process than the first one: build the same, and do what it says.

    Raises:
        UserError, RunError: see `utils.common.errors`.
    """
    place.check(keras.backend.backend(), "all")
    hello = _hello(place, hyperparameters.METHOD)
    with hosts.follow(place, hello) as follower:
        values, config = follower.follow(until="options")
        own = options_like(_options(hyperparameters, values), description, arguments)
        # It holds back what is said: once joined, this process may have to say a last line.
        backend.seed_everything(own.seed, own.deterministic)
        follower.answer()
        (coordinator,) = follower.follow(until="join")
        follower.is_joined = True
        backend.join(place, coordinator)
        _check_name(place)
        values, fingerprint, follower.memory = follower.follow(until="train")
        h = dataclasses.replace(_options(hyperparameters, values), data=own.data)
        backend.use_devices(h.devices, h.batch_size)
        split = open_split(h, config)
        if _fingerprint(h, split) != fingerprint:
            raise UserError(
                f"--data {h.data}: has other pictures than that of process 0, or other "
                "attributes; expected the same everywhere"
            )
        backend.set_precision(h.precision)
        follower.answer()
        print(backend.describe_device(h.devices), flush=True)
        with explained_memory(h):
            with backend.distributed():
                trainer = Trainer(method_class(h), h, split.trained_on)
                RunProbe(trainer, split.held_out)
            networks = trainer.method.networks
            freeze_first(networks[discriminator_name(networks)], h.freeze_discriminator)
            with contextlib.closing(trainer.feed), StopRequest(follower.stop):
                follower.follow()


def _check_name(place: Place) -> None:
    if not backend.has_accelerator():
        place.check_name()


def _fingerprint(h: RunOptions, split: Split) -> str:
    """SHA-256 (hex) of the pictures, which are held out, and the classes they have."""
    origin = {
        name: value
        for name, value in split.origin.items()
        if name not in ("made_by", "pictures_since")
    }
    found = hashlib.sha256(json.dumps(origin, sort_keys=True).encode())
    if h.classes:
        found.update(labels(split.trained_on, h.classes, h.class_names).tobytes())
    return found.hexdigest()


def _options(hyperparameters: type[Options], values: Mapping[str, Any]) -> Options:
    """The options that process 0 has sent."""
    values = {name: tuple(x) if isinstance(x, list) else x for name, x in values.items()}
    return dataclasses.replace(hyperparameters(), **values)


def _hello(place: Place, method: str) -> dict[str, Any]:
    project = Path(__file__).parents[2]
    sources = hashlib.sha256()
    for path in (project / f"{method}.py", *sorted(project.glob("utils/**/*.py"))):
        sources.update(path.read_bytes())
    versions = {
        "script": f"{method}.py", "source files": sources.hexdigest()[:8],
        "Python": ".".join(platform.python_version_tuple()[:2]), "Keras": keras.__version__,
        "NumPy": np.__version__, keras.backend.backend(): backend.library.__version__,
    }  # fmt: skip
    return hosts.hello_of(place, versions, machine_memory())


def _free_address(address: str) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, 0), family=family) as server:
        port = server.getsockname()[1]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

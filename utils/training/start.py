"""``--start-from``: a new run that begins with the networks of another one."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection
from typing import Any

import numpy as np

from utils import backend
from utils.common.channels import CHANNELS
from utils.common.errors import UserError
from utils.common.fields import fixed_fields, option_name, spell
from utils.data import IMAGE_SIZES
from utils.models.adversarial import blocks_of
from utils.models.classes import is_of_classes
from utils.models.layers import MinibatchDiscrimination
from utils.training.config import (
    CONFIG,
    options_in,
    read_config,
    saved_channels,
    saved_classes,
)
from utils.training.method import Method, discriminator_name
from utils.training.names import run_folders
from utils.training.options import Options, RunOptions
from utils.training.snapshots import load_network

# isort: split
import keras
from keras import layers, ops

OWN = (
    "image_size", "holdout", "sample_rows", "sample_columns", "preset", "freeze_discriminator",
    "balance", "optimizer", "classes",
)  # fmt: skip
"""What a run keeps that shapes no network: a new run has its own."""


class Start:
    """The run that a new one begins with: its options and its networks."""

    def __init__(
        self, hyperparameters: type[Options], run: str, images_dir: str, models_dir: str
    ) -> None:
        """Find it.

        Args:
            hyperparameters: the class of the new run's.
            run: its name in ``models_dir``, or a folder of networks; that of its best networks
                has its ``config.json`` one folder up.
            images_dir: where pictures of runs are.
            models_dir: where networks of runs are.

        Raises:
            UserError: there is no such run, its ``config.json`` is damaged, or it is of another
                method.
        """
        self.shown = f"--start-from {run}"
        if not run:
            raise UserError("--start-from '': is empty; expected the name of a run or its folder")
        _, self.folder = run_folders("--start-from", run, images_dir, models_dir)
        above = self.folder.parent / CONFIG
        is_above = not (self.folder / CONFIG).exists() and above.exists() and self.folder.is_dir()
        path = above if is_above else self.folder / CONFIG
        config = read_config(run, path, "--start-from")
        self.options = options_in(hyperparameters, config, run, "--start-from")
        self.class_names = tuple(saved_classes(self.shown, config))
        if self.options.image_size not in IMAGE_SIZES:
            raise UserError(
                f"{self.shown}: its config.json is damaged: image_size is {self.options.image_size}"
            )
        self.channels = saved_channels(config)
        self._shaping = [name for name in fixed_fields(hyperparameters) if name not in OWN]

    def taken_over(self, default: Options) -> Options:
        """The defaults, with the networks' shape from this run."""
        shape = {name: getattr(self.options, name) for name in self._shaping}
        return dataclasses.replace(default, **shape)

    def fit(self, h: RunOptions, given: Collection[str]) -> None:
        """Let networks of twice this run's image size have one width more.

        Args:
            h: the options of the new run, with its image size.
            given: the options on its command line, which stay.

        Raises:
            UserError: another size, or layers are to be frozen that begin fresh.
        """
        size = self.options.image_size
        sizes = [each for each in (size, 2 * size) if each in IMAGE_SIZES]
        if h.image_size not in sizes:
            raise UserError(
                f"{self.shown}: its images have {size} px, and those of this run {h.image_size} "
                f"px; expected {' or '.join(map(str, sizes))}"
            )
        for name, value in self._shape_at(h.image_size).items():
            if option_name(name) not in given:
                setattr(h, name, value)
        if h.image_size != size and h.freeze_discriminator:
            raise UserError(
                f"--freeze-discriminator {h.freeze_discriminator}: at twice the size of "
                f"{self.shown} the first layers begin fresh; expected 0"
            )

    def _shape_at(self, image_size: int) -> dict[str, Any]:
        """The values of this run's options that differ at another image size.

        Layers counted from the outermost have a number that is larger by one at twice the size.
        """
        was = self.options
        if image_size == was.image_size:
            return {}
        shape: dict[str, Any] = {}
        for name in self._shaping:
            value = getattr(was, name)
            if name == "generator_filters":
                widths = was.widths("generator")
                shape[name] = (*widths, max(1, widths[-1] // 2))
            elif name.endswith("_filters") and isinstance(value, tuple):
                widths = was.widths(name.removesuffix("_filters"))
                shape[name] = (max(1, widths[0] // 2), *widths)
            elif name.endswith("_depth"):
                shape[name] = 0  # a list of widths says it
            elif name == "discriminator_normalized":
                first, last = value
                shape[name] = (first + (first > 2), min(last + 1, 99))
            elif name == "feature_matching_layer":
                shape[name] = value + (value > 0)
        return shape

    def begin(self, method: Method, h: RunOptions) -> str:
        """Give a method's networks the weights of this run's.

        Returns:
            A line that says what they begin with.

        Raises:
            UserError: a network is missing, damaged, or does not fit; then no weight has changed.
        """
        if h.channels != self.channels:
            raise UserError(
                f"{self.shown}: its images are {CHANNELS[self.channels]}, and those of --data "
                f"{h.data} {CHANNELS[h.channels]}; expected a data set of the same channels"
            )
        name = discriminator_name(method.networks)
        if not (self.folder / f"{name}.keras").exists():
            raise UserError(f"{self.shown}: has no {name}.keras; expected a run with both networks")
        average = load_network(self.folder / "generator.keras")
        current = self.folder / "generator-current.keras"
        saved = {
            "generator": average,
            "generator-current": load_network(current) if current.exists() else average,
            name: load_network(self.folder / f"{name}.keras"),
        }
        pairs, fresh = [], {}
        for each, network in method.networks.items():
            known, fresh[each] = self._matched(each, network, saved[each], h)
            pairs += known
        weights = [
            (ours, ops.convert_to_numpy(theirs))
            for layer, other in pairs
            for ours, theirs in zip(layer.weights, other.weights, strict=True)
        ]
        for variable, array in weights:
            if not np.isfinite(array).all():
                raise UserError(f"{self.shown}: {variable.path} is not finite in its networks")
        backend.assign([ours for ours, _ in weights], [array for _, array in weights])
        files = [f"{each}.keras" for each in saved if each == "generator" or saved[each] != average]
        line = f"begins with {', '.join(files)} of {self.folder}"
        if h.class_names and h.class_names != self.class_names:
            line += f"; what {h.classes} adds begins fresh"
        elif self.class_names and not h.class_names:
            line += f"; without its classes, which --classes {self.options.classes} keeps"
        if not any(fresh.values()):
            return line
        counts = [
            f"{len(fresh[each])} of {len(_weighted(method.networks[each]))} layers in the {each}"
            for each in ("generator", name)
        ]
        size = self.options.image_size
        return f"{line}, of {size} px; fresh, next to the images: {', '.join(counts)}"

    def _matched(
        self, name: str, network: keras.Model, saved: keras.Model, h: RunOptions
    ) -> tuple[list[tuple[layers.Layer, layers.Layer]], list[layers.Layer]]:
        """The layers of a network with those they begin as, and the layers that begin fresh."""
        ours, theirs = _weighted(network), _weighted(saved)
        is_larger = h.image_size != self.options.image_size
        if not name.startswith("generator"):  # count from the 4x4 maps, as in a generator
            ours, theirs = ours[::-1], theirs[::-1]
        sums_up = getattr(self.options, "generator_architecture", "plain") == "skip"
        if is_larger and not (sums_up and name.startswith("generator")):
            theirs = theirs[:-1]  # the last one is between the images and the largest maps
        fitting = itertools.takewhile(
            lambda pair: _shapes(pair[0]) == _shapes(pair[1]), zip(ours, theirs, strict=False)
        )
        pairs = list(fitting)
        fresh = ours[len(pairs) :]
        if not is_larger:
            fits = not fresh and len(pairs) == len(theirs)
        elif name.startswith("generator"):
            fits = len(pairs) == len(theirs)
        else:
            # The maps that minibatch discrimination adds go into the block after its own.
            several = any(isinstance(layer, MinibatchDiscrimination) for layer in theirs)
            outermost = itertools.chain(*blocks_of(network)[: 3 if several else 2])
            fits = set(fresh) <= set(outermost)
        if not fits:
            raise self._other_layers(name, h)
        if h.class_names and h.class_names == self.class_names:
            of_classes = [_weighted(each, of_classes=True) for each in (network, saved)]
            if [*map(_shapes, of_classes[0])] != [*map(_shapes, of_classes[1])]:
                raise self._other_layers(name, h)
            pairs += zip(*of_classes, strict=True)
        return pairs, fresh

    def _other_layers(self, name: str, h: RunOptions) -> UserError:
        expected = dataclasses.asdict(self.options) | self._shape_at(h.image_size)
        differs = [
            f"{option_name(field)} {spell(getattr(h, field))}"
            for field in self._shaping
            if getattr(h, field) != expected[field]
        ]
        reason = f"; leave out {' '.join(differs)}" if differs else " than its config.json says"
        return UserError(f"{self.shown}: its {name} has other layers{reason}")


def start_of(h: RunOptions) -> Start | None:
    """The run that ``--start-from`` names; None without it."""
    return Start(type(h), h.start_from, h.images_dir, h.models_dir) if h.start_from else None


def _shapes(layer: layers.Layer) -> list[tuple[int, ...]]:
    return [tuple(variable.shape) for variable in layer.weights]


def _weighted(network: keras.Model, of_classes: bool = False) -> list[layers.Layer]:
    """Its layers with weights: in a generator by the size of their maps, as they are computed.

    Those of classes, which a network without them lacks, are another list.
    """
    found = [
        layer
        for layer in network.layers
        if layer.trainable_variables and is_of_classes(layer.trainable_variables[0]) == of_classes
    ]
    if network.name.startswith("generator"):
        found.sort(key=lambda layer: layer.output.shape[1] if len(layer.output.shape) == 4 else 0)
    return found

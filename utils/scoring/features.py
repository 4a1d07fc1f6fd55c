"""What KID and neighbourhoods see of an image: features, numbers from a network.

``imagenet`` features know shapes and objects (`utils.scoring.imagenet`). ``random`` features come
from three convolutional networks with random weights, which see colours, textures and layout but
no figure: speckles of the right colours score like real pictures. ``inception`` features are those
of Keras' InceptionV3, where its weights are there already. Nothing is downloaded.

Another kind of features is a class like `FeatureNetwork`, a name in `FeatureKind` and a line in
`feature_networks`; ``--features`` has it then.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, get_args

import numpy as np

from utils import backend  # noqa: F401 - before Keras: it keeps its start quiet
from utils.common.errors import UserError
from utils.scoring.imagenet import ImageNetNetwork
from utils.scoring.images import check_images, chunks
from utils.scoring.registry import FeatureKind
from utils.scoring.weights import read_weights

# isort: split
import keras
from keras import ops

NETWORKS = 3
"""Random ones, whose scores are averaged."""
WIDTHS = (32, 64, 128)
"""Channels of a random network, stage by stage; later stages keep the last."""

INCEPTION_FILE = "inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5"
INCEPTION_ADDRESS = (
    f"https://storage.googleapis.com/tensorflow/keras-applications/inception_v3/{INCEPTION_FILE}"
)


class FeatureNetwork(Protocol):
    """A network that turns images into features."""

    name: str
    """Kind of the features, size of the input, begin of a hash of the weights: only where it is the
    same do scores compare."""

    def fit(self, images: np.ndarray) -> np.ndarray:
        """Features of the reals; the network may scale those of all later images by them."""

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 images (N, H, H, 3): float32 (N, D)."""


def feature_networks(
    kind: FeatureKind, image_size: int, backgrounds: int = 1
) -> Sequence[FeatureNetwork]:
    """The networks of that kind; a score is the mean over them.

    Args:
        kind: of features.
        image_size: height and width of the images.
        backgrounds: on how many of them an image is seen: it has three channels for each.

    Raises:
        UserError: another kind, or its weights are not there.
    """
    if backgrounds > 1:
        if kind == "random":  # their scale is fitted, to each background by itself
            each = [feature_networks(kind, image_size) for _ in range(backgrounds)]
        else:
            each = [feature_networks(kind, image_size)] * backgrounds
        return [SideBySide(networks) for networks in zip(*each, strict=True)]
    if kind == "imagenet":
        return [ImageNetNetwork()]
    if kind == "random":
        return [RandomNetwork(image_size, seed) for seed in range(NETWORKS)]
    if kind == "inception":
        return [InceptionNetwork()]
    raise UserError(f"--features {kind}: expected {', '.join(get_args(FeatureKind))}")


def require_features(kind: FeatureKind) -> None:
    """Raise UserError, before anything takes long, where the weights of such features are not."""
    {"imagenet": read_weights, "random": lambda: None, "inception": inception_file}[kind]()


class SideBySide:
    """Features of the same images on several backgrounds, one after the other."""

    def __init__(self, networks: Sequence[FeatureNetwork]) -> None:
        """Take the networks, of one kind, one for each background."""
        self.networks = networks
        self.name = networks[0].name

    def fit(self, images: np.ndarray) -> np.ndarray:
        """Features of the reals, uint8 (N, H, H, 3 * backgrounds): float32 (N, D * backgrounds)."""
        return self._of([network.fit for network in self.networks], images)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 images (N, H, H, 3 * backgrounds): float32 (N, D * backgrounds)."""
        return self._of(self.networks, images)

    def _of(
        self, networks: Sequence[Callable[[np.ndarray], np.ndarray]], images: np.ndarray
    ) -> np.ndarray:
        parts = np.split(images, len(networks), -1)
        return np.concatenate([each(part) for each, part in zip(networks, parts, strict=True)], 1)


class RandomNetwork:
    """A convolutional network with random weights that stay as they are.

    Strided 3x3 convolutions and leaky ReLUs halve the image down to 4 px. The features are, of
    every stage, mean and deviation of each channel over the image (colours and textures of that
    scale), and the last map as it is (the layout).

    Weights are uniform numbers made of NumPy's raw random bits with exact arithmetic: the same on
    every machine and backend. The forward pass is in float32 on the backend's device, so features
    agree between backends to about six digits (fewer where a GPU rounds to TF32).
    """

    def __init__(self, image_size: int, seed: int = 0) -> None:
        """Draw the weights.

        Args:
            image_size: height and width of the images, a power of two, at least 16.
            seed: which network.

        Raises:
            ValueError: the size does not fit.
        """
        if image_size < 16 or image_size & (image_size - 1):
            raise ValueError(f"image_size must be 16, 32, 64, ..., found {image_size}")
        bits = np.random.PCG64(seed)
        self.image_size = image_size
        self.weights: list[tuple[np.ndarray, np.ndarray]] = []
        channels = 3
        for stage in range(image_size.bit_length() - 3):
            width = WIDTHS[min(stage, len(WIDTHS) - 1)]
            kernel = _uniform(bits, (3, 3, channels, width)) * np.sqrt(6 / (9 * channels))
            bias = _uniform(bits, (width,)) * 0.5
            self.weights.append((kernel.astype(np.float32), bias.astype(np.float32)))
            channels = width
        digest = hashlib.sha256(b"".join(kernel.tobytes() for kernel, _ in self.weights))
        self.name = f"random_{image_size}_{digest.hexdigest()[:8]}"
        widths = [2 * len(bias) for _, bias in self.weights] + [16 * channels]
        self.groups = np.split(np.arange(sum(widths)), np.cumsum(widths)[:-1])
        self.centre = np.zeros(sum(widths), np.float32)
        self.scale = np.ones(sum(widths), np.float32)

    def fit(self, images: np.ndarray) -> np.ndarray:
        """Centre the features and scale them by these images; return theirs, as `__call__` does.

        Every group of features (a stage's means and deviations, the layout) gets the same variance
        in total, so that none decides alone, and the mean of the squared features is 1, which is
        where a cubic kernel bends. A group has one factor: one for each feature would blow up those
        that hardly vary, like a corner of a white background.
        """
        self.centre[:], self.scale[:] = 0, 1
        features = self(images)
        self.centre[:] = features.mean(0, dtype=np.float64)
        features -= self.centre
        for group in self.groups:
            variance = float(np.square(features[:, group], dtype=np.float64).sum(1).mean())
            share = len(self.centre) / len(self.groups)
            self.scale[group] = np.sqrt(share / variance) if variance > 1e-9 else 0
        features *= self.scale
        return features

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 images (N, H, H, 3): float32 (N, D), centred and scaled by `fit`."""
        check_images(images=images)
        if images.shape[1:3] != (self.image_size, self.image_size):
            raise ValueError(f"expected images of {self.image_size} px, found {images.shape[1:3]}")
        parts = [self._forward(chunk) for chunk in chunks(images, bytes_per_value=64)]
        return (np.concatenate(parts) - self.centre) * self.scale

    def _forward(self, images: np.ndarray) -> np.ndarray:
        x = ops.cast(ops.convert_to_tensor(images), "float32") / 127.5 - 1.0
        found = []
        for kernel, bias in self.weights:
            x = ops.conv(
                x, ops.convert_to_tensor(kernel), strides=2, padding="same",
                data_format="channels_last",
            )  # fmt: skip
            x = ops.leaky_relu(x + ops.convert_to_tensor(bias), 0.2)
            mean = ops.mean(x, (1, 2), keepdims=True)
            found += [mean[:, 0, 0], ops.sqrt(ops.mean(ops.square(x - mean), (1, 2)) + 1e-8)]
        found.append(ops.reshape(x, (len(images), -1)))
        return np.concatenate([ops.convert_to_numpy(part) for part in found], axis=1)


def _uniform(bits: np.random.PCG64, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform in [-1, 1), float64, bit for bit the same everywhere."""
    raw = bits.random_raw(int(np.prod(shape)))
    return ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0).reshape(shape)


def inception_file() -> Path:
    """Where Inception's weights are.

    Raises:
        UserError: they are not in Keras' cache.
    """
    path = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras", "models", INCEPTION_FILE)
    if not path.is_file():
        raise UserError(
            f"--features inception: {path} is missing; nothing is downloaded here: get it from "
            f"{INCEPTION_ADDRESS} (88 MB) and put it there, or take --features imagenet"
        )
    return path


class InceptionNetwork:
    """Keras' InceptionV3 with ImageNet weights, up to its global average: 2,048 features.

    Images are resized to 299 px (bilinear). Keras' weights are not those of the graph that most
    papers use: compare numbers with others made in the same way. Tested with stand-ins only: the
    real weights were not at hand.
    """

    def __init__(self) -> None:
        """Load the network.

        Raises:
            UserError: the weights are not in Keras' cache, or damaged.
        """
        path = inception_file()
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        self.name = f"inception_299_{digest.hexdigest()[:8]}"
        try:
            self.network = keras.applications.InceptionV3(
                include_top=False, weights=str(path), pooling="avg", input_shape=(299, 299, 3)
            )
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"--features inception: {path} cannot be read: {reason}") from error

    def fit(self, images: np.ndarray) -> np.ndarray:
        """Features of the images; nothing is scaled, so that numbers compare with papers."""
        return self(images)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 images (N, H, W, 3): float32 (N, 2048)."""
        check_images(images=images)
        parts = []
        for start in range(0, len(images), 32):
            x = ops.cast(ops.convert_to_tensor(images[start : start + 32]), "float32")
            x = ops.image.resize(
                x, (299, 299), interpolation="bilinear", data_format="channels_last"
            )
            x = self.network(x / 127.5 - 1.0, training=False)
            parts.append(np.asarray(ops.convert_to_numpy(x), np.float32))
        return np.concatenate(parts)

"""EfficientNet-Lite0 with ImageNet weights: features that know shapes and objects.

Tan, Le: EfficientNet, 2019, in the form of TensorFlow's "lite" models (Apache-2.0): no
squeeze-and-excitation, ReLU6, stem and head not scaled. All is in float32, on every backend.
"""

from __future__ import annotations

import functools

import numpy as np

from utils import backend  # before Keras: it keeps its start quiet
from utils.scoring.images import channels_first, check_images, filtered
from utils.scoring.weights import SHA256, read_weights

# isort: split
import keras
from keras import ops

INPUT_SIZE = 128
"""Side in pixels of what the network sees: at 224, it orders generators of 64 px no better, and
takes three times as long. Scores of different sizes do not compare."""
BATCH = 32
"""Images at once, the last batch padded: another shape would be compiled anew."""
EPSILON = 1e-3
"""Of the batch normalisations."""
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
"""Of each block."""


class ImageNetNetwork:
    """EfficientNet-Lite0 up to its global average: 1,280 features of a length of sqrt(1,280).

    With features of one length, KID's kernel is a function of their angle. Longer features are
    those of pictures with stronger contrasts, which says nothing of what they show.
    """

    name = f"imagenet_{INPUT_SIZE}_{SHA256[:8]}"

    def __init__(self) -> None:
        """Load the weights.

        Raises:
            UserError: they are not installed, or damaged.
        """
        # Tensors: a compiled function would hold several copies of arrays.
        folded = _folded(read_weights())
        self._kernels = [tuple(map(ops.convert_to_tensor, each)) for each in folded]
        self._compiled = backend.compile_step(self._forward, ())

    def fit(self, images: np.ndarray) -> np.ndarray:
        """Features of the images; nothing is scaled by them."""
        return self(images)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Features of uint8 images (N, H, W, 3): float32 (N, 1280)."""
        check_images(images=images)
        parts = []
        for start in range(0, len(images), BATCH):
            inputs = resized(images[start : start + BATCH])
            padded = np.zeros((BATCH, *inputs.shape[1:]), np.float32)
            padded[: len(inputs)] = inputs
            with backend.full_precision():
                features = ops.convert_to_numpy(self._compiled(padded)["features"])
            parts.append(features[: len(inputs)].astype(np.float64))
        features = np.concatenate(parts)
        lengths = np.linalg.norm(features, axis=1, keepdims=True)
        return (features * (features.shape[1] ** 0.5 / np.maximum(lengths, 1e-12))).astype("f4")

    def directions(self, images: backend.Tensor) -> backend.Tensor:
        """Features of images (N, H, W, 3) in [-1, 1], a tensor of vectors (N, 1280) of length 1.

        To be called in a compiled step; a gradient leads through it.
        """
        rows, columns = (ops.convert_to_tensor(_resizing(size)) for size in images.shape[1:3])
        pixels = ops.einsum("ih,nhwc->niwc", rows, (images + 1) * 127.5)
        pixels = ops.einsum("jw,niwc->nijc", columns, pixels)
        features = self._forward((pixels - 127) / 128)["features"]
        return features / ops.sqrt(ops.sum(ops.square(features), axis=1, keepdims=True) + 1e-12)

    def _forward(self, x: backend.Tensor) -> dict[str, backend.Tensor]:
        kernels = iter(self._kernels)
        x = ops.relu6(_convolved(x, *next(kernels), strides=2))
        for number, strides in enumerate(STRIDES):
            before = x
            if number:  # the first block does not expand
                x = ops.relu6(_convolved(x, *next(kernels)))
            x = ops.relu6(_convolved(x, *next(kernels), strides=strides))
            x = _convolved(x, *next(kernels))
            if x.shape == before.shape:
                x = x + before
        x = ops.relu6(_convolved(x, *next(kernels)))
        return {"features": ops.mean(x, (1, 2))}


def _convolved(
    x: backend.Tensor, kernel: backend.Tensor, bias: backend.Tensor, strides: int = 1
) -> backend.Tensor:
    convolve = ops.conv if kernel.shape[3] > 1 else _convolved_by_channels
    return convolve(x, kernel, strides, "same", "channels_last") + bias


def _convolved_by_channels(
    x: backend.Tensor, kernel: backend.Tensor, strides: int, padding: str, data_format: str
) -> backend.Tensor:
    """A depthwise convolution."""
    if keras.backend.backend() != "jax":
        return ops.depthwise_conv(x, kernel, strides, padding, data_format)
    # As a sum of shifted images: on a CPU, XLA takes six times as long for its convolution.
    side, size = len(kernel), -(-x.shape[1] // strides)
    last = (size - 1) * strides + 1
    added = max(last - 1 + side - x.shape[1], 0)
    border = (added // 2, added - added // 2)
    x = ops.pad(x, ((0, 0), border, border, (0, 0)))
    return sum(
        x[:, row : row + last : strides, column : column + last : strides]
        * kernel[row, column, :, 0]
        for row in range(side)
        for column in range(side)
    )


def _folded(weights: dict[str, np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernels, (H, W, in, out) or of depthwise convolutions (H, W, C, 1), and biases, in their
    order, each with the batch normalisation behind it."""
    found = []
    *layers, _, _ = weights.values()  # but for the last ones, which tell ImageNet's classes apart
    for kernel, scale, shift, mean, variance, _ in zip(*[iter(layers)] * 6, strict=True):
        factor = scale / np.sqrt(variance + EPSILON)
        # PyTorch's are (out, in, H, W), or (C, 1, H, W), which become (H, W, C, 1) the other way.
        axes = (2, 3, 0, 1) if kernel.shape[1] == 1 else (2, 3, 1, 0)
        kernel = (kernel * factor[:, None, None, None]).transpose(axes)
        found.append((np.ascontiguousarray(kernel), shift - mean * factor))
    return found


def resized(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, 3) as the network takes it: float32 (N, 128, 128, 3), about -1 to 1.

    In NumPy, bilinear and with antialiasing where it shrinks, so that no backend has its own way.
    """
    rows, columns = (_resizing(size) for size in images.shape[1:3])
    pixels = filtered(channels_first(images, np.float32), rows, columns)
    return (np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)) - 127) / 128


@functools.cache
def _resizing(size: int) -> np.ndarray:
    """Bilinear weights of the pixels, float32 (128, size): triangles around the new centres."""
    scale = size / INPUT_SIZE
    centres = (np.arange(INPUT_SIZE) + 0.5) * scale - 0.5
    distances = np.abs(centres[:, None] - np.arange(size)) / max(scale, 1)
    weights = np.maximum(1 - distances, 0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)

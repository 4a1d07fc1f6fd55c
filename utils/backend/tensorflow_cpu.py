"""What TensorFlow computes slowly on a CPU, written otherwise: the same arithmetic, sooner.

Keras' layers and optimizers are made of general TensorFlow operations. On a GPU most of them are
cheap compared with the convolutions; on a CPU, a profile of a DCGAN's step shows a third of the
time in them. `faster` puts other implementations in their place while a step is traced. Networks,
weights, saved files and scripts know nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow
from keras import layers

from utils.backend.replacing import replaced
from utils.backend.types import Tensor

LARGEST_MAP = 8
"""Side in pixels of the largest output of a convolution whose filter gradient is a product."""
FEWEST_CHANNELS = 32
"""Below that, the product is too narrow to be quick."""

_normalize = layers.BatchNormalization.call
_drop = layers.Dropout.call
_update = keras.optimizers.Adam.update_step
_convolve = tensorflow.nn.convolution
_convolve_transposed = tensorflow.nn.conv_transpose


def _normalize_in_one(
    layer: layers.BatchNormalization,
    inputs: Tensor,
    training: bool | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """In one kernel instead of a dozen, which each read and write the whole map."""
    fits = len(inputs.shape) == 4 and layer.axis in (-1, 3) and inputs.dtype.is_floating
    if not (training and layer.trainable and fits) or mask is not None or layer.renorm:
        return _normalize(layer, inputs, training=training, mask=mask)
    channels = inputs.shape[-1]
    count = tensorflow.cast(tensorflow.size(inputs) // channels, "float32")
    scale = layer.gamma.value if layer.scale else tensorflow.ones([channels])
    offset = layer.beta.value if layer.center else tensorflow.zeros([channels])
    nothing = tensorflow.zeros([0])
    outputs, mean, variance, *_ = tensorflow.raw_ops.FusedBatchNormV3(
        x=inputs, scale=scale, offset=offset, mean=nothing, variance=nothing,
        epsilon=layer.epsilon, is_training=True,
    )  # fmt: skip
    # The kernel corrects the variance for the sample's size; Keras' moving variance does not.
    variance *= (count - 1.0) / count
    for moving, value in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + value * (1.0 - layer.momentum))
    return outputs


def _drop_with_fewer_bits(layer: layers.Dropout, inputs: Tensor, training: bool = False) -> Tensor:
    """With 8 or 16 random bits for each decision instead of 32: drawing them is what takes time."""
    if not training or layer.rate in (0, 1) or layer.noise_shape is not None:
        return _drop(layer, inputs, training=training)
    bits = 8 if (256 * layer.rate).is_integer() else 16
    dropped = round(layer.rate * 2**bits)
    shape, dtype = inputs.shape, inputs.dtype
    size = tensorflow.size(inputs)
    per_word = 32 // bits
    words = tensorflow.random.stateless_uniform(
        [(size + per_word - 1) // per_word],
        tensorflow.cast(layer.seed_generator.next(), "int32"),
        minval=None, maxval=None, dtype="int32",
    )  # fmt: skip
    numbers = tensorflow.reshape(tensorflow.bitcast(words, f"uint{bits}"), [-1])[:size]
    keep = tensorflow.reshape(numbers, tensorflow.shape(inputs)) >= dropped
    mask = tensorflow.cast(keep, dtype) * tensorflow.cast(1 / (1 - dropped / 2**bits), dtype)
    return tensorflow.ensure_shape(inputs * mask, shape)


def _update_in_one(
    optimizer: keras.optimizers.Adam,
    gradient: Tensor,
    variable: keras.Variable,
    learning_rate: Tensor,
) -> None:
    """In one kernel: weights and moments are read and written once instead of ten times."""
    is_dense = isinstance(gradient, tensorflow.Tensor)
    if optimizer.amsgrad or variable.dtype != "float32" or not is_dense:
        _update(optimizer, gradient, variable, learning_rate)
        return
    step = tensorflow.cast(optimizer.iterations.value + 1, "float32")
    index = optimizer._get_variable_index(variable)
    tensorflow.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[index].handle,
        v=optimizer._velocities[index].handle,
        beta1_power=tensorflow.pow(optimizer.beta_1, step),
        beta2_power=tensorflow.pow(optimizer.beta_2, step),
        lr=tensorflow.cast(learning_rate, "float32"),
        beta1=optimizer.beta_1, beta2=optimizer.beta_2, epsilon=optimizer.epsilon,
        grad=gradient,
    )  # fmt: skip


def _is_slow(images: Tensor, kernel: Tensor, strides: Any, padding: str) -> bool:
    """Whether the filter gradient of a convolution of ``images`` is better made by `_product`."""
    if len(images.shape) != 4 or not images.shape.is_fully_defined():
        return False
    height, width, channels = images.shape[1:]
    side, other_side = kernel.shape[:2]
    return (
        images.dtype == "bfloat16" and padding == "SAME" and set(_pair(strides)) == {2}
        and side == other_side == 4 and height % 2 == width % 2 == 0
        and max(height, width) <= 2 * LARGEST_MAP and min(kernel.shape[2:]) >= FEWEST_CHANNELS
        and channels == kernel.shape[2]
    )  # fmt: skip


def _pair(value: int | Sequence[int]) -> Sequence[int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _product(images: Tensor, out_gradient: Tensor) -> Tensor:
    """The filter gradient (4, 4, C, F) of a convolution with stride 2, as one matrix product.

    Every output pixel saw 4x4 pixels: laid out as rows, these are multiplied with the gradients.

    Args:
        images: (B, 2h, 2w, C).
        out_gradient: (B, h, w, F).
    """
    batch, height, width, channels = images.shape
    filters = out_gradient.shape[-1]
    padded = tensorflow.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]])
    # In blocks of 2x2 the stride becomes 1: slices with steps take ten times as long to copy.
    blocks = tensorflow.reshape(padded, (batch, height // 2 + 1, 2, width // 2 + 1, 2 * channels))
    patches = tensorflow.concat(
        [
            blocks[:, down : down + height // 2, row, right : right + width // 2]
            for down in (0, 1)
            for row in (0, 1)
            for right in (0, 1)
        ],
        axis=-1,
    )
    product = tensorflow.matmul(
        tensorflow.reshape(patches, (-1, 16 * channels)),
        tensorflow.reshape(out_gradient, (-1, filters)),
        transpose_a=True,
    )
    return tensorflow.reshape(product, (4, 4, channels, filters))


def _convolve_with_product(
    input: Tensor,
    filters: Tensor,
    strides: Any = None,
    padding: str = "VALID",
    **options: Any,
) -> Tensor:
    if not _is_slow(input, filters, strides, padding):
        return _convolve(input, filters, strides, padding, **options)

    @tensorflow.custom_gradient
    def convolution(images: Tensor, kernel: Tensor) -> tuple[Tensor, Callable[..., Any]]:
        def gradient(out_gradient: Tensor) -> tuple[Tensor, Tensor]:
            to_images = tensorflow.nn.conv2d_transpose(
                out_gradient, kernel, images.shape, 2, padding
            )
            return to_images, _product(images, out_gradient)

        return _convolve(images, kernel, strides, padding, **options), gradient

    return convolution(input, filters)


def _convolve_transposed_with_product(
    input: Tensor,
    filters: Tensor,
    output_shape: Any,
    strides: Any,
    padding: str = "SAME",
    **options: Any,
) -> Tensor:
    batch, height, width, _ = input.shape
    larger = tensorflow.TensorSpec((batch, 2 * height, 2 * width, filters.shape[2]), input.dtype)
    if batch is None or not _is_slow(larger, filters, strides, padding):
        return _convolve_transposed(input, filters, output_shape, strides, padding, **options)

    @tensorflow.custom_gradient
    def transposed(images: Tensor, kernel: Tensor) -> tuple[Tensor, Callable[..., Any]]:
        def gradient(out_gradient: Tensor) -> tuple[Tensor, Tensor]:
            to_images = tensorflow.nn.conv2d(out_gradient, kernel, 2, padding)
            return to_images, _product(out_gradient, images)

        return _convolve_transposed(
            images, kernel, output_shape, strides, padding, **options
        ), gradient

    return transposed(input, filters)


_REPLACEMENTS = (
    (layers.BatchNormalization, "call", _normalize_in_one),
    (layers.Dropout, "call", _drop_with_fewer_bits),
    (keras.optimizers.Adam, "update_step", _update_in_one),
    (tensorflow.nn, "convolution", _convolve_with_product),
    (tensorflow.nn, "conv_transpose", _convolve_transposed_with_product),
)
_ORIGINALS = tuple((owner, name, getattr(owner, name)) for owner, name, _ in _REPLACEMENTS)


def faster() -> AbstractContextManager[None]:
    """While the block runs, layers and optimizers compute with the functions above."""
    return replaced(*_REPLACEMENTS)


def plain() -> AbstractContextManager[None]:
    """Inside a block of `faster`, go back for a while to what can be differentiated twice."""
    return replaced(*_ORIGINALS)

"""What Keras computes slowly on PyTorch, written otherwise: the same arithmetic, sooner.

Keras copies the input of every convolution into another layout, makes batch normalisation of a
dozen operations, and Adam of as many; PyTorch has each as one, for the layout as it is. `faster`
puts these in their place while a step runs. Networks, weights and saved files know nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager

import keras
import torch
from keras import layers, ops
from torch.nn import functional

from utils.backend.replacing import replaced
from utils.backend.types import Gradients, Tensor

_normalize = layers.BatchNormalization.call
_convolve = layers.Conv2D.convolution_op
_convolve_transposed = layers.Conv2DTranspose.call
_average = layers.AveragePooling2D.call
_Adam = type(keras.optimizers.Adam())  # on PyTorch, Keras makes one of a class of its own
_update = _Adam._parallel_update_step


def _normalize_in_one(
    layer: layers.BatchNormalization,
    inputs: Tensor,
    training: bool | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    fits = inputs.ndim == 4 and layer.axis in (-1, 3)
    if not (training and layer.trainable and fits) or mask is not None or layer.renorm:
        return _normalize(layer, inputs, training=training, mask=mask)
    scale = layer.gamma.value if layer.scale else None
    offset = layer.beta.value if layer.center else None
    outputs, mean, inverse_deviation = torch.native_batch_norm(
        inputs.permute(0, 3, 1, 2), scale, offset, None, None, True, 0.0, layer.epsilon
    )
    with torch.no_grad():
        variance = inverse_deviation**-2 - layer.epsilon
        for moving, value in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving.value * layer.momentum + value * (1.0 - layer.momentum))
    return outputs.permute(0, 2, 3, 1)


def _convolve_in_place(layer: layers.Conv2D, inputs: Tensor, kernel: Tensor) -> Tensor:
    """Channels stay last, a layout that PyTorch knows as well."""
    pads = _pads(layer, inputs.shape[1:3])
    if pads is None:
        return _convolve(layer, inputs, kernel)
    kernel = ops.convert_to_tensor(kernel).permute(3, 2, 0, 1)
    outputs = functional.conv2d(
        inputs.permute(0, 3, 1, 2), kernel, None, layer.strides, pads, groups=layer.groups
    )
    return outputs.permute(0, 2, 3, 1)


def _convolve_transposed_in_place(layer: layers.Conv2DTranspose, inputs: Tensor) -> Tensor:
    height, width = inputs.shape[1:3]
    pads = _pads(layer, (height * layer.strides[0], width * layer.strides[1]))
    is_short = any(
        side < stride for side, stride in zip(layer.kernel_size, layer.strides, strict=True)
    )
    if pads is None or is_short or layer.output_padding is not None:
        return _convolve_transposed(layer, inputs)
    kernel = ops.convert_to_tensor(layer.kernel).permute(3, 2, 0, 1)
    bias = ops.convert_to_tensor(layer.bias) if layer.use_bias else None
    outputs = functional.conv_transpose2d(
        inputs.permute(0, 3, 1, 2), kernel, bias, layer.strides, pads
    )
    return layer.activation(outputs.permute(0, 2, 3, 1))


def _average_as_sums(layer: layers.AveragePooling2D, inputs: Tensor) -> Tensor:
    """Means of every 2x2 pixels: PyTorch's own take a fifth of a default step on a CPU."""
    is_every = layer.pool_size == (2, 2) and layer.strides == (1, 1) and layer.padding == "valid"
    if not is_every or layer.data_format != "channels_last":
        return _average(layer, inputs)
    pairs = inputs[:, :-1] + inputs[:, 1:]
    return 0.25 * (pairs[:, :, :-1] + pairs[:, :, 1:])


def _pads(layer: layers.Layer, size: Sequence[int]) -> list[int] | None:
    """Zeros at each side of an image of this size, rows and columns; None: not the same on both."""
    if layer.data_format != "channels_last" or set(layer.dilation_rate) != {1}:
        return None
    if layer.padding == "valid":
        return [0, 0]
    pads = []
    for length, side, stride in zip(size, layer.kernel_size, layer.strides, strict=True):
        zeros = max(0, side - (length % stride or stride))
        pads.append(zeros // 2)
        if zeros % 2 or layer.padding != "same":
            return None
    return pads


@torch.no_grad()
def _update_in_one(
    optimizer: keras.optimizers.Adam,
    gradients: Gradients,
    variables: list[keras.Variable],
    learning_rate: Tensor | float,
) -> None:
    parameters = [variable.value for variable in variables]
    is_plain = all(each.dtype == torch.float32 and each.is_cpu for each in parameters)
    if optimizer.amsgrad or not is_plain:
        _update(optimizer, gradients, variables, learning_rate)
        return
    indices = [optimizer._get_variable_index(variable) for variable in variables]
    step = float(optimizer.iterations.value + 1)
    # Keras adds epsilon before the correction of the second moment's bias, PyTorch after it.
    epsilon = optimizer.epsilon / math.sqrt(1.0 - optimizer.beta_2**step)
    torch._fused_adam_(
        parameters,
        [gradient.contiguous() for gradient in gradients],
        [optimizer._momentums[index].value for index in indices],
        [optimizer._velocities[index].value for index in indices],
        [],
        [torch.tensor(step) for _ in parameters],
        lr=float(learning_rate), beta1=optimizer.beta_1, beta2=optimizer.beta_2, eps=epsilon,
        weight_decay=0.0, amsgrad=False, maximize=False,
    )  # fmt: skip


def faster() -> AbstractContextManager[None]:
    """While the block runs, layers and optimizers compute with the functions above."""
    return replaced(
        (layers.BatchNormalization, "call", _normalize_in_one),
        (layers.Conv2D, "convolution_op", _convolve_in_place),
        (layers.Conv2DTranspose, "call", _convolve_transposed_in_place),
        (layers.AveragePooling2D, "call", _average_as_sums),
        (_Adam, "_parallel_update_step", _update_in_one),
    )

"""A generator for use elsewhere: plain Keras in float32, and ONNX.

The ONNX graph is written here, layer by layer, from the weights: the same file on every backend,
with no other package than ``onnx``. Keras' own export goes through the running backend, and each
backend needs another converter.

Maps are (N, C, H, W) in ONNX and (N, H, W, C) in Keras. The graph changes over at the first
convolution and back at its end. Several layers may read one layer; a layer that reads several must
be a sum, as in residual blocks. Dropout is left out, and batch normalisation uses its moving
statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers, ops

from utils.common.errors import UserError
from utils.common.files import atomic_path
from utils.sampling.graph import Graph, Value
from utils.sampling.runs import class_count, latent_dim, to_float32

if TYPE_CHECKING:
    from onnx import ModelProto

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}
"""Activations by their Keras names, and as ONNX operators."""

Writer = Callable[[Graph, Any], None]
"""Appends the operators of a Keras layer in inference to a graph."""
WRITERS: dict[type[layers.Layer], Writer] = {}
"""By kind of layer. A sum, which reads several layers, is `write_sum`."""


def export(generator: keras.Model, keras_path: Path, onnx_path: Path) -> None:
    """Write a generator for plain Keras and for ONNX Runtime; both files, or with an error neither.

    Raises:
        UserError: see `to_onnx`.
        OSError: the folder cannot be written, or the disk is full.
    """
    generator = to_float32(generator)
    model = to_onnx(generator, "--export")
    with atomic_path(keras_path) as keras_file, atomic_path(onnx_path) as onnx_file:
        generator.save(keras_file)
        onnx_file.write_bytes(model.SerializeToString(deterministic=True))


def to_onnx(generator: keras.Model, option: str) -> ModelProto:
    """A generator as an ONNX model, in float32.

    Its input is ``latents``, float32 (N, latent_dim), any N, and with classes ``classes``, float32
    (N, K): 1 for the class that is asked for, else 0, or a mixture. Its output is ``images``,
    float32 (N, H, W, C); clip them to [-1, 1], which a network without a tanh can exceed.

    Args:
        generator: latent vectors (N, latent_dim) to images (N, H, W, C).
        option: named in errors.

    Raises:
        UserError: the onnx package is not installed, or a layer cannot be exported.
    """
    try:
        graph = Graph(latent_dim(generator), class_count(generator))
    except ImportError:
        raise UserError(f"{option}: the onnx package is not here: pip install onnx") from None
    given = zip(generator.inputs, graph.inputs, strict=True)
    made = {id(tensor): value for tensor, value in given}
    try:
        for layer in generator.layers:  # each after those it reads
            if isinstance(layer, layers.InputLayer):
                continue
            sources = [made.get(id(source)) for source in keras.tree.flatten(layer.input)]
            write(graph, layer, sources)
            made[id(layer.output)] = graph.value()
    except _NotExportableError as error:
        raise UserError(f"{option}: {error}") from None
    graph.go_to(made[id(generator.outputs[0])])
    return graph.model()


# ------------------------------------------------------------------------------------------------
# Keras layers
# ------------------------------------------------------------------------------------------------


class _NotExportableError(Exception):
    """A layer, or an option of it, that this module does not know."""


def _refuse_if(layer: layers.Layer, condition: bool, what: str) -> None:
    if condition:
        raise _NotExportableError(f"layer {layer.name} {what}")


def _refuse_option_if(layer: layers.Layer, condition: bool, what: str) -> None:
    _refuse_if(layer, condition, f"has {what}, which it does not know")


def _array(variable: keras.Variable) -> np.ndarray:
    return ops.convert_to_numpy(variable).astype(np.float32)


def write(graph: Graph, layer: layers.Layer, sources: Sequence[Value | None]) -> None:
    """Append a layer, which is called once in its network, and reads these values.

    Raises:
        _NotExportableError: it is of another kind, or reads something else than earlier layers.
    """
    kind = type(layer)
    is_sum = kind is layers.Add
    alone = None not in sources and (len(sources) == 1 or is_sum)
    _refuse_if(layer, not alone, "does not read one earlier layer alone")
    known = kind in WRITERS or is_sum
    _refuse_if(layer, not known, f"is a {kind.__name__}, which it does not know")
    if is_sum:
        write_sum(graph, layer, sources)
    else:
        graph.go_to(sources[0])
        WRITERS[kind](graph, layer)
    graph.shape = tuple(layer.output.shape[1:])


def write_sum(graph: Graph, layer: layers.Add, sources: Sequence[Value]) -> None:
    """Append a sum of maps or vectors of one shape."""
    shapes = {source.shape for source in sources}
    _refuse_option_if(layer, len(shapes) > 1, "inputs of several shapes")
    # As the last one is: after a convolution, with channels first.
    first = sources[-1].channels_first
    names = []
    for source in sources:
        graph.go_to(source)
        graph.put_channels(first)
        names.append(graph.output)
    graph.output = names[0]
    graph.add("Sum", layer.name, *names[1:])


def writes(*kinds: type[layers.Layer]) -> Callable[[Writer], Writer]:
    """Register the writer of these kinds of layers."""

    def register(writer: Writer) -> Writer:
        WRITERS.update(dict.fromkeys(kinds, writer))
        return writer

    return register


@writes(layers.Dropout, layers.Identity)
def _nothing(graph: Graph, layer: layers.Layer) -> None:
    pass


@writes(layers.Dense)
def _dense(graph: Graph, layer: layers.Dense) -> None:
    _refuse_option_if(layer, len(graph.shape) != 1, "maps as inputs")
    graph.add("MatMul", layer.name, graph.constant(f"{layer.name}_kernel", _array(layer.kernel)))
    if layer.use_bias:
        bias = graph.constant(f"{layer.name}_bias", _array(layer.bias))
        graph.add("Add", f"{layer.name}_with_bias", bias)
    _activation(graph, layer)


@writes(layers.EinsumDense)
def _einsum(graph: Graph, layer: layers.EinsumDense) -> None:
    _refuse_option_if(layer, layer.bias is not None, "an offset")
    _refuse_option_if(layer, "..." in layer.equation, f"the equation {layer.equation}")
    graph.put_channels(first=False)
    kernel = graph.constant(f"{layer.name}_kernel", _array(layer.kernel))
    graph.add("Einsum", layer.name, kernel, equation=layer.equation)
    graph.channels_first = False
    _activation(graph, layer)


@writes(layers.Reshape)
def _reshape(graph: Graph, layer: layers.Reshape) -> None:
    graph.put_channels(first=False)  # the order of numbers that Keras reshapes
    shape = np.array([-1, *layer.output.shape[1:]], np.int64)
    graph.add("Reshape", layer.name, graph.constant(f"{layer.name}_shape", shape))
    graph.channels_first = False


@writes(layers.BatchNormalization)
def _normalization(graph: Graph, layer: layers.BatchNormalization) -> None:
    is_of_channels = layer.axis in (-1, len(graph.shape))
    _refuse_option_if(layer, not is_of_channels, "another axis than the channels'")
    graph.put_channels(first=True)
    channels = graph.shape[-1]
    arrays = {
        "scale": _array(layer.gamma) if layer.scale else np.ones(channels, np.float32),
        "offset": _array(layer.beta) if layer.center else np.zeros(channels, np.float32),
        "mean": _array(layer.moving_mean),
        "variance": _array(layer.moving_variance),
    }
    inputs = [graph.constant(f"{layer.name}_{name}", array) for name, array in arrays.items()]
    graph.add("BatchNormalization", layer.name, *inputs, epsilon=float(layer.epsilon))


@writes(layers.Activation)
def _activation(graph: Graph, layer: layers.Layer) -> None:
    """Append the activation that a layer is, or has after its own operator."""
    name = getattr(layer.activation, "__name__", "linear")
    _refuse_option_if(layer, name not in ("linear", *ACTIVATIONS), f"activation {name}")
    if name != "linear":
        graph.add(ACTIVATIONS[name], f"{layer.name}_{name}")


@writes(layers.ReLU)
def _relu(graph: Graph, layer: layers.ReLU) -> None:
    is_plain = (layer.max_value, layer.negative_slope, layer.threshold) == (None, 0, 0)
    _refuse_option_if(layer, not is_plain, "a bound, slope or threshold")
    graph.add("Relu", layer.name)


@writes(layers.LeakyReLU)
def _leaky_relu(graph: Graph, layer: layers.LeakyReLU) -> None:
    graph.add("LeakyRelu", layer.name, alpha=float(layer.negative_slope))


@writes(layers.UpSampling2D)
def _upsampling(graph: Graph, layer: layers.UpSampling2D) -> None:
    """Append a repetition of pixels, or bilinear interpolation between the pixels' centres."""
    modes = {"nearest": ("nearest", "asymmetric"), "bilinear": ("linear", "half_pixel")}
    is_known = layer.interpolation in modes
    _refuse_option_if(layer, not is_known, f"interpolation {layer.interpolation}")
    mode, places = modes[layer.interpolation]
    graph.put_channels(first=True)
    scales = graph.constant(f"{layer.name}_scales", np.array([1, 1, *layer.size], np.float32))
    graph.add(
        "Resize", layer.name, "", scales, mode=mode,
        coordinate_transformation_mode=places, nearest_mode="floor",
    )  # fmt: skip


@writes(layers.AveragePooling2D)
def _average_pooling(graph: Graph, layer: layers.AveragePooling2D) -> None:
    _refuse_option_if(layer, layer.padding != "valid", f"padding {layer.padding}")
    graph.put_channels(first=True)
    sides = {"kernel_shape": list(layer.pool_size), "strides": list(layer.strides)}
    graph.add("AveragePool", layer.name, **sides)


@writes(layers.Cropping2D)
def _cropping(graph: Graph, layer: layers.Cropping2D) -> None:
    graph.put_channels(first=True)
    starts = [before for before, _ in layer.cropping]
    sides = zip(starts, layer.output.shape[1:3], strict=True)
    ends = [start + side for start, side in sides]
    places = {"starts": starts, "ends": ends, "axes": [2, 3]}
    inputs = [
        graph.constant(f"{layer.name}_{name}", np.array(numbers, np.int64))
        for name, numbers in places.items()
    ]
    graph.add("Slice", layer.name, *inputs)


@writes(layers.Conv2D)
def _convolution(graph: Graph, layer: layers.Conv2D) -> None:
    # Keras' kernel is (rows, columns, in, out), ONNX' (out, in, rows, columns).
    _convolve(graph, layer, "Conv", graph.shape, group=layer.groups)


@writes(layers.Conv2DTranspose)
def _transposed_convolution(graph: Graph, layer: layers.Conv2DTranspose) -> None:
    # Keras' kernel is (rows, columns, out, in), ONNX' (in, out, rows, columns).
    _refuse_option_if(layer, layer.output_padding is not None, "an output padding")
    # What a kernel smaller than the stride never reaches.
    sides = zip(layer.kernel_size, layer.strides, strict=True)
    beyond = [max(stride - kernel, 0) for kernel, stride in sides]
    shape = tuple(layer.output.shape[1:])
    _convolve(graph, layer, "ConvTranspose", shape, output_padding=beyond)


def _convolve(
    graph: Graph,
    layer: layers.Conv2D | layers.Conv2DTranspose,
    operator: str,
    larger: tuple[int, ...],
    **attributes: Any,
) -> None:
    _refuse_option_if(layer, tuple(layer.dilation_rate) != (1, 1), "dilation")
    _refuse_option_if(layer, layer.data_format != "channels_last", "channels first")
    graph.put_channels(first=True)
    kernel = _array(layer.kernel).transpose(3, 2, 0, 1)
    inputs = [graph.constant(f"{layer.name}_kernel", kernel)]
    if layer.use_bias:
        inputs.append(graph.constant(f"{layer.name}_bias", _array(layer.bias)))
    padding = [(0, 0)] * 2
    if layer.padding == "same":
        sides = zip(larger[:2], layer.kernel_size, layer.strides, strict=True)
        padding = [same_padding(*side) for side in sides]
    pads = [before for before, _ in padding] + [after for _, after in padding]
    graph.add(operator, layer.name, *inputs, strides=list(layer.strides), pads=pads, **attributes)
    _activation(graph, layer)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a side that "same" padding adds; the odd one goes to the end.

    Args:
        size: of the side, of the larger map: the input of a convolution, or the output of a
            transposed one, which is its gradient.
        kernel: its side.
        stride: how far it moves.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2

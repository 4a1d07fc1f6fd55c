"""A generator for use elsewhere: plain Keras in float32, and ONNX.

The ONNX graph is written here, layer by layer, from the weights: the same file on every backend,
and the only thing it needs is the ``onnx`` package. Keras' own export goes through the running
backend, each of which wants another converter.

In ONNX, maps are (N, C, H, W); Keras' are (N, H, W, C). The graph changes over at the first
convolution and back at its end. A layer may be read by several others and brought together with
them in a sum, as in residual blocks, but in nothing else. What training alone does is left out:
dropout, and the statistics of a batch, in whose place batch normalisation has its moving ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from utils.common.errors import UserError
from utils.common.files import atomic_path
from utils.sampling.runs import to_float32

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
"""Of the operators in the graph; ONNX Runtime knows it since version 1.12, of 2022."""
IR_VERSION = 8
"""Of the file format, which came with that."""
ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}
"""Activations by their Keras names, and as ONNX operators."""


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after a side that "same" padding adds; the odd one goes to the end.

    Args:
        size: of the side, of the larger map: what a convolution takes, or what a transposed one,
            which is its gradient, makes.
        kernel: its side.
        stride: how far it moves.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class _Value(NamedTuple):
    """What an operator gives."""

    name: str
    shape: tuple[int, ...]
    """As in Keras, without the batch."""
    channels_first: bool


class _Graph:
    """An ONNX graph under construction: operators, each behind those it reads, and their weights.

    The output that the next operator takes is the last one made, until `go_to` chooses another.
    """

    def __init__(self, latent_dim: int) -> None:
        from onnx import helper, numpy_helper

        self._make_node = helper.make_node
        self._from_array = numpy_helper.from_array
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.output = "latents"
        """Name of what the last operator gives."""
        self.shape: tuple[int, ...] = (latent_dim,)
        """Its shape as in Keras, without the batch."""
        self.channels_first = False
        self._turned: dict[tuple[str, bool], str] = {}

    def constant(self, name: str, array: np.ndarray) -> str:
        """Keep an array in the file, numbers as float32; returns its name."""
        self.weights.append(self._from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, name: str, *inputs: str, **attributes: Any) -> None:
        """Append an operator that takes the output so far, and these."""
        output = f"{name}/output"  # a layer can have the name of the graph's input or output
        self.nodes.append(
            self._make_node(operator, [self.output, *inputs], [output], name=name, **attributes)
        )
        self.output = output

    def value(self) -> _Value:
        """The output so far, to come back to."""
        return _Value(self.output, self.shape, self.channels_first)

    def go_to(self, value: _Value) -> None:
        """Let the next operator take this."""
        self.output, self.shape, self.channels_first = value

    def put_channels(self, first: bool) -> None:
        """Turn maps so that their channels come first, or last, where they do not yet."""
        if len(self.shape) == 3 and self.channels_first != first:
            known = (self.output, first)
            if known in self._turned:  # for another layer that reads the same
                self.output = self._turned[known]
            else:
                order = [0, 3, 1, 2] if first else [0, 2, 3, 1]
                self.add("Transpose", f"{self.output}_{'nchw' if first else 'nhwc'}", perm=order)
                self._turned[known] = self.output
            self.channels_first = first

    # --------------------------------------------------------------------------------------------
    # Keras layers
    # --------------------------------------------------------------------------------------------

    def add_layer(self, layer: layers.Layer, inputs: Sequence[_Value]) -> None:
        """Append what a Keras layer does in inference.

        Args:
            layer: is called once in the network.
            inputs: what it reads; several only if it is a sum.

        Raises:
            UserError: no operator is known for it.
        """
        kind = type(layer)
        if kind not in _LAYERS and kind is not layers.Add:
            raise UserError(
                f"--export: layer {layer.name} is a {kind.__name__}, which it does not know"
            )
        if kind is layers.Add:
            self.sum(layer, inputs)
        else:
            self.go_to(inputs[0])
            _LAYERS[kind](self, layer)
        self.shape = tuple(layer.output.shape[1:])

    def sum(self, layer: layers.Add, inputs: Sequence[_Value]) -> None:
        """Of maps or vectors of one shape."""
        _refuse_if(layer, len({value.shape for value in inputs}) > 1, "inputs of several shapes")
        # As the last one is: behind a convolution, with channels first.
        first = inputs[-1].channels_first
        names = []
        for value in inputs:
            self.go_to(value)
            self.put_channels(first)
            names.append(self.output)
        self.output = names[0]
        self.add("Sum", layer.name, *names[1:])

    def nothing(self, layer: layers.Layer) -> None:
        """What only training does."""

    def dense(self, layer: layers.Dense) -> None:
        """A product with the kernel, and the offset."""
        _refuse_if(layer, len(self.shape) != 1, "maps as inputs")
        self.add("MatMul", layer.name, self.constant(f"{layer.name}_kernel", _array(layer.kernel)))
        if layer.use_bias:
            bias = self.constant(f"{layer.name}_bias", _array(layer.bias))
            self.add("Add", f"{layer.name}_with_bias", bias)
        self.activate(layer)

    def einsum(self, layer: layers.EinsumDense) -> None:
        """A product with the kernel, over the axes that the equation names."""
        _refuse_if(layer, layer.bias is not None, "an offset")
        _refuse_if(layer, "..." in layer.equation, f"the equation {layer.equation}")
        self.put_channels(first=False)
        kernel = self.constant(f"{layer.name}_kernel", _array(layer.kernel))
        self.add("Einsum", layer.name, kernel, equation=layer.equation)
        self.channels_first = False
        self.activate(layer)

    def reshape(self, layer: layers.Reshape) -> None:
        """From Keras' order of numbers, whatever the order was."""
        self.put_channels(first=False)
        shape = np.array([-1, *layer.output.shape[1:]], np.int64)
        self.add("Reshape", layer.name, self.constant(f"{layer.name}_shape", shape))
        self.channels_first = False

    def normalize(self, layer: layers.BatchNormalization) -> None:
        """With the moving statistics."""
        _refuse_if(
            layer, layer.axis not in (-1, len(self.shape)), "another axis than the channels'"
        )
        self.put_channels(first=True)
        channels = self.shape[-1]
        mean, variance = _array(layer.moving_mean), _array(layer.moving_variance)
        scale = _array(layer.gamma) if layer.scale else np.ones(channels, np.float32)
        offset = _array(layer.beta) if layer.center else np.zeros(channels, np.float32)
        self.add(
            "BatchNormalization",
            layer.name,
            self.constant(f"{layer.name}_scale", scale),
            self.constant(f"{layer.name}_offset", offset),
            self.constant(f"{layer.name}_mean", mean),
            self.constant(f"{layer.name}_variance", variance),
            epsilon=float(layer.epsilon),
        )

    def activation(self, layer: layers.Activation) -> None:
        """One of those in ``ACTIVATIONS``."""
        self.activate(layer)

    def relu(self, layer: layers.ReLU) -> None:
        """max(x, 0)."""
        plain = (layer.max_value, layer.negative_slope, layer.threshold) == (None, 0, 0)
        _refuse_if(layer, not plain, "a bound, slope or threshold")
        self.add("Relu", layer.name)

    def leaky_relu(self, layer: layers.LeakyReLU) -> None:
        """x where x > 0, elsewhere its slope times x."""
        self.add("LeakyRelu", layer.name, alpha=float(layer.negative_slope))

    def upsample(self, layer: layers.UpSampling2D) -> None:
        """Every pixel repeated, or bilinear interpolation between the pixels' centres."""
        mode = {"nearest": "nearest", "bilinear": "linear"}.get(layer.interpolation)
        _refuse_if(layer, mode is None, f"interpolation {layer.interpolation}")
        places = {"nearest": "asymmetric", "linear": "half_pixel"}
        self.put_channels(first=True)
        scales = self.constant(f"{layer.name}_scales", np.array([1, 1, *layer.size], np.float32))
        self.add(
            "Resize", layer.name, "", scales, mode=mode,
            coordinate_transformation_mode=places[mode], nearest_mode="floor",
        )  # fmt: skip

    def convolve(self, layer: layers.Conv2D) -> None:
        """Keras' kernel is (rows, columns, in, out), ONNX' (out, in, rows, columns)."""
        self._convolve(layer, "Conv", self.shape)

    def convolve_transposed(self, layer: layers.Conv2DTranspose) -> None:
        """Keras' kernel is (rows, columns, out, in), ONNX' (in, out, rows, columns)."""
        _refuse_if(layer, layer.output_padding is not None, "an output padding")
        self._convolve(layer, "ConvTranspose", tuple(layer.output.shape[1:]))

    def _convolve(
        self, layer: layers.Conv2D | layers.Conv2DTranspose, operator: str, larger: tuple[int, ...]
    ) -> None:
        _refuse_if(layer, tuple(layer.dilation_rate) != (1, 1), "dilation")
        _refuse_if(layer, layer.data_format != "channels_last", "channels first")
        self.put_channels(first=True)
        inputs = [self.constant(f"{layer.name}_kernel", _array(layer.kernel).transpose(3, 2, 0, 1))]
        if layer.use_bias:
            inputs.append(self.constant(f"{layer.name}_bias", _array(layer.bias)))
        sides = list(zip(larger[:2], layer.kernel_size, layer.strides, strict=True))
        padding = [(0, 0)] * 2
        attributes: dict[str, Any] = {"strides": list(layer.strides)}
        if layer.padding == "same":
            padding = [same_padding(*side) for side in sides]
        if operator == "Conv":
            attributes["group"] = layer.groups
        if operator == "ConvTranspose":
            # What a kernel smaller than the stride never reaches.
            attributes["output_padding"] = [max(stride - kernel, 0) for _, kernel, stride in sides]
        attributes["pads"] = [before for before, _ in padding] + [after for _, after in padding]
        self.add(operator, layer.name, *inputs, **attributes)
        self.activate(layer)

    def activate(self, layer: layers.Layer) -> None:
        """The activation that a layer has of its own."""
        name = getattr(layer.activation, "__name__", "linear")
        _refuse_if(layer, name not in ("linear", *ACTIVATIONS), f"activation {name}")
        if name != "linear":
            self.add(ACTIVATIONS[name], f"{layer.name}_{name}")


_LAYERS: dict[type[layers.Layer], Callable[[_Graph, Any], None]] = {
    layers.Dropout: _Graph.nothing,
    layers.Identity: _Graph.nothing,
    layers.Dense: _Graph.dense,
    layers.EinsumDense: _Graph.einsum,
    layers.Reshape: _Graph.reshape,
    layers.BatchNormalization: _Graph.normalize,
    layers.Activation: _Graph.activation,
    layers.ReLU: _Graph.relu,
    layers.LeakyReLU: _Graph.leaky_relu,
    layers.UpSampling2D: _Graph.upsample,
    layers.Conv2D: _Graph.convolve,
    layers.Conv2DTranspose: _Graph.convolve_transposed,
}


def _array(variable: keras.Variable) -> np.ndarray:
    return ops.convert_to_numpy(variable).astype(np.float32)


def _refuse_if(layer: layers.Layer, condition: bool, what: str) -> None:
    if condition:
        raise UserError(f"--export: layer {layer.name} has {what}, which it does not know")


def to_onnx(generator: keras.Model) -> ModelProto:
    """A generator as an ONNX model, in float32.

    Its input is ``latents``, float32 (N, latent_dim), any N; its output ``images``, float32
    (N, H, W, 3), meant to be drawn from [-1, 1]: a network without a tanh can be beyond.

    Raises:
        UserError: the onnx package is not installed, a layer reads something else than one earlier
            layer (a sum: several), or no operator is known for it.
    """
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError:
        raise UserError("--export: the onnx package is not here: pip install onnx") from None
    graph = _Graph(generator.input_shape[1])
    made = {id(generator.inputs[0]): graph.value()}
    for layer in generator.layers:  # each behind those it reads
        if isinstance(layer, layers.InputLayer):
            continue
        sources = keras.tree.flatten(layer.input)
        if any(id(source) not in made for source in sources) or (
            len(sources) > 1 and type(layer) is not layers.Add
        ):
            raise UserError(f"--export: layer {layer.name} does not read one earlier layer alone")
        graph.add_layer(layer, [made[id(source)] for source in sources])
        made[id(layer.output)] = graph.value()
    graph.go_to(made[id(generator.outputs[0])])
    graph.put_channels(first=False)
    graph.nodes.append(helper.make_node("Identity", [graph.output], ["images"], name="output"))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "generator",
            [
                helper.make_tensor_value_info(
                    "latents", TensorProto.FLOAT, ["N", *generator.input_shape[1:]]
                )
            ],
            [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", *graph.shape])],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="GANdam",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def export(generator: keras.Model, keras_path: Path, onnx_path: Path) -> None:
    """Write a generator for plain Keras and for ONNX Runtime; both files, or with an error neither.

    Raises:
        UserError: see `to_onnx`.
        OSError: the folder cannot be written, or the disk is full.
    """
    generator = to_float32(generator)
    model = to_onnx(generator)
    with atomic_path(keras_path) as keras_file, atomic_path(onnx_path) as onnx_file:
        generator.save(keras_file)
        onnx_file.write_bytes(model.SerializeToString(deterministic=True))

"""An ONNX graph under construction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
"""Version of the operators; ONNX Runtime knows it since version 1.12, of 2022."""
IR_VERSION = 8
"""Version of the file format, which came with that."""


class Value(NamedTuple):
    """The output of an operator."""

    name: str
    shape: tuple[int, ...]
    """As in Keras, without the batch."""
    channels_first: bool


class Graph:
    """Operators, each after those it reads, and their weights.

    The next operator reads the output of the last one, until `go_to` chooses another.
    """

    def __init__(self, latent_dim: int, classes: int = 0) -> None:
        from onnx import helper, numpy_helper

        self._helper = helper
        self.inputs = [Value("latents", (latent_dim,), False)]
        """Latent vectors, and class weights where there are classes."""
        if classes:
            self.inputs.append(Value("classes", (classes,), False))
        self._from_array = numpy_helper.from_array
        self._nodes: list[Any] = []
        self._weights: list[Any] = []
        self.output = "latents"
        """Name of the last output."""
        self.shape: tuple[int, ...] = (latent_dim,)
        """Its shape as in Keras, without the batch."""
        self.channels_first = False
        self._transposed: dict[tuple[str, bool], str] = {}

    def constant(self, name: str, array: np.ndarray) -> str:
        """Keep an array in the file; returns its name."""
        self._weights.append(self._from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, name: str, *inputs: str, **attributes: Any) -> None:
        """Append an operator that reads the last output, and these inputs."""
        output = f"{name}/output"  # a layer can have the name of the graph's input or output
        self._nodes.append(
            self._helper.make_node(
                operator, [self.output, *inputs], [output], name=name, **attributes
            )
        )
        self.output = output

    def value(self) -> Value:
        """The last output, to come back to."""
        return Value(self.output, self.shape, self.channels_first)

    def go_to(self, value: Value) -> None:
        """Let the next operator read this."""
        self.output, self.shape, self.channels_first = value

    def put_channels(self, first: bool) -> None:
        """Transpose maps so that their channels come first, or last, unless they do already."""
        if len(self.shape) == 3 and self.channels_first != first:
            known = (self.output, first)
            if known in self._transposed:  # for another layer that reads the same
                self.output = self._transposed[known]
            else:
                order = [0, 3, 1, 2] if first else [0, 2, 3, 1]
                self.add("Transpose", f"{self.output}_{'nchw' if first else 'nhwc'}", perm=order)
                self._transposed[known] = self.output
            self.channels_first = first

    def model(self) -> ModelProto:
        """The finished model: its inputs to ``images``, the last output with channels last."""
        import onnx

        helper, number = self._helper, onnx.TensorProto.FLOAT
        self.put_channels(first=False)
        self._nodes.append(helper.make_node("Identity", [self.output], ["images"], name="output"))
        graph = helper.make_graph(
            self._nodes,
            "generator",
            [
                helper.make_tensor_value_info(name, number, ["N", *shape])
                for name, shape, _ in self.inputs
            ],
            [helper.make_tensor_value_info("images", number, ["N", *self.shape])],
            self._weights,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="GANdam",
        )
        onnx.checker.check_model(model, full_check=True)
        return model

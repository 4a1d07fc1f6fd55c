"""Steps on TensorFlow: traced once into a graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import keras
import numpy as np
import tensorflow

from utils.backend import tensorflow_cpu
from utils.backend.quiet import quiet_start
from utils.backend.types import Gradients, Step, Tensor


class TensorFlow:
    def __init__(self) -> None:
        with quiet_start():
            for gpu in tensorflow.config.list_physical_devices("GPU"):
                # Take memory as it is needed: a desktop that shares the GPU stays usable.
                tensorflow.config.experimental.set_memory_growth(gpu, True)
        # This optimisation, which fuses a convolution with what follows it, fails on a step with
        # dropout, says so on the screen, and where it succeeds makes no difference (ratio 0.99).
        tensorflow.config.optimizer.set_experimental_options({"remapping": False})
        self._is_on_cpu = not tensorflow.config.list_physical_devices("GPU")

    def be_deterministic(self) -> None:
        tensorflow.config.experimental.enable_op_determinism()

    def accelerators(self) -> list[str]:
        return [
            tensorflow.config.experimental.get_device_details(gpu).get("device_name", "GPU")
            for gpu in tensorflow.config.list_physical_devices("GPU")
        ]

    def compile_step(self, step: Step, state: Sequence[keras.Variable]) -> Step:
        del state  # TensorFlow finds the variables by itself

        def traced(*arguments: Tensor) -> dict[str, Tensor]:
            with tensorflow_cpu.faster() if self._is_on_cpu else nullcontext():
                return step(*arguments)

        # TensorFlow counts compilations by code, and warns of many: five functions are not one.
        traced.__code__ = traced.__code__.replace(co_name=getattr(step, "__name__", "step"))
        return tensorflow.function(traced, autograph=False)

    @contextmanager
    def full_precision(self) -> Iterator[None]:
        settings = tensorflow.config.experimental
        before = settings.tensor_float_32_execution_enabled()
        settings.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            settings.enable_tensor_float_32_execution(before)

    def gradients(
        self,
        loss_function: Callable[..., tuple[Tensor, Any]],
        variables: Sequence[keras.Variable],
        *inputs: Tensor,
    ) -> tuple[Tensor, Any, Gradients]:
        sources = [*(variable.value for variable in variables), *inputs]
        with tensorflow.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            loss, auxiliary = loss_function(*inputs)
        return loss, auxiliary, tape.gradient(loss, sources)

    def record(
        self, function: Callable[[], Tensor], variables: Sequence[keras.Variable]
    ) -> tuple[Tensor, Callable[[Tensor], Gradients]]:
        values = [variable.value for variable in variables]
        with tensorflow.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            outputs = function()
        return outputs, lambda gradient: tape.gradient(outputs, values, gradient)

    def input_gradient(
        self, function: Callable[[Tensor], Tensor], inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        with (
            tensorflow_cpu.plain(),
            self._exact_moments(),
            tensorflow.GradientTape(watch_accessed_variables=False) as tape,
        ):
            tape.watch(inputs)
            outputs = function(inputs)
        return outputs, tape.gradient(outputs, inputs)

    @staticmethod
    @contextmanager
    def _exact_moments() -> Iterator[None]:
        """Let batch and layer normalisation be differentiated twice.

        ``tf.nn.moments``, which Keras calls, stops the gradient of the mean inside the variance.
        That is exact for one derivative and wrong for the derivative of a gradient penalty: by
        1.5 % of the largest entry behind a batch normalisation and 9 % behind a layer
        normalisation, against central differences.
        """

        def moments(
            x: Tensor, axes: Sequence[int], keepdims: bool = False, **_: Any
        ) -> tuple[Tensor, Tensor]:
            mean = tensorflow.reduce_mean(x, axes, keepdims=True)
            variance = tensorflow.reduce_mean(tensorflow.square(x - mean), axes, keepdims=keepdims)
            return mean if keepdims else tensorflow.squeeze(mean, axes), variance

        original, tensorflow.nn.moments = tensorflow.nn.moments, moments
        try:
            yield
        finally:
            tensorflow.nn.moments = original

    def either(self, condition: Tensor, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
        return tensorflow.cond(condition, first, second)

    def images_to_device(self, images: np.ndarray) -> Tensor:
        # TensorFlow has no GPU kernel that gathers bytes: the set would go back to the host at
        # every step. It gathers 64-bit numbers, so eight bytes travel as one, unread.
        return tensorflow.constant(images.reshape(len(images), -1).view(np.int64))

    def take_images(self, images: Tensor, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
        taken = tensorflow.bitcast(tensorflow.gather(images, indices), tensorflow.uint8)
        return tensorflow.reshape(taken, (-1, *shape))

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, tensorflow.errors.ResourceExhaustedError)

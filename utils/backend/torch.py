"""Steps on PyTorch: run as they are written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import torch
from keras import ops

from utils.backend import torch_layers
from utils.backend.types import Gradients, Step, Tensor


class Torch:
    """PyTorch runs a step as it is written; a gradient is asked for, not accumulated."""

    def be_deterministic(self) -> None:
        # cuBLAS reads it when it is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)

    def accelerators(self) -> list[str]:
        return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]

    def compile_step(self, step: Step, state: Sequence[keras.Variable]) -> Step:
        del state

        def call(*arguments: Tensor) -> dict[str, Tensor]:
            with torch_layers.faster():
                results = step(*map(ops.convert_to_tensor, arguments))
            return {name: result.detach() for name, result in results.items()}

        return call

    @contextmanager
    def full_precision(self) -> Iterator[None]:
        settings = torch.backends.cudnn
        before, settings.allow_tf32 = settings.allow_tf32, False
        try:
            yield
        finally:
            settings.allow_tf32 = before

    def gradients(
        self,
        loss_function: Callable[..., tuple[Tensor, Any]],
        variables: Sequence[keras.Variable],
        *inputs: Tensor,
    ) -> tuple[Tensor, Any, Gradients]:
        inputs = [tensor.detach().requires_grad_() for tensor in inputs]
        loss, auxiliary = loss_function(*inputs)
        sources = [*(variable.value for variable in variables), *inputs]
        return loss, auxiliary, list(torch.autograd.grad(loss, sources, allow_unused=True))

    def record(
        self, function: Callable[[], Tensor], variables: Sequence[keras.Variable]
    ) -> tuple[Tensor, Callable[[Tensor], Gradients]]:
        outputs = function()
        values = [variable.value for variable in variables]
        return outputs.detach(), lambda gradient: list(
            torch.autograd.grad(outputs, values, gradient, allow_unused=True)
        )

    def input_gradient(
        self, function: Callable[[Tensor], Tensor], inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        inputs = inputs.detach().requires_grad_()
        outputs = function(inputs)
        (gradient,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
        return outputs, gradient

    def either(self, condition: Tensor, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
        return first() if bool(condition) else second()

    def images_to_device(self, images: np.ndarray) -> Tensor:
        return ops.convert_to_tensor(images)

    def take_images(self, images: Tensor, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
        del shape
        return images[indices.long()]

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)

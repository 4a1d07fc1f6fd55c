"""Steps on JAX: pure functions made of imperative ones."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import keras
import numpy as np
from keras import ops

from utils.backend import jax_cpu
from utils.backend.types import Gradients, Step, Tensor
from utils.common.errors import UserError
from utils.hosts.place import Place

# Whatever JAX_... in the environment says for other work: the scripts are written for these.
jax.config.update("jax_enable_x64", False)
jax.config.update("jax_numpy_dtype_promotion", "standard")
jax.config.update("jax_numpy_rank_promotion", "allow")
jax.config.update("jax_default_prng_impl", "threefry2x32")  # as Keras expects it
jax.config.update("jax_threefry_partitionable", True)


class _RecordingScope(keras.StatelessScope):
    """Knows which variables were read in it."""

    def __init__(self, state_mapping: Sequence[tuple[keras.Variable, Tensor]]) -> None:
        super().__init__(state_mapping)
        self.read: set[int] = set()

    def get_current_value(self, variable: keras.Variable) -> Tensor:
        """The value in this scope."""
        self.read.add(id(variable))
        return super().get_current_value(variable)


class _BatchParallel(keras.distribution.DataParallel):
    """Replicated variables, and the batch of every layer's output split among the devices.

    Keras' own class splits what ``fit`` is given. Here real images are gathered and latents drawn
    inside the compiled step, where nothing says that they belong to a batch; from the layers on,
    the compiler finds out by itself what else can be split: what goes in, labels, gradients.
    """

    def get_tensor_layout(self, path: str) -> keras.distribution.TensorLayout:
        """Split the first axis, whatever the tensor's rank."""
        del path
        return keras.distribution.TensorLayout((self.batch_dim_name,), self.device_mesh)

    def replicated(self) -> Any:
        """JAX's name for the layout of what every device has the whole of, whatever its rank."""
        return keras.distribution.TensorLayout((), self.device_mesh).backend_layout


class Jax:
    """Pure functions made of imperative ones.

    Inside a `keras.StatelessScope` an assignment to a variable is noted in the scope instead of
    made. A compiled function returns the notes, and a gradient hands the notes of the pass it
    differentiates (moving statistics, random states) on to the scope around it.
    """

    def __init__(self) -> None:
        self._state: list[keras.Variable] = []  # of the step that is being traced
        self._distribution: _BatchParallel | None = None

    def distribute(self, devices: Sequence[Any]) -> None:
        """Split the batches of what `distributed` builds among several devices; one is no split."""
        self._distribution = _BatchParallel(devices=devices) if len(devices) > 1 else None

    def distributed(self) -> AbstractContextManager[Any]:
        return self._distribution.scope() if self._distribution else nullcontext()

    def join(self, coordinator: str, place: Place) -> None:
        # It would take SIGTERM for itself.
        jax.config.update("jax_enable_preemption_service", False)
        # No proxy stands between the processes: they have found each other already.
        jax.config.update("jax_check_proxy_envs", False)
        os.environ["no_grpc_proxy"] = coordinator.rpartition(":")[0].strip("[]")  # noqa: SIM112
        jax.distributed.initialize(
            coordinator, place.count, place.number,
            # A scheduler's processes on one machine share its devices out, one each.
            cluster_detection_method=None if place.is_managed else "deactivate",
            coordinator_bind_address=coordinator,
            initialization_timeout=120, heartbeat_timeout_seconds=100,
        )  # fmt: skip

    def devices_of_processes(self) -> dict[int, int]:
        return collections.Counter(device.process_index for device in jax.devices())

    def batch_share(self, batch_size: int) -> np.ndarray:
        indices = self._batch_axis().addressable_devices_indices_map((batch_size,)).values()
        return np.unique([np.arange(batch_size)[index] for index in indices])

    def from_shares(self, images: np.ndarray, batch_size: int) -> Tensor:
        shape = (len(images), batch_size, *images.shape[2:])
        return jax.make_array_from_process_local_data(self._batch_axis(None), images, shape)

    def _batch_axis(self, *before: None) -> jax.sharding.Sharding:
        """The layout of what is split along the axis after these."""
        distribution = self._distribution
        axes = (*before, distribution.batch_dim_name)
        return keras.distribution.TensorLayout(axes, distribution.device_mesh).backend_layout

    def whole(self, value: np.ndarray) -> Tensor:
        """The same on every device. JAX's own way lets all processes compare it, which takes as
        long as to send it."""
        layout = self._distribution.replicated()
        return jax.make_array_from_callback(value.shape, layout, lambda index: value[index])

    def be_deterministic(self) -> None:
        # Read when the first device is looked for; CPUs always give the same bits.
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()

    def accelerators(self) -> list[str]:
        try:
            devices = jax.devices()
        except (AssertionError, RuntimeError):
            raise UserError(
                f"JAX_PLATFORMS={jax.config.jax_platforms or ''}: JAX finds no such device; leave "
                "it out, or set it to cpu"
            ) from None
        return [device.device_kind for device in devices if device.platform != "cpu"]

    def compile_step(self, step: Step, state: Sequence[keras.Variable]) -> Step:
        state = list(state)
        # Of where it is compiled: the first call, which traces it, may be elsewhere.
        distribution = keras.distribution.distribution()

        def pure(
            values: list[Tensor], *arguments: Tensor
        ) -> tuple[dict[str, Tensor], list[Tensor]]:
            self._state = state
            scoped = distribution.scope() if distribution else nullcontext()
            faster = jax_cpu.faster() if jax.default_backend() == "cpu" else nullcontext()
            mapping = list(zip(state, values, strict=True))
            with scoped, faster, keras.StatelessScope(mapping) as scope:
                results = step(*arguments)
            return results, [scope.get_current_value(variable) for variable in state]

        # State has to come back in the layout it went in with, for its memory to be used again.
        layout = {"out_shardings": distribution.replicated()} if distribution else {}
        compiled = jax.jit(pure, donate_argnums=0, **layout)

        def call(*arguments: Tensor) -> dict[str, Tensor]:
            results, values = compiled([variable.value for variable in state], *arguments)
            _assign(state, values)
            return results

        return call

    def full_precision(self) -> AbstractContextManager[None]:
        return jax.default_matmul_precision("highest")

    def gradients(
        self,
        loss_function: Callable[..., tuple[Tensor, Any]],
        variables: Sequence[keras.Variable],
        *inputs: Tensor,
    ) -> tuple[Tensor, Any, Gradients]:
        pure, read, others = self._pure(loss_function, variables)

        def loss_first(values: list[Tensor], inputs: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
            (loss, auxiliary), assigned = pure(values, inputs)
            return loss, (auxiliary, assigned)

        (loss, (auxiliary, assigned)), gradients = jax.value_and_grad(
            loss_first, argnums=(0, 1), has_aux=True
        )([variable.value for variable in variables], inputs)
        _assign(others, assigned)
        return loss, auxiliary, [*_reached(variables, gradients[0], read), *gradients[1]]

    def record(
        self, function: Callable[[], Tensor], variables: Sequence[keras.Variable]
    ) -> tuple[Tensor, Callable[[Tensor], Gradients]]:
        pure, read, others = self._pure(function, variables)
        outputs, pull_back, assigned = jax.vjp(
            lambda values: pure(values, ()),
            [variable.value for variable in variables],
            has_aux=True,
        )
        _assign(others, assigned)
        return outputs, lambda gradient: _reached(variables, pull_back(gradient)[0], read)

    def _pure(
        self, function: Callable[..., Any], variables: Sequence[keras.Variable]
    ) -> tuple[Callable[..., Any], set[int], list[keras.Variable]]:
        """``function`` as one of the variables' values, which it may read but not assign.

        Returns:
            The function of values and inputs, which returns what ``function`` does and the values
            of all other variables after it; the ids of the variables it has read, once it has been
            called; and these others.
        """
        read: set[int] = set()
        trained = {id(variable) for variable in variables}
        others = [variable for variable in self._state if id(variable) not in trained]
        before = [variable.value for variable in others]

        def pure(values: list[Tensor], inputs: tuple[Tensor, ...]) -> tuple[Any, list[Tensor]]:
            mapping = [*zip(variables, values, strict=True), *zip(others, before, strict=True)]
            with _RecordingScope(mapping) as scope:
                results = function(*inputs)
            read.update(scope.read)
            return results, [scope.get_current_value(variable) for variable in others]

        return pure, read, others

    def input_gradient(
        self, function: Callable[[Tensor], Tensor], inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        state = self._state

        def pure(inputs: Tensor, values: list[Tensor]) -> tuple[Tensor, Any]:
            with keras.StatelessScope(list(zip(state, values, strict=True))) as scope:
                outputs = function(inputs)
            assigned = [scope.get_current_value(variable) for variable in state]
            return ops.sum(outputs), (outputs, assigned)

        (_, (outputs, assigned)), gradient = jax.value_and_grad(pure, has_aux=True)(
            inputs, [variable.value for variable in state]
        )
        _assign(state, assigned)
        return outputs, gradient

    def either(self, condition: Tensor, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
        state = self._state

        def pure(function: Callable[[], Any]) -> Callable[[list[Tensor]], tuple[Any, list[Tensor]]]:
            def branch(values: list[Tensor]) -> tuple[Any, list[Tensor]]:
                with keras.StatelessScope(list(zip(state, values, strict=True))) as scope:
                    results = function()
                return results, [scope.get_current_value(variable) for variable in state]

            return branch

        results, values = jax.lax.cond(
            condition, pure(first), pure(second), [variable.value for variable in state]
        )
        _assign(state, values)
        return results

    def images_to_device(self, images: np.ndarray) -> Tensor:
        return self.whole(images) if self._distribution else jax.numpy.asarray(images)

    def take_images(self, images: Tensor, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
        del shape
        return jax.numpy.take(images, indices, axis=0)

    def is_out_of_memory(self, error: BaseException) -> bool:
        return "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error)


def _assign(variables: Sequence[keras.Variable], values: Sequence[Tensor]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _reached(
    variables: Sequence[keras.Variable], gradients: Sequence[Tensor], read: set[int]
) -> Gradients:
    """JAX differentiates by what is never used as well, and gives zeros: None in their place."""
    return [
        gradient if id(variable) in read else None
        for variable, gradient in zip(variables, gradients, strict=True)
    ]

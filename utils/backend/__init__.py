"""The one file that asks which Keras backend runs: TensorFlow, JAX or PyTorch.

A method's script is written with ``keras.ops`` and calls the functions below for what Keras leaves
to the backend: turning a whole alternation into one compiled function, gradients, and data that
lives on the device. The environment variable ``KERAS_BACKEND`` chooses; each backend is a class.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np

from utils.common.errors import UserError

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Hold back what libraries print while they load, unless loading fails.

    TensorFlow writes a dozen lines about the machine to the file descriptor itself, before its
    log level is in force.
    """
    sys.stderr.flush()
    # Only the main thread may set a handler; a notebook may train in another one.
    is_main = threading.current_thread() is threading.main_thread()
    takes_over = is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with tempfile.TemporaryFile() as held_back:
        standard_error = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            if takes_over:
                # Ctrl-C ends the process here without a traceback out of somebody's import.
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            yield
        except (ImportError, ValueError):
            raise
        except BaseException:
            held_back.seek(0)
            os.write(standard_error, held_back.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)
            if takes_over:
                signal.signal(signal.SIGINT, signal.default_int_handler)


def _give_up(reason: str) -> NoReturn:
    print(f"error: {reason}; set KERAS_BACKEND to tensorflow, jax or torch", file=sys.stderr)
    raise SystemExit(2)


try:
    with _quiet_start():
        import keras
        from keras import ops

        library = importlib.import_module(keras.backend.backend())
        if keras.backend.backend() == "tensorflow":
            from utils.backend import tensorflow_cpu
except (ImportError, ValueError) as error:
    _give_up(f"Keras and its backend cannot be loaded ({error})")

# Whatever the person's keras.json says for other work: the scripts are written for these.
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_dtype_policy("float32")

Tensor = Any
"""A tensor of the running backend."""
Step = Callable[..., dict[str, Tensor]]
"""Takes tensors or NumPy arrays of constant shape and dtype, returns named tensors."""
LossFunction = Callable[[], tuple[Tensor, Any]]
"""Takes nothing, returns the loss (a scalar) and anything else worth keeping."""
Gradients = list[Tensor | None]
"""One for each variable; None where nothing depends on it."""


@dataclass
class _SharedPass:
    """What a network made of its inputs, kept by `one_pass`."""

    variables: list[keras.Variable]
    outputs: Tensor
    pull_back: Callable[[Tensor], Gradients]
    """From the gradient with respect to the outputs to that with respect to the variables."""


_shared_pass: _SharedPass | None = None


class _TensorFlow:
    def __init__(self) -> None:
        with _quiet_start():
            for gpu in library.config.list_physical_devices("GPU"):
                # Take memory as it is needed: a desktop that shares the GPU stays usable.
                library.config.experimental.set_memory_growth(gpu, True)
        # This optimisation, which fuses a convolution with what follows it, fails on a step with
        # dropout, says so on the screen, and where it succeeds makes no difference (ratio 0.99).
        library.config.optimizer.set_experimental_options({"remapping": False})
        self._is_on_cpu = not library.config.list_physical_devices("GPU")

    def be_deterministic(self) -> None:
        library.config.experimental.enable_op_determinism()

    def accelerators(self) -> list[str]:
        return [
            library.config.experimental.get_device_details(gpu).get("device_name", "GPU")
            for gpu in library.config.list_physical_devices("GPU")
        ]

    def compile_step(self, step: Step, state: Sequence[keras.Variable]) -> Step:
        del state  # TensorFlow finds the variables by itself

        def traced(*arguments: Tensor) -> dict[str, Tensor]:
            with tensorflow_cpu.faster() if self._is_on_cpu else nullcontext():
                return step(*arguments)

        # TensorFlow counts compilations by code, and warns of many: five functions are not one.
        traced.__code__ = traced.__code__.replace(co_name=getattr(step, "__name__", "step"))
        return library.function(traced, autograph=False)

    def gradients(
        self,
        loss_function: Callable[..., tuple[Tensor, Any]],
        variables: Sequence[keras.Variable],
        *inputs: Tensor,
    ) -> tuple[Tensor, Any, Gradients]:
        sources = [*(variable.value for variable in variables), *inputs]
        with library.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            loss, auxiliary = loss_function(*inputs)
        return loss, auxiliary, tape.gradient(loss, sources)

    def record(
        self, function: Callable[[], Tensor], variables: Sequence[keras.Variable]
    ) -> tuple[Tensor, Callable[[Tensor], Gradients]]:
        values = [variable.value for variable in variables]
        with library.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            outputs = function()
        return outputs, lambda gradient: tape.gradient(outputs, values, gradient)

    def input_gradient(
        self, function: Callable[[Tensor], Tensor], inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        with (
            tensorflow_cpu.plain(),
            self._exact_moments(),
            library.GradientTape(watch_accessed_variables=False) as tape,
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
            mean = library.reduce_mean(x, axes, keepdims=True)
            variance = library.reduce_mean(library.square(x - mean), axes, keepdims=keepdims)
            return mean if keepdims else library.squeeze(mean, axes), variance

        original, library.nn.moments = library.nn.moments, moments
        try:
            yield
        finally:
            library.nn.moments = original

    def either(self, condition: Tensor, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
        return library.cond(condition, first, second)

    def images_to_device(self, images: np.ndarray) -> Tensor:
        # TensorFlow has no GPU kernel that gathers bytes: the set would go back to the host at
        # every step. It gathers 64-bit numbers, so eight bytes travel as one, unread.
        return library.constant(images.reshape(len(images), -1).view(np.int64))

    def take_images(self, images: Tensor, indices: Tensor, size: int) -> Tensor:
        taken = library.bitcast(library.gather(images, indices), library.uint8)
        return library.reshape(taken, (-1, size, size, 3))

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, library.errors.ResourceExhaustedError)


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


class _Jax:
    """Pure functions made of imperative ones.

    Inside a `keras.StatelessScope` an assignment to a variable is noted in the scope instead of
    made. A compiled function returns the notes, and a gradient hands the notes of the pass it
    differentiates (moving statistics, random states) on to the scope around it.
    """

    def __init__(self) -> None:
        self._state: list[keras.Variable] = []  # of the step that is being traced
        self._distribution: _BatchParallel | None = None

    def distribute(self, distribution: _BatchParallel | None) -> None:
        self._distribution = distribution
        keras.distribution.set_distribution(distribution)

    def be_deterministic(self) -> None:
        # Read when the first device is looked for; CPUs always give the same bits.
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_gpu_deterministic_ops=true".strip()

    def accelerators(self) -> list[str]:
        return [device.device_kind for device in library.devices() if device.platform != "cpu"]

    def compile_step(self, step: Step, state: Sequence[keras.Variable]) -> Step:
        state = list(state)

        def pure(
            values: list[Tensor], *arguments: Tensor
        ) -> tuple[dict[str, Tensor], list[Tensor]]:
            self._state = state
            with keras.StatelessScope(list(zip(state, values, strict=True))) as scope:
                results = step(*arguments)
            return results, [scope.get_current_value(variable) for variable in state]

        # State has to come back in the layout it went in with, for its memory to be used again.
        layout = {"out_shardings": self._distribution.replicated()} if self._distribution else {}
        compiled = library.jit(pure, donate_argnums=0, **layout)

        def call(*arguments: Tensor) -> dict[str, Tensor]:
            results, values = compiled([variable.value for variable in state], *arguments)
            _assign(state, values)
            return results

        return call

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

        (loss, (auxiliary, assigned)), gradients = library.value_and_grad(
            loss_first, argnums=(0, 1), has_aux=True
        )([variable.value for variable in variables], inputs)
        _assign(others, assigned)
        return loss, auxiliary, [*_reached(variables, gradients[0], read), *gradients[1]]

    def record(
        self, function: Callable[[], Tensor], variables: Sequence[keras.Variable]
    ) -> tuple[Tensor, Callable[[Tensor], Gradients]]:
        pure, read, others = self._pure(function, variables)
        outputs, pull_back, assigned = library.vjp(
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

        (_, (outputs, assigned)), gradient = library.value_and_grad(pure, has_aux=True)(
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

        results, values = library.lax.cond(
            condition, pure(first), pure(second), [variable.value for variable in state]
        )
        _assign(state, values)
        return results

    def images_to_device(self, images: np.ndarray) -> Tensor:
        if self._distribution:
            return library.device_put(images, self._distribution.replicated())
        return library.numpy.asarray(images)

    def take_images(self, images: Tensor, indices: Tensor, size: int) -> Tensor:
        del size
        return library.numpy.take(images, indices, axis=0)

    def is_out_of_memory(self, error: BaseException) -> bool:
        return "RESOURCE_EXHAUSTED" in str(error) or "Out of memory" in str(error)


class _Torch:
    """PyTorch runs a step as it is written; a gradient is asked for, not accumulated."""

    def be_deterministic(self) -> None:
        # cuBLAS reads it when it is first used.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        library.use_deterministic_algorithms(True, warn_only=True)

    def accelerators(self) -> list[str]:
        return [
            library.cuda.get_device_name(number) for number in range(library.cuda.device_count())
        ]

    def compile_step(self, step: Step, state: Sequence[keras.Variable]) -> Step:
        del state

        def call(*arguments: Tensor) -> dict[str, Tensor]:
            results = step(*map(ops.convert_to_tensor, arguments))
            return {name: result.detach() for name, result in results.items()}

        return call

    def gradients(
        self,
        loss_function: Callable[..., tuple[Tensor, Any]],
        variables: Sequence[keras.Variable],
        *inputs: Tensor,
    ) -> tuple[Tensor, Any, Gradients]:
        inputs = [tensor.detach().requires_grad_() for tensor in inputs]
        loss, auxiliary = loss_function(*inputs)
        sources = [*(variable.value for variable in variables), *inputs]
        return loss, auxiliary, list(library.autograd.grad(loss, sources, allow_unused=True))

    def record(
        self, function: Callable[[], Tensor], variables: Sequence[keras.Variable]
    ) -> tuple[Tensor, Callable[[Tensor], Gradients]]:
        outputs = function()
        values = [variable.value for variable in variables]
        return outputs.detach(), lambda gradient: list(
            library.autograd.grad(outputs, values, gradient, allow_unused=True)
        )

    def input_gradient(
        self, function: Callable[[Tensor], Tensor], inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        inputs = inputs.detach().requires_grad_()
        outputs = function(inputs)
        (gradient,) = library.autograd.grad(outputs.sum(), inputs, create_graph=True)
        return outputs, gradient

    def either(self, condition: Tensor, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
        return first() if bool(condition) else second()

    def images_to_device(self, images: np.ndarray) -> Tensor:
        return ops.convert_to_tensor(images)

    def take_images(self, images: Tensor, indices: Tensor, size: int) -> Tensor:
        del size
        return images[indices.long()]

    def is_out_of_memory(self, error: BaseException) -> bool:
        return isinstance(error, library.OutOfMemoryError) or "can't allocate memory" in str(error)


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


_BACKENDS = {"tensorflow": _TensorFlow, "jax": _Jax, "torch": _Torch}
if keras.backend.backend() not in _BACKENDS:
    _give_up(f"the Keras backend is {keras.backend.backend()}")
_backend = _BACKENDS[keras.backend.backend()]()


def seed_everything(seed: int, deterministic: bool) -> None:
    """Make the run repeatable: seeds for Python, NumPy and the backend.

    Args:
        seed: initial weights, dropout and everything else that draws random numbers.
        deterministic: forbid the GPU kernels whose sums depend on the order in which threads
            finish. They are somewhat faster; without them the same seed gives the same bits.
    """
    with _quiet_start():  # it also loads TensorFlow where that is installed
        keras.utils.set_random_seed(seed)
    if deterministic:
        _backend.be_deterministic()


def has_accelerator() -> bool:
    """Whether there is a GPU or TPU to compute on."""
    return bool(_backend.accelerators())


def use_devices(devices: Literal["one", "all"], batch_size: int) -> None:
    """Choose what the networks that are built from now on are trained on.

    To be called after `seed_everything`, whose settings JAX reads when it looks for devices.

    Args:
        devices: ``all`` splits every batch among all devices that JAX finds, of the best type
            there is; each has the whole of the weights and of the data set. Batch normalisation
            and losses are of the whole batch, so that the numbers are those of one device.
        batch_size: of the batches that are split.

    Raises:
        UserError: the backend trains on one device only, or a batch has no equal shares.
    """
    distribution = None
    if devices == "all":
        name = keras.backend.backend()
        if name != "jax":
            raise UserError(
                f"--devices all: {name} trains on one device here; set KERAS_BACKEND=jax, or "
                "give --devices one"
            )
        found = keras.distribution.list_devices()
        if batch_size % len(found):
            raise UserError(
                f"--batch-size {batch_size}: --devices all splits it among the {len(found)} "
                f"devices found; wanted is a multiple of {len(found)}"
            )
        if len(found) > 1:
            distribution = _BatchParallel(devices=found)
    if isinstance(_backend, _Jax):
        _backend.distribute(distribution)


def set_precision(precision: str) -> str:
    """Choose what the networks that are built from now on compute with.

    Weights, and so optimizers and checkpoints, are float32 in any case, and a run can be resumed in
    another precision.

    Args:
        precision: float32, bfloat16, or auto: whichever this device multiplies matrices faster in,
            by a measurement of a fraction of a second. A device may know bfloat16 and be slower
            in it.

    Returns:
        float32 or bfloat16.
    """
    if precision == "auto":
        seconds = {name: _product_seconds(name) for name in ("float32", "bfloat16")}
        is_faster = seconds["bfloat16"] < 0.75 * seconds["float32"]
        precision = "bfloat16" if is_faster else "float32"
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    return precision


def _product_seconds(dtype: str, side: int = 1024, repetitions: int = 7) -> float:
    """The quickest of several products of two square matrices of ones."""
    matrix = ops.ones((side, side), dtype=dtype)
    seconds = []
    for _ in range(repetitions):
        started = time.perf_counter()
        # Bringing one number over waits until the product is done.
        ops.convert_to_numpy(ops.cast(ops.matmul(matrix, matrix)[0, 0], "float32"))
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def describe_device(devices: Literal["one", "all"] = "one") -> str:
    """Say in a few words what the run computes on, e.g. ``tensorflow 2.21.0 on 2 CPU cores``.

    Of several devices it says ``jax 0.10.2 on 2 x NVIDIA L4`` or ``jax 0.10.2 on 2 CPU devices``.

    Args:
        devices: what `use_devices` was told.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    accelerators = _backend.accelerators()
    described = accelerators[0] if accelerators else f"{cores} CPU cores"
    if devices == "all":
        count = len(keras.distribution.list_devices())
        several = f"{count} x {described}" if accelerators else f"{count} CPU devices"
        described = several if count > 1 else f"{described}, the only device"
    return f"{keras.backend.backend()} {library.__version__} on {described}"


def compile_step(step: Step, state: Sequence[keras.Variable]) -> Step:
    """Compile ``step`` into one function of the backend, without a return to Python inside.

    Args:
        step: reads and assigns Keras variables; takes tensors or NumPy arrays of constant shape
            and dtype; returns named tensors.
        state: every variable that the step reads or assigns.

    Returns:
        A function with the arguments of ``step``. What it returns stays on the device until
        `fetch` is called on it, so that calling it does not wait for the device. (PyTorch compiles
        nothing, but does not wait either.)
    """
    return _backend.compile_step(step, state)


def value_and_grad(
    loss_function: LossFunction, variables: Sequence[keras.Variable]
) -> tuple[tuple[Tensor, Any], list[Tensor]]:
    """Call ``loss_function`` and differentiate the loss it returns.

    On JAX it is to be called in a compiled step, whose state it then knows.

    Args:
        loss_function: takes nothing, returns the loss (a scalar) and anything else worth keeping.
        variables: what to differentiate with respect to.

    Returns:
        ``(loss, anything else), gradients``, one gradient for each variable.

    Raises:
        ValueError: the loss does not depend on one of the variables. An optimizer would skip such
            a variable without a word, and a network would silently stay as it is.
    """
    shared = _shared_pass
    if shared and {id(v) for v in variables} & {id(v) for v in shared.variables}:
        loss, auxiliary, gradients = _gradients_through(shared, loss_function, variables)
    else:
        loss, auxiliary, gradients = _backend.gradients(loss_function, variables)
    missing = [
        variable.path
        for variable, gradient in zip(variables, gradients, strict=True)
        if gradient is None
    ]
    if missing:
        raise ValueError(f"the loss does not depend on {', '.join(missing)}")
    return (loss, auxiliary), gradients


@contextmanager
def one_pass(network: keras.Model, inputs: Tensor) -> Iterator[Tensor]:
    """Inside the block, ``network`` passes training on ``inputs`` once, whoever calls it.

    For two updates on the same inputs while the network does not change: the first needs only what
    the network makes of them, the second a gradient through it, and both take this one pass, be it
    called by itself or as a part of another model. `value_and_grad` inside the block may
    differentiate with respect to its variables once.

    Args:
        network: trainable when the block begins.
        inputs: its inputs, e.g. latent vectors (B, latent_dim).

    Yields:
        What it makes of them, e.g. images (B, H, W, 3); no gradient leads back from these.
    """
    global _shared_pass
    variables = list(network.trainable_variables)
    outputs, pull_back = _backend.record(lambda: network(inputs, training=True), variables)
    shared = _SharedPass(variables, outputs, pull_back)
    network.call, call = lambda *_, **__: shared.outputs, network.call
    _shared_pass, before = shared, _shared_pass
    try:
        yield outputs
    finally:
        _shared_pass = before
        network.call = call


def _gradients_through(
    shared: _SharedPass, loss_function: LossFunction, variables: Sequence[keras.Variable]
) -> tuple[Tensor, Any, Gradients]:
    """The chain rule: from the loss to the outputs of the shared pass, from there to variables."""

    def of_outputs(outputs: Tensor) -> tuple[Tensor, Any]:
        shared.outputs, before = outputs, shared.outputs
        try:
            return loss_function()
        finally:
            shared.outputs = before

    loss, auxiliary, (*gradients, to_outputs) = _backend.gradients(
        of_outputs, variables, shared.outputs
    )
    if to_outputs is None:
        return loss, auxiliary, gradients
    pulled_back = {
        id(variable): gradient
        for variable, gradient in zip(shared.variables, shared.pull_back(to_outputs), strict=True)
    }
    for number, variable in enumerate(variables):
        terms = [gradients[number], pulled_back.get(id(variable))]
        terms = [term for term in terms if term is not None]
        gradients[number] = sum(terms[1:], start=terms[0]) if terms else None
    return loss, auxiliary, gradients


def input_gradient(function: Callable[[Tensor], Tensor], inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Call ``function`` and differentiate the sum of its outputs with respect to its inputs.

    The gradient can be part of a loss that `value_and_grad` differentiates again.

    Args:
        function: a network's pass, (B, ...) to (B, 1).
        inputs: images (B, H, W, 3), taken as given: nothing is differentiated beyond them.

    Returns:
        ``outputs, gradient``, the gradient in the shape of the inputs.
    """
    return _backend.input_gradient(function, inputs)


def apply_if(
    condition: Tensor | bool,
    optimizer: keras.optimizers.Optimizer,
    gradients: Sequence[Tensor],
    variables: Sequence[keras.Variable],
) -> None:
    """Let an optimizer update the variables if ``condition`` (a scalar) holds, else do nothing.

    The decision is made on the device, inside the compiled step. Zero gradients would be no way to
    skip an update: Adam moves on by its momentum. So the update is made, and where the condition
    does not hold, the variables and the optimizer's own state are put back.
    """
    if condition is True:  # known while the step is traced
        optimizer.apply(gradients, variables)
        return
    state = [*variables, *optimizer.variables]
    before = [ops.copy(variable.value) for variable in state]
    optimizer.apply(gradients, variables)
    for variable, value in zip(state, before, strict=True):
        variable.assign(ops.where(condition, variable.value, value))


def either(condition: Tensor, first: Callable[[], Any], second: Callable[[], Any]) -> Any:
    """Call ``first`` if ``condition`` (a boolean scalar) holds, else ``second``; never both.

    The decision is made on the device, inside the compiled step, and what is not called takes no
    time. (PyTorch, which runs a step as it is written, waits for the condition.) A gradient is
    taken within a branch, by `value_and_grad`; none leads through the choice.

    Args:
        condition: in a compiled step.
        first: takes nothing, returns tensors in lists, tuples and dictionaries.
        second: returns tensors of the same shapes and dtypes, in the same structure.
    """
    return _backend.either(condition, first, second)


def images_to_device(images: np.ndarray) -> Tensor:
    """Copy uint8 (N, H, W, 3) to where the networks are, once, for `take_images`."""
    return _backend.images_to_device(np.ascontiguousarray(images))


def take_images(images: Tensor, indices: Tensor, size: int) -> Tensor:
    """Gather uint8 (B, size, size, 3) by indices (B,) from what `images_to_device` returned."""
    return _backend.take_images(images, indices, size)


def fetch(values: Sequence[dict[str, Tensor]]) -> list[dict[str, float]]:
    """Bring the scalars that steps returned to the host; waits until those steps are done."""
    return [{name: float(value) for name, value in scalars.items()} for scalars in values]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether ``error`` says that the device or the machine has no memory left."""
    return isinstance(error, MemoryError) or _backend.is_out_of_memory(error)

"""What Keras leaves to its backend: TensorFlow, JAX or PyTorch.

A method's script is written with ``keras.ops`` and calls the functions below for the rest: turning
a whole alternation into one compiled function, gradients, and data that lives on the device. The
environment variable ``KERAS_BACKEND`` chooses; each backend is a class in a file of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NoReturn

import numpy as np

from utils import hosts
from utils.backend.quiet import quick_start, quiet_start
from utils.backend.types import LossFunction, PullBack, Step, Tensor
from utils.common.errors import UserError
from utils.hosts.place import Place


def _give_up(reason: str, other: str = "") -> NoReturn:
    advice = f"set KERAS_BACKEND to tensorflow, jax or torch{other}"
    print(f"error: {reason}; {advice}", file=sys.stderr)
    raise SystemExit(2)


os.environ["KERAS_NNX_ENABLED"] = "false"  # whatever the environment or keras.json says
try:
    with quiet_start(), quick_start():
        import keras
        from keras import ops

        library = importlib.import_module(keras.backend.backend())
except (ImportError, AttributeError, TypeError, ValueError) as error:
    file = os.path.join(os.environ.get("KERAS_HOME") or "~/.keras", "keras.json")
    is_chosen = isinstance(error, ImportError) or "backend" in str(error)
    other = "" if is_chosen else f", or mend {file}"
    _give_up(f"Keras and its backend cannot be loaded ({error})", other)

# Whatever the person's keras.json says for other work: the scripts are written for these.
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_epsilon(1e-7)
keras.config.set_dtype_policy("float32")

if keras.backend.backend() == "tensorflow":
    from utils.backend.tensorflow import TensorFlow as _Backend
elif keras.backend.backend() == "jax":
    from utils.backend.jax import Jax as _Backend
elif keras.backend.backend() == "torch":
    from utils.backend.torch import Torch as _Backend
else:
    _give_up(f"the Keras backend is {keras.backend.backend()}")
_backend = _Backend()


def seed_everything(seed: int, deterministic: bool) -> None:
    """Make the run repeatable: seeds for Python, NumPy and the backend.

    Args:
        seed: initial weights, dropout and everything else that draws random numbers.
        deterministic: forbid the GPU kernels whose sums depend on the order in which threads
            finish. They are somewhat faster; without them the same seed gives the same bits.
    """
    with quiet_start():  # it also loads TensorFlow where that is installed
        keras.utils.set_random_seed(seed)
    if deterministic:
        _backend.be_deterministic()


def has_accelerator() -> bool:
    """Whether there is a GPU or TPU to compute on."""
    return bool(_backend.accelerators())


def use_devices(devices: Literal["one", "all"], batch_size: int) -> None:
    """Choose what the networks that are built in `distributed` are trained on.

    To be called after `seed_everything`, whose settings JAX reads when it looks for devices.

    Args:
        devices: ``all`` splits every batch among all devices that JAX finds, of the best type
            there is; each has the whole of the weights and of the data set. Batch normalisation
            and losses are of the whole batch, so that the numbers are those of one device.
        batch_size: of the batches that are split.

    Raises:
        UserError: the backend trains on one device only, or a batch has no equal shares.
    """
    name = keras.backend.backend()
    if name == "jax":
        found = keras.distribution.list_devices() if devices == "all" else []
        counts = _backend.devices_of_processes() if found else {0: 0}
        other = next((number for number, count in counts.items() if count != counts[0]), 0)
        if other:
            raise UserError(
                f"--devices all: process 0 has {counts[0]} and process {other} has "
                f"{counts[other]}; expected the same number of devices everywhere"
            )
        if found and batch_size % len(found):
            raise UserError(
                f"--batch-size {batch_size}: --devices all splits it among the {len(found)} "
                f"devices found; expected a multiple of {len(found)}"
            )
        _backend.distribute(found)
    elif devices == "all":
        raise UserError(
            f"--devices all: {name} trains on one device here; set KERAS_BACKEND=jax, or "
            "give --devices one"
        )


def distributed() -> AbstractContextManager[None]:
    """In the block, what is built or compiled is of all devices that `use_devices` chose.

    All else is of one: of the first process alone, where there are several.
    """
    is_jax = keras.backend.backend() == "jax"
    return _backend.distributed() if is_jax else contextlib.nullcontext()


def join(place: Place, coordinator: str) -> None:
    """Join the processes of a training, each of which calls this, before devices are looked for.

    Args:
        place: of this process.
        coordinator: ADDRESS:PORT, free, of the first process.
    """
    _backend.join(coordinator, place)


def batch_share(batch_size: int) -> np.ndarray:
    """Which pictures of every batch the devices of this process compute, ascending."""
    return _backend.batch_share(batch_size) if hosts.count() > 1 else np.arange(batch_size)


def from_shares(images: np.ndarray, batch_size: int) -> Tensor:
    """What a step takes for several batches, of which each process has its share.

    Args:
        images: uint8 (batches, len(batch_share(batch_size)), H, W, C).
        batch_size: of the whole.
    """
    return _backend.from_shares(images, batch_size) if hosts.count() > 1 else images


_shared: list[keras.Variable] = []


def share_variables(variables: Sequence[keras.Variable]) -> None:
    """Name those that `assign` changes in every process, in an order that all have."""
    _shared[:] = variables
    hosts.everywhere("assign", _assign_shared)


def _assign_shared(numbers: Sequence[int], *values: np.ndarray) -> None:
    for number, value in zip(numbers, values, strict=True):
        _shared[number].assign(_backend.whole(value))


def assign(variables: Sequence[keras.Variable], values: Sequence[Any]) -> None:
    """Give variables values of the host, in every process of the training."""
    if hosts.count() == 1:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return
    numbers = {id(variable): number for number, variable in enumerate(_shared)}
    arrays = [
        np.asarray(value, keras.backend.standardize_dtype(variable.dtype)).reshape(variable.shape)
        for variable, value in zip(variables, values, strict=True)
    ]
    assign_shared = hosts.everywhere("assign", _assign_shared)
    assign_shared([numbers[id(variable)] for variable in variables], *arrays)


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

    Of several devices it says ``jax 0.10.2 on 2 x NVIDIA L4`` or ``jax 0.10.2 on 2 CPU devices``,
    and in how many processes.

    Args:
        devices: what `use_devices` was told.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    accelerators = _backend.accelerators()
    described = accelerators[0] if accelerators else f"{cores} CPU cores"
    if devices == "all":
        count = len(keras.distribution.list_devices())
        several = f"{count} x {described}" if accelerators else f"{count} CPU devices"
        several += f" in {hosts.count()} processes" if hosts.count() > 1 else ""
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


def full_precision() -> AbstractContextManager[None]:
    """While the block runs, GPUs multiply float32 as float32, not rounded to TF32 as usual.

    What is compiled must be called for the first time in such a block.
    """
    return _backend.full_precision()


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
    loss, auxiliary, gradients = _backend.gradients(loss_function, variables)
    return (loss, auxiliary), _complete(gradients, variables)


def value_and_input_grad(
    loss_function: LossFunction, inputs: Tensor
) -> tuple[tuple[Tensor, Any], Tensor]:
    """Call ``loss_function`` on ``inputs`` and differentiate the loss with respect to them.

    Args:
        loss_function: takes ``inputs``, returns the loss (a scalar) and anything else.
        inputs: e.g. generated images (B, H, W, C).

    Returns:
        ``(loss, anything else), gradient``, the gradient in the shape of the inputs.
    """
    loss, auxiliary, (gradient,) = _backend.gradients(loss_function, [], inputs)
    return (loss, auxiliary), gradient


def forward(network: keras.Model, inputs: Tensor) -> tuple[Tensor, PullBack]:
    """Pass ``network`` in training mode: its outputs, and the way back for their gradient.

    Both updates of an alternation see the same generated images: the discriminator's takes them as
    they are, the generator's hands their gradient to the function returned. One pass of the
    generator serves both, as long as its weights do not change in between.

    Args:
        network: every trainable variable of it takes part.
        inputs: e.g. latent vectors (B, latent_dim).

    Returns:
        ``outputs, pull_back``. By the chain rule, ``pull_back`` turns the gradient of a loss with
        respect to the outputs into that with respect to ``network.trainable_variables``; it can be
        called once.

    Raises:
        ValueError: by ``pull_back``, where the outputs do not depend on one of the variables.
    """
    variables = list(network.trainable_variables)
    outputs, pull_back = _backend.record(lambda: network(inputs, training=True), variables)
    return outputs, lambda gradient: _complete(pull_back(gradient), variables)


def _complete(
    gradients: Sequence[Tensor | None], variables: Sequence[keras.Variable]
) -> list[Tensor]:
    """The gradients, of which none may be missing."""
    pairs = zip(variables, gradients, strict=True)
    missing = [variable.path for variable, gradient in pairs if gradient is None]
    if missing:
        raise ValueError(f"the loss does not depend on {', '.join(missing)}")
    return list(gradients)


def input_gradient(function: Callable[[Tensor], Tensor], inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Call ``function`` and differentiate the sum of its outputs with respect to its inputs.

    The gradient can be part of a loss that `value_and_grad` differentiates again.

    Args:
        function: a network's pass, (B, ...) to (B, 1).
        inputs: images (B, H, W, C), taken as given: nothing is differentiated beyond them.

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
    """Copy uint8 (N, H, W, C) to where the networks are, once, for `take_images`."""
    return _backend.images_to_device(np.ascontiguousarray(images))


def take_images(images: Tensor, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Gather uint8 (B, *shape) by indices (B,) from what `images_to_device` returned."""
    return _backend.take_images(images, indices, shape)


def fetch(values: Sequence[dict[str, Tensor]]) -> list[dict[str, float]]:
    """Bring the scalars that steps returned to the host; waits until those steps are done."""
    return [{name: float(value) for name, value in scalars.items()} for scalars in values]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether ``error`` says that the device or the machine has no memory left."""
    return isinstance(error, MemoryError) or _backend.is_out_of_memory(error)

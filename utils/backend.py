"""The one file that asks which Keras backend runs.

A method's script is written with ``keras.ops`` and calls the functions below for the things that
Keras leaves to the backend: turning a whole alternation into one compiled function, gradients, and
data that lives on the device. Another backend is another branch in each of these functions.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Hold back what libraries print while they load, unless loading fails.

    TensorFlow writes a dozen lines about the machine to the file descriptor itself, before its
    log level is in force.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held_back:
        standard_error = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(standard_error, held_back.read())
            raise
        finally:
            os.dup2(standard_error, 2)
            os.close(standard_error)


with _quiet_start():
    import keras

Tensor = Any
"""A tensor of the running backend."""

if keras.backend.backend() != "tensorflow":
    print(
        f"error: the Keras backend is {keras.backend.backend()}, wanted is tensorflow; "
        "set KERAS_BACKEND=tensorflow",
        file=sys.stderr,
    )
    raise SystemExit(2)

with _quiet_start():
    import tensorflow as tf

    tf.config.list_physical_devices()


def seed_everything(seed: int, deterministic: bool) -> None:
    """Make the run repeatable: seeds for Python, NumPy and the backend.

    Args:
        seed: initial weights, dropout and everything else that draws random numbers.
        deterministic: forbid the GPU kernels whose sums depend on the order in which threads
            finish. They are somewhat faster; without them the same seed gives the same bits.
    """
    keras.utils.set_random_seed(seed)
    for gpu in tf.config.list_physical_devices("GPU"):
        # Take memory as it is needed, so that a desktop that shares the GPU stays usable.
        tf.config.experimental.set_memory_growth(gpu, True)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def describe_device() -> str:
    """Say in a few words what the run computes on, e.g. ``tensorflow 2.21.0 on 2 CPU cores``."""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"tensorflow {tf.__version__} on {', '.join(gpus) if gpus else f'{cores} CPU cores'}"


def compile_step(
    step: Callable[..., dict[str, Tensor]], state: Sequence[keras.Variable]
) -> Callable[..., dict[str, Tensor]]:
    """Compile ``step`` into one function of the backend, without a return to Python inside.

    Args:
        step: reads and assigns Keras variables; takes tensors or NumPy arrays of constant shape
            and dtype; returns named scalars.
        state: every variable that the step reads or assigns. TensorFlow finds them by itself;
            backends that compile pure functions do not.

    Returns:
        A function with the arguments of ``step``. What it returns stays on the device until
        `fetch` is called on it, so that calling it does not wait for the device.
    """
    del state
    return tf.function(step, autograph=False)


def value_and_grad(
    loss_function: Callable[[], tuple[Tensor, Any]], variables: Sequence[keras.Variable]
) -> tuple[tuple[Tensor, Any], list[Tensor]]:
    """Call ``loss_function`` and differentiate the loss it returns.

    Args:
        loss_function: takes nothing, returns the loss (a scalar) and anything else worth keeping.
        variables: what to differentiate with respect to.

    Returns:
        ``(loss, anything else), gradients``, one gradient for each variable.

    Raises:
        ValueError: the loss does not depend on one of the variables. An optimizer would skip such
            a variable without a word, and a network would silently stay as it is.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([variable.value for variable in variables])
        loss, auxiliary = loss_function()
    gradients = tape.gradient(loss, [variable.value for variable in variables])
    missing = [
        variable.path
        for variable, gradient in zip(variables, gradients, strict=True)
        if gradient is None
    ]
    if missing:
        raise ValueError(f"the loss does not depend on {', '.join(missing)}")
    return (loss, auxiliary), gradients


def to_device(array: np.ndarray) -> Tensor:
    """Copy an array to where the networks are, once, to be used by many steps."""
    return tf.constant(array)


def fetch(values: Sequence[dict[str, Tensor]]) -> list[dict[str, float]]:
    """Bring the scalars that steps returned to the host; waits until those steps are done."""
    return [{name: float(value) for name, value in scalars.items()} for scalars in values]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether ``error`` says that the device or the machine has no memory left."""
    return isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError))

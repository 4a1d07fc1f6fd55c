"""The one file that asks which Keras backend runs.

A method's script is written with ``keras.ops`` and calls the functions below for the things that
Keras leaves to the backend: turning a whole alternation into one compiled function, gradients, and
data that lives on the device. Another backend is another branch in each of these functions.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Hold back what libraries print while they load, unless loading fails.

    TensorFlow writes a dozen lines about the machine to the file descriptor itself, before its
    log level is in force.
    """
    sys.stderr.flush()
    interrupt = signal.getsignal(signal.SIGINT)
    with tempfile.TemporaryFile() as held_back:
        standard_error = os.dup(2)
        os.dup2(held_back.fileno(), 2)
        try:
            if interrupt is signal.default_int_handler:
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
            if interrupt is signal.default_int_handler:
                signal.signal(signal.SIGINT, interrupt)


def _give_up(reason: str) -> NoReturn:
    print(f"error: {reason}; set KERAS_BACKEND=tensorflow", file=sys.stderr)
    raise SystemExit(2)


try:
    with _quiet_start():
        import keras
except (ImportError, ValueError) as error:
    _give_up(f"Keras and its backend cannot be loaded ({error})")

if keras.backend.backend() != "tensorflow":
    _give_up(f"the Keras backend is {keras.backend.backend()}, wanted is tensorflow")

with _quiet_start():
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        # Take memory as it is needed, so that a desktop that shares the GPU stays usable.
        tf.config.experimental.set_memory_growth(gpu, True)
    # This optimisation, which fuses a convolution with what follows it, fails on a step with
    # dropout, says so on the screen, and where it succeeds makes no difference (ratio 0.99).
    tf.config.optimizer.set_experimental_options({"remapping": False})

# Whatever the person's keras.json says for other work: the scripts are written for these.
keras.config.set_image_data_format("channels_last")
keras.config.set_floatx("float32")
keras.config.set_dtype_policy("float32")

Tensor = Any
"""A tensor of the running backend."""


def seed_everything(seed: int, deterministic: bool) -> None:
    """Make the run repeatable: seeds for Python, NumPy and the backend.

    Args:
        seed: initial weights, dropout and everything else that draws random numbers.
        deterministic: forbid the GPU kernels whose sums depend on the order in which threads
            finish. They are somewhat faster; without them the same seed gives the same bits.
    """
    keras.utils.set_random_seed(seed)
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


def images_to_device(images: np.ndarray) -> Tensor:
    """Copy uint8 (N, H, W, 3) to where the networks are, once, for `take_images`.

    TensorFlow has no GPU kernel that gathers bytes: the set would go back to the host at every
    step. It gathers 64-bit numbers, so eight bytes travel as one, unread.
    """
    return tf.constant(np.ascontiguousarray(images).reshape(len(images), -1).view(np.int64))


def take_images(images: Tensor, indices: Tensor, size: int) -> Tensor:
    """Gather uint8 (B, size, size, 3) by indices (B,) from what `images_to_device` returned."""
    return tf.reshape(tf.bitcast(tf.gather(images, indices), tf.uint8), (-1, size, size, 3))


def fetch(values: Sequence[dict[str, Tensor]]) -> list[dict[str, float]]:
    """Bring the scalars that steps returned to the host; waits until those steps are done."""
    return [{name: float(value) for name, value in scalars.items()} for scalars in values]


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether ``error`` says that the device or the machine has no memory left."""
    return isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError))

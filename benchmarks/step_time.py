"""Time of one alternation: ours, the classic loop of the tutorials, and PyTorch's DCGAN.

    python benchmarks/step_time.py                          # every configuration
    python benchmarks/step_time.py --only 64 --rounds 15
    KERAS_BACKEND=jax python benchmarks/step_time.py        # ours and the classic loop on JAX
    pip install -r benchmarks/requirements.txt              # then PyTorch is compared with as well

Same networks, batch and machine. The competitors take turns, because machines are noisy: what is
shown are medians, and the median and range of the ratios within a turn.

The classic loop is ``generator.predict``, ``train_on_batch`` of the discriminator on real and on
generated images, ``train_on_batch`` of the combined model. It is given its best: each function is
traced once, under the right ``trainable`` flags, so that it really trains what it should (this is
checked) and never recompiles. PyTorch's is in ``benchmarks/pytorch_dcgan.py``, with fused Adam, in
a process of its own: eager, and with both networks compiled, which takes up to a minute to begin.

The last line is a row for the table of machines in ``docs/speed.md``.

A step's products are counted from the layers: every convolution and dense layer once for each time
that a pass, or a gradient, needs it. Set against the time of a step and of a square matrix product
on the same machine, they show what is left to gain.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils.common.commandline import positive


@dataclass
class Configuration:
    """Networks and batch to measure."""

    image_size: int
    batch_size: int
    filters: int
    dropout: float
    """Of the discriminator; PyTorch's example has none."""
    steps: int
    """Steps in a turn."""


CONFIGURATIONS = {
    "64": Configuration(64, 64, 64, 0.0, 3),
    "64-dropout": Configuration(64, 64, 64, 0.25, 3),
    "128": Configuration(128, 64, 64, 0.0, 1),
    "default": Configuration(64, 16, 32, 0.25, 15),
    "small": Configuration(32, 8, 4, 0.25, 40),
}
KERAS = ("ours float32", "ours bfloat16", "classic loop float32")
PRODUCTS = ("product float32", "product bfloat16")
PYTORCH = {
    f"PyTorch {precision} {name}": (precision, memory_format, is_compiled)
    for precision in ("float32", "bfloat16")
    for name, memory_format, is_compiled in (
        ("channels last", "channels_last", False),
        ("channels first", "contiguous_format", False),
        ("compiled", "channels_last", True),
    )
}


# ------------------------------------------------------------------------------------------------
# What is measured. Each function returns one that makes a step and waits until it is done.
# ------------------------------------------------------------------------------------------------


def keras_step(name: str, configuration: Configuration) -> Callable[[], object]:
    """A competitor that runs on Keras, or a matrix product on its backend."""
    import dcgan
    from utils import backend

    kind, precision = name.split()[0], name.split()[-1]
    if kind == "product":
        return product_step(precision)
    h = dcgan.Hyperparameters(
        image_size=configuration.image_size,
        batch_size=configuration.batch_size,
        generator_filters=(configuration.filters,),
        discriminator_filters=(configuration.filters,),
        generator_architecture="plain",
        upscaling="transposed",
        discriminator_dropout=configuration.dropout,
        augmentation=(),  # which neither of the others has
    )
    size = h.image_size
    images = np.random.default_rng(0).integers(
        0, 256, (4 * h.batch_size, size, size, 3), dtype=np.uint8
    )
    backend.set_precision(precision)  # of the networks that are built next
    return our_step(h, images) if kind == "ours" else classic_step(h, images)


def our_step(h: Any, images: np.ndarray) -> Callable[[], object]:
    """One compiled function, as the scripts run it: it chooses images, draws latents, updates."""
    import dcgan
    from utils import backend
    from utils.data.dataset import Dataset
    from utils.training.trainer import Trainer

    trainer = Trainer(dcgan.DCGAN(h), h, Dataset(images, []))
    # The loop fetches less often; here the step has to be over when its time is taken.
    return lambda: backend.fetch([trainer.one_step()])


def classic_step(h: Any, images: np.ndarray) -> Callable[[], object]:
    """Four calls of Keras' trainer, traced so that they learn correctly."""
    import keras
    from keras import ops

    import dcgan

    method = dcgan.DCGAN(h)
    generator, discriminator, combined = method.generator, method.discriminator, method.combined
    random = np.random.default_rng(h.seed)
    ones, zeros = np.ones((h.batch_size, 1)), np.zeros((h.batch_size, 1))

    def compile_model(model: keras.Model) -> None:
        model.compile(
            keras.optimizers.Adam(h.generator_learning_rate, beta_1=h.generator_beta1),
            keras.losses.BinaryCrossentropy(from_logits=True),
        )

    def latents() -> np.ndarray:
        return random.standard_normal((h.batch_size, h.latent_dim), dtype=np.float32)

    def step() -> None:
        chosen = random.integers(0, len(images), h.batch_size)
        real_images = images[chosen].astype(np.float32) / 127.5 - 1.0
        fake_images = generator.predict(latents(), verbose=0)
        discriminator.train_on_batch(real_images, ones)
        discriminator.train_on_batch(fake_images, zeros)
        combined.train_on_batch(latents(), ones)

    def weights(model: keras.Model) -> np.ndarray:
        return np.concatenate([ops.convert_to_numpy(v).ravel() for v in model.trainable_weights])

    # Keras reads the flags when a function is traced, at its first call.
    compile_model(discriminator)
    discriminator.train_on_batch(images[: h.batch_size].astype(np.float32), ones)
    discriminator.trainable = False
    compile_model(combined)
    combined.train_on_batch(latents(), ones)
    discriminator.trainable = True

    for call, moves, stays in (
        (lambda: combined.train_on_batch(latents(), ones), generator, discriminator),
        (lambda: discriminator.train_on_batch(images[: h.batch_size] / 255, ones),
         discriminator, generator),
    ):  # fmt: skip
        moving, staying = weights(moves), weights(stays)
        call()
        if np.array_equal(moving, weights(moves)) or not np.array_equal(staying, weights(stays)):
            raise SystemExit("the classic loop does not train what it should on this Keras")
    return step


def product_step(precision: str) -> Callable[[], object]:
    """A product of two square matrices."""
    from keras import ops

    from utils import backend

    side = product_side()
    matrix = ops.cast(np.random.default_rng(0).standard_normal((side, side)), precision)
    product = backend.compile_step(
        lambda left, right: {"corner": ops.cast(ops.matmul(left, right), "float32")[0, 0]}, []
    )
    return lambda: backend.fetch([product(matrix, matrix)])


def product_side() -> int:
    """Large enough to be at full speed: larger on an accelerator."""
    from utils import backend

    return 2048 if "CPU" in backend.describe_device() else 8192


def pytorch_step(name: str, configuration: Configuration) -> Callable[[], object]:
    """PyTorch's DCGAN in the precision and layout of its name."""
    import pytorch_dcgan

    return pytorch_dcgan.make_step(
        configuration.image_size, configuration.batch_size, configuration.filters,
        configuration.dropout, *PYTORCH[name],
    )  # fmt: skip


def products_of_a_step(configuration: Configuration) -> float:
    """Floating-point operations (a multiplication and an addition are two) in the products."""
    import dcgan

    h = dcgan.Hyperparameters(
        image_size=configuration.image_size,
        generator_filters=(configuration.filters,),
        discriminator_filters=(configuration.filters,),
        generator_architecture="plain",
        upscaling="transposed",
    )
    generator = forward_products(dcgan.build_generator(h))
    discriminator = forward_products(dcgan.build_discriminator(h))
    # The generator goes forward once, and both its gradients back; its latents need none.
    operations = 3 * sum(generator) - generator[0]
    # (1) goes forward and back for real and for generated images, which need no gradient...
    operations += 6 * sum(discriminator) - 2 * discriminator[0]
    # ... and (2) forward and back to the images.
    operations += 2 * sum(discriminator)
    return configuration.batch_size * operations


def forward_products(network: Any) -> list[int]:
    """Floating-point operations of each layer's product for one image."""
    found = []
    for layer in network.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            is_transposed = "Transpose" in type(layer).__name__
            places = (layer.input if is_transposed else layer.output).shape[1:-1]
            found.append(2 * math.prod(places) * math.prod(kernel.shape))
    return found


# ------------------------------------------------------------------------------------------------
# Taking turns
# ------------------------------------------------------------------------------------------------


def work(library: str, configuration: Configuration) -> None:
    """In a process of its own: make steps of the competitor that each line of input names."""
    make = {"keras": keras_step, "pytorch": pytorch_step}[library]
    steps: dict[str, Callable[[], object]] = {}
    for line in sys.stdin:
        name, count = json.loads(line)
        started = time.perf_counter()
        if name not in steps:
            steps[name] = make(name, configuration)
            count = 1
        for _ in range(count):
            steps[name]()
        print(json.dumps((time.perf_counter() - started) / count), flush=True)


class Worker:
    """A process that makes steps when it is asked to."""

    def __init__(self, library: str, configuration: str) -> None:
        command = [sys.executable, __file__, "--worker", library, "--only", configuration]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def seconds(self, name: str, count: int) -> float:
        """Seconds of one step of a competitor, the mean of ``count``; at first, of its start."""
        self.process.stdin.write(json.dumps([name, count]) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{name} failed")
        return json.loads(answer)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()
        self.process.wait()


def measure(name: str, rounds: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Seconds of a step by competitor, (rounds,) each, and of its first one, with all before."""
    steps = CONFIGURATIONS[name].steps
    has_pytorch = importlib.util.find_spec("torch") is not None
    with Worker("keras", name) as ours, Worker("pytorch", name) as others:
        turns = [(competitor, ours, steps) for competitor in KERAS]
        turns += [(competitor, ours, 8) for competitor in PRODUCTS]
        turns += [(competitor, others, steps) for competitor in PYTORCH if has_pytorch]
        first = {competitor: worker.seconds(competitor, 1) for competitor, worker, _ in turns}
        seconds: dict[str, list[float]] = {competitor: [] for competitor, _, _ in turns}
        for number in range(-1, rounds):  # round -1 warms up
            for competitor, worker, count in turns:
                taken = worker.seconds(competitor, count)
                if number >= 0:
                    seconds[competitor].append(taken)
    return {competitor: np.array(taken) for competitor, taken in seconds.items()}, first


def ratio(seconds: np.ndarray, ours: np.ndarray) -> str:
    """How many times as fast as the other ours is: median and range."""
    ratios = np.sort(seconds / ours)
    return f"{np.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def processor() -> str:
    """What the processor is called."""
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def report(name: str, seconds: dict[str, np.ndarray], first: dict[str, float]) -> tuple[str, str]:
    """Print the table of one configuration.

    Returns:
        Two cells of `row`: the products' rates, and the step.
    """
    configuration = CONFIGURATIONS[name]
    operations = products_of_a_step(configuration)
    print(
        f"\n{name}: {configuration.image_size} px, {configuration.filters} filters, batch "
        f"{configuration.batch_size}, dropout {configuration.dropout:g}; "
        f"{operations / 1e9:.3g} GFLOP a step"
    )
    rates = []
    for product in PRODUCTS:
        rates.append(f"{2e-9 * product_side() ** 3 / np.median(seconds[product]):.0f}")
        print(f"{product + ', ' + str(product_side()):34}{rates[-1]:>8} GFLOP/s")
    pytorch = [competitor for competitor in PYTORCH if competitor in seconds]
    best = min(pytorch, key=lambda competitor: np.median(seconds[competitor]), default=None)
    head = f"{'of product':>10}   {'times the classic loop':26}{'times best PyTorch':24}"
    print(f"{'':34}{'ms':>8}  {head}seconds to begin")
    for competitor in (*KERAS, *pytorch):
        taken = seconds[competitor]
        precision = "bfloat16" if "bfloat16" in competitor else "float32"
        product = 2 * product_side() ** 3 / seconds[f"product {precision}"]
        share = np.median(operations / taken / product)
        line = f"{competitor:34}{1000 * np.median(taken):8.1f}  {share:10.0%}   "
        line += f"{ratio(seconds[KERAS[2]], taken):26}"
        line += f"{ratio(seconds[best], taken) if best else 'not installed':24}"
        print(f"{line}{first[competitor]:.1f}")
    ours = min(KERAS[:2], key=lambda competitor: np.median(seconds[competitor]))
    milliseconds = 1000 * np.median(seconds[ours])
    cell = f"{milliseconds:.{0 if milliseconds >= 10 else 1}f} ms in {ours.split()[-1]}"
    for other in filter(None, (KERAS[2], best)):
        cell += f"; {np.median(seconds[other] / seconds[ours]):.2f}"
    return " / ".join(rates), cell


def row(cells: dict[str, tuple[str, str]]) -> str:
    """A row of the table in docs/speed.md: each step, times the classic loop, times PyTorch."""
    from utils import backend

    rates = next(iter(cells.values()))[0]
    steps = [cells[name][1] if name in cells else "" for name in CONFIGURATIONS]
    return f"| {' | '.join([f'{processor()}, {backend.describe_device()}', rates, *steps])} |"


def main() -> None:
    """Print a table for each configuration."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=positive, default=9, help="turns of each (default 9)")
    parser.add_argument("--only", choices=CONFIGURATIONS, help="measure one configuration")
    parser.add_argument("--worker", choices=("keras", "pytorch"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, CONFIGURATIONS[options.only])
        return
    from utils import backend

    print(f"{processor()}, {backend.describe_device()}; medians of {options.rounds} turns")
    names = CONFIGURATIONS if options.only is None else (options.only,)
    print(f"\n{row({name: report(name, *measure(name, options.rounds)) for name in names})}")


if __name__ == "__main__":
    main()

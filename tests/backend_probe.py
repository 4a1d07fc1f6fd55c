"""Run under each backend by test_backends.py: the same computation, its results in a file.

    KERAS_BACKEND=jax python -m tests.backend_probe START.npz RESULT.npz [all]

START.npz holds the weights to begin with (or does not exist yet: then it is written), latents and
images; RESULT.npz what came of two steps, of gradients of gradients, skipped updates and features
for scores; ``all`` splits its batches among all devices.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import numpy as np

from utils import backend

# isort: split
import keras
from keras import ops

import dcgan
from tests.conftest import blobs
from utils.scoring.features import RandomNetwork
from utils.scoring.imagenet import ImageNetNetwork
from utils.scoring.weights import weights_file


def main(start: Path, result: Path, devices: Literal["one", "all"] = "one") -> None:
    keras.utils.set_random_seed(0)
    backend.use_devices(devices, batch_size=4)
    h = dcgan.Hyperparameters(
        image_size=16, batch_size=4, latent_dim=5, generator_filters=(4,),
        discriminator_filters=(4,), augmentation=(), initial_stddev=0.1,
    )  # fmt: skip
    with backend.distributed():
        method = dcgan.DCGAN(h)
        compute(method, start, result)


def compute(method: dcgan.DCGAN, start: Path, result: Path) -> None:
    h, state = method.h, method.state()
    variables = [variable for group in state.values() for variable in group]
    networks = state["generator"] + state["discriminator"]
    if not start.exists():
        random = np.random.default_rng(0)
        np.savez(
            start,
            latents=random.standard_normal((2, 4, 5)).astype(np.float32),
            **{f"weight{n}": ops.convert_to_numpy(v) for n, v in enumerate(networks)},
        )
    given = np.load(start)
    for number, variable in enumerate(networks):
        variable.assign(given[f"weight{number}"])
    results = {}

    # Two steps on given latents; each optimizer's gradients are kept as the step goes by.
    def step(images, latents):
        method.random_latents = lambda: ops.convert_to_tensor(latents)
        kept = {}
        for name in ("generator", "discriminator"):
            optimizer = getattr(method, f"{name}_optimizer")

            def apply(gradients, variables, name=name, optimizer=optimizer):
                kept.update({f"{name} gradient {n}": g for n, g in enumerate(gradients)})
                type(optimizer).apply(optimizer, gradients, variables)

            optimizer.apply = apply
        return method.train_step(images) | kept

    compiled = backend.compile_step(step, variables)
    images = blobs(8, 16).reshape(2, 1, 4, 16, 16, 3)
    for number in range(2):
        returned = compiled(images[number], given["latents"][number])
        for name, value in returned.items():
            results[f"step {number} {name}"] = ops.convert_to_numpy(value)
    for number, variable in enumerate(networks):
        results[f"after {number} {variable.name}"] = ops.convert_to_numpy(variable)
    for name in ("generator", "discriminator"):
        del getattr(method, f"{name}_optimizer").apply

    # The gradient of a gradient penalty, as WGAN-GP and zero-centred penalties need it.
    def penalty_step(real_images):
        real_images = ops.cast(real_images, "float32") / 127.5 - 1

        def loss_function():
            logits, gradient = backend.input_gradient(
                lambda x: method.discriminator(x, training=True), real_images
            )
            return ops.mean(ops.sum(gradient**2, axis=(1, 2, 3))), logits

        (loss, logits), gradients = backend.value_and_grad(
            loss_function, method.discriminator.trainable_variables[:-1]
        )
        return {"loss": loss, "logits": logits} | {str(n): g for n, g in enumerate(gradients)}

    for name, value in backend.compile_step(penalty_step, variables)(images[0, 0]).items():
        results[f"penalty {name}"] = ops.convert_to_numpy(value)
    moving = [v for v in method.discriminator.variables if "moving" in v.name]
    for number, variable in enumerate(moving):
        results[f"moving {number}"] = ops.convert_to_numpy(variable)

    # A pass that two updates share, and the way back through it.
    def shared_step(latents):
        images, pull_back = backend.forward(method.generator, latents)
        (loss, _), to_images = backend.value_and_input_grad(
            lambda x: (ops.mean(method.combined.from_images(x) ** 2), None), images
        )
        gradients = pull_back(to_images)
        return {"loss": loss, "images": images} | {str(n): g for n, g in enumerate(gradients)}

    shared = backend.compile_step(shared_step, variables)(given["latents"][0])
    for name, value in shared.items():
        results[f"shared {name}"] = ops.convert_to_numpy(value)

    # Two steps with classes, the second with half of their share.
    h.class_names = ("a", "b", "c")
    conditional = dcgan.DCGAN(h)
    state = [variable for group in conditional.state().values() for variable in group]
    networks = (conditional.generator, conditional.discriminator)
    trained = [variable for network in networks for variable in network.trainable_variables]
    for number, variable in enumerate(v for v in trained if v.name in ("kernel", "bias")):
        random = np.random.default_rng(number)
        variable.assign(random.normal(0.0, 0.1, variable.shape).astype(np.float32))

    def conditional_step(images, latents, classes):
        conditional.random_latents = lambda: ops.convert_to_tensor(latents)
        return conditional.train_step(images, classes)

    compiled = backend.compile_step(conditional_step, state)
    classes = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]][None]
    for number, share in enumerate((1.0, 0.5)):
        latents = given["latents"][number]
        returned = compiled(images[number], latents, np.float32(share) * classes)
        for name, value in returned.items():
            results[f"conditional step {number} {name}"] = ops.convert_to_numpy(value)

    # A variable that the loss does not reach is an error, not a gradient of zero.
    def forgetful_step():
        trained = method.discriminator.trainable_variables
        backend.value_and_grad(lambda: (ops.sum(trained[0] ** 2), None), trained[:2])
        return {}

    try:
        backend.compile_step(forgetful_step, variables)()
    except ValueError as error:
        results["refused"] = np.array("the loss does not depend on" in str(error))

    # An update that is skipped inside the step, and one that is not.
    optimizer = method.discriminator_optimizer
    trained = method.discriminator.trainable_variables

    def maybe(go):
        backend.apply_if(go, optimizer, [ops.ones(v.shape) for v in trained], trained)
        return {}

    maybe = backend.compile_step(maybe, variables)
    for go in (False, True):
        before = [ops.convert_to_numpy(v) for v in (*trained, *optimizer.variables)]
        maybe(np.array(go))
        after = [ops.convert_to_numpy(v) for v in (*trained, *optimizer.variables)]
        changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
        results[f"changed if {go}"] = np.array(changed)
    results["features"] = RandomNetwork(32).fit(blobs(9))
    if weights_file() is not None:
        network = ImageNetNetwork()
        results["imagenet features"] = network(blobs(3))

        def directed(images):
            _, gradient = backend.value_and_input_grad(
                lambda x: (ops.sum(network.directions(x)[:, :9]), None), images
            )
            return {"gradient": gradient}

        images = blobs(1).astype(np.float32) / 127.5 - 1
        with backend.full_precision():
            gradient = backend.compile_step(directed, ())(ops.convert_to_tensor(images))["gradient"]
        results["imagenet gradient"] = ops.convert_to_numpy(gradient)
    np.savez(result, **results)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])

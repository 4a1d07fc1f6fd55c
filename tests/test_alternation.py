"""Who moves in which update: the failure that Keras 3 hides behind healthy losses."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import dcgan
from tests.conftest import blobs
from utils import backend
from utils.models.adversarial import frozen
from utils.models.recipes import Batch, Turn


def tiny_method(**changes: object) -> dcgan.DCGAN:
    """A DCGAN at 16 px with every kind of layer."""
    keras.utils.set_random_seed(1)
    values = {
        "image_size": 16, "batch_size": 4, "latent_dim": 5,
        "generator_filters": (3,), "discriminator_filters": (3,), "discriminator_dropout": 0.0,
        "augmentation": (),
    }  # fmt: skip
    return dcgan.DCGAN(dcgan.Hyperparameters(**(values | changes)))


def real_images() -> np.ndarray:
    return blobs(4, 16).astype(np.float32) / 127.5 - 1


def drawn_latents() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)


def update_discriminator(
    method: dcgan.DCGAN, real: np.ndarray, fake: np.ndarray, swaps: Any = False
) -> dict[str, Any]:
    turn = Turn(discriminator=True, generator=True, swaps_labels=swaps)
    return method.update_discriminator(Batch(real, fake, None, turn))


def update_generator(
    method: dcgan.DCGAN, latents: np.ndarray, real: np.ndarray | None = None
) -> dict[str, Any]:
    turn = Turn(discriminator=True, generator=True, swaps_labels=False)
    fake, pull_back = backend.forward(method.generator, latents)
    return method.update_generator(Batch(real, fake, pull_back, turn))


def values(network: keras.Model) -> dict[str, np.ndarray]:
    """What training changes; dropout's random states move in every pass."""
    return {
        v.path: ops.convert_to_numpy(v) for v in network.variables if "seed_generator" not in v.path
    }


def moved(network: keras.Model, before: dict[str, np.ndarray]) -> set[str]:
    return {path for path, value in values(network).items() if np.any(value != before[path])}


def trainable(network: keras.Model) -> set[str]:
    return {variable.path for variable in network.trainable_variables}


def moving_statistics(network: keras.Model) -> set[str]:
    return {v.path for v in network.variables if "moving_" in v.path}


NORMALIZATIONS = (("before-activation", True), ("after-activation", False), ("none", False))


@pytest.mark.parametrize(("normalization", "compiled"), NORMALIZATIONS)
def test_the_discriminators_update_trains_all_of_it_and_nothing_else(normalization, compiled):
    method = tiny_method(normalization=normalization, generator_dropout=0.2, label_noise=0.1)
    update = partial(update_discriminator, method)
    if compiled:
        variables = [v for group in method.state().values() for v in group]
        update = backend.compile_step(update, variables)
    generator, discriminator = values(method.generator), values(method.discriminator)

    update(real_images(), real_images()[::-1])

    assert moved(method.discriminator, discriminator) == trainable(
        method.discriminator
    ) | moving_statistics(method.discriminator)
    assert moved(method.generator, generator) == set()
    assert int(method.generator_optimizer.iterations) == 0
    assert int(method.discriminator_optimizer.iterations) == 1


@pytest.mark.parametrize(("normalization", "compiled"), NORMALIZATIONS)
def test_the_combined_update_trains_all_of_the_generator_and_nothing_else(normalization, compiled):
    method = tiny_method(normalization=normalization, discriminator_dropout=0.2)
    update = partial(update_generator, method)
    if compiled:
        variables = [v for group in method.state().values() for v in group]
        update = backend.compile_step(update, variables)
    generator, discriminator = values(method.generator), values(method.discriminator)

    update(drawn_latents())

    assert moved(method.generator, generator) == trainable(method.generator) | moving_statistics(
        method.generator
    )
    # Documented: the frozen discriminator's moving statistics follow the pass, its weights do not.
    assert moved(method.discriminator, discriminator) & trainable(method.discriminator) == set()
    assert moved(method.discriminator, discriminator) >= moving_statistics(method.discriminator)
    assert int(method.generator_optimizer.iterations) == 1
    assert int(method.discriminator_optimizer.iterations) == 0


def test_moving_statistics_follow_each_pass_once():
    """One pass of the generator for both updates; two of the discriminator in (1), one in (2)."""
    method = tiny_method(normalization_momentum=0.5)
    passes = {}
    for network in (method.generator, method.discriminator):
        layer = next(x for x in network.layers if isinstance(x, keras.layers.BatchNormalization))
        layer.moving_variance.assign(ops.full(layer.moving_variance.shape, 2.0**20))
        passes[network.name] = layer

    def halvings() -> dict[str, int]:
        # A batch's variance is tiny beside 2^20, so that each pass halves the moving one.
        return {
            name: round(20 - float(np.log2(ops.convert_to_numpy(layer.moving_variance)).mean()))
            for name, layer in passes.items()
        }

    update_discriminator(method, real_images(), real_images())
    assert halvings() == {"generator": 0, "discriminator": 2}
    method.train_step(np.zeros((1, 4, 16, 16, 3), np.uint8))
    assert halvings() == {"generator": 1, "discriminator": 5}


def test_a_frozen_discriminator_answers_as_it_learned_with_batch_statistics():
    method = tiny_method()
    latents = drawn_latents()
    free = ops.convert_to_numpy(method.combined(latents))
    with frozen(method.discriminator):
        while_frozen = ops.convert_to_numpy(method.combined(latents))
    images = method.generator(latents, training=True)
    by_moving_statistics = ops.convert_to_numpy(method.discriminator(images, training=False))
    np.testing.assert_allclose(while_frozen, free, rtol=1e-5, atol=1e-7)
    assert np.abs(by_moving_statistics - free).max() > 1e-3
    # The layer flag, which the tutorials use, silently makes another function of it.
    method.discriminator.trainable = False
    by_flag = ops.convert_to_numpy(method.combined(latents))
    method.discriminator.trainable = True
    assert np.abs(by_flag - free).max() > 1e-3


def test_frozen_gives_everything_back_even_after_an_error():
    method = tiny_method()
    before = trainable(method.combined)

    def fail_while_frozen() -> None:
        with frozen(method.generator):
            assert trainable(method.combined) == trainable(method.discriminator)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_while_frozen()
    assert trainable(method.combined) == before
    assert len(before) == len(trainable(method.generator)) + len(trainable(method.discriminator))


def test_the_pattern_of_the_tutorials_does_not_train_its_discriminator():
    """Compile, freeze, compile: why this project alternates by hand.

    Were Keras to change this, the tests above would still hold and this one would say so.
    """
    method = tiny_method(normalization="none")
    discriminator = method.discriminator
    discriminator.compile(loss="binary_crossentropy", optimizer="adam")
    discriminator.trainable = False
    method.combined.compile(loss="binary_crossentropy", optimizer="adam")
    before = values(discriminator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for _ in range(3):
            discriminator.train_on_batch(real_images(), np.ones((4, 1)))
            method.combined.train_on_batch(np.ones((4, 5)), np.ones((4, 1)))
    assert moved(discriminator, before) == set()


def test_a_loss_that_does_not_reach_a_variable_is_an_error():
    used, unused = keras.Variable(2.0, name="used"), keras.Variable(1.0, name="unused")
    (loss, extra), gradients = backend.value_and_grad(lambda: (used * used, "extra"), [used])
    assert (float(loss), extra, float(gradients[0])) == (4.0, "extra", 4.0)
    with pytest.raises(ValueError, match="the loss does not depend on unused"):
        backend.value_and_grad(lambda: (used * used, None), [used, unused])


def test_gradients_pulled_back_are_those_of_a_pass_of_its_own():
    method = tiny_method()
    variables = method.generator.trainable_variables

    def loss_of(images):
        return ops.mean(method.combined.from_images(images) ** 2), None

    def loss_function():
        return loss_of(method.generator(drawn_latents(), training=True))

    _, expected = backend.value_and_grad(loss_function, variables)
    images, pull_back = backend.forward(method.generator, drawn_latents())
    _, to_images = backend.value_and_input_grad(loss_of, images)
    for found, other in zip(pull_back(to_images), expected, strict=True):
        found, other = ops.convert_to_numpy(found), ops.convert_to_numpy(other)
        np.testing.assert_allclose(found, other, rtol=1e-4, atol=1e-8)


def test_a_network_that_leaves_a_variable_out_is_an_error():
    inputs = keras.Input((2,))
    network = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    network.unused = network.add_weight(name="unused", shape=(1,))
    outputs, pull_back = backend.forward(network, np.ones((1, 2), np.float32))
    with pytest.raises(ValueError, match=r"the loss does not depend on .*unused"):
        pull_back(outputs)

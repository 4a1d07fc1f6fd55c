"""The averaged generator: its weights, its statistics, and what is made of it."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from tests.test_alternation import tiny_method
from utils.models.average import AveragedNetwork


def arrays(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [ops.convert_to_numpy(variable) for variable in variables]


def small_network(dropout: float = 0.0) -> keras.Model:
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((5,)), layers.Dense(3), layers.BatchNormalization(), layers.ReLU(),
            layers.Dropout(dropout, seed=4), layers.Dense(2), layers.BatchNormalization(),
        ]
    )  # fmt: skip


def test_weights_follow_by_half_lives_that_grow():
    network = small_network()
    average = AveragedNetwork(network, half_life=40)
    (kernel, *_), (averaged, *_) = network.trainable_variables, average.network.trainable_variables
    expected = ops.convert_to_numpy(kernel).astype(np.float64)
    np.testing.assert_array_equal(ops.convert_to_numpy(averaged), expected.astype(np.float32))
    for step in range(1, 300, 20):
        kernel.assign(kernel + 1.0)
        average.update(ops.convert_to_tensor(8 * step), 8)
        half_life = min(40, 0.05 * 8 * step)
        decay = 0.5 ** (8 / half_life)
        expected = decay * expected + (1 - decay) * ops.convert_to_numpy(kernel)
    assert half_life == 40
    np.testing.assert_allclose(ops.convert_to_numpy(averaged), expected, rtol=1e-5)


def test_a_half_life_of_zero_follows_at_once():
    network = small_network()
    average = AveragedNetwork(network, half_life=0)
    network.trainable_variables[0].assign_add(ops.ones((5, 3)))
    average.update(ops.convert_to_tensor(8), 8)
    for variable, other in zip(
        network.trainable_variables, average.network.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(
            ops.convert_to_numpy(other), ops.convert_to_numpy(variable), rtol=1e-6
        )


def test_statistics_are_those_of_the_averaged_weights_over_all_batches():
    average = AveragedNetwork(small_network(), half_life=0)
    latents = np.random.default_rng(0).normal(1, 2, (6, 7, 5)).astype(np.float32)
    average.recompute_statistics(ops.convert_to_tensor(latents))
    dense, first = average.network.layers[:2]
    inputs = latents.reshape(-1, 5) @ ops.convert_to_numpy(dense.kernel)
    np.testing.assert_allclose(ops.convert_to_numpy(first.moving_mean), inputs.mean(0), rtol=1e-4)
    np.testing.assert_allclose(
        ops.convert_to_numpy(first.moving_variance), inputs.var(0), rtol=1e-4
    )
    assert first.momentum == 0.99


def test_recomputing_again_changes_nothing():
    average = AveragedNetwork(small_network(dropout=0.5), half_life=0)
    latents = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(3, 7, 5)), "float32")
    average.recompute_statistics(latents)
    once = arrays(average.network.variables)
    average.network(latents[0])  # in inference, as sampling does
    average.recompute_statistics(latents)
    for before, after in zip(once, arrays(average.network.variables), strict=True):
        np.testing.assert_array_equal(before, after)


def test_statistics_that_are_copied_would_be_of_other_weights():
    """Why they are recomputed: an average's maps are not the network's."""
    latents = np.random.default_rng(0).standard_normal((8, 4, 5)).astype(np.float32)
    network = small_network()
    of_network = AveragedNetwork(network, half_life=1000)
    for variable in network.trainable_variables:  # the average stays behind
        variable.assign(3.0 * variable + 1.0)
    for batch in latents:
        network(batch, training=True)
    of_network.recompute_statistics(ops.convert_to_tensor(latents))
    average = of_network.network
    recomputed = ops.convert_to_numpy(average(latents[0], training=False))
    for layer, original in zip(average.layers, network.layers, strict=True):
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([*layer.get_weights()[:2], *original.get_weights()[2:]])
    copied = ops.convert_to_numpy(average(latents[0], training=False))
    by_batch = ops.convert_to_numpy(average(latents[0], training=True))
    assert np.abs(recomputed - by_batch).mean() < np.abs(copied - by_batch).mean()


def test_a_step_moves_the_average_and_trains_nothing_of_it():
    method = tiny_method(average_half_life=1000)
    before = arrays(method.average.network.trainable_variables)
    method.train_step(np.zeros((1, 4, 16, 16, 3), np.uint8))
    after = arrays(method.average.network.trainable_variables)
    assert all(np.any(a != b) for a, b in zip(before, after, strict=True))
    trained = {id(variable) for variable in method.combined.trainable_variables}
    assert not trained & {id(variable) for variable in method.average.network.variables}

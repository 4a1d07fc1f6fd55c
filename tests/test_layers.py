"""The layers of discriminators: their formulas, their gradients, what they leave alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers, ops

import dcgan
from tests.conftest import REPOSITORY
from tests.layers_probe import kernels, precision, small_discriminator, vectors
from tests.test_backends import BACKENDS
from utils import backend
from utils.common.errors import UserError
from utils.models.adversarial import frozen
from utils.models.layers import (
    Downsample,
    InstanceNoise,
    MinibatchDiscrimination,
    MinibatchStandardDeviation,
    SpectralNormalization,
)


def images_of(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def give_weights(layer: keras.Layer, stddev: float = 0.3, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(random.normal(0, stddev, variable.shape))


def numbers(tensor: object) -> np.ndarray:
    return ops.convert_to_numpy(tensor).astype(np.float64)


def save_and_load(layers_: list[keras.Layer], shape: tuple[int, ...], path) -> list[keras.Model]:
    x = inputs = keras.Input(shape)
    for layer in layers_:
        x = layer(x)
    network = keras.Model(inputs, x)
    network.save(path / "network.keras")
    return [network, keras.models.load_model(path / "network.keras")]


def gradients(layer: keras.Layer, inputs: np.ndarray, weights: np.ndarray) -> list[np.ndarray]:
    """Of the weighted sum of a training pass: with respect to the inputs, then the variables."""
    given = keras.Variable(inputs)
    sources = [given, *layer.trainable_variables]

    def step():
        _, found = backend.value_and_grad(
            lambda: (ops.sum(layer(given.value, training=True) * weights), None), sources
        )
        return {str(number): gradient for number, gradient in enumerate(found)}

    found = backend.compile_step(step, [given, *layer.variables])()
    return [numbers(found[str(number)]) for number in range(len(sources))]


def penalty_gradients(
    layer: keras.Layer, inputs: np.ndarray, weights: np.ndarray
) -> tuple[float, list[np.ndarray]]:
    """The square of a gradient with respect to the inputs, and its own gradients."""
    variables = layer.trainable_variables

    def step():
        def loss_function():
            _, gradient = backend.input_gradient(
                lambda x: ops.sum(ops.tanh(layer(x, training=True)) * weights, axis=(1, 2, 3)),
                ops.convert_to_tensor(inputs),
            )
            return ops.sum(gradient**2), None

        (loss, _), found = backend.value_and_grad(loss_function, variables)
        return {"loss": loss} | {str(n): gradient for n, gradient in enumerate(found)}

    found = backend.compile_step(step, layer.variables)()
    return float(found["loss"]), [numbers(found[str(n)]) for n in range(len(variables))]


# ------------------------------------------------------------------------------------------------
# Minibatch discrimination
# ------------------------------------------------------------------------------------------------


def discriminate(inputs: np.ndarray, layer: MinibatchDiscrimination) -> np.ndarray:
    """The maps that are added, number by number."""
    reduce, enlarge, tensor = (
        numbers(v) for v in (layer.reduce.kernel, layer.enlarge.kernel, layer.tensor)
    )
    batch, height, _, channels = inputs.shape
    block = reduce.shape[0]
    side = height // block
    features = np.zeros((batch, side, side, reduce.shape[-1]))
    for b, row, column, kernel_map in np.ndindex(features.shape):
        for i, j, channel in np.ndindex(block, block, channels):
            pixel = inputs[b, block * row + i, block * column + j, channel]
            features[b, row, column, kernel_map] += pixel * reduce[i, j, channel, kernel_map]
    vectors = [np.einsum("f,fkl->kl", features[b].ravel(), tensor) for b in range(batch)]
    added = np.zeros((batch, height, height, layer.maps))
    for b in range(batch):
        likeness = np.zeros(tensor.shape[1])
        for other in range(batch):
            if other != b:
                for k in range(tensor.shape[1]):
                    likeness[k] += np.exp(-np.abs(vectors[b][k] - vectors[other][k]).sum())
        likeness = likeness.reshape(side, side, layer.maps)
        for y, x in np.ndindex(height, height):
            for into in range(layer.maps):
                for out_of in range(layer.maps):
                    weight = enlarge[y % block, x % block, into, out_of]
                    added[b, y, x, into] += weight * likeness[y // block, x // block, out_of]
    return added


@pytest.mark.parametrize(("size", "largest_side"), [(8, 8), (12, 8), (12, 2), (4, 0)])
def test_minibatch_discrimination_is_its_formula(size, largest_side):
    layer = MinibatchDiscrimination(3, 2, vector_length=5, largest_side=largest_side)
    inputs = images_of(4, size, size, 2)
    layer.build(inputs.shape)
    give_weights(layer, 0.2)
    outputs = numbers(layer(inputs))
    np.testing.assert_array_equal(outputs[..., :2], inputs)
    expected = discriminate(inputs, layer)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(outputs[..., 2:], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "changes", "kernel", "side"),
    [
        (32, {}, 4, 8),
        (32, {"largest_side": 0}, 4, 8),
        (16, {}, 4, 4),
        (64, {}, 8, 8),
        (64, {"largest_side": 4}, 16, 4),
        (40, {"largest_side": 0, "vector_length": 2}, 4, 10),
        (36, {"largest_side": 3}, 12, 3),
    ],
)
def test_minibatch_discrimination_reduces_no_further_than_it_must(size, changes, kernel, side):
    layer = MinibatchDiscrimination(**changes)
    assert layer(keras.Input((size, size, 5))).shape == (None, size, size, 7)
    assert layer(np.zeros((2, size, size, 5), np.float32)).shape == (2, size, size, 7)
    assert layer.reduce.kernel.shape == (kernel, kernel, 5, 3)
    assert layer.enlarge.kernel.shape == (kernel, kernel, 2, 2)
    length = changes.get("vector_length", 16)
    assert layer.tensor.shape == (3 * side * side, 2 * side * side, length)
    assert [v.name for v in layer.trainable_variables] == ["tensor", "kernel", "kernel"]


def test_minibatch_discrimination_refuses_what_it_cannot_divide():
    for shape, options, multiple in (
        ((32, 16, 3), {}, 4),
        ((36, 36, 3), {}, 8),
        ((30, 30, 3), {}, 4),
        ((30, 30, 3), {"largest_side": 4}, 4),
        ((2, 2, 3), {"largest_side": 0}, 4),
    ):
        message = f"maps of {shape[0]}x{shape[1]}, must be square and a multiple of {multiple} pix"
        with pytest.raises(ValueError, match=f"^MinibatchDiscrimination: {message}els$"):
            MinibatchDiscrimination(**options).build((None, *shape))
    for options in ({"maps": 0}, {"largest_side": -1}, {"initial_stddev": -0.1}):
        with pytest.raises(ValueError, match=r"^MinibatchDiscrimination: maps, kernel_maps and"):
            MinibatchDiscrimination(**options)


@pytest.mark.parametrize("size", [32, 64])
def test_what_it_cannot_divide_is_a_mistake_of_the_command_line(size):
    for side in range(1, 20):
        h = dcgan.Hyperparameters(
            image_size=size, minibatch="discrimination", minibatch_side=side,
            generator_filters=(2,), discriminator_filters=(2,),
        )  # fmt: skip
        if size // 2 > 4 * side and (size // 2) % side:
            with pytest.raises(UserError, match=f"^--minibatch-side {side}: the maps it compares"):
                h.check()
        else:
            h.check()
            dcgan.build_discriminator(h)


def test_minibatch_discrimination_starts_as_it_is_told_and_no_two_kernels_alike():
    keras.utils.set_random_seed(0)
    layer = MinibatchDiscrimination(16, 16, vector_length=3)
    layer.build((None, 16, 16, 16))
    weights = [numbers(v) for v in layer.trainable_variables]
    for weight in weights:
        assert weight.std() == pytest.approx(0.02, rel=0.05)
    assert len({weight.ravel()[0] for weight in weights}) == 3
    layer = MinibatchDiscrimination(16, 16, vector_length=3, initial_stddev=0)
    layer.build((None, 16, 16, 16))
    # Glorot and Bengio 2010: sqrt(6 / (fan_in + fan_out)); T is a matrix of 256 x 768.
    for weight, fans in zip(layer.trainable_variables, (256 + 768, 512, 512), strict=True):
        assert np.abs(numbers(weight)).max() == pytest.approx(np.sqrt(6 / fans), rel=0.02)


def test_images_that_are_alike_or_alone():
    layer = MinibatchDiscrimination()
    layer.build((None, 8, 8, 2))
    give_weights(layer)
    block = numbers(layer.enlarge.kernel)  # (4, 4, into, out of)

    def added(inputs: np.ndarray) -> np.ndarray:
        return numbers(layer(inputs))[..., 2:]

    one = images_of(1, 8, 8, 2)
    np.testing.assert_array_equal(added(one), 0)
    # Every o is B - 1 where all are the same: the kernel's sum, as often as it fits.
    alike = added(np.repeat(one, 5, axis=0))
    np.testing.assert_allclose(alike, np.tile(4 * block.sum(-1), (5, 2, 2, 1)), atol=1e-5)
    # Out of sight of each other: exp(-distance) is 0, and nothing of it is NaN.
    far = 1e4 * images_of(5, 8, 8, 2)
    np.testing.assert_array_equal(added(far), 0)
    for inputs in (np.repeat(one, 5, axis=0), far):
        for gradient in gradients(layer, inputs, images_of(5, 8, 8, 4)):
            assert np.all(np.isfinite(gradient))
        for gradient in penalty_gradients(layer, inputs, images_of(5, 8, 8, 4))[1]:
            assert np.all(np.isfinite(gradient))


def test_distances_and_deviations_are_exact_under_mixed_precision():
    """Small differences of large numbers, which bfloat16, with 8 bits, would round away."""
    layer = MinibatchDiscrimination(vector_length=4, dtype="mixed_bfloat16")
    inputs = 1 + 0.05 * images_of(6, 8, 8, 2)
    layer.build(inputs.shape)
    give_weights(layer, 0.5)
    layer.enlarge.kernel.assign(np.tile(np.eye(2), (4, 4, 1, 1)))
    features = numbers(ops.cast(layer.reduce(inputs), "float32")).reshape(6, -1)
    vectors = np.einsum("bf,fkl->bkl", features, numbers(layer.tensor))
    expected = np.zeros((6, 8))
    for one, other in np.ndindex(6, 6):
        if one != other:
            expected[one] += np.exp(-np.abs(vectors[one] - vectors[other]).sum(-1))
    assert expected.std() > 0.1
    found = numbers(ops.cast(layer(inputs), "float32"))[:, ::4, ::4, 2:].reshape(6, -1)
    np.testing.assert_allclose(found, expected, rtol=2**-8, atol=1e-6)

    inputs = np.full((7, 2, 2, 1), 100, np.float32)
    inputs[0] = 101  # the mean, 100.14, is none of bfloat16's numbers
    outputs = MinibatchStandardDeviation(dtype="mixed_bfloat16")(inputs)
    found = numbers(ops.cast(outputs, "float32"))[..., 1]
    np.testing.assert_allclose(found, np.sqrt(6) / 7, rtol=2**-8)


@pytest.mark.parametrize("layer", [MinibatchDiscrimination(), MinibatchStandardDeviation()])
def test_an_images_answer_depends_on_its_batch_but_not_on_its_place(layer):
    inputs = images_of(4, 8, 8, 2)
    layer.build(inputs.shape)
    give_weights(layer, 0.15)
    outputs = numbers(layer(inputs))
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(numbers(layer(inputs[order])), outputs[order], atol=1e-5)
    others = np.concatenate([inputs[:1], images_of(3, 8, 8, 2, seed=1)])
    assert np.abs(numbers(layer(others))[0] - outputs[0])[..., 2:].max() > 1e-3
    # The gradient of the first image's answer reaches the other images.
    first_only = np.zeros(outputs.shape, np.float32)
    first_only[0] = 1
    to_images = gradients(layer, inputs, first_only)[0]
    assert np.all(np.abs(to_images).max((1, 2, 3)) > 1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: MinibatchDiscrimination(vector_length=4),
        lambda: keras.Sequential([layers.Conv2D(3, 3), MinibatchStandardDeviation()]),
        lambda: keras.Sequential([
            layers.Conv2D(3, 5, activation="tanh"), MinibatchDiscrimination(vector_length=4),
        ]),
    ],
)  # fmt: skip
def test_gradients_of_gradients_are_those_of_differences(make):
    """Along the gradient, where the change is largest, and along two other directions."""
    layer, step = make(), 1e-3
    inputs = images_of(4, 8, 8, 2)
    layer.build(inputs.shape)
    give_weights(layer, 0.2)
    weights = images_of(*layer(inputs).shape, seed=1)
    _, found = penalty_gradients(layer, inputs, weights)
    begin = [numbers(v) for v in layer.trainable_variables]
    random = np.random.default_rng(2)
    scale = np.sqrt(sum((g**2).sum() for g in found))
    along = [g / scale for g in found]
    for _ in range(3):
        values = []
        for sign in (1, -1):
            for variable, start, direction in zip(
                layer.trainable_variables, begin, along, strict=True
            ):
                variable.assign(start + sign * step * direction)
            values.append(penalty_gradients(layer, inputs, weights)[0])
        difference = (values[0] - values[1]) / (2 * step)
        expected = sum((g * a).sum() for g, a in zip(found, along, strict=True))
        assert difference == pytest.approx(expected, abs=5e-4 * scale)
        along = [random.normal(0, 1, g.shape) for g in found]
        length = np.sqrt(sum((a**2).sum() for a in along))
        # Mixed with the gradient, so that there is something to see.
        along = [0.7 * a / length + 0.7 * g / scale for a, g in zip(along, found, strict=True)]


# ------------------------------------------------------------------------------------------------
# Minibatch standard deviation
# ------------------------------------------------------------------------------------------------


def test_minibatch_standard_deviation_is_its_formula():
    inputs = images_of(5, 3, 4, 2)
    deviations = []
    for y, x, channel in np.ndindex(3, 4, 2):
        values = [float(inputs[b, y, x, channel]) for b in range(5)]
        mean = sum(values) / 5
        deviations.append((sum((value - mean) ** 2 for value in values) / 5) ** 0.5)
    layer = MinibatchStandardDeviation()
    outputs = numbers(layer(inputs))
    assert outputs.shape == (5, 3, 4, 3) == layer(keras.Input((3, 4, 2), batch_size=5)).shape
    np.testing.assert_array_equal(outputs[..., :2], inputs)
    np.testing.assert_allclose(outputs[..., 2], sum(deviations) / 24, rtol=1e-5)
    assert layer.variables == []


def test_minibatch_standard_deviation_of_the_same_image_has_gradients():
    layer = keras.Sequential([layers.Conv2D(2, 3), MinibatchStandardDeviation()])
    inputs = np.repeat(images_of(1, 6, 6, 2), 4, axis=0)
    layer.build(inputs.shape)
    np.testing.assert_allclose(numbers(layer(inputs))[..., 2], 1e-4, rtol=1e-4)
    weights = images_of(4, 4, 4, 3)
    for gradient in (
        gradients(layer, inputs, weights) + penalty_gradients(layer, inputs, weights)[1]
    ):
        assert np.all(np.isfinite(gradient))


# ------------------------------------------------------------------------------------------------
# Instance noise
# ------------------------------------------------------------------------------------------------


def test_noise_is_there_in_training_only():
    layer = InstanceNoise(0.3, seed=4)
    inputs = images_of(20, 16, 16, 3)
    assert np.array_equal(numbers(layer(inputs)), inputs)
    assert np.array_equal(numbers(layer(inputs, training=False)), inputs)
    first, second = (numbers(layer(inputs, training=True)) - inputs for _ in range(2))
    for noise in (first, second):
        # Five standard deviations of an estimate from as many numbers.
        assert noise.std() == pytest.approx(0.3, rel=5 / np.sqrt(2 * noise.size))
        assert abs(noise.mean()) < 5 * 0.3 / np.sqrt(noise.size)
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 5 / np.sqrt(first.size)
    again = InstanceNoise(0.3, seed=4)
    np.testing.assert_array_equal(numbers(again(inputs, training=True)) - inputs, first)
    other = InstanceNoise(0.3, seed=5)
    assert np.abs(numbers(other(inputs, training=True)) - inputs - first).max() > 0.1
    with pytest.raises(ValueError, match=r"^InstanceNoise: stddev -1, must be at least 0$"):
        InstanceNoise(-1, seed=0)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_the_level_is_a_weight_that_is_assigned_and_saved(dtype, tmp_path):
    layer = InstanceNoise(0.3, seed=4, dtype=dtype)
    network, _ = save_and_load([layer], (8, 8, 3), tmp_path)
    assert layer.level.dtype == "float32"
    assert float(layer.level) == np.float32(0.3)
    assert network.trainable_variables == []
    inputs = np.zeros((20, 8, 8, 3), np.float32)

    def step(level):
        layer.level.assign(level)
        return {"noise": layer(inputs, training=True)}

    step = backend.compile_step(step, layer.variables)
    for level in (0.2, 0.0123, 0.0):
        noise = numbers(ops.cast(step(np.float32(level))["noise"], "float32"))
        assert noise.std() == pytest.approx(level, rel=0.05)
        assert float(layer.level) == np.float32(level)
    layer.level.assign(0.0123)
    network.save(tmp_path / "later.keras")
    loaded = keras.models.load_model(tmp_path / "later.keras")
    assert float(loaded.layers[-1].level) == np.float32(0.0123)
    assert (loaded.layers[-1].stddev, loaded.layers[-1].seed) == (0.3, 4)


# ------------------------------------------------------------------------------------------------
# Spectral normalisation
# ------------------------------------------------------------------------------------------------

WRAPPED = [
    (lambda: layers.Dense(5, use_bias=False), (7,)),
    (lambda: layers.Conv2D(5, (2, 3), use_bias=False), (2, 3, 4)),
]


def wrap(make, shape: tuple[int, ...]) -> SpectralNormalization:
    layer = SpectralNormalization(make())
    layer.build((None, *shape))
    random = np.random.default_rng(0)
    layer.kernel.assign(random.normal(0, 0.5, layer.kernel.shape))
    layer.vector_u.assign(random.normal(0, 1, layer.vector_u.shape))
    return layer


def matrix_of(layer: SpectralNormalization, shape: tuple[int, ...], training: bool) -> np.ndarray:
    """The kernel that the layer computes with, read off its answers: (inputs, channels out)."""
    basis = np.eye(int(np.prod(shape)), dtype=np.float32).reshape(-1, *shape)
    outputs = numbers(ops.cast(layer(basis, training=training), "float32"))
    return outputs.reshape(len(basis), -1)


def iterate(kernel: np.ndarray, u: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """One round of the power method, number by number: sigma, the next u, v."""
    columns = kernel.shape[-1]
    rows = kernel.size // columns
    w = [[float(kernel.ravel()[r * columns + c]) for c in range(columns)] for r in range(rows)]
    v = [sum(w[r][c] * u.ravel()[c] for c in range(columns)) for r in range(rows)]
    length = sum(number**2 for number in v) ** 0.5
    v = [number / length for number in v]
    new = [sum(w[r][c] * v[r] for r in range(rows)) for c in range(columns)]
    length = sum(number**2 for number in new) ** 0.5
    new = [number / length for number in new]
    sigma = sum(v[r] * w[r][c] * new[c] for r in range(rows) for c in range(columns))
    return sigma, np.array([new]), np.array([v])


@pytest.mark.parametrize(("make", "shape"), WRAPPED)
def test_a_training_pass_is_one_round_of_the_power_method(make, shape):
    layer = wrap(make, shape)
    kernel, u = numbers(layer.kernel), numbers(layer.vector_u)
    matrix = kernel.reshape(-1, 5)
    for _ in range(2):
        sigma, u, _ = iterate(kernel, u)
        np.testing.assert_allclose(matrix_of(layer, shape, True), matrix / sigma, atol=1e-5)
        np.testing.assert_allclose(numbers(layer.vector_u), u, atol=1e-5)
    # Without training u stays, and the kernel is normalised with it.
    sigma = np.linalg.norm(matrix @ u[0])
    for _ in range(2):
        np.testing.assert_allclose(matrix_of(layer, shape, False), matrix / sigma, atol=1e-5)
    np.testing.assert_allclose(numbers(layer.vector_u), u, atol=1e-5)
    np.testing.assert_array_equal(numbers(layer.kernel), kernel)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(("make", "shape"), WRAPPED)
def test_the_spectral_norm_becomes_one(make, shape, dtype):
    with precision(dtype):
        layer = wrap(make, shape)
    kernel = numbers(layer.kernel)
    assert np.linalg.svd(kernel.reshape(-1, 5))[1][0] > 1.5
    for _ in range(60):
        norm = np.linalg.svd(matrix_of(layer, shape, True))[1][0]
    # In bfloat16 each number of the kernel is rounded by up to 2^-8 of it, so that the norm moves
    # by up to 2^-8 of the kernel's length, which for five columns is at most the root of 5.
    rounding = 1e-5 if dtype == "float32" else 2**-8 * np.sqrt(5)
    assert norm == pytest.approx(1, abs=rounding)
    assert np.linalg.svd(matrix_of(layer, shape, False))[1][0] == pytest.approx(1, abs=rounding)
    # What is iterated is exact whatever the layer computes in.
    largest = np.linalg.svd(kernel.reshape(-1, 5), full_matrices=False)[2][0]
    assert abs(largest @ numbers(layer.vector_u)[0]) == pytest.approx(1, abs=1e-6)
    np.testing.assert_array_equal(numbers(layer.kernel), kernel)


def test_several_iterations_in_one_pass():
    make, shape = WRAPPED[0]
    layers_ = [wrap(make, shape) for _ in range(2)]
    layers_[0].power_iterations = 3
    layers_[0](np.zeros((1, *shape)), training=True)
    for _ in range(3):
        layers_[1](np.zeros((1, *shape)), training=True)
    first, second = (numbers(layer.vector_u) for layer in layers_)
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize(("make", "shape"), WRAPPED)
def test_the_gradient_goes_through_kernel_and_sigma_with_u_and_v_held(make, shape):
    layer = wrap(make, shape)
    inputs = images_of(6, *shape)
    weights = images_of(6, *layer.compute_output_shape((6, *shape))[1:], seed=1)
    kernel, begin = numbers(layer.kernel), numbers(layer.vector_u)
    _, u, v = iterate(kernel, begin)

    def loss(kernel: np.ndarray) -> float:
        matrix = kernel.reshape(-1, 5)
        sigma = (v @ matrix @ u.T).item()
        return float((inputs.reshape(6, -1) @ matrix / sigma * weights.reshape(6, 5)).sum())

    expected = np.zeros(kernel.shape)
    for place in np.ndindex(kernel.shape):
        change = np.zeros(kernel.shape)
        change[place] = 1e-5
        expected[place] = (loss(kernel + change) - loss(kernel - change)) / 2e-5
    found = gradients(layer, inputs, weights)[1]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(numbers(layer.kernel), kernel)
    np.testing.assert_allclose(numbers(layer.vector_u), u, atol=1e-6)  # u has moved on


@pytest.mark.parametrize(("make", "shape"), WRAPPED)
def test_a_kernel_of_zeros_stays_zeros_and_can_be_left(make, shape):
    layer = wrap(make, shape)
    u = numbers(layer.vector_u)
    layer.kernel.assign(np.zeros(layer.kernel.shape))
    for training in (True, False):
        np.testing.assert_array_equal(matrix_of(layer, shape, training), 0)
    outputs = layer.compute_output_shape((6, *shape))
    for gradient in gradients(layer, images_of(6, *shape), images_of(*outputs)):
        assert np.all(np.isfinite(gradient))
    np.testing.assert_allclose(numbers(layer.vector_u), u / np.linalg.norm(u), atol=1e-6)
    layer.kernel.assign(np.ones(layer.kernel.shape))
    assert np.linalg.svd(matrix_of(layer, shape, True))[1][0] == pytest.approx(1, abs=1e-5)


def test_a_frozen_network_does_not_move():
    network = small_discriminator()
    images = images_of(5, 8, 8, 3)
    before = [numbers(v) for v in network.trainable_variables]
    before_u = vectors(network)
    with frozen(network):
        assert network.trainable_variables == []
        backend.compile_step(lambda x: {"y": network(x, training=True)}, network.variables)(images)
    after = [numbers(v) for v in network.trainable_variables]
    assert len(after) == 7
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert np.any(before_u[0] != vectors(network)[0])


def test_keras_own_class_moves_a_frozen_network():
    """What the class here is for; when this fails, Keras has changed and it may go."""
    network = keras.Sequential([keras.Input((4,)), layers.SpectralNormalization(layers.Dense(3))])
    before = kernels(network)
    with frozen(network):
        network(images_of(2, 4), training=True)
    assert np.abs(kernels(network)[0] - before[0]).max() > 0.01


def test_spectral_normalization_wraps_what_it_knows_in_its_own_dtype():
    layer = SpectralNormalization(layers.Conv2D(6, 3, activation="relu", dtype="mixed_bfloat16"))
    symbolic = layer(keras.Input((8, 8, 2)))
    assert (symbolic.shape, symbolic.dtype) == ((None, 6, 6, 6), "bfloat16")
    outputs = layer(images_of(2, 8, 8, 2))
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    assert {v.dtype for v in layer.variables} == {"float32"}
    with precision("mixed_bfloat16"):
        logits = SpectralNormalization(layers.Dense(1, dtype="float32"))(images_of(2, 8))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    for other in (layers.Conv2DTranspose(2, 3), layers.Embedding(3, 2)):
        with pytest.raises(ValueError, match=(
            "^SpectralNormalization: wraps Dense, Conv1D, Conv2D or Conv3D, not "
            f"{type(other).__name__}$"
        )):  # fmt: skip
            SpectralNormalization(other)


def test_bias_and_activation_are_the_wrapped_layers():
    layer = SpectralNormalization(layers.Dense(3, activation="relu"))
    inputs = images_of(6, 4)
    layer.build(inputs.shape)
    give_weights(layer, 1.0)
    kernel, bias = numbers(layer.kernel), numbers(layer.layer.bias)
    sigma, *_ = iterate(kernel, numbers(layer.vector_u))
    expected = np.maximum(inputs @ kernel / sigma + bias, 0)
    np.testing.assert_allclose(numbers(layer(inputs, training=True)), expected, atol=1e-5)


@pytest.mark.parametrize("kind", [layers.Conv2D, layers.Dense])
def test_faster_convolutions_take_the_normalised_kernel(kind):
    """Each column of the kernel has four numbers, 1 or -1, where no other column has any.

    All singular values are 2, then, and what the layer computes with are halves, once they are
    rounded to bfloat16: as in `assert_convolves`, no rounding is left in the layer.
    """
    from tests.test_tensorflow_cpu import CONVOLUTION, assert_both, convolved_by_hand, whole

    shape = (4, 6, 8, 33) if kind is layers.Conv2D else (4, 33)
    options = CONVOLUTION if kind is layers.Conv2D else {"units": 3}
    random = np.random.default_rng(0)

    def make() -> keras.Layer:
        layer = SpectralNormalization(kind(dtype="mixed_bfloat16", **options))
        layer.build(shape)
        layer.kernel.assign(kernel.reshape(layer.kernel.shape))
        layer.vector_u.assign(u)
        return layer

    channels, inputs = (40, 16 * 33) if kind is layers.Conv2D else (3, 33)
    kernel, u = np.zeros((inputs, channels)), random.normal(0, 1, (1, channels))
    rows = random.permutation(inputs)[: 4 * channels]
    kernel[rows, np.repeat(np.arange(channels), 4)] = random.choice([-1, 1], rows.size)
    plain = kind(**options)
    plain.build(shape)
    plain.kernel.assign(kernel.reshape(plain.kernel.shape) / 2)
    images, weights = whole(*shape), whole(*plain.compute_output_shape(shape), seed=1, share=0.25)
    if kind is layers.Conv2D:
        expected = convolved_by_hand(plain, images, weights)
    else:
        expected = {
            "outputs": images @ kernel / 2,
            "gradient to images": weights @ kernel.T / 2,
            "gradient to kernel": images.T.astype(np.float64) @ weights,
            "gradient to bias": weights.sum(0),
        }
    # The gradient goes on through W / sigma with u and v held, in float32.
    u = u / np.linalg.norm(u)
    expected["vector_u"] = u
    through = expected["gradient to kernel"].reshape(inputs, channels)
    share = np.abs(through * kernel).sum() / 4 * np.abs(kernel @ u.T / 2 @ u)
    through = through / 2 - (through * kernel).sum() / 4 * (kernel @ u.T / 2 @ u)
    expected["gradient to kernel"] = through.reshape(plain.kernel.shape)
    # Sums of at most as many numbers as the kernel has rows or columns, five in a row at the most,
    # and of the four numbers for each column; each of them off by 2^-24 of its size for each term.
    rounding = 2**-24 * 5 * (inputs + channels)
    errors = {
        "vector_u": rounding,
        "gradient to kernel": rounding * (share.max() + np.abs(through).max()),
    }
    before, faster = assert_both(make, images, weights, expected, errors)
    if kind is layers.Conv2D:
        assert "Conv2DBackpropFilter" in before - faster


# ------------------------------------------------------------------------------------------------
# All of them
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_saved_network_is_the_same_when_loaded(dtype, tmp_path):
    own = [
        InstanceNoise(0.2, seed=1, dtype=dtype),
        SpectralNormalization(layers.Conv2D(4, 3, padding="same", dtype=dtype), 2, name="normal"),
        MinibatchDiscrimination(3, 2, 5, 2, 0.1, dtype=dtype),
        MinibatchStandardDeviation(dtype=dtype),
        layers.Flatten(dtype=dtype),
        SpectralNormalization(layers.Dense(2, dtype="float32")),
    ]
    x = inputs = keras.Input((16, 16, 3))
    for layer in own:
        x = layer(x)
    network = keras.Model(inputs, x)
    give_weights(network, 0.2)
    images = images_of(5, 16, 16, 3)
    network(images, training=True)  # u moves on
    network.save(tmp_path / "network.keras")
    loaded = keras.models.load_model(tmp_path / "network.keras")
    expected = numbers(network(images))
    assert expected.std() > 0.01
    np.testing.assert_array_equal(numbers(loaded(images)), expected)
    for layer, again in zip(network.layers, loaded.layers, strict=True):
        assert type(again) is type(layer)
        # A shape is a list in the file and a tuple in the layer.
        assert json.dumps(again.get_config()) == json.dumps(layer.get_config())
    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    np.testing.assert_array_equal(numbers(clone(images)), expected)


@pytest.fixture(scope="module")
def probes(tmp_path_factory):
    """What tests/layers_probe.py finds, by backend."""
    folder = tmp_path_factory.mktemp("layers")
    found = {}

    def probe(name: str) -> dict[str, np.ndarray]:
        if name not in found:
            subprocess.run(
                [sys.executable, "-m", "tests.layers_probe", folder / f"{name}.npz"],
                cwd=REPOSITORY, check=True, env=os.environ | {"KERAS_BACKEND": name},
            )  # fmt: skip
            with np.load(folder / f"{name}.npz") as archive:
                found[name] = dict(archive.items())
        return found[name]

    return probe


@pytest.mark.parametrize("name", BACKENDS)
def test_no_pass_moves_a_kernel_and_every_training_pass_moves_u(name, probes):
    found = probes(name)
    for case in ("float32", "mixed_bfloat16", "frozen"):
        assert not found[f"{case} kernels moved"].any()
        assert found[f"{case} u moved"].all()


@pytest.mark.parametrize("name", BACKENDS)
def test_noise_is_of_its_level_and_repeatable(name, probes):
    found = probes(name)
    assert found["noise repeats"]
    # Five standard deviations of estimates from 20,000 numbers.
    np.testing.assert_allclose(found["noise deviations"], [0.5, 0.25, 0.25, 0], rtol=0.025)
    assert np.abs(found["noise means"]).max() < 5 * 0.5 / np.sqrt(20_000)
    assert found["noise correlation"] < 5 / np.sqrt(20_000)


@pytest.mark.parametrize("name", BACKENDS)
def test_bfloat16_is_close_to_float32(name, probes):
    """Each map that is handed on is rounded to 8 bits, which moves it by up to 2^-8 of its norm.

    There are ten of them on the way to the logits, as many on the way back, and the derivative of
    the penalty goes both ways once more.
    """
    found = probes(name)
    for key, value in found.items():
        if not key.startswith("float32 ") or "moved" in key:
            continue
        rounded = found[key.replace("float32", "mixed_bfloat16")]
        far = np.linalg.norm(rounded - value) / np.linalg.norm(value)
        assert far < (40 if "gradient" in key else 10) * 2**-8, key
        if " u " in key:
            assert far < 1e-6, key


@pytest.mark.parametrize("name", BACKENDS[1:])
def test_losses_gradients_and_penalties_are_the_same_on_all_backends(name, probes):
    """In float32; the test above compares bfloat16 with it on each of them."""
    expected, found = probes("tensorflow"), probes(name)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if value.dtype == bool or key.startswith(("noise", "mixed")):
            continue
        # The last layer adds up 8 * 8 * 7 numbers, in another order on each of them: off by up to
        # 448 * 2^-24 of their size, there, back, and for the penalty once more.
        scale = np.abs(value).max()
        np.testing.assert_allclose(
            found[key] / scale, value / scale, rtol=0, atol=4 * 448 * 2**-24, err_msg=key
        )


# Downsampling -----------------------------------------------------------------------------------


def test_halving_weighs_four_pixels_along_each_side():
    maps = images_of(2, 6, 4, 3)
    padded = np.pad(maps.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
    expected = np.zeros((2, 3, 2, 3))
    for row, down in enumerate((1, 3, 3, 1)):
        for column, right in enumerate((1, 3, 3, 1)):
            window = padded[:, row : row + 6 : 2, column : column + 4 : 2]
            expected += down / 8 * right / 8 * window[:, :3, :2]
    found = numbers(Downsample()(maps))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_halving_is_the_transpose_of_doubling():
    """<halve(x), y> = <x, double(y)> / 4, double being Keras' bilinear interpolation."""
    maps, halves = images_of(2, 8, 8, 3), images_of(2, 4, 4, 3, seed=1)
    doubled = numbers(layers.UpSampling2D(2, interpolation="bilinear")(halves))
    expected = (maps * doubled).sum() / 4
    assert (numbers(Downsample()(maps)) * halves).sum() == pytest.approx(expected, rel=1e-5)


def test_halving_is_saved_has_no_weights_and_refuses_odd_sides(tmp_path):
    network, loaded = save_and_load([Downsample()], (8, 8, 3), tmp_path)
    assert not network.variables
    maps = images_of(2, 8, 8, 3)
    np.testing.assert_array_equal(numbers(loaded(maps)), numbers(network(maps)))
    with pytest.raises(ValueError, match="Downsample: maps of 8x5, sides must be even"):
        Downsample()(images_of(1, 8, 5, 3))

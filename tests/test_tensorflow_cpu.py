"""What is computed otherwise on a CPU, and what Keras computes, is what the formulas say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import layers

if keras.backend.backend() != "tensorflow":
    pytest.skip("the backend is not TensorFlow", allow_module_level=True)
import tensorflow

from utils import backend
from utils.backend import tensorflow_cpu


def whole(*shape: int, seed: int = 0, share: float = 1.0) -> np.ndarray:
    """Numbers -1, 0 and 1; a ``share`` of them may differ from 0."""
    random = np.random.default_rng(seed)
    return (random.integers(-1, 2, shape) * (random.random(shape) < share)).astype(np.float32)


def eighths(*shape: int, mean: float = 0.0, stddev: float = 1.0, seed: int = 0) -> np.ndarray:
    """Normal numbers, rounded to what bfloat16 holds: multiples of 1/8 below 16 have 7 bits."""
    numbers = np.random.default_rng(seed).normal(mean, stddev, shape)
    return (np.round(8 * numbers) / 8).astype(np.float32)


def pass_through(
    layer: keras.Layer, images: np.ndarray, weights: np.ndarray, faster: bool
) -> tuple[dict[str, np.ndarray], set[str]]:
    """One training pass, traced as a step is: all that comes of it, and the operations in it.

    The gradients are those of the sum of ``weights * outputs``.
    """

    @tensorflow.function(autograph=False)
    def step(images):
        with (
            tensorflow_cpu.faster() if faster else nullcontext(),
            tensorflow.GradientTape() as tape,
        ):
            tape.watch(images)
            outputs = layer(images, training=True)
            loss = tensorflow.reduce_sum(tensorflow.cast(outputs, "float32") * weights)
        sources = [images, *(variable.value for variable in layer.trainable_variables)]
        return [outputs, *tape.gradient(loss, sources)]

    images = tensorflow.cast(images, layer.compute_dtype)
    outputs, to_images, *to_weights = step(images)
    found = {"outputs": outputs, "gradient to images": to_images}
    names = [variable.name for variable in layer.trainable_variables]
    found |= {f"gradient to {name}": each for name, each in zip(names, to_weights, strict=True)}
    found |= {variable.name: variable.value for variable in layer.non_trainable_variables}
    graph = step.get_concrete_function(images).graph
    return (
        {name: tensorflow.cast(value, "float32").numpy() for name, value in found.items()},
        {operation.type for operation in graph.get_operations()},
    )


def assert_both(
    make: Callable[[], keras.Layer],
    images: np.ndarray,
    weights: np.ndarray,
    expected: dict[str, np.ndarray],
    errors: dict[str, np.ndarray | float] | None = None,
) -> tuple[set[str], set[str]]:
    """Keras' own way and the faster one are each compared with ``expected``, not with each other.

    Args:
        make: returns the layer, the same whenever it is called.
        images: what goes into it.
        weights: of its outputs in the loss.
        expected: computed in float64, by the names of `pass_through`.
        errors: the largest differences that rounding explains; where there are none, it is exact.

    Returns:
        The operations of either way.
    """
    operations = []
    for faster in (False, True):
        found, used = pass_through(make(), images, weights, faster)
        assert found.keys() - {"seed_generator_state"} == expected.keys()
        for name, value in expected.items():
            far = np.abs(found[name] - value) - (errors or {}).get(name, 0.0)
            assert far.max() <= 0, f"{name}, faster: {faster}: {far.max()} too far"
        operations.append(used)
    return operations[0], operations[1]


def normalized_by_hand(
    images: np.ndarray, weights: np.ndarray, layer: layers.BatchNormalization
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray | float]]:
    """A training pass of batch normalisation in float64, and how far rounding takes it from there.

    A float32 sum of n numbers, in whatever order, is off by at most n 2^-24 of the sum of their
    absolute values. Means, variances and the gradients are made of such sums of sums; 4 n 2^-24
    holds for all of them. What is handed on in bfloat16 is then rounded once, to 8 bits: by at most
    2^-8 of its size.
    """
    axes = tuple(range(images.ndim - 1))
    x, w = images.astype(np.float64), weights.astype(np.float64)
    count = x[..., 0].size
    gamma, beta = (
        0.0 + start if variable is None else np.array(variable, np.float64)
        for variable, start in ((layer.gamma, 1.0), (layer.beta, 0.0))
    )
    mean, variance = x.mean(axes), x.var(axes)
    deviation = np.sqrt(variance + layer.epsilon)
    normal = (x - mean) / deviation
    expected = {
        "outputs": gamma * normal + beta,
        "gradient to images": gamma / deviation
        * (w - w.mean(axes) - normal * (w * normal).mean(axes)),
        "gradient to gamma": (w * normal).sum(axes),
        "gradient to beta": w.sum(axes),
        "moving_mean": (1 - layer.momentum) * mean,  # it starts at 0
        "moving_variance": layer.momentum + (1 - layer.momentum) * variance,  # at 1
    }  # fmt: skip
    sizes = {name: np.abs(value).max() for name, value in expected.items()}
    sizes["gradient to gamma"] = np.abs(w * normal).sum(axes).max()
    sizes["gradient to beta"] = np.abs(w).sum(axes).max()
    errors = {name: 4 * count * 2**-24 * size for name, size in sizes.items()}
    if layer.compute_dtype == "bfloat16":
        for name in ("outputs", "gradient to images"):
            errors[name] = errors[name] + 2**-8 * np.abs(expected[name])
    for name, variable in (("gamma", layer.gamma), ("beta", layer.beta)):
        if variable is None:
            del expected[f"gradient to {name}"]
    return expected, errors


def assert_normalizes(shape: tuple[int, ...], **options: object) -> tuple[set[str], set[str]]:
    def make() -> keras.Layer:
        layer = layers.BatchNormalization(**options)
        layer.build(shape)
        for seed, variable in enumerate(layer.trainable_variables):
            variable.assign(eighths(*variable.shape, mean=1.0, seed=seed))
        return layer

    images, weights = eighths(*shape, mean=0.5, stddev=2.0), eighths(*shape, seed=1)
    return assert_both(make, images, weights, *normalized_by_hand(images, weights, make()))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("options", [{}, {"scale": False, "momentum": 0.5}, {"center": False}])
def test_batch_normalization(dtype, options):
    plain, faster = assert_normalizes((8, 6, 6, 5), dtype=dtype, **options)
    assert "FusedBatchNormV3" in faster - plain


def test_batch_normalization_of_vectors_and_in_inference_stays_as_it_is():
    _, operations = assert_normalizes((8, 5))
    assert "FusedBatchNormV3" not in operations
    layer = layers.BatchNormalization()
    images = eighths(4, 6, 6, 5, mean=0.5, stddev=2.0)
    expected = layer(images, training=False)
    with tensorflow_cpu.faster():
        found = layer(images, training=False)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("rate", [0.25, 0.5, 0.3, 0.01])
def test_dropout(dtype, rate):
    layer = layers.Dropout(rate, seed=3, dtype=dtype)
    images = np.ones((64, 15, 15, 7), np.float32)
    first, _ = pass_through(layer, images, images, faster=True)
    second, _ = pass_through(layer, images, images, faster=True)
    again, _ = pass_through(layers.Dropout(rate, seed=3, dtype=dtype), images, images, faster=True)
    outputs = first["outputs"]
    kept = outputs != 0
    # A rate in 16 bits is off by up to 2^-17; 8 bits round the quotient by up to 2^-8 of it.
    rounding = 2**-16 if dtype == "float32" else 2**-16 + 2**-8
    assert np.allclose(outputs[kept], 1 / (1 - rate), rtol=rounding, atol=0)
    # Five standard deviations of the share among that many.
    assert abs(1 - kept.mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / kept.size)
    # No pattern over the places, and none from one number to its neighbour.
    assert np.abs(kept.mean((0, 3)) - (1 - rate)).max() < 0.12
    flat = kept.ravel() - kept.mean()
    for distance in (1, 2, 3, 4, 7):
        correlation = (flat[distance:] * flat[:-distance]).mean() / flat.var()
        assert abs(correlation) < 5 / np.sqrt(flat.size)
    # The gradient passes where the value did.
    assert np.array_equal(first["gradient to images"] != 0, kept)
    assert not np.array_equal(second["outputs"] != 0, kept)
    assert np.array_equal(again["outputs"], outputs)


def test_dropout_without_training_drops_nothing():
    with tensorflow_cpu.faster():
        assert np.all(layers.Dropout(0.5)(np.ones((2, 3)), training=False) == 1)


def adam_after(
    starts: list[np.ndarray], gradients: list[list[np.ndarray]], faster: bool
) -> tuple[list[np.ndarray], set[str]]:
    """Weights and optimizer state after a step for each list of gradients; the operations."""
    variables = [keras.Variable(start, dtype="float32") for start in starts]
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 2, 0.5, staircase=True)
    optimizer = keras.optimizers.Adam(schedule, beta_1=0.5)
    optimizer.build(variables)

    @tensorflow.function(autograph=False)
    def step(gradients):
        with tensorflow_cpu.faster() if faster else nullcontext():
            optimizer.apply(gradients, variables)

    for given in gradients:
        given = [tensorflow.constant(gradient, "float32") for gradient in given]
        step(given)
    graph = step.get_concrete_function(given).graph
    return (
        [variable.numpy() for variable in (*variables, *optimizer.variables)],
        {operation.type for operation in graph.get_operations()},
    )


def adam_by_hand(
    starts: list[np.ndarray], gradients: list[list[np.ndarray]]
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Kingma and Ba 2015 in float64, with the rate of `adam_after`: weights, m, v."""
    weights = [start.astype(np.float64) for start in starts]
    firsts, seconds = ([np.zeros(start.shape) for start in starts] for _ in range(2))
    for step, given in enumerate(gradients):
        rate = 0.01 * 0.5 ** (step // 2)
        rate *= np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.5 ** (step + 1))
        for weight, first, second, gradient in zip(weights, firsts, seconds, given, strict=True):
            first += 0.5 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            weight -= rate * first / (np.sqrt(second) + 1e-7)
    return weights, firsts, seconds


def test_adam():
    random = np.random.default_rng(0)
    shapes, steps = [(30, 40), (40,)], 5
    starts = [random.normal(size=shape) for shape in shapes]
    gradients = [[random.normal(size=shape) for shape in shapes] for _ in range(steps)]
    operations = []
    for faster in (False, True):
        found, used = adam_after(starts, gradients, faster)
        operations.append(used)
        expected, firsts, seconds = adam_by_hand(starts, gradients)
        weights, (iterations, *moments) = found[:2], found[2:]
        assert iterations == steps
        # m is a sum that halves in every step; a step rounds twice what is below 4.
        for value, first in zip(moments[::2], firsts, strict=True):
            np.testing.assert_allclose(value, first, rtol=0, atol=2**-20)
        # 1 - 0.999 in float32 is off by up to 2^-25, 3e-5 of it, and v by as much.
        for value, second in zip(moments[1::2], seconds, strict=True):
            np.testing.assert_allclose(value, second, rtol=1e-4, atol=0)
        # A step is of about the rate's size, 0.01; the root of v and that of 1 - 0.999^t are in it.
        for value, weight in zip(weights, expected, strict=True):
            np.testing.assert_allclose(value, weight, rtol=0, atol=steps * (1e-4 * 0.01 + 2**-22))
    assert "ResourceApplyAdam" in operations[1] - operations[0]


CONVOLUTION = {"filters": 40, "kernel_size": 4, "strides": 2, "padding": "same"}


def convolved_by_hand(
    layer: layers.Conv2D | layers.Conv2DTranspose, images: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """A pass in float64, one place of the kernel after the other.

    A transposed convolution is the convolution from its outputs to its inputs, read backwards, and
    Keras gives both kernels the channels of the larger map first.
    """
    kernel, bias = (np.array(variable, np.float64) for variable in (layer.kernel, layer.bias))
    transposed = isinstance(layer, layers.Conv2DTranspose)
    large, small = (weights, images) if transposed else (images, weights)
    side, stride = layer.kernel_size[0], layer.strides[0]
    (_, *sides, _), (_, height, width, _) = large.shape, small.shape
    missing = [(n - 1) * stride + side - m for n, m in zip((height, width), sides, strict=True)]
    before = [max(each, 0) // 2 if layer.padding == "same" else 0 for each in missing]
    margins = [(b, max(m, 0) - b) for b, m in zip(before, missing, strict=True)]
    padded = np.pad(large.astype(np.float64), ((0, 0), *margins, (0, 0)))
    to_large, to_small = np.zeros(padded.shape), np.zeros((*small.shape[:3], kernel.shape[3]))
    to_kernel = np.zeros(kernel.shape)
    for row, column in np.ndindex(side, side):
        place = np.s_[
            :, row : row + height * stride : stride, column : column + width * stride : stride
        ]
        to_small += padded[place] @ kernel[row, column]
        to_large[place] += small @ kernel[row, column].T
        to_kernel[row, column] = np.tensordot(padded[place], small, ((0, 1, 2), (0, 1, 2)))
    (top, _), (left, _) = margins
    to_large = to_large[:, top : top + sides[0], left : left + sides[1]]
    outputs, to_images = (to_large, to_small) if transposed else (to_small, to_large)
    return {
        "outputs": outputs + bias,
        "gradient to images": to_images,
        "gradient to kernel": to_kernel,
        "gradient to bias": weights.astype(np.float64).sum((0, 1, 2)),
    }


def assert_convolves(
    kind: type[keras.Layer], shape: tuple[int, ...], **options: object
) -> tuple[set[str], set[str]]:
    """With whole numbers, which are exact whatever the kernels and the order of their sums.

    bfloat16 has 8 bits and so holds every whole number up to 256. Where the absolute values of
    what is added are no more than that together, no product and no partial sum is rounded.
    """

    def make(sign: object = lambda numbers: numbers) -> keras.Layer:
        layer = kind(**options)
        layer.build(shape)
        layer.kernel.assign(sign(whole(*layer.kernel.shape, seed=1, share=0.25)))
        layer.bias.assign(sign(whole(*layer.bias.shape, seed=2)))
        return layer

    images, outputs = whole(*shape, seed=3), make().compute_output_shape(shape)
    weights = whole(*outputs, seed=4, share=min(0.25, 100 / np.prod(outputs[:3])))
    largest = convolved_by_hand(make(np.abs), np.abs(images), np.abs(weights))
    assert max(value.max() for value in largest.values()) <= 256
    return assert_both(make, images, weights, convolved_by_hand(make(), images, weights))


@pytest.mark.parametrize("layer", [layers.Conv2D, layers.Conv2DTranspose])
def test_filter_gradient_of_a_small_map(layer):
    side = 6 if layer is layers.Conv2D else 3
    shape = (4, side, side + 2 * (side == 6), 33)
    plain, faster = assert_convolves(layer, shape, dtype="mixed_bfloat16", **CONVOLUTION)
    assert "Conv2DBackpropFilter" in plain - faster


@pytest.mark.parametrize(
    ("shape", "changes"),
    [
        ((2, 6, 6, 40), {"dtype": "float32"}),
        ((2, 6, 6, 40), {"kernel_size": 3}),
        ((2, 6, 6, 40), {"strides": 1}),
        ((2, 8, 8, 40), {"padding": "valid"}),
        ((2, 7, 7, 40), {}),
        ((2, 6, 6, 3), {}),
        ((2, 6, 6, 40), {"filters": 3}),
        ((2, 18, 18, 40), {}),
    ],
)
@pytest.mark.parametrize("layer", [layers.Conv2D, layers.Conv2DTranspose])
def test_other_convolutions_stay_as_they_are(layer, shape, changes):
    if layer is layers.Conv2DTranspose and shape == (2, 7, 7, 40):
        shape = (2, 9, 9, 40)  # maps of 18 pixels
    options = {"dtype": "mixed_bfloat16"} | CONVOLUTION | changes
    _, operations = assert_convolves(layer, shape, **options)
    assert "Conv2DBackpropFilter" in operations


def test_a_penalty_is_differentiated_through_keras_own_layers():
    layer = layers.BatchNormalization()
    layer.build((4, 6, 6, 5))
    seen = []

    def step(images):
        outputs, gradient = backend.input_gradient(
            lambda x: seen.append(layers.BatchNormalization.call) or layer(x, training=True), images
        )
        seen.append(layers.BatchNormalization.call)
        return {"outputs": outputs, "gradient": gradient}

    original = layers.BatchNormalization.call
    backend.compile_step(step, layer.variables)(eighths(4, 6, 6, 5))
    assert seen == [original, tensorflow_cpu._normalize_in_one]
    assert layers.BatchNormalization.call is original


def test_everything_is_put_back_after_an_error():
    before = [getattr(owner, name) for owner, name, _ in tensorflow_cpu._REPLACEMENTS]
    with pytest.raises(ZeroDivisionError), tensorflow_cpu.faster(), tensorflow_cpu.plain():
        raise ZeroDivisionError
    assert before == [getattr(owner, name) for owner, name, _ in tensorflow_cpu._REPLACEMENTS]


def test_compiling_several_functions_is_no_compiling_again(caplog):
    logger = tensorflow.get_logger()
    logger.addHandler(caplog.handler)
    for number in range(12):

        def step(x: tensorflow.Tensor) -> dict[str, tensorflow.Tensor]:
            return {"x": x + 1.0}

        step.__name__ = f"step_{number}"
        backend.compile_step(step, [])(np.float32(1))
    logger.removeHandler(caplog.handler)
    assert "retracing" not in caplog.text

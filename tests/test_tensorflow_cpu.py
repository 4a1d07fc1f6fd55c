"""What is computed otherwise on a CPU gives what Keras' own layers and optimizers give."""

from __future__ import annotations

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


def images_of(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0.5, 2.0, shape).astype(np.float32)


def pass_through(
    layer: keras.Layer, images: np.ndarray, faster: bool
) -> tuple[dict[str, np.ndarray], set[str]]:
    """One training pass, traced as a step is: all that comes of it, and the operations in it."""

    @tensorflow.function(autograph=False)
    def step(images):
        with (
            tensorflow_cpu.faster() if faster else nullcontext(),
            tensorflow.GradientTape() as tape,
        ):
            tape.watch(images)
            outputs = layer(images, training=True)
            weights = tensorflow.random.stateless_normal(outputs.shape, [1, 2])
            loss = tensorflow.reduce_sum(tensorflow.cast(outputs, "float32") * weights)
        sources = [images, *(variable.value for variable in layer.trainable_variables)]
        return [outputs, *tape.gradient(loss, sources)]

    images = tensorflow.cast(images, layer.compute_dtype)
    outputs, to_images, *to_weights = step(images)
    found = {"outputs": outputs, "gradient to images": to_images}
    found |= {f"gradient to weight {n}": value for n, value in enumerate(to_weights)}
    found |= {f"variable {n}": variable.value for n, variable in enumerate(layer.variables)}
    graph = step.get_concrete_function(images).graph
    return (
        {name: tensorflow.cast(value, "float32").numpy() for name, value in found.items()},
        {operation.type for operation in graph.get_operations()},
    )


def assert_same(
    make: type[keras.Layer], images: np.ndarray, tolerance: float, **options: object
) -> tuple[set[str], set[str]]:
    results = []
    for faster in (False, True):
        keras.utils.set_random_seed(0)
        layer = make(**options)
        layer.build(images.shape)
        results.append(pass_through(layer, images, faster))
    (expected, plain_operations), (found, operations) = results
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(np.abs(value).max(), 1e-3)
        np.testing.assert_allclose(
            found[name] / scale, value / scale, atol=tolerance, err_msg=name
        )  # fmt: skip
    return plain_operations, operations


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("mixed_bfloat16", 1e-2)])
@pytest.mark.parametrize("options", [{}, {"scale": False, "momentum": 0.5}, {"center": False}])
def test_batch_normalization(dtype, tolerance, options):
    plain, faster = assert_same(
        layers.BatchNormalization, images_of(8, 6, 6, 5), tolerance, dtype=dtype, **options
    )
    assert "FusedBatchNormV3" in faster - plain


def test_batch_normalization_of_vectors_and_in_inference_stays_as_it_is():
    _, operations = assert_same(layers.BatchNormalization, images_of(8, 5), 1e-6)
    assert "FusedBatchNormV3" not in operations
    layer = layers.BatchNormalization()
    expected = layer(images_of(4, 6, 6, 5), training=False)
    with tensorflow_cpu.faster():
        found = layer(images_of(4, 6, 6, 5), training=False)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("rate", [0.25, 0.5, 0.3, 0.01])
def test_dropout(dtype, rate):
    layer = layers.Dropout(rate, seed=3, dtype=dtype)
    images = np.ones((64, 15, 15, 7), np.float32)
    first, _ = pass_through(layer, images, faster=True)
    second, _ = pass_through(layer, images, faster=True)
    again, _ = pass_through(layers.Dropout(rate, seed=3, dtype=dtype), images, faster=True)
    outputs = first["outputs"]
    kept = outputs != 0
    assert np.allclose(outputs[kept], 1 / (1 - rate), rtol=1e-4 if dtype == "float32" else 5e-3)
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


def test_adam():
    random = np.random.default_rng(0)
    shapes = [(30, 40), (40,)]
    starts = [random.normal(size=shape) for shape in shapes]
    gradients = [[random.normal(size=shape) for shape in shapes] for _ in range(5)]
    expected, plain = adam_after(starts, gradients, faster=False)
    found, faster = adam_after(starts, gradients, faster=True)
    assert "ResourceApplyAdam" in faster - plain
    for was, value in zip(expected, found, strict=True):
        np.testing.assert_allclose(value, was, rtol=1e-5, atol=1e-6)


CONVOLUTION = {"filters": 40, "kernel_size": 4, "strides": 2, "padding": "same"}


@pytest.mark.parametrize("layer", [layers.Conv2D, layers.Conv2DTranspose])
def test_filter_gradient_of_a_small_map(layer):
    side = 6 if layer is layers.Conv2D else 3
    plain, faster = assert_same(
        layer, images_of(4, side, side + 2 * (side == 6), 33), 1e-2,
        dtype="mixed_bfloat16", **CONVOLUTION,
    )  # fmt: skip
    assert "Conv2DBackpropFilter" in plain - faster


def test_the_product_is_exact():
    images, gradient = images_of(4, 8, 6, 5), images_of(4, 4, 3, 7)
    expected = tensorflow.raw_ops.Conv2DBackpropFilter(
        input=images, filter_sizes=(4, 4, 5, 7), out_backprop=gradient, strides=[1, 2, 2, 1],
        padding="SAME",
    )  # fmt: skip
    found = tensorflow_cpu._product(tensorflow.constant(images), tensorflow.constant(gradient))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


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
        ((2, 32, 32, 40), {}),
    ],
)
@pytest.mark.parametrize("layer", [layers.Conv2D, layers.Conv2DTranspose])
def test_other_convolutions_stay_as_they_are(layer, shape, changes):
    if layer is layers.Conv2DTranspose and shape == (2, 7, 7, 40):
        shape = (2, 9, 9, 40)  # maps of 18 pixels
    options = {"dtype": "mixed_bfloat16"} | CONVOLUTION | changes
    _, operations = assert_same(layer, images_of(*shape), 1e-6, **options)
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
    backend.compile_step(step, layer.variables)(images_of(4, 6, 6, 5))
    assert seen == [original, tensorflow_cpu._normalize_in_one]
    assert layers.BatchNormalization.call is original


def test_everything_is_put_back_after_an_error():
    before = [getattr(owner, name) for owner, name, _, _ in tensorflow_cpu._REPLACEMENTS]
    with pytest.raises(ZeroDivisionError), tensorflow_cpu.faster(), tensorflow_cpu.plain():
        raise ZeroDivisionError
    assert before == [getattr(owner, name) for owner, name, _, _ in tensorflow_cpu._REPLACEMENTS]


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

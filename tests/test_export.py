"""Generators as ONNX graphs, compared with Keras."""

from __future__ import annotations

import numpy as np
import pytest

from tests.saved_run import load, of_keras, random_weights
from utils import backend  # noqa: F401 - before Keras: it keeps its start quiet

# isort: split
import keras
from keras import layers

import dcgan
import r3gan
from utils.common.errors import UserError
from utils.sampling import export, latents

SIZE, LATENT_DIM = 32, 5


def assert_same_images(generator: keras.Model) -> None:
    """By Keras and by ONNX Runtime, of some latent vectors."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = export.to_onnx(generator, "--export").SerializeToString()
    session = onnxruntime.InferenceSession(model)
    for count in (1, 3):
        vectors = latents.draw(count, generator.input_shape[1], count)
        (images,) = session.run(["images"], {"latents": vectors})
        expected = of_keras(generator, vectors)
        assert images.shape == (count, *generator.output_shape[1:])
        assert images.dtype == np.float32
        assert expected.std() > 0.1
        # Ten layers, each with sums of up to 108 numbers in float32, in an order of its own.
        rounding = 10 * 108 * 2**-24
        assert np.abs(images - expected).max() < rounding * max(1, np.abs(expected).max())


GENERATORS = [
    {"generator_dropout": 0.3},
    {"upscaling": "upsample", "kernel_size": 3, "normalization": "after-activation"},
    {
        "generator_start": "convolutional",
        "kernel_size": 5,
        "normalization": "none",
        "upscaling": "transposed",
        "generator_architecture": "plain",
    },
    {"kernel_size": 6, "generator_architecture": "plain"},
]


@pytest.mark.parametrize(("changes", "channels"), list(zip(GENERATORS, (4, 1, 3, 4), strict=True)))
def test_generators_of_dcgan_are_the_same_in_onnx_runtime(changes, channels):
    h = dcgan.Hyperparameters(
        image_size=SIZE, latent_dim=LATENT_DIM, generator_filters=(4,), **changes
    )
    h.channels = channels
    assert_same_images(random_weights(dcgan.build_generator(h)))


@pytest.mark.parametrize("changes", [{}, {"blocks": 2, "groups": 2, "start_filters": 4}])
def test_residual_generators_are_the_same_in_onnx_runtime(changes):
    h = r3gan.Hyperparameters(
        image_size=SIZE, latent_dim=LATENT_DIM, generator_filters=(4,),
        **({"start_filters": 6} | changes),
    )  # fmt: skip
    assert_same_images(random_weights(r3gan.build_generator(h)))


def test_convolutions_of_every_kernel_are_exported():
    inputs = keras.Input((5,))
    x = layers.Reshape((2, 3, 4))(layers.Dense(24, activation="sigmoid")(inputs))
    for kernel_size in (1, 2, 3, 4, 5):  # smaller than the stride, as wide, odd, even
        x = layers.Conv2DTranspose(2, kernel_size, 2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(scale=False, center=kernel_size > 2)(x)
        x = layers.LeakyReLU(0.2)(x)
        x = layers.Conv2D(2, kernel_size, 2, padding="same", activation="relu")(x)
    x = layers.Conv2D(2, 4, padding="same")(x)
    x = layers.Conv2D(2, (1, 2), padding="valid", groups=2)(layers.UpSampling2D((2, 1))(x))
    x = layers.Conv2DTranspose(3, 3, 2, padding="valid", activation="tanh")(x)
    x = layers.Cropping2D(((0, 1), (1, 0)))(layers.AveragePooling2D((1, 2), (2, 1))(x))
    network = random_weights(keras.Model(inputs, x))
    for layer in network.layers:
        if isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose)):
            layer.kernel.assign(2 * layer.kernel)
    assert_same_images(network)


def test_sums_of_what_several_layers_read_are_exported():
    """Maps whose channels come first or last, in either order; a sum of three; a vector."""
    inputs = keras.Input((5,))
    first = layers.Dense(8, name="first")(inputs)
    both = layers.Add()([layers.Dense(8, name="second")(inputs), first])
    maps = layers.Reshape((2, 2, 2))(both)
    convolved = layers.Conv2D(2, 3, padding="same")(maps)
    again = layers.Conv2D(2, 1)(maps)
    x = layers.Add()([maps, convolved, again])
    x = layers.Add()([x, maps])
    images = layers.Conv2D(3, 1)(layers.UpSampling2D(2, interpolation="bilinear")(x))
    assert_same_images(random_weights(keras.Model(inputs, images)))


def test_padding_is_that_of_tensorflow():
    """Against the sizes and places that its documentation gives for "same"."""
    assert export.same_padding(8, kernel=4, stride=2) == (1, 1)
    assert export.same_padding(8, kernel=3, stride=2) == (0, 1)
    assert export.same_padding(8, kernel=5, stride=2) == (1, 2)
    assert export.same_padding(8, kernel=3, stride=1) == (1, 1)
    assert export.same_padding(8, kernel=4, stride=1) == (1, 2)
    assert export.same_padding(8, kernel=2, stride=2) == (0, 0)


def test_what_was_trained_in_bfloat16_is_exported_in_float32(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((4,))
        images = layers.Reshape((2, 2, 3))(layers.Dense(12)(inputs))
        generator = random_weights(keras.Model(inputs, images))
    finally:
        keras.config.set_dtype_policy("float32")
    paths = tmp_path / "a.keras", tmp_path / "a.onnx"
    export.export(generator, *paths)
    loaded, session = load(paths[0]), onnxruntime.InferenceSession(paths[1])
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    vectors = latents.draw(5, 4, 0)
    (found,) = session.run(["images"], {"latents": vectors})
    expected = vectors @ generator.layers[1].kernel + generator.layers[1].bias
    for each in (found, of_keras(loaded, vectors)):
        np.testing.assert_allclose(each.reshape(5, 12), expected, rtol=1e-5, atol=1e-6)


UNKNOWN = {
    "is a PReLU": layers.PReLU(),
    "has an offset": layers.EinsumDense("abcd,de->abce", (4, 4, 2), bias_axes="e"),
    "has the equation ...a,ab->...b": layers.EinsumDense("...a,ab->...b", (4, 4, 2)),
    "has maps as inputs": layers.Dense(2),
    "has another axis than the channels'": layers.BatchNormalization(axis=1),
    "has activation elu": layers.Conv2D(2, 1, activation="elu"),
    "has a bound, slope or threshold": layers.ReLU(6),
    "has padding same": layers.AveragePooling2D(2, 1, padding="same"),
    "has interpolation bicubic": layers.UpSampling2D(interpolation="bicubic"),
    "has an output padding": layers.Conv2DTranspose(2, 3, 2, output_padding=1),
    "has dilation": layers.Conv2D(2, 3, dilation_rate=2, padding="same"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_unknown_layers_and_options_are_refused(what):
    inputs = keras.Input((32,))
    layer = UNKNOWN[what]
    network = keras.Model(inputs, layer(layers.Reshape((4, 4, 2))(inputs)))
    with pytest.raises(UserError) as found:
        export.to_onnx(network, "--export")
    assert str(found.value) == f"--export: layer {layer.name} {what}, which it does not know"


def test_what_cannot_be_exported_leaves_no_file(tmp_path):
    inputs = keras.Input((4,))
    paths = tmp_path / "a.keras", tmp_path / "a.onnx"
    first, second = layers.Dense(4)(inputs), layers.Dense(1)(inputs)
    for layer, message in (
        (layers.Multiply(name="odd"), "layer odd does not read one earlier layer alone"),
        (layers.Add(name="odd"), "layer odd has inputs of several shapes, which it does not know"),
    ):
        network = keras.Model(inputs, layer([first, second]))
        with pytest.raises(UserError, match=message):
            export.export(network, *paths)
    assert not list(tmp_path.iterdir())

"""The networks: shapes, widths, known parameter counts, initial weights."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers, ops

import dcgan
import wgan
from tests.saved_run import random_weights
from utils.models import blocks
from utils.models.adversarial import Combined
from utils.models.augmentation import Augmentation


def hyperparameters(**changes: object) -> dcgan.Hyperparameters:
    small = {"image_size": 64, "latent_dim": 6, "generator_filters": (2,),
             "discriminator_filters": (2,)}  # fmt: skip
    h = dcgan.Hyperparameters(**(small | changes))
    h.check()
    return h


PLAIN = {"generator_architecture": "plain", "upscaling": "transposed"}
"""The generator of the paper."""


def map_shapes(network: keras.Model, kind: type) -> list[tuple[int, ...]]:
    return [x.output.shape[1:] for x in network.layers if isinstance(x, kind)]


@pytest.mark.parametrize("image_size", [32, 64, 128, 256])
@pytest.mark.parametrize("start", ["dense", "convolutional"])
@pytest.mark.parametrize(
    ("upscaling", "kernel_size", "architecture"),
    [
        ("filtered", 4, "skip"), ("filtered", 6, "plain"), ("transposed", 3, "plain"),
        ("upsample", 4, "skip"),
    ],
)  # fmt: skip
def test_sizes_fit_together(image_size, upscaling, start, kernel_size, architecture):
    h = hyperparameters(
        image_size=image_size, upscaling=upscaling, generator_start=start, kernel_size=kernel_size,
        generator_architecture=architecture,
    )  # fmt: skip
    generator, discriminator = dcgan.build_generator(h), dcgan.build_discriminator(h)
    latents = np.random.default_rng(0).standard_normal((3, 6)) * 100
    images = generator(latents)
    assert images.shape == (3, image_size, image_size, 3)
    assert -1 <= ops.min(images) < ops.max(images) <= 1
    assert discriminator(images).shape == (3, 1)
    nothing = Augmentation((), keras.random.SeedGenerator(0))
    assert Combined(generator, nothing, discriminator)(latents).shape == (3, 1)


def test_a_single_width_doubles_as_the_map_halves_up_to_the_limit():
    h = hyperparameters(image_size=256, generator_filters=(8,), discriminator_filters=(4,),
                        max_filters=32)  # fmt: skip
    maps = [(4, 4, 32), (8, 8, 32), (16, 16, 32), (32, 32, 32), (64, 64, 16), (128, 128, 8)]
    assert map_shapes(dcgan.build_generator(h), layers.ReLU) == [*maps, (256, 256, 4)]
    h.generator_architecture = "plain"
    assert map_shapes(dcgan.build_generator(h), layers.ReLU) == maps
    assert map_shapes(dcgan.build_discriminator(h), layers.LeakyReLU) == [
        (128, 128, 4), (64, 64, 8), (32, 32, 16), (16, 16, 32), (8, 8, 32), (4, 4, 32),
    ]  # fmt: skip


def test_depth_leaves_larger_maps_in_the_middle():
    h = hyperparameters(generator_depth=2, discriminator_depth=3, **PLAIN)
    assert map_shapes(dcgan.build_generator(h), layers.ReLU) == [(16, 16, 4), (32, 32, 2)]
    assert map_shapes(dcgan.build_discriminator(h), layers.LeakyReLU)[-1] == (8, 8, 8)


def test_a_list_of_widths_is_taken_as_it_is():
    """The shape of the first GANdam's second version: from a 1x1 latent to 256 px and back."""
    h = hyperparameters(
        image_size=256, generator_start="convolutional", kernel_size=3,
        generator_filters=(16, 16, 8, 4, 2, 1, 1), discriminator_filters=(1, 1, 2, 4, 8, 8, 16, 16),
        **PLAIN,
    )  # fmt: skip
    generator, discriminator = dcgan.build_generator(h), dcgan.build_discriminator(h)
    assert not any(isinstance(layer, layers.Dense) for layer in generator.layers)
    assert map_shapes(generator, layers.ReLU)[:2] == [(2, 2, 16), (4, 4, 16)]
    assert [s[0] for s in map_shapes(generator, layers.ReLU)] == [2, 4, 8, 16, 32, 64, 128]
    assert map_shapes(discriminator, layers.LeakyReLU)[-1] == (1, 1, 16)


def test_parameter_counts_are_those_of_the_well_known_dcgan():
    """PyTorch's example has 3,576,704 and 2,765,568, without an offset in any convolution."""
    h = hyperparameters(latent_dim=100, generator_filters=(64,), discriminator_filters=(64,),
                        generator_start="convolutional", **PLAIN)  # fmt: skip

    def trainable(network: keras.Model) -> int:
        return sum(int(np.prod(v.shape)) for v in network.trainable_variables)

    assert trainable(dcgan.build_generator(h)) == 3_576_704 + 3
    assert trainable(dcgan.build_discriminator(h)) == 2_765_568 + 64 + 1


@pytest.mark.parametrize(
    ("where", "kinds"),
    [
        ("before-activation", ["Conv2DTranspose", "BatchNormalization", "ReLU", "Dropout"]),
        ("after-activation", ["Conv2DTranspose", "ReLU", "BatchNormalization", "Dropout"]),
        ("none", ["Conv2DTranspose", "ReLU", "Dropout", "Conv2DTranspose"]),
    ],
)
def test_where_normalization_and_dropout_stand(where, kinds):
    h = hyperparameters(
        normalization=where, generator_dropout=0.5, discriminator_dropout=0.3, **PLAIN
    )
    generator = [type(layer).__name__ for layer in dcgan.build_generator(h).layers]
    first = generator.index("Conv2DTranspose")
    assert generator[first : first + 4] == kinds
    assert generator[-2:] == ["Conv2DTranspose", "Activation"]  # the output is left as it is
    discriminator = dcgan.build_discriminator(h).layers
    assert [type(layer).__name__ for layer in discriminator[:4]] == [
        "InputLayer", "Conv2D", "LeakyReLU", "Dropout",
    ]  # fmt: skip
    assert discriminator[3].rate == 0.3
    normalizations = [x for x in discriminator if isinstance(x, layers.BatchNormalization)]
    assert len(normalizations) == (0 if where == "none" else 3)
    assert all(layer.momentum == 0.9 for layer in normalizations)


def doubled(maps: np.ndarray, kernel: np.ndarray, upscaling: str) -> np.ndarray:
    """Maps (B, H, W, 1) by `blocks.double` with a kernel (K, K)."""
    inputs = keras.Input(maps.shape[1:])
    network = keras.Model(
        inputs, blocks.double(inputs, 1, len(kernel), upscaling, use_bias=False, stddev=0.0)
    )
    network.set_weights([kernel[:, :, None, None].astype(np.float32)])
    return ops.convert_to_numpy(network(maps.astype(np.float32)))


def test_a_filtered_double_is_a_full_transposed_convolution_and_a_filter():
    """[1, 2, 1] / 4 over all that each pixel's kernel paints; by NumPy, one axis at a time."""
    row = np.array([1.0, -2, 3, 0.5])
    apart = np.zeros(7)  # a zero between two pixels
    apart[::2] = row
    painted = np.convolve(apart, np.ones(4))
    expected = np.convolve(painted, [0.25, 0.5, 0.25], "valid")
    assert len(expected) == 8
    found = doubled(np.outer(row, row)[None, :, :, None], np.ones((4, 4)), "filtered")
    np.testing.assert_allclose(found[0, :, :, 0], np.outer(expected, expected), atol=1e-5)
    edges = [1.25, 1.75, 2, 2, 2, 2, 1.75, 1.25]
    constant = doubled(np.ones((1, 4, 4, 1)), np.ones((4, 4)), "filtered")
    np.testing.assert_allclose(constant[0, :, :, 0], np.outer(edges, edges), atol=1e-6)


@pytest.mark.parametrize("kernel_size", [4, 6])
def test_only_a_filtered_double_leaves_no_chequered_pattern(kernel_size):
    """Of a map without any, whatever the kernel."""
    kernel = np.random.default_rng(0).standard_normal((kernel_size, kernel_size))
    inner = (0, slice(4, -4), slice(4, -4), 0)
    maps = np.ones((1, 8, 8, 1))
    found = doubled(maps, kernel, "filtered")
    assert found.shape == (1, 16, 16, 1)
    np.testing.assert_allclose(found[inner], kernel.sum() / 4, atol=1e-5)
    assert doubled(maps, kernel, "transposed")[inner].std() > 0.5


def bilinear(image: np.ndarray) -> np.ndarray:
    """An image (B, H, W, 3) doubled: each pixel is three quarters of the nearest, along a side."""
    for axis in (1, 2):
        edge = np.pad(image, [(1, 1) if n == axis else (0, 0) for n in range(4)], "edge")
        before, after = (np.delete(edge, ends, axis) for ends in ([-2, -1], [0, 1]))
        pairs = np.stack([image * 3 + before, image * 3 + after], axis + 1) / 4
        shape = list(image.shape)
        shape[axis] *= 2
        image = pairs.reshape(shape)
    return image


@pytest.mark.parametrize("image_size", [32, 128])
def test_an_image_is_summed_up_from_those_of_every_size(image_size):
    generator = random_weights(dcgan.build_generator(hyperparameters(image_size=image_size)))
    drawn = [x.output for x in generator.layers if isinstance(x, layers.Conv2D)
             and not isinstance(x, layers.Conv2DTranspose)]  # fmt: skip
    sizes = [8 * 2**n for n in range(len(drawn))]
    assert [tensor.shape[1:] for tensor in drawn] == [(size, size, 3) for size in sizes]
    assert sizes[-1] == image_size
    latents = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)
    *details, images = map(
        ops.convert_to_numpy, keras.Model(generator.input, [*drawn, generator.output])(latents)
    )
    total = details[0]
    for each in details[1:]:
        total = bilinear(total) + each
    np.testing.assert_allclose(images, np.tanh(total), atol=1e-5)
    assert all(each.std() > 0.01 for each in details)


def test_historical_presets_keep_the_generator_of_their_time():
    for script in (dcgan, wgan):
        for name, preset in script.Hyperparameters.PRESETS.items():
            h = dataclasses.replace(script.Hyperparameters(), **preset.values)
            assert getattr(h, "generator_architecture", "plain") == "plain", name
            assert h.upscaling != "filtered", name


def test_weights_start_as_the_paper_says_and_no_two_layers_alike():
    keras.utils.set_random_seed(0)
    h = hyperparameters(generator_filters=(16,), discriminator_filters=(16,))
    for network in (dcgan.build_generator(h), dcgan.build_discriminator(h)):
        kernels = [ops.convert_to_numpy(v) for v in network.weights if v.name == "kernel"]
        for kernel in kernels:
            if kernel.size > 2000:
                assert kernel.std() == pytest.approx(0.02, rel=0.1)
                assert abs(kernel.mean()) < 0.002
        starts = [kernel.ravel()[0] for kernel in kernels]
        assert len(set(starts)) == len(starts)
    glorot = dcgan.build_discriminator(hyperparameters(initial_stddev=0)).layers[1].kernel
    limit = np.sqrt(6 / (4 * 4 * (3 + 2)))  # Glorot and Bengio 2010: sqrt(6 / (fan_in + fan_out))
    assert float(ops.max(ops.abs(glorot))) == pytest.approx(limit, rel=0.1)


def test_leaky_relu_has_the_slope_that_was_asked_for():
    h = hyperparameters(leaky_relu_slope=0.3)
    layer = next(x for x in dcgan.build_discriminator(h).layers if isinstance(x, layers.LeakyReLU))
    assert float(layer(np.array([-2.0], np.float32))[0]) == pytest.approx(-0.6)

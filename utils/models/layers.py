"""Layers of discriminators that Keras does not have, or has in a form that a GAN cannot use.

Each is registered, so that ``keras.models.load_model`` reads a saved network as soon as this file
has been imported; each can be differentiated twice, as a gradient penalty needs it; and what would
suffer from bfloat16 is computed in float32 in any case. Two of them, `MinibatchDiscrimination` and
`MinibatchStandardDeviation`, compare the images of a batch: real and generated images have to be
passed in batches of their own, and the score of an image means nothing without its batch.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from utils.backend import Tensor

_SMALLEST = 1e-12
"""A vector that is shorter is taken for zero; its square is still a float32."""


@keras.saving.register_keras_serializable("gandam")
class MinibatchDiscrimination(layers.Layer):
    """Tell the discriminator how alike the images of a batch are: a remedy against mode collapse.

    Salimans et al. 2016 (arXiv:1606.03498), section 3.2, in the two-dimensional form of Edouard99's
    GAN: maps go in, the same maps and some more come out. The image i is reduced to a vector
    f(i) by a convolution without overlap, M(i) = f(i) T are its ``K`` rows of ``vector_length``
    numbers, and row k says

        o(i, k) = sum over j of exp(-|M(i, k) - M(j, k)|_1)  -  1,

    from 0, where no other image is like it, to B - 1, where all are the same (the 1 is the image
    itself). A transposed convolution brings these numbers back to the size of the maps.

    **An image's answer depends on the others of its batch.** Differentiated with respect to one
    image, as a gradient penalty does, the sum of the answers contains what this image does to the
    answers on all others: such a penalty is not the one of its paper, which holds for each image by
    itself.

    **Distances at the beginning.** exp(-d) has a gradient where d is neither far above 1 nor far
    below. Where all distances are small, every o is nearly B - 1, and the gradient with respect to
    the distances is as large as it gets, so that the layer learns. Where all are large, o and its
    gradient vanish together; from about d = 90 on, both are 0 in float32, and no training brings
    the layer back. Distances grow with the inputs, with ``initial_stddev`` squared (T and the
    convolution) and with t. Measured on 16 drawn robots behind a first convolution of 32 filters,
    N(0, 0.02^2) throughout, at 64 pixels (t = 8): d has the median 0.11 (1st to 99th percentile
    0.06 to 0.20) and o the mean 13.4 of 15; at 128 pixels without a limit (t = 16), 0.25; with
    Glorot's initialisation 1.1 and 5.1 of 15. So it begins on the safe side, where images seem
    alike. The maps it adds are then mostly one constant that grows with B: their standard
    deviation is 0.5, that of the inputs 0.09.

    Memory: a training pass keeps about (B, B, maps*t*t, vector_length) numbers for the gradient,
    once (33 MB for 64 images of 32x32 and the defaults), and without a gradient one
    ``vector_length``-th of it.

    Inputs: (B, H, H, C), H a multiple of 4 (of ``largest_side`` where that decides).
    Outputs: (B, H, H, C + maps), in the compute dtype; the inputs come first, unchanged.
    """

    def __init__(
        self,
        maps: int = 2,
        kernel_maps: int = 3,
        vector_length: int = 16,
        largest_side: int = 8,
        initial_stddev: float = 0.02,
        **kwargs: Any,
    ) -> None:
        """Choose how much is said about the likeness.

        Args:
            maps: how many are added.
            kernel_maps: channels that the convolution reduces the inputs to.
            vector_length: of the rows that are compared; more is finer.
            largest_side: most rows and columns, t, that the inputs are reduced to; 0 is no limit.
                The convolution reduces by 4 in each direction, and by H / ``largest_side`` where
                that would leave more. T has kernel_maps * maps * vector_length * t^4 weights:
                without a limit 393,216 at 32x32 pixels, 201 million at 128x128 with 4 maps.
            initial_stddev: all weights start as N(0, initial_stddev^2); 0 takes Glorot's uniform
                initialisation, T's as of the matrix it is.
            **kwargs: of every layer, e.g. ``name``.

        Raises:
            ValueError: one of the numbers is too small.
        """
        super().__init__(**kwargs)
        if min(maps, kernel_maps, vector_length) < 1 or min(largest_side, initial_stddev) < 0:
            raise ValueError(
                "MinibatchDiscrimination: maps, kernel_maps and vector_length must be at least 1, "
                "largest_side and initial_stddev at least 0"
            )
        self.maps = maps
        self.kernel_maps = kernel_maps
        self.vector_length = vector_length
        self.largest_side = largest_side
        self.initial_stddev = initial_stddev

    def _initializer(self) -> keras.initializers.Initializer:
        """A new one for each use: the same object twice would draw the same numbers twice."""
        if self.initial_stddev == 0:
            return keras.initializers.GlorotUniform()
        return keras.initializers.RandomNormal(stddev=self.initial_stddev)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights for maps (B, H, H, C).

        Raises:
            ValueError: the maps are not square, or cannot be divided as they would have to be.
        """
        _, height, width, _ = input_shape
        is_limited = self.largest_side and height > 4 * self.largest_side
        multiple = self.largest_side if is_limited else 4
        if height != width or height % multiple:
            raise ValueError(
                f"MinibatchDiscrimination: maps of {height}x{width}, must be square and a multiple "
                f"of {multiple} pixels"
            )
        self.side = self.largest_side if is_limited else height // 4
        reduction = height // self.side
        options = {
            "kernel_size": reduction, "strides": reduction, "use_bias": False,
            "dtype": self.dtype_policy,
        }  # fmt: skip
        self.reduce = layers.Conv2D(
            self.kernel_maps, kernel_initializer=self._initializer(), name="reduce", **options
        )
        self.enlarge = layers.Conv2DTranspose(
            self.maps, kernel_initializer=self._initializer(), name="enlarge", **options
        )
        self.reduce.build(input_shape)
        self.enlarge.build((None, self.side, self.side, self.maps))
        features = self.kernel_maps * self.side**2
        rows = self.maps * self.side**2
        initializer = self._initializer()

        def as_matrix(shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
            # Glorot's limit depends on the fans; Keras would take the first axis for pixels.
            return ops.reshape(initializer((features, rows * self.vector_length), dtype), shape)

        self.tensor = self.add_weight(
            (features, rows, self.vector_length), as_matrix, autocast=False, name="tensor"
        )

    def call(self, inputs: Tensor) -> Tensor:
        """Maps (B, H, H, C) to (B, H, H, C + maps)."""
        features = self.reduce(inputs)  # (B, t, t, kernel_maps)
        count, rows, length = self.tensor.shape
        features = ops.cast(ops.reshape(features, (-1, count)), "float32")
        # In float32: it is small differences of these numbers that matter.
        tensor = ops.reshape(ops.cast(self.tensor, "float32"), (count, rows * length))
        vectors = ops.reshape(ops.matmul(features, tensor), (-1, rows, length))
        distances = 0.0
        # One component after the other: all at once, the differences, their absolute values and
        # the gradients of both would each be (B, B, rows, length).
        for component in ops.unstack(ops.transpose(vectors, (2, 0, 1)), length):  # (B, rows)
            differences = ops.expand_dims(component, 1) - ops.expand_dims(component, 0)
            distances += ops.abs(differences)  # (B, B, rows)
        likeness = ops.sum(ops.exp(-distances), axis=1) - 1.0  # (B, rows)
        likeness = ops.reshape(likeness, (-1, self.side, self.side, self.maps))
        maps = self.enlarge(ops.cast(likeness, self.compute_dtype))  # (B, H, H, maps)
        return ops.concatenate([inputs, maps], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The channels grow by ``maps``."""
        return (*input_shape[:-1], input_shape[-1] + self.maps)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {
            "maps": self.maps,
            "kernel_maps": self.kernel_maps,
            "vector_length": self.vector_length,
            "largest_side": self.largest_side,
            "initial_stddev": self.initial_stddev,
        }


@keras.saving.register_keras_serializable("gandam")
class MinibatchStandardDeviation(layers.Layer):
    """Tell the discriminator how much the images of a batch differ, in one number.

    Karras et al. 2018 (arXiv:1710.10196), section 3: the standard deviation over the batch of every
    activation, averaged over all of them, is added as one more map of constant value. It has no
    weights. As with `MinibatchDiscrimination`, an image's answer depends on the others of its
    batch, and so does its gradient.

    Under the root stands the variance (divided by B, not B - 1) plus 1e-8: the root of 0, of
    identical images, has no derivative, and theirs would be NaN. The map is then 0.0001.

    Inputs: (B, H, W, C). Outputs: (B, H, W, C + 1), in the compute dtype.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Maps (B, H, W, C) to (B, H, W, C + 1)."""
        values = ops.cast(inputs, "float32")
        # Written out: TensorFlow's moments, behind `ops.var`, are not to be differentiated twice.
        variances = ops.mean((values - ops.mean(values, axis=0, keepdims=True)) ** 2, axis=0)
        deviation = ops.mean(ops.sqrt(variances + 1e-8))  # a scalar
        constant = ops.cast(deviation, inputs.dtype) * ops.ones_like(inputs[..., :1])
        return ops.concatenate([inputs, constant], axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The channels grow by one."""
        return (*input_shape[:-1], input_shape[-1] + 1)


@keras.saving.register_keras_serializable("gandam")
class Downsample(layers.Layer):
    """Halve maps without aliasing: the filter [1, 2, 1] / 4, then the mean of each 2x2 pixels.

    Together [1, 3, 3, 1] / 8 along both sides, with pixels at the edge repeated beyond it: the
    transpose of doubling a map by bilinear interpolation, divided by 4 (Zhang 2019,
    arXiv:1904.11486, is on what happens without a filter). Each side is one product with a matrix,
    which on every backend is quick and can be differentiated as often as one likes.

    Inputs: (B, H, W, C), H and W even. Outputs: (B, H / 2, W / 2, C), in the compute dtype.
    """

    @staticmethod
    def matrix(size: int) -> np.ndarray:
        """What halves a side of ``size`` pixels: float32 (size / 2, size), every row's sum 1."""
        rows = np.zeros((size // 2, size), np.float32)
        for row in range(size // 2):
            for offset, weight in ((-1, 1), (0, 3), (1, 3), (2, 1)):
                rows[row, min(max(2 * row + offset, 0), size - 1)] += weight / 8
        return rows

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check the maps.

        Raises:
            ValueError: a side is odd or not known.
        """
        _, height, width, _ = input_shape
        if not height or not width or height % 2 or width % 2:
            raise ValueError(f"Downsample: maps of {height}x{width}, sides must be even")

    def call(self, inputs: Tensor) -> Tensor:
        """Maps (B, H, W, C) to (B, H / 2, W / 2, C)."""
        _, height, width, channels = inputs.shape
        x = ops.reshape(inputs, (-1, height, width * channels))
        x = ops.matmul(ops.cast(self.matrix(height), x.dtype), x)  # (B, H / 2, W * C)
        x = ops.reshape(x, (-1, width, channels))
        x = ops.matmul(ops.cast(self.matrix(width), x.dtype), x)  # (B * H / 2, W / 2, C)
        return ops.reshape(x, (-1, height // 2, width // 2, channels))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Both sides are halved."""
        batch, height, width, channels = input_shape
        return (batch, height // 2, width // 2, channels)


@keras.saving.register_keras_serializable("gandam")
class InstanceNoise(layers.Layer):
    """Add N(0, level^2) to every number that passes training; otherwise let it pass as it is.

    As a discriminator's first layer: images of both kinds, blurred by noise, are never so far apart
    that it could tell all of them with certainty, which leaves the generator without a gradient
    (Sonderby et al. 2016, arXiv:1610.04490; Arjovsky and Bottou 2017, arXiv:1701.04862). The noise
    is meant to fade: ``level`` is a weight that no gradient trains and that the training assigns,
    inside a compiled step if it likes; it is a part of checkpoints and of saved networks.

    Inputs: any shape, images in [-1, 1] as a rule. Outputs: the same shape, not clipped.
    """

    def __init__(self, stddev: float, seed: int, **kwargs: Any) -> None:
        """Begin with a level.

        Args:
            stddev: where ``level`` starts, in the inputs' own unit; 0.1 is a twentieth of the range
                of images in [-1, 1].
            seed: of the layer's own draws. It has to be given: with none, the draws on PyTorch come
                from a state that no checkpoint holds.
            **kwargs: of every layer, e.g. ``name``.

        Raises:
            ValueError: stddev is below 0.
        """
        super().__init__(**kwargs)
        if stddev < 0:
            raise ValueError(f"InstanceNoise: stddev {stddev}, must be at least 0")
        self.stddev = stddev
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make ``level``, a float32 scalar."""
        del input_shape
        self.level = self.add_weight(
            (), keras.initializers.Constant(self.stddev), dtype="float32", trainable=False,
            autocast=False, name="level",
        )  # fmt: skip

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Inputs of any shape, with noise on them when training."""
        if not training:
            return inputs
        noise = keras.random.normal(ops.shape(inputs), dtype="float32", seed=self.seed_generator)
        return ops.cast(ops.cast(inputs, "float32") + self.level * noise, inputs.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The same."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return super().get_config() | {"stddev": self.stddev, "seed": self.seed}


def _unit(vector: Tensor) -> Tensor:
    """A vector (1, N) of length 1 in the same direction; zeros stay zeros."""
    return vector / ops.maximum(ops.sqrt(ops.sum(vector * vector)), _SMALLEST)


@keras.saving.register_keras_serializable("gandam")
class SpectralNormalization(layers.SpectralNormalization):
    """Let a layer compute with W / sigma(W), sigma being the largest singular value of its kernel.

    Miyato et al. 2018 (arXiv:1802.05957): with all its layers normalised, the steepness of a
    discriminator is bounded. W is the kernel as a matrix, one column for each output channel;
    sigma is estimated as v' W u (equation 8 and algorithm 1 of the paper) with

        v = W u / |W u|,   u = W' v / |W' v|,

    one such iteration in each training pass, starting from the u of the pass before, which is a
    weight that no gradient trains. u and v are constants to the gradient; W and sigma(W) are not.
    The first passes of a new layer estimate too small a sigma, and so a kernel of
    norm above 1. Without training the kernel is normalised as well, with the u that is stored.

    Keras' own class (3.15.1) normalises by *assigning* W / sigma to the kernel in every training
    pass. Measured with a dense layer of 4x3 whose kernel has norm 2.23: one training pass moved the
    kernel of a network whose variables were frozen by up to 0.65, on TensorFlow, JAX and PyTorch.
    Where the network is trained, TensorFlow and PyTorch move the kernel and leave out the
    derivative of sigma (the gradient is off by 5.5 times the length of the true one, by central
    differences, and points elsewhere: cosine -0.13), while JAX has the derivative (off by 3e-7) and
    loses the assignment: the same script trains differently. Here the kernel is read, never
    assigned.

    It wraps `Dense` and `Conv1D` to `Conv3D`, whose kernels have the output channels last, and
    computes in float32; the wrapped layer computes in its own dtype. A kernel of zeros stays as it
    is. A loss from the wrapped layer's ``activity_regularizer`` is not collected.

    Inputs and outputs: those of the wrapped layer.
    """

    def __init__(self, layer: layers.Layer, power_iterations: int = 1, **kwargs: Any) -> None:
        """Wrap a layer.

        Args:
            layer: Dense, Conv1D, Conv2D or Conv3D.
            power_iterations: in each training pass.
            **kwargs: of every layer, e.g. ``name``. The dtype is the wrapped layer's to choose.

        Raises:
            ValueError: the layer is of another kind, or the iterations are fewer than 1.
        """
        kinds = (layers.Dense, layers.Conv1D, layers.Conv2D, layers.Conv3D)
        if not isinstance(layer, kinds):
            raise ValueError(
                "SpectralNormalization: wraps Dense, Conv1D, Conv2D or Conv3D, not "
                f"{type(layer).__name__}"
            )
        # A layer of float32 that leaves its inputs alone: otherwise the kernel would be read in
        # bfloat16 here under mixed precision, and images would be converted twice.
        kwargs |= {"dtype": "float32", "autocast": False}
        super().__init__(layer, power_iterations=power_iterations, **kwargs)

    def normalized_weights(self, training: bool = True) -> tuple[Tensor, Tensor]:
        """The u (1, channels out) and the kernel to compute with; assigns nothing.

        Args:
            training: iterate; otherwise u stays.
        """
        kernel = ops.cast(self.kernel.value, "float32")
        matrix = ops.reshape(kernel, (-1, self.kernel_shape[-1]))  # (fan in, channels out)
        constant = ops.stop_gradient(matrix)
        vector_u = given = _unit(ops.cast(self.vector_u.value, "float32"))  # (1, channels out)
        vector_v = _unit(ops.matmul(vector_u, ops.transpose(constant)))  # (1, fan in)
        for iteration in range(self.power_iterations if training else 0):
            if iteration:
                vector_v = _unit(ops.matmul(vector_u, ops.transpose(constant)))
            vector_u = _unit(ops.matmul(vector_v, constant))
        sigma = ops.sum(ops.matmul(vector_v, matrix) * vector_u)  # a scalar
        # A kernel of zeros would give 0 / 0, and a u of zeros, which no iteration could leave.
        is_positive = sigma > _SMALLEST
        kernel = kernel / ops.where(is_positive, sigma, 1.0)
        return ops.where(is_positive, vector_u, given), kernel

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """What the wrapped layer computes of ``inputs`` with the normalised kernel."""
        vector_u, kernel = self.normalized_weights(training)
        if training:
            self.vector_u.assign(ops.cast(vector_u, self.vector_u.dtype))
        # In a scope of its own the kernel has another value, as if it had been assigned. All the
        # layer's variables are named: scopes do not look into the scopes around them.
        others = [v for v in self.layer.variables if v is not self.kernel]
        values = [(variable, variable.value) for variable in others]
        values.append((self.kernel, ops.cast(kernel, self.kernel.dtype)))
        with keras.StatelessScope(values):
            return self.layer(inputs)

    def compute_output_spec(self, inputs: keras.KerasTensor, training: bool = False) -> Any:
        """Shape and dtype, which are the wrapped layer's."""
        del training
        return self.layer.compute_output_spec(inputs)

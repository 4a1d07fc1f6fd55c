"""What a discriminator is shown of the images: each in random colours, moved, and with a hole.

Zhao, Liu, Lin, Zhu, Han: Differentiable Augmentation for Data-Efficient GAN Training, 2020
(arXiv:2006.10738), "DiffAugment". A discriminator that sees few pictures memorises them. It sees
real and generated images through the same random T, in its own update and in the generator's, so
it never sees a picture twice. The generator need not draw what T does: T can be differentiated, and
the discriminator tells T(x) from T(G(z)). Augmenting the real images alone would teach the
generator the holes.

The functions below take the random numbers, so that they can be checked; `Augmentation` draws them.
All take images float32 (B, H, W, C) in [-1, 1] and return the same shape; nothing is clipped, and
zeros, mid-grey, fill what has no picture. In RGBA images, `Augmentation` makes that transparent,
and colours change while alpha stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from utils import backend
from utils.backend import Tensor
from utils.common import grids

# isort: split
import keras
from keras import layers, ops

KINDS = ("color", "translation", "cutout")
"""In the order in which they are applied."""
FARTHEST = 0.125
"""Largest translation, as a share of the side."""
HOLE = 0.5
"""Side of the square that is cut out, as a share of the side."""
IMAGES_FROM_0_TO_1 = 200_000
"""Images in which an adapting probability would go all the way; 0.75 to 1 in a quarter of them."""


# ------------------------------------------------------------------------------------------------
# Functions of images and random numbers
# ------------------------------------------------------------------------------------------------


def change_colors(images: Tensor, draws: Tensor) -> Tensor:
    """Brightness, then saturation, then contrast.

    Brightness adds U - 0.5; saturation scales the distance of each channel from the mean of its
    pixel's channels by 2 U; contrast scales the distance of every number from the mean of its image
    by U + 0.5.

    Args:
        images: (B, H, W, C); C of 4 is RGBA, premultiplied, which keeps its alpha.
        draws: from U(0, 1), (3, B, 1, 1, 1), one for each of the three and each image.
    """
    if images.shape[-1] == 4:
        return _change_premultiplied(images, draws)
    # All three together are a matrix between the channels and an offset, another for each image: on
    # a CPU, with the gradient, that takes a third of the time of three steps with their means.
    brightness, saturation, contrast = draws[0] - 0.5, 2.0 * draws[1], draws[2] + 0.5
    _, height, width, channels = images.shape
    saturation, same = saturation[:, 0], ops.eye(channels, dtype=images.dtype)
    matrices = contrast[:, 0] * (saturation * same + (1.0 - saturation) / channels)  # (B, C, C)
    means = ops.mean(images, axis=(1, 2, 3), keepdims=True)  # (B, 1, 1, 1)
    mixed = ops.matmul(ops.reshape(images, (-1, height * width, channels)), matrices)
    images = ops.reshape(mixed, (-1, height, width, channels))
    return images + (brightness + (1.0 - contrast) * means)


def _change_premultiplied(images: Tensor, draws: Tensor) -> Tensor:
    """`change_colors` of what is not transparent.

    With c a straight colour in [-1, 1] and a its alpha in [0, 1], the image has p = a (c + 1) - 1.
    A change of c to M c + b makes M (p + 1) + a (b + 1 - M 1) - 1 of it: no division by an alpha.
    """
    colors, alpha = images[..., :3] + 1.0, (images[..., 3:] + 1.0) / 2.0  # a (c + 1), a
    brightness, saturation, contrast = draws[0] - 0.5, 2.0 * draws[1], draws[2] + 0.5
    area = ops.maximum(ops.sum(alpha, axis=(1, 2, 3), keepdims=True), 1.0)
    means = ops.sum(colors - alpha, axis=(1, 2, 3), keepdims=True) / (3.0 * area)  # of all a c
    grey = ops.mean(colors, axis=-1, keepdims=True)
    changed = contrast * (grey + saturation * (colors - grey))
    offset = brightness + (1.0 - contrast) * means + 1.0 - contrast  # b + 1 - M 1
    return ops.concatenate([changed + alpha * offset - 1.0, images[..., 3:]], axis=-1)


def translate(images: Tensor, offsets: Tensor) -> Tensor:
    """Move each image by whole pixels; zeros move in.

    Args:
        images: (B, H, W, C).
        offsets: int32 (2, B), pixels down and pixels to the right.
    """
    # Whole rows are copied; the other direction is a matter of rows as well, once transposed. On a
    # CPU this takes half as long as one-hot matrix products or as gathering pixel by pixel (and
    # unlike products, which a GPU may round to TF32, it is exact).
    images = ops.transpose(_move_rows(images, offsets[0]), (0, 2, 1, 3))  # (B, W, H, C)
    return ops.transpose(_move_rows(images, offsets[1]), (0, 2, 1, 3))  # (B, H, W, C)


def _move_rows(images: Tensor, offsets: Tensor) -> Tensor:
    """Move the rows of (B, H, W, C) down by offsets (B,)."""
    _, height, width, channels = images.shape
    sources = ops.arange(height, dtype="int32") - offsets[:, None]  # (B, H): what comes here
    is_inside = ops.logical_and(sources >= 0, sources < height)
    sources = ops.clip(sources, 0, height - 1)
    if keras.backend.backend() == "jax":
        # Image by image, so that a batch split among devices stays split. (TensorFlow's kernel
        # for it is slower on a CPU.)
        rows = ops.reshape(images, (-1, height, width * channels))
        rows = ops.take_along_axis(rows, sources[:, :, None], axis=1)  # (B, H, W * C)
    else:
        first = ops.arange(ops.shape(images)[0], dtype="int32")[:, None] * height
        rows = ops.reshape(images, (-1, width * channels))
        rows = ops.take(rows, first + sources, axis=0)  # (B, H, W * C)
    rows = rows * ops.cast(is_inside, rows.dtype)[:, :, None]
    return ops.reshape(rows, (-1, height, width, channels))


def cut_out(images: Tensor, centers: Tensor) -> Tensor:
    """Set a square of each image to 0, as much of it as lies inside.

    Its side is `hole_side`; a center is the first row and column of the square's second half.

    Args:
        images: (B, H, W, C).
        centers: int32 (2, B), row and column.
    """
    is_cut = []
    for size, center in zip(images.shape[1:3], (centers[0], centers[1]), strict=True):
        side = hole_side(size)
        first = center[:, None] - side // 2
        place = ops.arange(size, dtype="int32")
        is_cut.append(ops.cast((place >= first) & (place < first + side), images.dtype))
    rows, columns = is_cut  # (B, H), (B, W)
    return images * (1.0 - rows[:, :, None, None] * columns[:, None, :, None])


def _or_transparent(
    change: Callable[[Tensor, Tensor], Tensor], images: Tensor, numbers: Tensor
) -> Tensor:
    """A change that fills with zeros; RGBA images with -1, no colour and no alpha."""
    return change(images + 1.0, numbers) - 1.0 if images.shape[-1] == 4 else change(images, numbers)


def farthest_translation(size: int) -> int:
    """Pixels that an image of that side is moved at most."""
    return int(size * FARTHEST + 0.5)


def hole_side(size: int) -> int:
    """Side in pixels of the square that is cut out of an image of that side."""
    return int(size * HOLE + 0.5)


# ------------------------------------------------------------------------------------------------
# With random numbers
# ------------------------------------------------------------------------------------------------


class Augmentation(layers.Layer):
    """T: what is between the images and the discriminator, another for each image and each call.

    A layer, so that it can be a part of the combined model; it has no weights. It computes in
    float32 under any policy. Without kinds it lets images pass as they are and draws nothing.

    Inputs and outputs: images (B, H, W, C) in [-1, 1], square.
    """

    def __init__(
        self,
        kinds: Sequence[str],
        seed_generator: keras.random.SeedGenerator,
        color_strength: float = 1.0,
        probability: float = 1.0,
        adapts: bool = False,
    ) -> None:
        """Choose what is done.

        Args:
            kinds: any of `KINDS`; their order does not matter.
            seed_generator: where the draws come from; its state is part of a checkpoint.
            color_strength: how far color goes: its draws are from U(0.5 - color_strength / 2,
                0.5 + color_strength / 2). 1 is as published; at 0 colours stay.
            probability: with which each kind is done to an image, whatever else is. Below 1, some
                images are seen as they are, and what T hides is learned as well (Karras et al.
                2020, arXiv:2006.06676, section 2.2). 1 is as published.
            adapts: whether the probability is a variable, for `adapt`.

        Raises:
            ValueError: there is no such kind.
        """
        super().__init__(dtype="float32", name="augmentation")
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown:
            raise ValueError(f"Augmentation: {unknown[0]}, must be one of {', '.join(KINDS)}")
        self.kinds = tuple(kind for kind in KINDS if kind in kinds)
        self.seed_generator = seed_generator
        self.color_strength = color_strength
        self.least_probability = probability
        self.probability: keras.Variable | float = probability
        if adapts:
            self.probability = keras.Variable(probability, trainable=False, name="probability")

    def adapt(self, excesses: Sequence[float], images: int) -> None:
        """Raise the probability where the discriminator finds its task too easy, else lower it.

        Not below what was given at first, nor above 1, and by 1 / `IMAGES_FROM_0_TO_1` an image: as
        in Karras et al. 2020 (arXiv:2006.06676, section 3), who let it begin at 0. Here it begins
        where few pictures are no problem yet, for a discriminator that soon knows them does not
        forget them.

        Args:
            excesses: of measures above their targets: any that is above 0 raises it. NaN says
                nothing; if nothing is said, nothing changes.
            images: that the generator has learned from since the last time.
        """
        known = [excess for excess in excesses if not math.isnan(excess)]
        if known:
            change = images if max(known) > 0 else -images
            value = self.current_probability() + change / IMAGES_FROM_0_TO_1
            self._set(min(max(value, self.least_probability), 1.0))

    def resume(self, probability: float, began: float) -> None:
        """Go on with the probability of a checkpoint; before the first call.

        Args:
            probability: as it was then.
            began: what it had been given at first. If it has not moved since, or is not to move
                any more and another one is given now, the one that is given now counts.
        """
        if math.isclose(probability, began, rel_tol=1e-6):
            return
        if isinstance(self.probability, keras.Variable):
            self._set(max(probability, self.least_probability))
        elif began == self.least_probability:
            self.probability = probability

    def _set(self, probability: float) -> None:
        backend.assign([self.probability], [probability])

    def current_probability(self) -> float:
        """The probability with which each kind is done to an image now."""
        return float(ops.convert_to_numpy(ops.convert_to_tensor(self.probability)))

    def call(self, images: Tensor) -> Tensor:
        """T(x)."""
        if not self.kinds:
            return images
        count, size, seed = ops.shape(images)[0], images.shape[1], self.seed_generator
        if "color" in self.kinds:
            draws = keras.random.uniform((3, count, 1, 1, 1), dtype="float32", seed=seed)
            strength = self.color_strength * self._chosen(count)[:, None, None, None]
            images = change_colors(images, 0.5 + strength * (draws - 0.5))
        if "translation" in self.kinds:
            most = farthest_translation(size)
            offsets = keras.random.randint((2, count), -most, most + 1, dtype="int32", seed=seed)
            offsets = offsets * ops.cast(self._chosen(count), "int32")
            images = _or_transparent(translate, images, offsets)
        if "cutout" in self.kinds:
            # Centers of an even square are between pixels, and as likely on either border.
            ends = size + 1 - hole_side(size) % 2
            centers = keras.random.randint((2, count), 0, ends, dtype="int32", seed=seed)
            chosen = self._chosen(count)[:, None, None, None]
            cut = _or_transparent(cut_out, images, centers)
            images = ops.where(chosen > 0, cut, images)
        return images

    def _chosen(self, count: int | Tensor) -> Tensor:
        """Which images a kind is done to: float32 (B,) of 0 and 1."""
        if isinstance(self.probability, float | int) and self.probability == 1:
            return ops.ones((count,), "float32")
        draws = keras.random.uniform((count,), dtype="float32", seed=self.seed_generator)
        return ops.cast(draws < ops.convert_to_tensor(self.probability), "float32")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The same."""
        return input_shape


def draw_examples(
    images: np.ndarray,
    kinds: Sequence[str],
    seed: int,
    columns: int = 8,
    color_strength: float = 1.0,
    probability: float = 1.0,
) -> np.ndarray:
    """A picture of what a discriminator sees: a row for each image.

    The image itself comes first, then each kind alone where there are several, then all together
    with their probability, as often as there is room. Pixels are enlarged to squares where images
    are small. A picture can only show what lies in [-1, 1]; the discriminator sees the rest as
    well.

    Args:
        images: uint8 (N, H, W, C).
        kinds: see `Augmentation`.
        seed: of the draws, which no training knows of.
        columns: of the picture.
        color_strength: see `Augmentation`.
        probability: see `Augmentation`.

    Returns:
        uint8 (height, width, 3), with a line of text above.
    """
    seed_generator = keras.random.SeedGenerator(seed)
    together = Augmentation(kinds, seed_generator, color_strength, probability)
    kinds = together.kinds if len(together.kinds) > 1 else ()
    alone = [Augmentation((kind,), seed_generator, color_strength) for kind in kinds]
    shown = [*alone, *[together] * (columns - 1 - len(alone))]
    given = ops.convert_to_tensor(images.astype(np.float32) / 127.5 - 1.0)
    # Not called as layers: several devices would want as many images as they can share evenly.
    versions = [grids.to_uint8(ops.convert_to_numpy(each.call(given))) for each in shown]
    enlarged = max(1, 128 // images.shape[1])
    cells = np.stack([images, *versions], axis=1).reshape(-1, *images.shape[1:])  # row by row
    cells = cells.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    texts = [" + ".join(each.kinds) if len(each.kinds) < len(KINDS) else "all" for each in shown]
    if probability < 1:
        texts[len(alone) :] = [f"each at {probability:.0%}"] * (len(shown) - len(alone))
    return grids.caption(grids.tile(cells, columns), ["original", *texts], centred=True)

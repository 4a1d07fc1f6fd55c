"""What XLA computes slowly on a CPU, written otherwise: the same arithmetic, sooner.

The gradient of a transposed convolution with respect to its filter, as JAX derives it, takes about
twenty times as long on a CPU as that of the convolution of which it is the transpose, although both
are the same sums. It stands in every update of a generator, and in every gradient penalty, which
differentiates the gradient of a convolution: a transposed one.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import jax
from jax import lax

from utils.backend.replacing import replaced
from utils.backend.types import Tensor

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_convolve_in_general = lax.conv_general_dilated
_transposed_in_general = lax.conv_transpose

Padding = tuple[tuple[int, int], ...]


def _plain(images: Tensor, kernel: Tensor, strides: tuple[int, ...], padding: Padding) -> Tensor:
    return _convolve_in_general(images, kernel, strides, padding, dimension_numbers=_LAYOUT)


def _filter_gradient(
    images: Tensor, kernel: Tensor, gradient: Tensor, strides: tuple[int, ...], padding: Padding
) -> Tensor:
    """Of a convolution of ``images`` whose output has this ``gradient``; as ``kernel``."""
    _, pull_back = jax.vjp(lambda kernel: _plain(images, kernel, strides, padding), kernel)
    return pull_back(gradient)[0]


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(images: Tensor, kernel: Tensor, strides: tuple[int, ...], padding: Padding) -> Tensor:
    """(B, H, W, C) with (h, w, C, F)."""
    return _plain(images, kernel, strides, padding)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _transposed(
    maps: Tensor, kernel: Tensor, strides: tuple[int, ...], padding: Padding, size: tuple[int, ...]
) -> Tensor:
    """What takes the output of `_convolve` to its input, of this ``size`` in pixels."""
    shape = (maps.shape[0], *size, kernel.shape[2])
    images = jax.ShapeDtypeStruct(shape, maps.dtype)
    back = jax.linear_transpose(lambda images: _plain(images, kernel, strides, padding), images)
    return back(maps)[0]


def _convolve_gradients(
    strides: tuple[int, ...], padding: Padding, inputs: tuple[Tensor, Tensor], gradient: Tensor
) -> tuple[Tensor, Tensor]:
    images, kernel = inputs
    to_images = _transposed(gradient, kernel, strides, padding, images.shape[1:3])
    return to_images, _filter_gradient(images, kernel, gradient, strides, padding)


def _transposed_gradients(
    strides: tuple[int, ...],
    padding: Padding,
    size: tuple[int, ...],
    inputs: tuple[Tensor, Tensor],
    gradient: Tensor,
) -> tuple[Tensor, Tensor]:
    del size
    maps, kernel = inputs
    to_maps = _convolve(gradient, kernel, strides, padding)
    return to_maps, _filter_gradient(gradient, kernel, maps, strides, padding)


def _with_inputs(function: Any) -> Any:
    return lambda images, kernel, *options: (function(images, kernel, *options), (images, kernel))


_convolve.defvjp(_with_inputs(_convolve), _convolve_gradients)
_transposed.defvjp(_with_inputs(_transposed), _transposed_gradients)


def _conv_general_dilated(
    lhs: Tensor,
    rhs: Tensor,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    **options: Any,
) -> Tensor:
    """`lax.conv_general_dilated`; by `_convolve` where it is an ordinary one of images."""
    is_ordinary = (
        _is_of_images(lhs, rhs, dimension_numbers) and feature_group_count == 1
        and _is_one(lhs_dilation) and _is_one(rhs_dilation) and not any(options.values())
    )  # fmt: skip
    if not is_ordinary:
        return _convolve_in_general(
            lhs, rhs, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers,
            feature_group_count, **options,
        )  # fmt: skip
    if isinstance(padding, str):
        padding = lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], window_strides, padding)
    return _convolve(lhs, rhs, tuple(window_strides), tuple(map(tuple, padding)))


def _conv_transpose(
    lhs: Tensor,
    rhs: Tensor,
    strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    transpose_kernel: bool = False,
    **options: Any,
) -> Tensor:
    """`lax.conv_transpose`; by `_transposed` where it is the transpose of an ordinary one."""
    is_ordinary = (
        _is_of_images(lhs, rhs, dimension_numbers) and transpose_kernel
        and _is_one(rhs_dilation) and not isinstance(padding, str) and not any(options.values())
    )  # fmt: skip
    if not is_ordinary:
        return _transposed_in_general(
            lhs, rhs, strides, padding, rhs_dilation, dimension_numbers, transpose_kernel, **options
        )
    # These pads are of the maps with zeros between their pixels.
    pads = tuple(
        (side - 1 - before, side - 1 - after)
        for side, (before, after) in zip(rhs.shape[:2], padding, strict=True)
    )
    size = tuple(
        (length - 1) * stride + side - before - after
        for length, stride, side, (before, after) in zip(
            lhs.shape[1:3], strides, rhs.shape[:2], pads, strict=True
        )
    )
    return _transposed(lhs, rhs, tuple(strides), pads, size)


def _is_of_images(lhs: Tensor, rhs: Tensor, dimension_numbers: Any) -> bool:
    if lhs.ndim != 4 or dimension_numbers is None:
        return False
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    return numbers == lax.conv_dimension_numbers(lhs.shape, rhs.shape, _LAYOUT)


def _is_one(dilation: int | Sequence[int] | None) -> bool:
    return dilation is None or dilation == 1 or set(dilation) == {1}


def faster() -> AbstractContextManager[None]:
    """While the block runs, convolutions are differentiated by the functions above."""
    return replaced(
        (lax, "conv_general_dilated", _conv_general_dilated),
        (lax, "conv_transpose", _conv_transpose),
    )

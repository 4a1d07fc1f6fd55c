"""Runs that begin with the networks of another one."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import dcgan
import r3gan
import wgan
from tests.conftest import blobs, run_script
from tests.run_files import assert_same_state, read_history
from tests.saved_run import load, random_weights
from tests.test_alternation import moved, moving_statistics, trainable, values
from tests.test_backends import OTHERS
from utils.common.errors import UserError
from utils.data.hdf5 import write_dataset
from utils.models.adversarial import freeze_first
from utils.training.arguments import parse_command_line
from utils.training.method import discriminator_name
from utils.training.repeat import repeat_command
from utils.training.run import run
from utils.training.start import start_of

METHODS = {"dcgan": dcgan.DCGAN, "wgan": wgan.WGAN, "r3gan": r3gan.R3GAN}
SHAPES = {
    "dcgan": {"discriminator_filters": (4,)},
    "wgan": {"critic_filters": (4,)},
    "r3gan": {"discriminator_filters": (4,), "start_filters": 8},
}
OTHER = {"latent_dim": 5, "generator_filters": (4,), "image_size": 32, "leaky_relu_slope": 0.1}
SMALL = [
    "--batch-size", "4", "--sample-rows", "1", "--sample-columns", "2", "--precision", "float32",
    "--holdout", "0",
]  # fmt: skip


def options(method: str) -> type:
    return {"dcgan": dcgan, "wgan": wgan, "r3gan": r3gan}[method].Hyperparameters


def write_run(folder: Path, method: str, names: tuple[str, ...] = ()) -> Path:
    """A run that was never trained, with random weights: no checkpoints, no current generator."""
    keras.utils.clear_session()
    known = {field.name for field in dataclasses.fields(options(method))}
    values = {name: value for name, value in OTHER.items() if name in known} | SHAPES[method]
    h = options(method)(**values, batch_size=2)
    networks = METHODS[method](h).networks
    folder.mkdir(parents=True)
    for seed, name in enumerate(("generator", discriminator_name(networks), *names)):
        random_weights(networks[name], seed).save(folder / f"{name}.keras")
    config = {"method": method, "hyperparameters": dataclasses.asdict(h), "data_set": {}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A folder with data sets of 32, 64 and 128 px, and a run of each method."""
    folder = tmp_path_factory.mktemp("start")
    for size in (32, 64, 128):
        write_dataset(folder / f"{size}.h5", blobs(20, size), [str(i) for i in range(20)])
    for method in METHODS:
        write_run(folder / "saved_models" / method, method)
    return folder


@pytest.fixture
def here(written, place) -> Path:
    shutil.copytree(written, place, dirs_exist_ok=True)
    return place


def begun(method: str, *arguments: object) -> tuple[Any, Any, str]:
    """A method that begins with the networks of another run, and the line that says so."""
    keras.utils.clear_session()
    words = [*map(str, arguments), "--batch-size", "4", "--start-from", f"saved_models/{method}"]
    h, _ = parse_command_line(options(method), "", words)
    network = METHODS[method](h)
    return network, h, start_of(h).begin(network, h)


def weights(network: keras.Model) -> list[np.ndarray]:
    return [ops.convert_to_numpy(each) for each in network.weights]


def same(network: keras.Model, file: Path) -> bool:
    pairs = zip(weights(network), weights(load(file)), strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("method", METHODS)
def test_a_run_begins_with_the_networks_and_what_is_frozen_stays(method, here):
    trained, h, line = begun(method, "--image-size", 32)
    folder = Path("saved_models", method)
    assert (h.latent_dim, h.generator_filters, h.batch_size) == (5, (4,), 4)
    name = discriminator_name(trained.networks)
    discriminator = trained.networks[name]
    assert line == f"begins with generator.keras, {name}.keras of saved_models/{method}"
    assert same(trained.networks["generator"], folder / "generator.keras")
    assert same(trained.networks["generator-current"], folder / "generator.keras")
    assert same(discriminator, folder / f"{name}.keras")

    before, all_of_it = values(discriminator), trainable(discriminator)
    freeze_first(discriminator, 2)
    # Two blocks: of convolutions with a batch normalisation in the second, or residual.
    kept = {"dcgan": 5, "wgan": 4, "r3gan": 12}[method]
    frozen = all_of_it - trainable(discriminator)
    assert len(frozen) == kept
    images = np.stack([blobs(4, 32, seed) for seed in range(h.batches_per_step)])
    for _ in range(2):
        trained.train_step(images)
    stays = moving_statistics(discriminator) | {"answers/bias"}  # the bias cancels in the critic
    assert moved(discriminator, before) - stays == all_of_it - frozen - stays
    assert trainable(discriminator) == all_of_it - frozen
    assert not same(trained.networks["generator-current"], folder / "generator.keras")
    optimizer = getattr(trained, f"{name}_optimizer")
    names = [path.replace("/", "_") for path in frozen]
    slots = [each for each in optimizer.variables if any(name in each.path for name in names)]
    assert len(slots) == 2 * kept  # Adam's moments
    assert not any(np.any(ops.convert_to_numpy(slot)) for slot in slots)


def side(layer):
    """Height of a layer's maps; 0 of a vector."""
    return layer.output.shape[1] if len(layer.output.shape) == 4 else 0


FRESH = {"dcgan": ((3, 14), (3, 8)), "wgan": ((3, 9), (2, 5)), "r3gan": ((5, 22), (5, 22))}
"""How many layers with weights begin fresh at 64 px, and how many there are."""


@pytest.mark.parametrize("method", METHODS)
def test_at_twice_the_size_the_outermost_layers_begin_fresh(method, here):
    trained, h, line = begun(method, "--image-size", 64)
    name = discriminator_name(trained.networks)
    counts = [f"{fresh} of {count} layers in the" for fresh, count in FRESH[method]]
    assert line == (
        f"begins with generator.keras, {name}.keras of saved_models/{method}, of 32 px; fresh, "
        f"next to the images: {counts[0]} generator, {counts[1]} {name}"
    )
    assert (h.widths("generator")[-2:], h.widths(name)[:2]) == ((4, 2), (2, 4))
    for each, (fresh, count) in zip(("generator", name), FRESH[method], strict=True):
        ours, theirs = (
            [layer for layer in network.layers if layer.weights]
            for network in (
                trained.networks[each],
                load(Path("saved_models", method, f"{each}.keras")),
            )
        )
        if each == name:
            ours, theirs = ours[::-1], theirs[::-1]
        else:  # what draws the smaller images is computed beside the larger maps
            ours, theirs = (sorted(layers, key=side) for layers in (ours, theirs))
        equal = [
            [variable.shape for variable in one.weights] == [v.shape for v in other.weights]
            and all(
                np.array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
                for a, b in zip(one.weights, other.weights, strict=True)
            )
            for one, other in itertools.zip_longest(ours, theirs, fillvalue=keras.layers.ReLU())
        ]
        assert equal == [True] * (count - fresh) + [False] * fresh
    pair = (trained.networks["generator"], trained.networks["generator-current"])
    assert all(map(np.array_equal, *map(weights, pair)))


def test_the_current_generator_where_there_is_one_and_best_networks(place):
    best = write_run(place / "saved_models/a/best", "dcgan", ("generator-current",))
    (best / "config.json").rename(best.parent / "config.json")
    keras.utils.clear_session()
    words = ["--image-size", "32", "--start-from", "saved_models/a/best"]
    h, _ = parse_command_line(options("dcgan"), "", words)
    trained = dcgan.DCGAN(h)
    assert start_of(h).begin(trained, h) == (
        "begins with generator.keras, generator-current.keras, discriminator.keras of "
        "saved_models/a/best"
    )
    for name, network in trained.networks.items():
        assert same(network, best / f"{name}.keras")
    assert not same(trained.generator, best / "generator.keras")


def train(method: str, *arguments: object) -> None:
    keras.utils.clear_session()
    run(METHODS[method], options(method), "", [*map(str, arguments)])


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_run_is_exact_and_needs_the_other_no_more(method, here, capsys):
    arguments = [
        *SMALL, "--data", "32.h5", "--start-from", method, "--freeze-discriminator", "1",
        "--score", "none", "--history-interval", "1",
    ]  # fmt: skip
    train(method, *arguments, "--steps", 2, "--run-name", "whole")
    train(method, *arguments, "--steps", 1, "--run-name", "halves")
    assert capsys.readouterr().out.count("begins with generator.keras, ") == 2
    shutil.rmtree(f"saved_models/{method}")
    train(method, "--resume", "halves", "--steps", 2)
    assert "begins with" not in capsys.readouterr().out
    models = Path("saved_models")
    last = Path("checkpoints", "step_0000002.npz")
    assert_same_state(models / "whole" / last, models / "halves" / last)
    assert read_history(Path("images/whole")) == read_history(Path("images/halves"))
    config = json.loads((models / "halves" / "config.json").read_text())["hyperparameters"]
    assert (config["start_from"], config["freeze_discriminator"]) == (method, 1)


@pytest.mark.parametrize("size", [32, 64])
def test_the_command_repeats_what_was_given(size, here):
    words = ["--image-size", str(size), "--start-from", "dcgan", "--leaky-relu-slope", "0.2"]
    h, _ = parse_command_line(dcgan.Hyperparameters, "", words)
    again = repeat_command(h, has_accelerator=False).split()[2:]
    assert parse_command_line(dcgan.Hyperparameters, "", again)[0] == h


START = "--start-from dcgan: its "
REFUSED = [
    (["--start-from", ""],
     "--start-from '': is empty; expected the name of a run or its folder"),
    (["--start-from", "no"],
     "--start-from no: saved_models/no/config.json does not exist; there are dcgan, r3gan, wgan"),
    (["--start-from", "a b"],
     "--start-from 'a b': must be letters, digits, '.', '_' and '-', starting with a letter or "
     "digit"),
    (["--start-from", "wgan"], "--start-from wgan: was made by wgan.py, not by dcgan.py"),
    (["--start-from", "dcgan", "--resume", "dcgan"],
     "--start-from dcgan: goes with a new run, and --resume dcgan goes on with its own networks; "
     "leave one of them out"),
    (["--start-from", "dcgan", "--data", "128.h5"],
     f"{START}images have 32 px, and those of this run 128 px; expected 32 or 64"),
    (["--start-from", "dcgan", "--latent-dim", "6", "--data", "32.h5"],
     f"{START}generator has other layers; leave out --latent-dim 6"),
    (["--start-from", "dcgan", "--kernel-size", "6", "--data", "64.h5"],
     f"{START}generator has other layers; leave out --kernel-size 6"),
    (["--start-from", "dcgan", "--discriminator-filters", "4", "--data", "64.h5"],
     f"{START}discriminator has other layers; leave out --discriminator-filters 4"),
    (["--start-from", "dcgan", "--freeze-discriminator", "1", "--data", "64.h5"],
     "--freeze-discriminator 1: at twice the size of --start-from dcgan the first layers begin "
     "fresh; expected 0"),
    (["--start-from", "dcgan", "--freeze-discriminator", "4", "--data", "32.h5"],
     "--freeze-discriminator 4: the discriminator has 3 such layers; expected from 0 to 3"),
    (["--freeze-discriminator", "1"],
     "--freeze-discriminator 1: without --start-from, these layers would stay random; expected 0"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_what_cannot_begin_is_one_line_and_leaves_nothing(arguments, message, here):
    with pytest.raises(UserError) as error:
        train("dcgan", *SMALL, *arguments)
    assert str(error.value) == message
    assert sorted(path.name for path in Path("saved_models").iterdir()) == sorted(METHODS)
    assert not Path("images").exists() or not any(Path("images").iterdir())


def test_networks_that_are_missing_damaged_or_of_another_config(here):
    folder = here / "saved_models/dcgan"
    shown, saved = "saved_models/dcgan/discriminator.keras", folder / "discriminator.keras"
    network = dcgan.build_discriminator(dcgan.Hyperparameters(image_size=32))

    def refused() -> str:
        with pytest.raises(UserError) as error:
            train("dcgan", *SMALL, "--data", "32.h5", "--start-from", "dcgan")
        assert not (here / "saved_models/dcgan-1").exists()
        return str(error.value)

    saved.rename(folder / "kept")
    expected = "has no discriminator.keras; expected a run with both networks"
    assert refused() == f"--start-from dcgan: {expected}"
    saved.write_bytes((folder / "kept").read_bytes()[:-100])
    assert refused().startswith(f"{shown}: is damaged or no Keras network: it is no zip archive")
    network.save(saved)
    assert refused() == f"{START}discriminator has other layers than its config.json says"
    shutil.copy(folder / "kept", saved)
    network = keras.models.load_model(saved)
    network.layers[-1].bias.assign([np.nan])
    network.save(saved)
    assert refused() == ("--start-from dcgan: logits/bias is not finite in its networks")


@pytest.mark.parametrize("backend", OTHERS)
def test_other_backends_begin_and_freeze_alike(backend, here):
    result = run_script(
        "dcgan.py", *SMALL, "--data", "32.h5", "--start-from", "dcgan", "--steps", 1,
        "--freeze-discriminator", 1, "--average-half-life", 0,
        folder=here, environment={"KERAS_BACKEND": backend},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    with np.load("saved_models/dcgan-1/checkpoints/step_0000001.npz") as archive:
        state = {name: archive[name] for name in archive.files if name.startswith("discrim")}
    before = weights(load(here / "saved_models/dcgan/discriminator.keras"))
    after = [value for name, value in sorted(state.items()) if "optimizer" not in name]
    equal = [np.array_equal(one, other) for one, other in zip(before, after, strict=True)]
    assert equal == [True, True] + [False] * (len(equal) - 2)


def test_networks_of_robots_come_with_the_project():
    """A run begins with them, their images differ, and they take up little."""
    folder = Path(__file__).parents[1] / "saved_models" / "robots-64"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10e6
    h, _ = parse_command_line(dcgan.Hyperparameters, "", ["--start-from", str(folder)])
    h.image_size = h.image_size or 64
    method = dcgan.DCGAN(h)
    start_of(h).begin(method, h)
    latents = np.random.default_rng(0).standard_normal((8, h.latent_dim))
    images = ops.convert_to_numpy(method.average.network(latents))
    assert images.std(axis=0).mean() > 0.1
    assert images[:, :4].mean() > 0.7  # light backgrounds

"""sample.py: ways through the latent space, what is drawn of them, films, and the export."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import blobs
from utils import backend  # noqa: F401 - before Keras: it keeps its start quiet

# isort: split
import keras
from keras import layers

import dcgan
import r3gan
import sample
import wgan
from utils.common import grids
from utils.common.errors import UserError
from utils.models import networks
from utils.sampling import export, latents, runs

SIZE, LATENT_DIM = 32, 5


def random_weights(network: keras.Model, seed: int = 0) -> keras.Model:
    """Weights and moving statistics like none that a network starts with."""
    random = np.random.default_rng(seed)
    for layer in network.layers:
        for variable in layer.weights:
            values = random.normal(0, 1 / math.sqrt(16), variable.shape)
            if variable.name in ("gamma", "moving_variance"):
                values = random.uniform(0.5, 1.5, variable.shape)
            variable.assign(values.astype(np.float32))
    return network


def write_run(folder: Path, name: str, h: networks.ConvolutionalOptions) -> None:
    """What a training leaves behind, without the training."""
    script = {"dcgan": dcgan, "r3gan": r3gan, "wgan": wgan}[h.METHOD]
    judge = getattr(script, f"build_{h.JUDGE}")
    models = folder / "saved_models" / name
    for place, seed in ((models, 0), (models / "best", 1)):
        place.mkdir(parents=True)
        random_weights(script.build_generator(h), seed).save(place / "generator.keras")
        random_weights(script.build_generator(h), seed + 2).save(place / "generator-current.keras")
        judge(h).save(place / f"{h.JUDGE}.keras")
    config = {"method": h.METHOD, "hyperparameters": dataclasses.asdict(h), "data_set": {}}
    (models / "config.json").write_text(json.dumps(config))
    for step, image in enumerate(blobs(5, 64)):
        grids.save_png(folder / "images" / name / f"step_{step * 200:07d}.png", image)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    common = {"image_size": SIZE, "latent_dim": LATENT_DIM, "generator_filters": (4,)}
    write_run(
        folder,
        "one",
        dcgan.Hyperparameters(
            **common, discriminator_filters=(4,), batch_size=4, spectral_normalization=True,
            minibatch="discrimination", instance_noise=0.1,
        ),
    )  # fmt: skip
    write_run(folder, "two", wgan.Hyperparameters(**common, critic_filters=(4,), batch_size=4))
    return folder


@pytest.fixture
def run_sample(folder, monkeypatch, capsys):
    """Runs sample.py in the folder of the runs: exit code, lines of output, last line of errors."""
    monkeypatch.chdir(folder)

    def run(*arguments: object) -> tuple[int, list[str], str]:
        monkeypatch.setattr(sys, "argv", ["sample.py", *map(str, arguments)])
        code = 0
        try:
            sample.main()
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        last = err.splitlines()[-1] if err else ""
        return code, out.splitlines(), last.removeprefix("sample.py: error: ")

    return run


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def generated(folder: Path, vectors: np.ndarray, file: str = "generator.keras") -> np.ndarray:
    """By Keras alone."""
    network = keras.models.load_model(folder / "saved_models" / "one" / file, compile=False)
    images = np.asarray(keras.ops.convert_to_numpy(network(vectors, training=False)))
    return np.rint((images + 1) * 127.5).astype(np.uint8)


# ------------------------------------------------------------------------------------------------
# Latent vectors
# ------------------------------------------------------------------------------------------------


def test_the_first_latents_are_the_same_however_many():
    for truncation in (0.0, 0.6):
        few, many = (latents.draw(count, 7, 3, truncation) for count in (4, 50))
        assert few.dtype == np.float32
        assert np.array_equal(few, many[:4])
        assert not np.array_equal(few, latents.draw(4, 7, 4, truncation))


def test_truncation_draws_again_what_is_beyond():
    plain, truncated = latents.draw(500, 20, 0), latents.draw(500, 20, 0, 1.0)
    assert np.abs(plain).max() > 3
    inside = np.abs(plain) <= 1
    assert np.array_equal(plain[inside], truncated[inside])
    assert np.abs(truncated).max() <= 1
    # Of N(0, 1) cut off at 1, the variance is 1 - 2 phi(1) / (2 Phi(1) - 1).
    assert truncated.var() == pytest.approx(0.29112, abs=0.01)


def test_slerp_of_known_vectors():
    found = latents.slerp(np.array([1.0, 0]), np.array([0, 3.0]), [0, 1 / 3, 0.5, 1])
    root = math.sqrt(2)
    wanted = [[1, 0], [5 / 3 * math.cos(math.pi / 6), 5 / 3 / 2], [root, root], [0, 3]]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-7)


def test_slerp_is_shoemakes_between_vectors_of_one_length():
    start, end = latents.draw(2, 40, 5).astype(np.float64)
    end *= np.linalg.norm(start) / np.linalg.norm(end)
    angle = math.acos(start @ end / (start @ start))
    t = np.linspace(0, 1, 11)[:, np.newaxis]
    wanted = (np.sin((1 - t) * angle) * start + np.sin(t * angle) * end) / math.sin(angle)
    np.testing.assert_allclose(latents.slerp(start, end, t[:, 0]), wanted, rtol=1e-5, atol=1e-6)


def test_slerp_has_exact_ends_constant_speed_and_even_lengths():
    start, end = latents.draw(2, 100, 1)
    end = 2 * end
    way = latents.slerp(start, end, np.linspace(0, 1, 21))
    assert way.dtype == np.float32
    assert np.array_equal(way[0], start)
    assert np.array_equal(way[-1], end)
    lengths = np.linalg.norm(way.astype(np.float64), axis=1)
    np.testing.assert_allclose(np.diff(lengths), (lengths[-1] - lengths[0]) / 20, rtol=1e-4)
    directions = way / lengths[:, np.newaxis]
    angles = np.arccos((directions[1:] * directions[:-1]).sum(axis=1))
    np.testing.assert_allclose(angles, angles.mean(), rtol=1e-4)


def test_slerp_of_parallel_opposite_and_zero_vectors():
    vector = np.array([3.0, 0, 4.0])
    quarter = [0, 0.25, 0.5, 1]
    np.testing.assert_allclose(
        latents.slerp(vector, 3 * vector, quarter), np.outer([1, 1.5, 2, 3], vector), rtol=1e-6
    )
    assert np.array_equal(latents.slerp(vector, vector, quarter), np.tile(vector, (4, 1)))
    # A half circle, by way of the axis that the vector has nothing of.
    np.testing.assert_allclose(
        latents.slerp(vector, -vector, [0, 0.5, 1]), [vector, [0, 5, 0], -vector], atol=1e-6
    )
    np.testing.assert_allclose(
        latents.slerp(np.zeros(3), vector, quarter), np.outer(quarter, vector), rtol=1e-6
    )
    assert np.array_equal(latents.slerp(np.zeros(3), np.zeros(3), quarter), np.zeros((4, 3)))
    line = latents.slerp(np.array([2.0]), np.array([-2.0]), quarter)
    np.testing.assert_allclose(line, [[2], [1], [0], [-2]], atol=1e-6)


def test_a_loop_passes_through_its_points_without_a_seam():
    points = latents.draw(3, 30, 2)
    way = latents.loop(points, 10)
    assert way.shape == (30, 30)
    assert np.array_equal(way[::10], points)
    jumps = np.linalg.norm(np.roll(way, -1, axis=0) - way, axis=1)
    assert jumps.max() < 1.5 * jumps.min()


def test_a_walk_replaces_one_number():
    walked = latents.walk(np.array([[1, 2, 3], [4, 5, 6]]), 1, [-3, 0.5])
    wanted = [[1, -3, 3], [1, 0.5, 3], [4, -3, 6], [4, 0.5, 6]]
    assert np.array_equal(walked, np.array(wanted, np.float32))


# ------------------------------------------------------------------------------------------------
# What is drawn
# ------------------------------------------------------------------------------------------------


def test_a_grid(run_sample, folder):
    assert run_sample("one") == (0, ["images/one/samples/one-grid-seed-0.png"], "")
    path = folder / "images" / "one" / "samples" / "one-grid-seed-0.png"
    vectors = np.random.default_rng(0).standard_normal((48, LATENT_DIM), dtype=np.float32)
    wanted = grids.tile(generated(folder, vectors), 8)
    assert wanted.std() > 20
    assert np.abs(pixels(path).astype(int) - wanted).max() <= 1
    before = path.read_bytes()
    assert run_sample("saved_models/one/")[0] == 0  # the same run by its folder
    assert path.read_bytes() == before


def test_other_grids_have_other_names(run_sample, folder, tmp_path):
    names = {
        "": "one-grid-seed-0.png",
        "--count 3 --columns 2": "one-grid-seed-0-count-3-columns-2.png",
        "--truncation 0.5": "one-grid-seed-0-truncation-0.5.png",
        "--weights current --seed 7": "one-grid-weights-current-seed-7.png",
        "--weights best": "one-grid-weights-best-seed-0.png",
    }
    for arguments, name in names.items():
        code, lines, _ = run_sample("images/one", *arguments.split(), "--output", tmp_path)
        assert (code, lines) == (0, [str(tmp_path / name)])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names.values())
    found = {name: pixels(tmp_path / name) for name in names.values()}
    assert found["one-grid-seed-0-count-3-columns-2.png"].shape == (70, 70, 3)
    wanted = grids.tile(generated(folder, latents.draw(48, 5, 0), "best/generator.keras"), 8)
    difference = found["one-grid-weights-best-seed-0.png"].astype(int) - wanted
    assert np.abs(difference).max() <= 1


def test_single_samples(run_sample, folder, tmp_path):
    code, lines, _ = run_sample("one", "--single", "--count", 3, "--output", tmp_path)
    assert (code, len(lines)) == (0, 4)
    images = generated(folder, latents.draw(3, LATENT_DIM, 0))
    for number, image in enumerate(images):
        found = pixels(tmp_path / f"one-sample-seed-0-{number:05d}.png")
        assert np.abs(found.astype(int) - image).max() <= 1


@pytest.mark.parametrize(("run", "name"), [("one", "discriminator"), ("two", "critic")])
def test_best_and_worst(run_sample, run, name, tmp_path, monkeypatch):
    asked = []

    class Brightness:
        """Takes bright pictures for real ones."""

        def answers_to_real(self, images):
            asked.append(len(images))
            return images.mean(axis=(1, 2, 3)).astype(np.float32)

    opened = sample.open_judge

    def open_judge(samples):
        judge, found = opened(samples)
        answers = judge.answers_to_real(blobs(10))  # the real one, with all its layers, answers
        assert answers.shape == (10,)
        assert np.isfinite(answers).all()
        return Brightness(), found

    monkeypatch.setattr(sample, "open_judge", open_judge)
    code, lines, _ = run_sample(
        run, "--best-worst", "--candidates", 20, "--count", 3, "--columns", 3, "--output", tmp_path
    )
    assert code == 0
    assert asked == [20] * 4
    assert lines[0].startswith(f"best 3 of 20: the {name}'s answer ")
    chosen = [list(map(int, line.split("samples ")[1].split())) for line in lines[:2]]
    run_sample(run, "--single", "--count", 20, "--output", tmp_path)
    brightness = [
        pixels(tmp_path / f"{run}-sample-seed-0-{number:05d}.png").mean() for number in range(20)
    ]
    order = list(np.argsort(brightness))
    assert chosen == [order[::-1][:3], order[:3]]
    shown = pixels(lines[2])
    assert shown.shape == (2 * (22 + 36), 3 * 34 + 2, 3)
    best = pixels(tmp_path / f"{run}-sample-seed-0-{order[-1]:05d}.png")
    assert np.array_equal(shown[24:56, 2:34], best)


def test_an_interpolation(run_sample, folder, tmp_path):
    code, lines, _ = run_sample(
        "one", "--interpolate", "--points", 3, "--frames", 4, "--columns", 5, "--output", tmp_path
    )
    assert code == 0
    strip = pixels(lines[0])
    assert strip.shape == (3 * 34 + 2, 5 * 34 + 2, 3)
    points = generated(folder, latents.draw(3, LATENT_DIM, 0)).astype(int)
    for row in range(3):
        for column, point in ((0, row), (4, (row + 1) % 3)):
            cell = strip[2 + 34 * row :, 2 + 34 * column :][:32, :32]
            assert np.abs(cell - points[point]).max() <= 1
    with Image.open(lines[1]) as film:
        assert film.size == (256, 256)
        assert film.info["loop"] == 0
        seconds = []
        for number in range(film.n_frames):
            film.seek(number)
            seconds.append(film.info["duration"])
            if number % 4 == 0:
                frame = np.asarray(film.convert("RGB"))[4::8, 4::8]
                assert np.abs(frame - points[number // 4]).mean() < 12
    assert seconds == [80] * 12


def test_pictures_are_where_the_run_had_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("saved_models/far", "drawn/far"):
        Path(folder).mkdir(parents=True)
    config = {"hyperparameters": {"images_dir": "drawn"}, "data_set": {}}
    Path("saved_models/far/config.json").write_text(json.dumps(config))
    for name in ("far", "saved_models/far"):
        assert runs.open_run(name).images == Path("drawn/far")
    Path("images/far").mkdir(parents=True)
    assert runs.open_run("far").images == Path("images/far")


def test_an_output_that_is_no_folder(run_sample, tmp_path):
    (tmp_path / "mine.png").touch()
    code, _, error = run_sample("one", "--output", tmp_path / "mine.png")
    assert (code, error) == (2, f"--output {tmp_path}/mine.png: is not a folder")


def test_a_walk_along_the_first_dimension(run_sample, tmp_path):
    code, lines, _ = run_sample("one", "--walk", 0, "--count", 2, "--output", tmp_path)
    assert (code, lines) == (0, [str(tmp_path / "one-walk-0-seed-0-count-2.png")])


def test_a_walk(run_sample, folder, tmp_path):
    code, lines, _ = run_sample("one", "--walk", 2, "--count", 2, "--output", tmp_path)
    assert (code, lines) == (0, [str(tmp_path / "one-walk-2-seed-0-count-2.png")])
    shown = pixels(lines[0])
    assert shown.shape == (44 + 2 * 34 + 2, 7 * 34 + 2, 3)
    for row, latent in enumerate(latents.draw(2, LATENT_DIM, 0)):
        vectors = np.tile(latent, (7, 1))
        vectors[:, 2] = range(-3, 4)
        for column, image in enumerate(generated(folder, vectors)):
            cell = shown[46 + 34 * row :, 2 + 34 * column :][:32, :32]
            assert np.abs(cell.astype(int) - image).max() <= 1


def test_the_search_finds_what_changes_the_picture(run_sample, folder, tmp_path):
    run = runs.open_run(str(folder / "saved_models" / "two"))
    generator = runs.load_network(run.models / "generator.keras")
    dense = next(layer for layer in generator.layers if isinstance(layer, layers.Dense))
    kernel = np.zeros(dense.kernel.shape, np.float32)
    kernel[3], kernel[1] = 0.5, 0.1
    dense.kernel.assign(kernel)
    good = (run.models / "generator.keras").read_bytes()
    generator.save(run.models / "generator.keras")
    try:
        code, lines, _ = run_sample("two", "--search", "--output", tmp_path)
    finally:
        (run.models / "generator.keras").write_bytes(good)
    assert code == 0
    table = [line.split() for line in lines[3:8]]
    assert [row[1] for row in table] == ["3", "1", "0", "2", "4"]
    assert float(table[0][2]) > float(table[1][2]) > 0
    assert [row[2] for row in table[2:]] == ["0.00"] * 3
    assert pixels(lines[-1]).shape == (5 * (44 + 3 * 34 + 2), 7 * 34 + 2, 3)


def test_a_film_as_gif(run_sample, folder):
    code, lines, _ = run_sample("one", "--film")
    assert (code, lines) == (0, ["images/one/samples/one-film.gif"])
    with Image.open(lines[0]) as film:
        assert (film.n_frames, film.size) == (5, (64, 86))
        labels = []
        for number, image in enumerate(blobs(5, 64)):
            film.seek(number)
            frame = np.asarray(film.convert("RGB")).astype(int)
            assert np.abs(frame[22:] - image).mean() < 3
            labels.append(frame[:22])
    assert all(label.min() < 100 for label in labels)
    assert not np.array_equal(labels[1], labels[2])


def test_a_film_as_mp4(run_sample):
    av = pytest.importorskip("av")
    code, lines, _ = run_sample("--film", "mp4", "one", "--frames", 3)
    assert (code, lines) == (0, ["images/one/samples/one-film-frames-3.mp4"])
    with av.open(lines[0]) as film:
        assert film.streams.video[0].codec_context.name == "h264"
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 2 + 20  # the last is held for two seconds
    for frame, image in zip(frames, blobs(5, 64)[[0, 2, 4]], strict=False):
        assert frame.shape == (86, 64, 3)
        assert np.abs(frame[22:].astype(int) - image).mean() < 12


def test_captions():
    image = np.zeros((10, 200, 3), np.uint8)
    captioned = grids.caption(image, ["left", ""], size=14)
    assert captioned.shape == (32, 200, 3)
    assert np.array_equal(captioned[22:], image)
    assert captioned[:22, :100].min() < 100
    assert (captioned[:22, 100:] == 255).all()
    centred = np.flatnonzero((grids.caption(image, ["I"], centred=True)[:22] < 128).any((0, 2)))
    assert 95 <= centred.min() <= centred.max() <= 105
    stacked = grids.stack([image, np.zeros((5, 100, 3), np.uint8)])
    assert stacked.shape == (15, 200, 3)
    assert (stacked[10:, 100:] == 255).all()


# ------------------------------------------------------------------------------------------------
# Export
# ------------------------------------------------------------------------------------------------

GENERATORS = {
    "transposed, even kernel": {},
    "transposed, odd kernel": {"kernel_size": 3},
    "transposed, larger odd kernel": {"kernel_size": 5},
    "transposed, kernel as wide as the stride": {"kernel_size": 2},
    "upsample, odd kernel": {"upscaling": "upsample", "kernel_size": 3},
    "upsample, even kernel": {"upscaling": "upsample", "kernel_size": 4},
    "convolutional start": {"generator_start": "convolutional"},
    "after the activation": {"normalization": "after-activation", "kernel_size": 3},
    "no normalisation": {"normalization": "none"},
    "dropout": {"generator_dropout": 0.3},
}


@pytest.mark.parametrize("name", [*GENERATORS, "trained in bfloat16"])
def test_keras_and_onnx_runtime_give_the_same_picture(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    h = dcgan.Hyperparameters(
        image_size=SIZE, latent_dim=LATENT_DIM, generator_filters=(4,), **GENERATORS.get(name, {})
    )
    keras.config.set_dtype_policy("float32" if name in GENERATORS else "mixed_bfloat16")
    try:
        generator = random_weights(dcgan.build_generator(h))
    finally:
        keras.config.set_dtype_policy("float32")
    export.export(generator, tmp_path / "a.keras", tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    loaded = keras.models.load_model(tmp_path / "a.keras", compile=False)
    assert {layer.compute_dtype for layer in loaded.layers} == {"float32"}
    for count in (1, 5):
        vectors = latents.draw(count, LATENT_DIM, count)
        (images,) = session.run(["images"], {"latents": vectors})
        wanted = keras.ops.convert_to_numpy(loaded(vectors, training=False))
        assert images.shape == (count, SIZE, SIZE, 3)
        assert images.dtype == np.float32
        assert wanted.std() > 0.1
        assert np.abs(images - wanted).max() < 1e-4
        shades = [grids.to_uint8(each).astype(int) for each in (images, wanted)]
        assert np.abs(shades[0] - shades[1]).max() <= 1


def assert_same_images(generator: keras.Model, folder: Path) -> None:
    """By Keras and by ONNX Runtime, of some latent vectors."""
    onnxruntime = pytest.importorskip("onnxruntime")
    export.export(generator, folder / "a.keras", folder / "a.onnx")
    session = onnxruntime.InferenceSession(folder / "a.onnx")
    loaded = keras.models.load_model(folder / "a.keras", compile=False)
    vectors = latents.draw(3, generator.input_shape[1], 3)
    (images,) = session.run(["images"], {"latents": vectors})
    wanted = keras.ops.convert_to_numpy(loaded(vectors, training=False))
    assert images.shape == wanted.shape
    assert wanted.std() > 0.1
    assert np.abs(images - wanted).max() < 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("changes", [{}, {"blocks": 2, "groups": 2, "start_filters": 4}])
def test_residual_generators_are_the_same_in_onnx_runtime(changes, tmp_path):
    h = r3gan.Hyperparameters(
        image_size=SIZE, latent_dim=LATENT_DIM, generator_filters=(4,),
        **({"start_filters": 6} | changes),
    )  # fmt: skip
    assert_same_images(random_weights(r3gan.build_generator(h)), tmp_path)


def test_sums_of_what_several_layers_read_are_exported(tmp_path):
    """Maps whose channels come first or last, in either order; a sum of three; a vector."""
    inputs = keras.Input((5,))
    first = layers.Dense(8, name="first")(inputs)
    both = layers.Add()([layers.Dense(8, name="second")(inputs), first])
    maps = layers.Reshape((2, 2, 2))(both)
    convolved = layers.Conv2D(2, 3, padding="same")(maps)
    again = layers.Conv2D(2, 1)(maps)
    x = layers.Add()([maps, convolved, again])
    x = layers.Add()([x, maps])
    images = layers.Conv2D(3, 1)(layers.UpSampling2D(2, interpolation="bilinear")(x))
    assert_same_images(random_weights(keras.Model(inputs, images)), tmp_path)


def test_padding_is_that_of_tensorflow():
    """Against the sizes and places that its documentation gives for "same"."""
    assert export.same_padding(8, kernel=4, stride=2) == (1, 1)
    assert export.same_padding(8, kernel=3, stride=2) == (0, 1)
    assert export.same_padding(8, kernel=5, stride=2) == (1, 2)
    assert export.same_padding(8, kernel=3, stride=1) == (1, 1)
    assert export.same_padding(8, kernel=4, stride=1) == (1, 2)
    assert export.same_padding(8, kernel=2, stride=2) == (0, 0)


def test_the_export_needs_nothing_of_this_project(run_sample, folder, tmp_path):
    code, lines, _ = run_sample("one", "--export")
    exported = folder / "saved_models" / "one" / "export"
    assert code == 0
    assert lines == [f"saved_models/one/export/generator.{each}" for each in ("keras", "onnx")]
    assert sorted(path.name for path in exported.iterdir()) == ["generator.keras", "generator.onnx"]
    vectors = latents.draw(2, LATENT_DIM, 0)
    np.save(tmp_path / "latents.npy", vectors)
    program = (
        "import sys, keras, numpy\n"
        f"network = keras.models.load_model({str(exported / 'generator.keras')!r})\n"
        "images = network.predict(numpy.load('latents.npy'), verbose=0)\n"
        "numpy.save('images.npy', images)\n"
        "assert not [name for name in sys.modules if name.split('.')[0] == 'utils']\n"
    )
    subprocess.run([sys.executable, "-I", "-c", program], cwd=tmp_path, check=True, timeout=240)
    images = grids.to_uint8(np.load(tmp_path / "images.npy"))
    assert np.abs(images.astype(int) - generated(folder, vectors)).max() <= 1
    # The weights of another export have names of their own.
    assert run_sample("one", "--export", "--weights", "best")[1] == [
        f"saved_models/one/export/generator-best.{each}" for each in ("keras", "onnx")
    ]


def test_what_cannot_be_exported_leaves_no_file(tmp_path):
    inputs = keras.Input((4,))
    x = layers.Reshape((2, 2, 1))(layers.PReLU(name="odd")(inputs))
    with pytest.raises(UserError, match="layer odd is a PReLU, which it does not know"):
        export.export(keras.Model(inputs, x), tmp_path / "a.keras", tmp_path / "a.onnx")
    branches = layers.Dense(4, name="second")(inputs)
    branches = layers.Multiply(name="odd")([layers.Dense(4, name="first")(inputs), branches])
    with pytest.raises(UserError, match="layer odd does not read one earlier layer alone"):
        export.export(keras.Model(inputs, branches), tmp_path / "a.keras", tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------------
# Mistakes
# ------------------------------------------------------------------------------------------------

MISTAKES = {
    "": "RUN: which run? Give its name or its folder",
    "three": (
        "RUN three: saved_models/three/config.json does not exist; there are one, two"
    ),
    "saved_models/three": (
        "RUN three: saved_models/three/config.json does not exist; there are one, two"
    ),
    "images/three": (
        "RUN three: saved_models/three/config.json does not exist; there are one, two"
    ),
    "one --walk 5": "--walk 5: must be from 0 to 4, the latent dimensions of one",
    "one --walk -1": "--walk -1: must be from 0 to 4, the latent dimensions of one",
    "one --film --export": "--film: and --export as well; one at a time",
    "one --film --seed 3": (
        "--seed: goes with the grid of samples, --best-worst, --interpolate, --walk, --search, not "
        "with --film"
    ),
    "one --explore --seed 3": (
        "--seed: goes with the grid of samples, --best-worst, --interpolate, --walk, --search, not "
        "with --explore"
    ),
    "one --points 3": "--points: goes with --interpolate, not with the grid of samples",
    "one --single --walk 1": "--single: goes with the grid of samples, not with --walk",
    "one --interpolate --points 1": "--points 1: must be from 2 to 1000",
    "one --interpolate --columns 1": "--columns 1: must be 2 or more, for both ends",
    "one --film --frames 1": "--frames 1: must be 2 or more",
    "one --truncation -1": "--truncation -1.0: must be 0.01 or more",
    "one --seed -1": "--seed -1: must be from 0 to 4294967295",
    "one --best-worst --candidates 47": (
        "--candidates 47: must be 48 or more, for 24 best and 24 worst"
    ),
    "one --sed 3": "--sed: no such option; did you mean --seed?",
}  # fmt: skip


@pytest.mark.parametrize("arguments", MISTAKES)
def test_mistakes(run_sample, folder, arguments):
    before = sorted(folder.rglob("*"))
    assert run_sample(*arguments.split()) == (2, [], MISTAKES[arguments])
    assert sorted(folder.rglob("*")) == before


def test_what_a_run_lacks(run_sample, folder, tmp_path):
    models = tmp_path / "saved_models" / "bare"
    models.mkdir(parents=True)
    (models / "config.json").write_text('{"hyperparameters": {}, "data_set": {}}')
    _, _, message = run_sample(models)
    path = runs.open_run(str(models)).models
    assert message == (
        f"--weights average: {path}/generator.keras does not exist; the run has saved no network "
        "yet"
    )
    _, _, message = run_sample(models, "--weights", "best")
    assert message.endswith("the run has no best networks, which it keeps when it scores itself")
    assert run_sample(models, "--film")[2].startswith("--film: there is no sample grid, step_*.png")
    generator = folder / "saved_models" / "one" / "generator.keras"
    (models / "generator.keras").write_bytes(generator.read_bytes())
    assert run_sample(models, "--best-worst")[2] == (
        f"--best-worst: neither discriminator.keras nor critic.keras is in {path}"
    )
    (models / "generator.keras").write_bytes(generator.read_bytes()[:1000])
    assert run_sample(models)[2].startswith(
        f"{path}/generator.keras: is damaged or no Keras network: "
    )
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize(
    ("package", "arguments", "message"),
    [
        ("onnx", "--export", "--export: the onnx package is not here: pip install onnx"),
        ("onnx", "--explore", "--explore: the onnx package is not here: pip install onnx"),
        (
            "av",
            "--film mp4 --frames 2",
            "--film mp4: the av package is not here: pip install av",
        ),
    ],
)
def test_packages_that_are_not_there(run_sample, folder, monkeypatch, package, arguments, message):
    before = sorted(folder.rglob("*"))
    monkeypatch.setitem(sys.modules, package, None)
    assert run_sample("two", *arguments.split()) == (2, [], message)
    assert sorted(folder.rglob("*")) == before

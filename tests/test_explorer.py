"""The explorer: the file, its generator in a real browser and in Keras, and what a person does."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import math
import re
import shutil

import numpy as np
import pytest

from tests.saved_run import generated, load, run_sample, write_run
from tests.test_page import HOSTILE, asked_of_a_network, data_in, text, wait_until
from utils import backend  # noqa: F401 - before Keras: it keeps its start quiet

# isort: split
import keras
from keras import layers

import dcgan
from utils.common.channels import premultiplied
from utils.common.errors import UserError
from utils.sampling import dimensions, explorer, latents, vectors
from utils.watching.contents import contents
from utils.watching.page import write_page

SIZE, LATENT_DIM = 32, 12
SAVED = np.linspace(-1, 1, LATENT_DIM, dtype=np.float32)
DIGESTS = {
    "LICENSE": "2f07c72751aed99790b8a4869cf2311df85a860b22ded05fa22803587a48922c",
    "ThirdPartyNotices.txt": "143764b952fdb1a7c69ce653bfba74a7744d6a8a573bfb73e235fba356c83de3",
    "ort-wasm-simd-threaded.mjs": (
        "30dd851d9c00622940500f71ddd2ff8820c5cb65270816080175b958705385a8"
    ),
    "ort-wasm-simd-threaded.wasm": (
        "71aef04959c5c1b6de461b6538e2058e306610034a85aad2742d0c7fd4533fe4"
    ),
    "ort.wasm.min.js": "65e09376df69107e881b5c34d2d37aed333a366b6d941073ec518168e269b87d",
}
"""SHA-256 of what the packages hold."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run whose page is of a training that goes on, with an alarm, and its explorer."""
    folder = tmp_path_factory.mktemp("explorer")
    h = dcgan.Hyperparameters(
        image_size=SIZE, latent_dim=LATENT_DIM, generator_filters=(4,), discriminator_filters=(4,)
    )
    write_run(folder, "one", h)
    checkpoints = folder / "saved_models" / "one" / "checkpoints"
    checkpoints.mkdir()
    for step in (800, 1200):
        (checkpoints / f"step_{step:07d}.npz").touch()
    config = json.loads((folder / "saved_models" / "one" / "config.json").read_text())
    images = folder / "images" / "one"
    data = contents(images, config, {}, "python dcgan.py", is_running=True)
    write_page(images / "index.html", data | {"alarms": [{"step": 3}]})
    # What --project saves; that of other weights is none of this generator's.
    for name, weights in (("mine.png", "average"), ("other.png", "best")):
        file = images / "samples" / f"{name}.json"
        vectors.write_vector(file, SAVED, "one", weights, picture=name)
    _, printed, _ = run_sample(folder, "one", "--explore")
    size = (images / "explorer.html").stat().st_size / 1e6
    assert printed == f"images/one/explorer.html ({size:.1f} MB)\n"
    return folder


@pytest.fixture(scope="module")
def path(folder):
    return folder / "images" / "one" / "explorer.html"


# The file -------------------------------------------------------------------------------------


def unpacked(path, name: str) -> bytes:
    found = re.search(rf'<script id="{name}" type="application/base64">(.*?)</script>', read(path))
    return gzip.decompress(base64.b64decode(found[1]))


def read(path) -> str:
    return path.read_bytes().decode()


def test_the_library_is_whole_and_unchanged(path):
    files = {each.name: each.read_bytes() for each in explorer.LIBRARY.iterdir()}
    assert files.pop("README.md")
    assert {name: hashlib.sha256(each).hexdigest() for name, each in files.items()} == DIGESTS
    assert unpacked(path, "loader") == files["ort-wasm-simd-threaded.mjs"]
    assert unpacked(path, "runtime") == files["ort-wasm-simd-threaded.wasm"]
    assert unpacked(path, "notices") == files["ThirdPartyNotices.txt"]
    for name in ("LICENSE", "ort.wasm.min.js"):
        assert files[name].decode() in read(path)


def test_only_the_two_scripts_of_the_page_may_run(path):
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', read(path))[1])
    scripts = re.findall(r"<script>(.*?)</script>", read(path), re.S)
    hashes = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    ]
    assert len(hashes) == 2
    assert policy.split("; ") == [
        "default-src 'none'", "style-src 'unsafe-inline'",
        f"script-src {' '.join(hashes)} blob: 'wasm-unsafe-eval'", "connect-src blob:",
        "base-uri 'none'", "form-action 'none'",
    ]  # fmt: skip


def test_it_holds_the_exported_generator(path, folder):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(unpacked(path, "model"))
    vectors = latents.draw(2, LATENT_DIM, 0)
    (images,) = session.run(["images"], {"latents": vectors})
    expected = generated(folder, vectors)
    assert expected.std() > 20
    assert np.abs((images + 1) * 127.5 - expected).max() <= 1


def test_the_sliders_are_those_of_the_search(path, folder):
    data = data_in(path)
    sliders = data.pop("dimensions")
    [[name, spelled]] = data.pop("favourites")
    assert name == "mine.png"
    assert np.array_equal(np.frombuffer(base64.b64decode(spelled), "<f4"), SAVED)
    assert data == {
        "name": "one", "what": "averaged weights, step 1,200", "height": SIZE, "width": SIZE,
        "channels": 3, "latent_dim": LATENT_DIM, "classes": [], "page": "index.html",
    }  # fmt: skip
    changes = dimensions.changes(load(folder / "saved_models" / "one" / "generator.keras"))
    assert [change for _, change in sliders] == sorted(changes.round(2))[:-9:-1]
    assert [changes[number].round(2) for number, _ in sliders] == [change for _, change in sliders]


@pytest.fixture
def _light(monkeypatch):
    """Without the library, whose packing takes a second."""
    monkeypatch.setattr(explorer, "_packed", lambda content: "")


@pytest.mark.usefixtures("_light")
def test_no_name_leaves_its_place(tmp_path, small):
    path = tmp_path / "a.html"
    explorer.write_explorer(path, small, HOSTILE, "@SCRIPT@ @MODEL@")
    assert "<img src=x" not in read(path)
    data = data_in(path)
    assert (data["name"], data["what"], data["page"]) == (HOSTILE, "@SCRIPT@ @MODEL@", None)
    assert [each.name for each in tmp_path.iterdir()] == ["a.html"]


@pytest.fixture(scope="module")
def small():
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Reshape((2, 2, 3))(layers.Dense(12)(inputs)))


@pytest.mark.usefixtures("_light")
def test_a_page_leads_to_what_is_there(folder, path, tmp_path):
    data = data_in(path.with_name("index.html"))
    assert data["explorers"] == [["explorer.html", "averaged weights"]]
    # What no file but the page knows has stayed.
    assert data["is_running"]
    assert [each["step"] for each in data["alarms"]] == [3]

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    _, printed, _ = run_sample(copy, "one", "--explore", "--weights", "best")
    assert printed.startswith("images/one/explorer-best.html (")
    assert data_in(copy / "images" / "one" / "index.html")["explorers"] == [
        ["explorer.html", "averaged weights"],
        ["explorer-best.html", "averaged weights at the best score"],
    ]
    # In another folder, under the name of the run, and without a way back.
    run_sample(copy, "one", "--explore", "--output", "here")
    assert data_in(copy / "here" / "one-explorer.html")["page"] is None


@pytest.mark.usefixtures("_light")
def test_what_cannot_be_explored(monkeypatch, small, tmp_path):
    def explore(generator: keras.Model) -> None:
        explorer.write_explorer(tmp_path / "a.html", generator, "a", "b")

    inputs = keras.Input((4,))
    odd = keras.Model(inputs, layers.Reshape((2, 2, 1))(layers.PReLU(name="odd")(inputs)))
    with pytest.raises(UserError, match="--explore: layer odd is a PReLU, which it does not know"):
        explore(odd)
    monkeypatch.setattr(explorer, "MAX_MEGABYTES", 4 * 59 / 1e6)  # 4 * 12 + 12 parameters
    with pytest.raises(UserError, match="--explore: the generator has 0 MB of weights in float32"):
        explore(small)
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(explorer, "MAX_MEGABYTES", 4 * 60 / 1e6)
    explore(small)


# In a browser -----------------------------------------------------------------------------------


@pytest.fixture
def opened(browser, path):
    """The page as it opens. It is loaded once: for each test, that would take most of the time."""
    for log in ("performance", "browser"):
        browser.get_log(log)
    if not browser.current_url.startswith(path.as_uri()):
        open_page(browser, path)
    browser.execute_script(
        "favourites.length = kept = 0; ends.fill(null); list(); element('share').value = 0;"
        "element('truncation').value = 0; showSeed(0)"
    )
    drawn(browser)
    yield browser
    assert not [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]
    assert not asked_of_a_network(browser)


def open_page(browser, path, hash: str = "") -> None:
    # The same address with other words behind # would not be loaded again.
    browser.get("about:blank")
    browser.get(path.as_uri() + hash)
    wait_until(browser, "shown || !element('problem').hidden")
    assert text(browser, "problem") == ""


def drawn(browser) -> None:
    """Wait until the requested image is on the canvas."""
    wait_until(browser, "shown === requested")


def canvas(browser, selector: str = "#canvas") -> np.ndarray:
    """What a canvas shows, int (H, W, 3); with transparency (H, W, 4)."""
    values = browser.execute_script(
        "const canvas = document.querySelector(arguments[0]);"
        "const image = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);"
        "return [canvas.height, canvas.width, ...image.data]",
        selector,
    )
    image = np.array(values[2:]).reshape(values[0], values[1], 4)
    return image[..., :3] if (image[..., 3] == 255).all() else image


def latent(browser) -> np.ndarray:
    return np.array(browser.execute_script("return Array.from(requested)"), np.float32)


def of_keras(folder, vector: np.ndarray) -> np.ndarray:
    return generated(folder, vector[np.newaxis])[0].astype(int)


def move(browser, identity: str, value: float) -> None:
    """A slider, as a thumb does it: the value changes, and an event tells."""
    browser.execute_script(
        "const slider = element(arguments[0]); slider.value = arguments[1];"
        "slider.dispatchEvent(new Event('input', {bubbles: true}))",
        identity, value,
    )  # fmt: skip
    drawn(browser)


def click(browser, selector: str) -> None:
    # Not where the mouse would be: on a small screen, the picture may lie above it.
    browser.execute_script("document.querySelector(arguments[0]).click()", selector)
    drawn(browser)


def of_seed(seed: int, count: int) -> np.ndarray:
    """The page's random numbers, calculated another way: float32 (count,)."""

    def mix(x: int) -> int:
        x = (x ^ (x >> 16)) * 0x85EBCA6B % 2**32
        x = (x ^ (x >> 13)) * 0xC2B2AE35 % 2**32
        return x ^ (x >> 16)

    start = mix(seed)
    uniform = [mix((start + 0x9E3779B9 * n) % 2**32) / 2**32 for n in range(1, 2 * count + 1)]
    return np.array(
        [
            math.sqrt(-2 * math.log(1 - first)) * math.cos(2 * math.pi * second)
            for first, second in zip(uniform[::2], uniform[1::2], strict=True)
        ],
        np.float32,
    )


def test_the_first_picture_is_the_one_keras_gives(opened, folder):
    assert opened.title == "one: explorer - GANdam"
    assert text(opened, "name") == "one"
    assert "averaged weights, step 1,200; 12 latent dimensions, pictures of 32 px" in text(
        opened, "what"
    )
    assert text(opened, "origin") == "seed 0"
    assert re.fullmatch(r"drawn in \d+(\.\d)? ms", text(opened, "took"))
    np.testing.assert_allclose(latent(opened), of_seed(0, LATENT_DIM), rtol=1e-6)
    expected = of_keras(folder, latent(opened))
    assert expected.std() > 20
    assert np.abs(canvas(opened) - expected).max() <= 1
    name = "return element('canvas').getAttribute('aria-label')"
    assert opened.execute_script(name) == "generated from seed 0"
    rendering = "return getComputedStyle(element('canvas')).imageRendering"
    assert opened.execute_script(rendering) == "pixelated"
    # What has been unpacked is not kept twice.
    assert not opened.find_elements("id", "model")


def test_sliders_change_the_picture_and_reset_takes_it_back(opened, folder, path):
    from selenium.webdriver.common.keys import Keys

    first, before = canvas(opened), latent(opened)
    numbers = [number for number, _ in data_in(path)["dimensions"]]
    sliders = opened.find_elements("css selector", "#sliders input")
    assert len(sliders) == explorer.DIMENSIONS
    assert [each.get_attribute("id") for each in sliders] == [f"dimension-{n}" for n in numbers]
    assert not opened.find_element("id", "reset").is_enabled()

    move(opened, f"dimension-{numbers[0]}", -2.5)
    expected = before.copy()
    expected[numbers[0]] = -2.5
    assert np.array_equal(latent(opened), expected)
    assert np.abs(canvas(opened) - first).max() > 5
    assert np.abs(canvas(opened) - of_keras(folder, expected)).max() <= 1
    assert text(opened, "origin") == "seed 0, changed"
    assert opened.find_element("css selector", "#sliders output").text == "-2.50"

    sliders[0].send_keys(Keys.ARROW_RIGHT)
    drawn(opened)
    assert latent(opened)[numbers[0]] == np.float32(-2.45)
    assert sliders[0].get_attribute("aria-valuetext") == "-2.45"

    click(opened, "#reset")
    assert np.array_equal(latent(opened), before)
    assert np.array_equal(canvas(opened), first)
    assert text(opened, "origin") == "seed 0"


def test_a_random_picture_comes_back_by_its_seed(opened, folder):
    first = canvas(opened)
    click(opened, "#random")
    seed = int(opened.find_element("id", "seed").get_attribute("value"))
    assert text(opened, "origin") == f"seed {seed}"
    np.testing.assert_allclose(latent(opened), of_seed(seed, LATENT_DIM), rtol=1e-5, atol=1e-6)
    random = canvas(opened)
    assert np.abs(random - first).max() > 5
    set_seed = (
        "element('seed').value = arguments[0]; element('seed').dispatchEvent(new Event('change'))"
    )
    opened.execute_script(set_seed, "0")
    drawn(opened)
    assert np.array_equal(canvas(opened), first)
    opened.execute_script(set_seed, seed)
    drawn(opened)
    assert np.array_equal(canvas(opened), random)
    # Whatever is typed there is a seed of 32 bits.
    for typed, taken in (("-4", 0), ("1e99", 2**32 - 1), ("2.9", 2), ("", 0)):
        opened.execute_script(set_seed, typed)
        drawn(opened)
        assert text(opened, "origin") == f"seed {taken}"


def test_random_numbers_are_normal(opened):
    draw = "return Array.from(normal(50000, arguments[0], arguments[1]))"
    plain, other = (np.array(opened.execute_script(draw, seed, 0)) for seed in (1, 2))
    for numbers in (plain, other):
        # Five standard errors of 50,000 numbers.
        assert abs(numbers.mean()) < 0.023
        assert abs(numbers.std() - 1) < 0.016
        assert abs((np.abs(numbers) < 1).mean() - 0.6827) < 0.0105
        assert abs(np.corrcoef(numbers[1:], numbers[:-1])[0, 1]) < 0.023
    assert abs(np.corrcoef(plain, other)[0, 1]) < 0.023
    truncated = np.array(opened.execute_script(draw, 1, 1))
    inside = np.abs(plain) <= 1
    assert np.array_equal(plain[inside], truncated[inside])
    assert np.abs(truncated).max() <= 1
    assert truncated.var() == pytest.approx(0.29112, abs=0.006)


def pairs() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    first, second, third = latents.draw(3, 6, 4)
    tilted = first * 2 + 1e-9 * second
    axis = np.eye(6, dtype=np.float32)[2]
    return {
        "of two lengths": (first, 3 * second),
        "any": (second, third),
        "at an obtuse angle": (first, second - 2 * first),
        "the same": (first, first),
        "parallel": (first, 2.5 * first),
        "nearly parallel": (first, tilted),
        "opposite": (first, -first),
        "opposite, of two lengths": (first, -0.3 * first),
        "opposite along an axis": (axis, -2 * axis),
        "nearly opposite": (first, np.float32(-1.0001) * first + np.float32(1e-3) * second),
        "from zero": (np.zeros(6), second),
        "to zero": (second, np.zeros(6)),
        "zero": (np.zeros(6), np.zeros(6)),
        "a single dimension": (np.array([2.0]), np.array([-2.0])),
        "a single dimension, one way": (np.array([2.0]), np.array([3.0])),
    }


def test_ways_are_those_of_python(opened):
    shares = [0, 0.01, 0.25, 0.5, 0.9, 1]
    for name, (start, end) in pairs().items():
        found = opened.execute_script(
            "const [start, end, shares] = arguments;"
            "return shares.map(t => Array.from(slerp(start, end, t)))",
            start.tolist(), end.tolist(), shares,
        )  # fmt: skip
        expected = latents.slerp(start, end, shares)
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6, err_msg=name)
        assert np.array_equal(np.float32(found[0]), np.float32(start)), name
        assert np.array_equal(np.float32(found[-1]), np.float32(end)), name


def test_saved_vectors_are_favourites_from_the_start(opened, folder):
    opened.execute_async_script("addSaved().then(arguments[0])")
    assert np.abs(canvas(opened, "#kept li canvas") - of_keras(folder, SAVED)).max() <= 1
    click(opened, "[aria-label='show mine.png']")
    drawn(opened)
    assert text(opened, "origin") == "mine.png"
    assert np.array_equal(latent(opened), SAVED)


def test_a_way_leads_from_one_favourite_to_the_other(opened, folder):
    assert not opened.find_element("id", "way").is_displayed()
    kept = []
    for seed in (3, 4, 5):
        opened.execute_script("showSeed(arguments[0])", seed)
        opened.execute_async_script("keep().then(arguments[0])")
        kept.append((latent(opened), canvas(opened)))
    assert opened.find_element("id", "way").is_displayed()
    for number, (_, image) in enumerate(kept, start=1):
        assert np.array_equal(canvas(opened, f"#kept li:nth-child({number}) canvas"), image)
    names = "return [...document.querySelectorAll('[aria-pressed=true]')].map(x => x.ariaLabel)"
    assert opened.execute_script(names) == ["favourite 1 as A", "favourite 2 as B"]

    move(opened, "share", 0.5)
    middle = canvas(opened)
    half = latents.slerp(kept[0][0], kept[1][0], [0.5])[0]
    np.testing.assert_allclose(latent(opened), half, rtol=1e-5, atol=1e-6)
    assert np.abs(middle - of_keras(folder, half)).max() <= 1
    assert text(opened, "origin") == "favourite 1 to favourite 2, 50 %"
    for share, (vector, image) in ((0, kept[0]), (1, kept[1])):
        move(opened, "share", share)
        assert np.array_equal(latent(opened), vector)
        assert np.array_equal(canvas(opened), image)
        assert np.abs(middle - image).max() > 5

    # Another end, and both ends at once at one favourite: they change places.
    click(opened, "[aria-label='favourite 3 as B']")
    move(opened, "share", 1)
    assert np.array_equal(canvas(opened), kept[2][1])
    assert np.array_equal(canvas(opened, "#to"), kept[2][1])
    click(opened, "[aria-label='favourite 1 as B']")
    assert opened.execute_script(names) == ["favourite 1 as B", "favourite 3 as A"]

    # A click on the picture shows it; what is removed is replaced as an end, as long as there are.
    click(opened, "[aria-label='show favourite 2']")
    assert np.array_equal(canvas(opened), kept[1][1])
    click(opened, "[aria-label='remove favourite 3']")
    assert opened.execute_script(names) == ["favourite 1 as B", "favourite 2 as A"]
    click(opened, "[aria-label='remove favourite 1']")
    assert opened.execute_script(names) == ["favourite 2 as A"]
    assert not opened.find_element("id", "way").is_displayed()


def test_of_several_requests_while_drawing_only_the_last_is_drawn(opened, folder):
    opened.execute_script(
        "window.made = 0; window.plain = generate;"
        "generate = latent => { made++; return plain(latent); };"
        "for (let seed = 1; seed <= 50; seed++) showSeed(seed)"
    )
    drawn(opened)
    assert opened.execute_script("generate = plain; return made") == 2
    np.testing.assert_allclose(latent(opened), of_seed(50, LATENT_DIM), rtol=1e-5, atol=1e-6)
    assert np.abs(canvas(opened) - of_keras(folder, latent(opened))).max() <= 1


def test_the_address_keeps_the_latent_vector(opened, path):
    opened.execute_script("element('truncation').value = 1.5; showSeed(77)")
    wait_until(opened, "location.hash === '#seed=77&truncation=1.5'")
    drawn(opened)
    truncated = latent(opened)

    def go_to(address: str, seed: int) -> None:
        """Typed by hand, while the page is open."""
        opened.execute_script("location.hash = arguments[0]", address)
        wait_until(opened, f"element('seed').value === '{seed}' && location.hash === written")
        drawn(opened)

    go_to("#seed=5", 5)
    assert text(opened, "origin") == "seed 5"
    assert not np.array_equal(latent(opened), truncated)
    go_to("#seed=77&truncation=1.5", 77)
    assert np.array_equal(latent(opened), truncated)
    nan = base64.urlsafe_b64encode(np.full(LATENT_DIM, np.nan, np.float32).tobytes()).decode()
    for seed, wrong in enumerate(("AAAA", "%3Cimg%3E", "x", nan)):
        go_to(f"#seed={seed}&truncation=9&latent={wrong}", seed)
        assert text(opened, "origin") == f"seed {seed}"

    number = data_in(path)["dimensions"][3][0]
    move(opened, f"dimension-{number}", 1.05)
    changed, image = latent(opened), canvas(opened)
    wait_until(opened, "location.hash.includes('latent=')")
    address = opened.execute_script("return location.hash")
    # Base64 of the float32 numbers, for addresses.
    assert base64.urlsafe_b64decode(address.split("latent=")[1]) == changed.tobytes()
    open_page(opened, path, address)
    assert np.array_equal(latent(opened), changed)
    assert np.array_equal(canvas(opened), image)
    assert text(opened, "origin") == "the address"


def test_everything_has_a_name_and_licences_can_be_read(opened):
    opened.execute_script("keep(); showSeed(1)")
    drawn(opened)
    opened.execute_async_script("keep().then(arguments[0])")
    names = opened.execute_script(
        "return [...document.querySelectorAll('input, select, button, canvas')]"
        ".filter(each => each.checkVisibility())"
        ".map(each => each.getAttribute('aria-label') || each.labels?.[0]?.textContent"
        " || each.matches('#kept canvas') && each.parentElement.getAttribute('aria-label')"
        " || each.textContent)"
    )
    assert len(names) == 27
    assert all(names)
    click(opened, "#licences summary")
    wait_until(opened, "document.querySelector('#licences pre').textContent.length > 300000")
    licence = opened.execute_script("return document.querySelector('#licences pre').textContent")
    assert licence.startswith("THIRD PARTY SOFTWARE NOTICES")
    back = opened.find_element("css selector", "#back a").get_attribute("href")
    assert back.endswith("/one/index.html")


def test_no_request_leaves_the_page(opened):
    opened.execute_script(
        "window.refused = 0; fetch('http://127.0.0.1:9/').catch(() => refused++);"
        "fetch(location.href).catch(() => refused++);"
        "import('data:text/javascript,window.ran = 1').catch(() => refused++)"
    )
    wait_until(opened, "refused === 3")
    assert opened.execute_script("return window.ran") is None
    opened.get_log("browser")  # the refusals
    opened.get_log("performance")


def test_on_a_phone_in_the_dark(opened):
    try:
        opened.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True},
        )
        features = [{"name": "prefers-color-scheme", "value": "dark"}]
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        wait_until(opened, "innerWidth === 390")
        opened.execute_async_script("keep().then(keep).then(keep).then(keep).then(arguments[0])")
        assert opened.execute_script("return document.documentElement.scrollWidth") == 390
        background = "return getComputedStyle(document.body).backgroundColor"
        assert opened.execute_script(background) == "rgb(22, 24, 27)"
        # A finger on the last slider, a quarter of its way; the picture is still in view.
        before, first = canvas(opened), latent(opened)
        spot = opened.execute_script(
            "const slider = [...document.querySelectorAll('#sliders input')].at(-1);"
            "slider.scrollIntoView({block: 'end'}); const box = slider.getBoundingClientRect();"
            "return {x: box.left + box.width / 4, y: box.top + box.height / 2}"
        )
        box = "const box = element('canvas').getBoundingClientRect(); return [box.top, box.bottom]"
        top, bottom = opened.execute_script(box)
        assert 0 <= top < bottom < spot["y"]
        for kind, points in (("touchStart", [spot]), ("touchEnd", [])):
            opened.execute_cdp_cmd(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
            )
        wait_until(opened, "origin.endsWith('changed')")
        drawn(opened)
        assert np.flatnonzero(latent(opened) != first).size == 1
        assert latent(opened)[latent(opened) != first] == pytest.approx(-1.5, abs=0.15)
        assert not np.array_equal(canvas(opened), before)
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_the_page_of_the_run_opens_it(opened, path):
    opened.get(path.with_name("index.html").as_uri())
    link = opened.find_element("css selector", "#explorer a")
    assert link.get_attribute("href") == path.as_uri()
    assert link.text == "averaged weights"
    frame = opened.find_element("css selector", "#explorer iframe")
    assert not frame.is_displayed()
    opened.execute_script("document.querySelector('#explorer button').click()")
    assert frame.is_displayed()
    opened.switch_to.frame(frame)
    try:
        wait_until(opened, "document.readyState === 'complete' && window.ort && shown")
        assert text(opened, "origin") == "seed 0"
        assert not opened.find_element("id", "back").is_displayed()
    finally:
        opened.switch_to.default_content()


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_pictures_are_those_of_keras(channels, browser, tmp_path):
    h = dcgan.Hyperparameters(image_size=SIZE, latent_dim=LATENT_DIM, generator_filters=(4,))
    h.channels = channels
    write_run(tmp_path, "one", h)
    run_sample(tmp_path, "one", "--explore")
    open_page(browser, tmp_path / "images" / "one" / "explorer.html")
    found, expected = canvas(browser), of_keras(tmp_path, latent(browser))
    if channels == 4:
        # What it can show: no colour is above its alpha.
        expected[..., :3] = np.minimum(expected[..., :3], expected[..., 3:])
        found = premultiplied(found.astype(np.uint8))
    assert expected.std() > 20
    assert np.abs(found - expected).max() <= 1
    assert browser.find_element("id", "background").is_displayed() == (channels == 4)
    if channels == 4:
        shown = "return getComputedStyle(element('canvas')).background"
        assert "conic-gradient" in browser.execute_script(shown)
        browser.execute_script(
            "element('background').value = 'black';"
            "element('background').dispatchEvent(new Event('change'))"
        )
        assert browser.execute_script(shown).startswith("rgb(0, 0, 0)")


def test_a_browser_that_lacks_something_is_told(browser, path):
    names = ["WebAssembly", "DecompressionStream"]
    source = {"source": "".join(f"delete globalThis.{name};" for name in names)}
    found = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", source)
    browser.get_log("browser")
    try:
        browser.get("about:blank")
        browser.get(path.as_uri())
        wait_until(browser, "!element('problem').hidden")
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", found)
    message = f"This browser lacks {' and '.join(names)}, with which the generator runs."
    assert text(browser, "problem").startswith(message)
    browser.execute_script("keep(); showSeed(3)")  # nothing to be done, and no error
    assert text(browser, "origin") == ""
    assert not [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]
    browser.get("about:blank")


def test_a_damaged_file_says_so(browser, path, tmp_path):
    whole = read(path)
    start = whole.index('<script id="model" type="application/base64">') + 45
    end = whole.index("</script>", start)
    damaged = base64.b64encode(gzip.compress(b"no model")).decode()
    (tmp_path / "a.html").write_text(whole[:start] + damaged + whole[end:])
    browser.get((tmp_path / "a.html").as_uri())
    wait_until(browser, "!element('problem').hidden")
    assert "Failed to load model" in text(browser, "problem")
    browser.get_log("browser")

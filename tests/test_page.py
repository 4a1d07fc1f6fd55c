"""The page of a run: what it says, what it costs, and what a real browser makes of it."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import dcgan
import r3gan
import wgan
from tests.conftest import REPOSITORY, TINY, run_script
from utils.common.html import script_safe
from utils.training.options import parse_command_line
from utils.watching import page
from utils.watching.alarms import Health
from utils.watching.answers import Answers
from utils.watching.history import History

HOSTILE = "</script><img src=x onerror=alert(1)> <!-- & ' \" \u2028.h5"
NAMES = ["d_loss", "d_real", "d_fake", "g_loss", "d_gradient_first", "f_score"]


def config_of(*arguments: str, options=dcgan.Hyperparameters) -> dict:
    """What ``config.json`` would say of a run with these options."""
    h, _ = parse_command_line(options, "", list(arguments))
    return {
        "method": h.METHOD,
        "hyperparameters": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(h).items()
        },
        "data_set": {"made_by": HOSTILE, "pictures": 20, "held_out": [1, 5], "fingerprint": "ab"},
        "device": "tensorflow on 2 CPU cores",
        "versions": {"keras": "3"},
    }


def history_of(folder, rows) -> History:
    """Rows of step, epoch, seconds and the scalars in NAMES."""
    history = History(folder / "history.csv", NAMES)
    history.resume(0)
    history.append(rows)
    return history


def many_rows(count: int) -> np.ndarray:
    random = np.random.default_rng(0)
    steps = 10.0 * np.arange(1, count + 1)
    # Slow at first: a middle of the steps is no middle of the time.
    seconds = np.sqrt(steps) * 3
    values = random.uniform(0.1, 0.9, (count, len(NAMES)))
    values[np.arange(count) % 50 != 0, -1] = np.nan
    return np.column_stack([steps, steps / 40, seconds, values])


def answers_of(folder, steps) -> Answers:
    answers = Answers(folder / "answers.csv")
    answers.resume(-1)
    for step in steps:
        answers.add(
            step,
            {
                "training": np.array([1.0, 2.0, 3.0]),
                "held out": np.array([0.0, 1.0, 2.0]),
                "generated": np.array([-2.0, -1.0, 0.0]),
            },
        )
    return answers


def save_grids(folder, steps) -> None:
    """Grids whose colour tells which of them it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, step in enumerate(steps):
        colour = (number % 256, 90, 160)
        Image.new("RGB", (90, 60), colour).save(folder / f"step_{step:07d}.png")
    Image.new("RGB", (90, 60), "white").save(folder / "reals.png")


def data_in(path) -> dict:
    """What a written page holds for its script."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    assert len(found) == 1
    return json.loads(found[0])


# What it says ---------------------------------------------------------------------------------


def test_grids_curves_and_answers_are_on_one_clock(tmp_path):
    save_grids(tmp_path, [0, 15, 40, 99])
    rows = [
        [10, 0.5, 4.0, 0.123456789, 0.5, 0.5, np.nan, 0.0, np.nan],
        [20, 1.0, 6.0, 1234567.0, 0.6, 0.4, 1.0, 1e-9, 0.25],
        [40, 2.0, 7.0, 1.0, 0.7, 0.3, 2.0, 1e-3, np.nan],
    ]
    history, answers = history_of(tmp_path, rows), answers_of(tmp_path, [0, 40])
    found = page.contents(
        tmp_path, config_of(), dcgan.Hyperparameters, history, answers,
        {"step": 20.0, "f_score": 0.25, "kid": float("nan")},
    )  # fmt: skip
    # Between rows, and before the first, time passes evenly; after the last none is known.
    assert found["grids"] == {
        "steps": [0, 15, 40, 99], "seconds": [0, 5, 7, 7], "epochs": [0, 0.75, 2, 2],
    }  # fmt: skip
    assert found["last"] == {"step": 40, "epoch": 2, "seconds": 7}
    plots = {plot["label"]: plot for plot in found["plots"]}
    assert list(plots) == [
        "loss", "mean answer", "gradient norm", "f_score", "answer: median, 5-95 %", "overfitting",
    ]  # fmt: skip
    assert plots["loss"]["steps"] == [10, 20, 40]
    assert plots["loss"]["seconds"] == [4, 6, 7]
    assert plots["loss"]["series"] == [
        {"name": "d_loss", "values": [0.12346, 1234567, 1]},
        {"name": "g_loss", "values": [None, 1, 2]},
    ]
    assert plots["mean answer"]["limits"] == [0, 1]
    # A logarithm of 0 there is not.
    assert plots["gradient norm"]["is_logarithmic"] is True
    assert plots["gradient norm"]["series"][0]["values"] == [None, 1e-9, 1e-3]
    assert (plots["f_score"]["steps"], plots["f_score"]["seconds"]) == ([20], [6])
    by_kind = {each["name"]: each for each in plots["answer: median, 5-95 %"]["series"]}
    assert by_kind["held out"] == {
        "name": "held out", "values": [1, 1], "low": [0.1, 0.1], "high": [1.9, 1.9], "colour": 2,
    }  # fmt: skip
    assert plots["overfitting"]["seconds"] == [0, 7]
    # Training 2, held out 1, generated -1: a third of the way.
    assert plots["overfitting"]["series"][0]["values"] == [0.33333, 0.33333]
    assert found["best"] == {"step": 20, "f_score": 0.25}
    assert found["alarms"] is None
    assert found["pictures"] == {"reals": True, "best_worst": False}
    Image.new("RGB", (8, 8)).save(tmp_path / "best-worst.png")
    found = page.contents(tmp_path, config_of(), dcgan.Hyperparameters)
    assert found["pictures"]["best_worst"]
    json.dumps(found, allow_nan=False)


def test_health_is_drawn_and_its_alarms_are_told(tmp_path):
    history = history_of(tmp_path, [[4000, 8.0, 80.0, 1.0, 0.5, 0.5, 1.0, 1.0, 0.0]])
    health = Health(tmp_path / "health.csv", ["--batch-size"])
    health.resume(0)
    health.add(0, {"generator_weights": 0.02, "judge_weights": 0.02})
    for step, alikeness in ((1000, 0.1), (2000, 0.5), (3000, 0.5), (4000, 0.0)):
        health.add(step, {"alikeness": alikeness, "kid": -1.0 if step < 3000 else 50.0})
    found = page.contents(tmp_path, config_of(), dcgan.Hyperparameters, history, health=health)
    plots = {plot["label"]: plot for plot in found["plots"]}
    alike = plots["alikeness: 0 as reals, 1 all the same"]
    assert (alike["steps"], alike["seconds"]) == ([1000, 2000, 3000, 4000], [20, 40, 60, 80])
    assert alike["series"] == [{"name": "alikeness", "values": [0.1, 0.5, 0.5, 0]}]
    assert plots["KID: distance to held-out reals"]["series"][0]["values"] == [None, None, 50, 50]
    assert plots["weights: root mean square"]["steps"] == [0]
    assert "closeness to training images, beside reals'" not in plots
    assert found["alarms"] == [
        {
            "step": 2000, "level": "warning", "advice": "Try a larger --batch-size",
            "message": "collapse: generated images are as alike as if there were only 2.0 different"
            " ones; over at step 4000",
        }
    ]  # fmt: skip
    # Nobody looked.
    assert page.contents(tmp_path, config_of(), dcgan.Hyperparameters)["alarms"] is None


def test_options_that_differ_and_facts(tmp_path):
    config = config_of("--data", "a b", "--generator-filters", "3", "4", "--mirror")
    config["hyperparameters"]["of_another_version"] = 3
    del config["hyperparameters"]["max_filters"]
    found = page.contents(tmp_path, config, dcgan.Hyperparameters)
    differing = {x["option"]: (x["value"], x["default"]) for x in found["options"] if x["differs"]}
    assert differing == {
        "--data": ("a b", "mechas"),
        "--generator-filters": ("3 4", "32"),
        "--mirror": ("yes", "no"),
    }
    rest = {x["option"]: x["value"] for x in found["options"] if not x["differs"]}
    assert rest["--of-another-version"] == "3"
    assert rest["--latent-dim"] == "100"
    assert not {"--resume", "--run-name", "--dry-run"} & set(rest)
    facts = dict(found["facts"])
    assert facts["pictures"] == "18, and 2 held out, 0 px, with mirror images"
    assert facts["device"] == "tensorflow on 2 CPU cores"
    assert facts["made by"] == HOSTILE


@pytest.mark.parametrize(
    ("options", "arguments"),
    [
        (dcgan.Hyperparameters, []),
        (dcgan.Hyperparameters, ["--data", HOSTILE, "--no-deterministic", "--mirror"]),
        (dcgan.Hyperparameters, ["--generator-filters", "3", "4", "--holdout", "0.1"]),
        (dcgan.Hyperparameters, ["--preset", "edouard99-64", "--latent-dim", "7"]),
        (wgan.Hyperparameters, ["--preset", "arjovsky", "--n-critic", "2", "--epochs", "3"]),
        (r3gan.Hyperparameters, ["--learning-rate", "0.0001", "1e-05", "--shared-pass"]),
    ],
)
def test_the_command_repeats_the_options(options, arguments):
    config = config_of(*arguments, "--run-name", "a", options=options)
    words = shlex.split(page.command(config, options))
    assert words[:2] == ["python", f"{options.METHOD}.py"]
    again, _ = parse_command_line(options, "", words[2:])
    expected, _ = parse_command_line(options, "", arguments)
    assert again == expected
    # No more than what is wanted.
    assert len(words) == 2 + len(arguments)


def test_the_command_of_a_run_on_a_gpu_says_what_the_gpu_decided():
    config = config_of("--batch-size", "16") | {"device": "jax 0.10.2 on NVIDIA L4"}
    words = shlex.split(page.command(config, dcgan.Hyperparameters))
    again, _ = parse_command_line(dcgan.Hyperparameters, "", words[2:], has_accelerator=True)
    assert again == dcgan.Hyperparameters()
    assert {"--batch-size", "--generator-filters", "--discriminator-filters"} <= set(words)


def test_a_preset_of_another_version_is_spelled_out():
    config = config_of("--latent-dim", "7")
    config["hyperparameters"]["preset"] = "forgotten"
    found = page.command(config, dcgan.Hyperparameters)
    assert found == "python dcgan.py --latent-dim 7"


def test_a_run_without_anything_yet(tmp_path):
    path = tmp_path / "new" / "index.html"
    page.write_page(path, config_of(), dcgan.Hyperparameters, is_running=True)
    data = data_in(path)
    assert (data["name"], data["is_running"]) == ("new", True)
    assert data["grids"] == {"steps": [], "seconds": [], "epochs": []}
    assert (data["plots"], data["best"], data["links"]) == ([], None, [])
    assert [each.name for each in path.parent.iterdir()] == ["index.html"]


def test_a_run_that_was_never_scored_has_no_plot_of_it(tmp_path):
    rows = many_rows(100)
    rows[:, -1] = np.nan
    found = page.contents(tmp_path, config_of(), dcgan.Hyperparameters, history_of(tmp_path, rows))
    assert [plot["label"] for plot in found["plots"]] == ["loss", "mean answer", "gradient norm"]


def test_alarms_are_handed_on(tmp_path):
    alarm = page.Alarm(step=40, level="warning", message=HOSTILE, advice="--label-noise 0.1")
    path = tmp_path / "index.html"
    page.write_page(path, config_of(), dcgan.Hyperparameters, alarms=[alarm])
    assert data_in(path)["alarms"] == [alarm]


def test_a_damaged_page_stays_as_it_is(tmp_path):
    path = tmp_path / "index.html"
    path.write_text('<script id="data" type="application/json">{"name": </script>')
    before = path.read_text()
    page.refresh_page(path)
    assert path.read_text() == before


# What it is made of ---------------------------------------------------------------------------


def test_no_name_leaves_its_place(tmp_path):
    config = config_of("--data", HOSTILE)
    path = tmp_path / "index.html"
    page.write_page(path, config, dcgan.Hyperparameters)
    text = path.read_text(encoding="utf-8")
    assert "onerror=alert" in text
    assert "<img src=x" not in text
    assert text.count("</script>") == 3
    assert data_in(path)["options"][2]["value"] == HOSTILE
    # Marks of the template are nothing special in a name.
    page.write_page(path, config_of("--data", "@SCRIPT@@DATA@"), dcgan.Hyperparameters)
    assert "@SCRIPT@@DATA@" in page.command(
        config_of("--data", "@SCRIPT@@DATA@"), dcgan.Hyperparameters
    )
    assert data_in(path)["command"] == "python dcgan.py --data @SCRIPT@@DATA@"


def test_json_in_a_script():
    assert script_safe({"a": "</script><!--&"}) == (r'{"a": "\u003c/script\u003e\u003c!--\u0026"}')
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_safe([float("nan")])


def test_only_the_two_scripts_of_the_page_may_run(tmp_path):
    path = tmp_path / "index.html"
    page.write_page(path, config_of(), dcgan.Hyperparameters)
    text = path.read_bytes().decode()
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]+)"', text)[1])
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(scripts) == 2
    for script in scripts:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert "script-src 'unsafe" not in policy
    assert policy.startswith("default-src 'none'; ")
    # The library names its address in a comment, which asks for nothing.
    assert re.findall(r"https?://[^\s\"')]+", text.replace("http-equiv", "")) == [
        "https://github.com/leeoniya/uPlot"
    ]


def test_the_library_is_whole_and_unchanged(tmp_path):
    digests = {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in page.LIBRARY.iterdir()
    }
    assert digests.pop("README.md")
    assert digests == {
        "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
        "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    }
    path = tmp_path / "index.html"
    page.write_page(path, config_of(), dcgan.Hyperparameters)
    for name in digests:
        assert (page.LIBRARY / name).read_text() in path.read_text()


def test_a_long_run_makes_no_long_page(tmp_path):
    steps = range(0, 100_001, 200)
    save_grids(tmp_path, steps)
    history = history_of(tmp_path, many_rows(10_000))
    path = tmp_path / "index.html"
    page.write_page(path, config_of(), dcgan.Hyperparameters, history, answers_of(tmp_path, steps))
    assert path.stat().st_size < 500_000
    data = data_in(path)
    assert len(data["grids"]["steps"]) == 501
    loss = data["plots"][0]
    assert len(loss["steps"]) == len(loss["series"][0]["values"]) == 2000
    # Means of five rows each.
    assert loss["steps"][:2] == [30, 80]
    rows = many_rows(10_000)
    assert loss["series"][0]["values"][0] == pytest.approx(rows[:5, 3].mean(), rel=1e-4)
    assert loss["steps"][-1] == 99_980


# Of a training ----------------------------------------------------------------------------------


def test_a_training_writes_it_and_so_does_a_resumed_one(tmp_path, data_file):
    common = ("--sample-interval", 10, "--history-interval", 5, "--checkpoint-interval", 10)
    result = run_script(
        "dcgan.py", *TINY, "--data", data_file, "--steps", 20, *common, "--run-name", "one",
        folder=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    path = tmp_path / "images" / "one" / "index.html"
    data = data_in(path)
    assert (data["name"], data["method"], data["is_running"]) == ("one", "dcgan", False)
    assert data["grids"]["steps"] == [0, 10, 20]
    with open(path.parent / "history.csv", newline="") as file:
        rows = {row["step"]: row for row in csv.DictReader(file)}
    assert data["grids"]["seconds"][1:] == [float(rows[x]["seconds"]) for x in ("10", "20")]
    assert data["plots"][0]["steps"] == [5, 10, 15, 20]
    losses = [float(row["d_loss"]) for row in rows.values()]
    assert data["plots"][0]["series"][0]["values"] == pytest.approx(losses, rel=1e-4)
    assert "answer: median, 5-95 %" in [plot["label"] for plot in data["plots"]]
    assert {name for name, _ in data["links"]} == {
        "answers.png", "answers.csv", "augmented.png", "health.csv", "history.png", "history.csv",
        "architecture.png", "training.gif",
    }  # fmt: skip
    config = json.loads((tmp_path / "saved_models" / "one" / "config.json").read_text())
    assert ["device", config["device"]] in data["facts"]
    assert "CPU cores" in config["device"]
    assert not data["resumed"]

    # Stopped before its first step, a resumed run leaves the page as complete as it was.
    code = (
        "import os, signal, sys, dcgan\n"
        "from utils.training.loop import Trainer\n"
        "save = Trainer._save_augmented\n"
        "def stop(self):\n    save(self)\n    os.kill(os.getpid(), signal.SIGTERM)\n"
        "Trainer._save_augmented = stop\n"
        "sys.argv = ['dcgan.py', '--resume', 'one', '--steps', '40']\ndcgan.main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert "stopped by SIGTERM at step 20" in result.stdout, result.stderr
    stopped = data_in(path)
    assert stopped["plots"] == data["plots"]
    assert stopped["grids"] == data["grids"]

    # The same page can be made of the files alone.
    path.unlink()
    page.write_page_of_files(path.parent, tmp_path / "saved_models" / "one", dcgan.Hyperparameters)
    from_files = data_in(path)
    for part in ("grids", "last", "options", "command", "facts", "links", "alarms"):
        assert from_files[part] == data[part]
    assert [plot["label"] for plot in from_files["plots"]] == [x["label"] for x in data["plots"]]

    result = run_script("dcgan.py", "--resume", "one", "--steps", 30, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    data = data_in(path)
    assert data["grids"]["steps"] == [0, 10, 20, 30]
    assert data["plots"][0]["steps"] == [5, 10, 15, 20, 25, 30]
    assert data["resumed"]
    assert "--steps 30" in data["command"]


# In a browser -----------------------------------------------------------------------------------

GRIDS = range(0, 4001, 100)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A run of 4,000 steps with hostile names, alarms and everything else there is."""
    folder = tmp_path_factory.mktemp("page") / "a-run"
    save_grids(folder, GRIDS)
    Image.new("RGB", (60, 40), "red").save(folder / "best-worst.png")
    alarms = [page.Alarm(step=1200, level="warning", message=HOSTILE, advice=HOSTILE)]
    config = config_of("--data", HOSTILE, "--run-name", "a-run")
    page.write_page(
        folder / "index.html", config, dcgan.Hyperparameters, history_of(folder, many_rows(400)),
        answers_of(folder, GRIDS), {"step": 3000.0, "f_score": 0.7, "kid": 0.01}, alarms,
    )  # fmt: skip
    return folder


@pytest.fixture
def opened(browser, run_folder):
    browser.get_log("performance")
    # The same address with other words behind # would not be loaded anew.
    browser.get("about:blank")
    browser.get((run_folder / "index.html").as_uri())
    wait_until(browser, "document.getElementById('grid').naturalWidth > 0")
    yield browser
    assert not [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]
    assert not asked_of_a_network(browser)


def asked_of_a_network(browser) -> list[str]:
    messages = [json.loads(each["message"])["message"] for each in browser.get_log("performance")]
    addresses = [
        each["params"]["request"]["url"]
        for each in messages
        if each["method"] == "Network.requestWillBeSent"
    ]
    # chrome: is the page that the browser itself begins with.
    inside = ("file:", "data:", "about:", "blob:", "chrome:")
    return [each for each in addresses if not each.startswith(inside)]


def wait_until(browser, condition: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 60, 0.02).until(
        lambda _: browser.execute_script(f"return Boolean({condition})"), condition
    )


def text(browser, name: str) -> str:
    return browser.find_element("id", name).text


def shown_grid(browser, step: int) -> None:
    """Wait until the picture of a step is on the screen."""
    wait_until(browser, f"document.getElementById('grid').src.endsWith('step_{step:07d}.png')")


def places(browser) -> list[float]:
    """Where the slider's line stands in each plot, as a share of its width."""
    return browser.execute_script(
        "return plots.map(plot => parseFloat(plot.over.querySelector('.here').style.left)"
        " / plot.over.clientWidth)"
    )


def test_it_opens_at_the_newest_grid(opened):
    assert opened.title == "a-run - GANdam"
    assert text(opened, "name") == "a-run"
    assert text(opened, "step") == "step 4,000"
    assert text(opened, "second") == "3 min 10 s"  # 3 * sqrt(4000) is 189.7
    assert text(opened, "epoch") == "epoch 100.0"
    shown_grid(opened, 4000)
    assert "stopped at step 4,000 after 3 min 10 s" in text(opened, "state")
    assert len(opened.find_elements("css selector", ".plot canvas")) == 6
    assert places(opened) == pytest.approx([1.0] * 6, abs=0.01)
    assert opened.execute_script(
        "return [...document.querySelectorAll('.picture img')].map(each => each.naturalWidth)"
    ) == [90, 90, 60]
    assert "step 3,000: f_score 0.7, kid 0.01." in text(opened, "best-score")
    assert opened.find_element("css selector", "#links a").get_attribute("href").endswith(".csv")


def test_arrow_keys_and_the_slider_move_picture_and_plots(opened):
    from selenium.webdriver.common.keys import Keys

    body = opened.find_element("tag name", "body")
    body.send_keys(Keys.ARROW_LEFT)
    assert text(opened, "step") == "step 3,900"
    shown_grid(opened, 3900)
    rendering = "return getComputedStyle(element('grid')).imageRendering"
    assert opened.execute_script(rendering) == "pixelated"
    body.send_keys(Keys.HOME)
    shown_grid(opened, 0)
    assert places(opened) == pytest.approx([0.0] * 6, abs=0.01)
    body.send_keys(Keys.SHIFT, Keys.ARROW_RIGHT)
    assert text(opened, "step") == "step 1,000"
    # Of a legend without the mouse, the numbers at the slider.
    legend = "return document.querySelector('.u-legend .u-series .u-value').textContent"
    assert opened.execute_script(legend) == "1,000"
    # As a thumb does it: the value changes, and an event tells.
    opened.execute_script(
        "element('slider').value = 20; element('slider').dispatchEvent(new Event('input'))"
    )
    assert text(opened, "step") == "step 2,000"
    shown_grid(opened, 2000)
    assert places(opened) == pytest.approx([0.5] * 6, abs=0.01)
    # The focus on the slider itself: one grid, not two.
    opened.find_element("id", "slider").send_keys(Keys.ARROW_RIGHT)
    assert text(opened, "step") == "step 2,100"


def test_a_click_in_a_plot_moves_the_slider(opened):
    from selenium.webdriver import ActionChains

    over = opened.find_elements("css selector", ".plot .u-over")[1]
    width = over.size["width"]
    # A quarter of the way, and from the middle of it.
    ActionChains(opened).move_to_element_with_offset(over, -width // 4, 0).click().perform()
    assert text(opened, "step") == "step 1,000"
    shown_grid(opened, 1000)
    assert places(opened) == pytest.approx([0.25] * 6, abs=0.01)
    # Over time, not steps: half the time is a quarter of the steps here.
    opened.find_element("css selector", "input[value=seconds]").click()
    assert places(opened) == pytest.approx([0.5] * 6, abs=0.01)
    over = opened.find_elements("css selector", ".plot .u-over")[0]
    offset = round(over.size["width"] * 0.2)
    ActionChains(opened).move_to_element_with_offset(over, offset, 0).click().perform()
    assert text(opened, "step") == "step 2,000"  # 0.7 ** 2 of 4,000 is 1,960
    # A drag looks closer, everywhere, and moves no slider; a double click takes it back.
    ActionChains(opened).move_to_element_with_offset(over, -50, 0).click_and_hold().move_by_offset(
        100, 0
    ).release().perform()
    assert text(opened, "step") == "step 2,000"
    ranges = "return plots.map(plot => [plot.scales.x.min, plot.scales.x.max])"
    heights = "return plots.map(plot => [plot.scales.y.min, plot.scales.y.max])"
    closer = opened.execute_script(ranges)
    assert opened.execute_script(heights)[1] != [0, 1]
    assert all(0 < low < high < 189 for low, high in closer)
    assert np.ptp(closer, axis=0) == pytest.approx([0, 0], abs=1)
    ActionChains(opened).double_click(over).perform()
    assert opened.execute_script(ranges) == [[0, pytest.approx(189.74)]] * 6
    assert opened.execute_script(heights)[1] == [0, 1]
    assert opened.execute_script(heights)[5] == [-0.5, 1.5]


def test_alarms_and_the_best_lead_to_their_steps(opened):
    opened.find_element("css selector", "#alarms button").click()
    shown_grid(opened, 1200)
    assert HOSTILE.split("<!--")[0] in text(opened, "alarms")
    marks = opened.find_elements("css selector", ".plot .alarm")
    assert len(marks) == 6
    opened.find_element("css selector", "#best-score button").click()
    shown_grid(opened, 3000)


def test_hostile_names_do_nothing(opened):
    assert opened.execute_script("return document.querySelector('img[src=x]')") is None
    assert HOSTILE in opened.execute_script("return element('facts').textContent")
    assert HOSTILE in opened.execute_script("return element('differing').textContent")
    # Not even where markup got in would its script run.
    opened.execute_script(
        "window.ran = []; document.body.insertAdjacentHTML('beforeend',"
        '\'<img src=x onerror="ran.push(1)"><svg onload="ran.push(2)"></svg>\');'
        "const script = document.createElement('script'); script.textContent = 'ran.push(3)';"
        "document.body.append(script);"
        "fetch('http://127.0.0.1:9/').catch(() => ran.push('refused'))"
    )
    wait_until(opened, "ran.length")
    assert opened.execute_script("return ran") == ["refused"]
    opened.get_log("browser")  # the refusals
    opened.get_log("performance")


def test_play_and_zoom(opened):
    from selenium.webdriver.common.keys import Keys

    body = opened.find_element("tag name", "body")
    body.send_keys(Keys.SPACE)
    wait_until(opened, "number >= 3 && number < 30")
    assert opened.find_element("id", "play").get_attribute("aria-label") == "pause"
    opened.find_element("id", "play").click()
    stopped_at = opened.execute_script("return number")
    assert opened.find_element("id", "play").get_attribute("aria-label") == "play"
    body.send_keys(Keys.ARROW_RIGHT)
    assert opened.execute_script("return number") == stopped_at + 1

    widths = "return [...document.querySelectorAll('.pair img')].map(each => each.clientWidth)"
    fitting = opened.execute_script(widths)
    assert min(fitting) > 300
    opened.find_element("id", "grid").click()
    assert opened.execute_script(widths) == [90, 90]
    opened.find_element("id", "grid").click()
    assert opened.execute_script(widths) == [180, 180]
    opened.find_element("id", "zoom").click()
    assert opened.execute_script(widths) == fitting


def test_a_reload_keeps_the_place(opened):
    opened.execute_script("go(7); setAxis('seconds')")
    wait_until(opened, "location.hash === '#step=700&axis=seconds'")
    opened.refresh()
    wait_until(opened, "document.getElementById('grid').naturalWidth > 0")
    assert text(opened, "step") == "step 700"
    assert opened.find_element("css selector", "input[value=seconds]").is_selected()


def test_on_a_phone_in_the_dark(opened):
    try:
        opened.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True},
        )
        features = [{"name": "prefers-color-scheme", "value": "dark"}]
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        wait_until(opened, "plots[0].width < 360")
        assert opened.execute_script("return document.documentElement.scrollWidth") == 360
        ground = "return getComputedStyle(document.body).backgroundColor"
        assert opened.execute_script(ground) == "rgb(22, 24, 27)"
        # A finger on a plot.
        spot = opened.execute_script(
            "const over = plots[0].over; over.scrollIntoView({block: 'center'});"
            "const box = over.getBoundingClientRect();"
            "return {x: box.left + box.width * 0.75, y: box.top + box.height / 2}"
        )
        for kind, points in (("touchStart", [spot]), ("touchEnd", [])):
            opened.execute_cdp_cmd(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
            )
        wait_until(opened, "number !== 40")
        assert text(opened, "step") == "step 3,000"
        assert places(opened) == pytest.approx([0.75] * 6, abs=0.02)
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_five_hundred_grids_are_not_loaded_at_once(browser, tmp_path):
    save_grids(tmp_path, range(0, 50_000, 100))
    (tmp_path / "step_0049800.png").write_bytes(b"no picture")
    (tmp_path / "step_0000100.png").unlink()
    page.write_page(tmp_path / "index.html", config_of(), dcgan.Hyperparameters)
    browser.get((tmp_path / "index.html").as_uri())
    shown_grid(browser, 49_900)
    assert text(browser, "no-curves") == "The first numbers have not been written yet."
    assert browser.execute_script("return loaded.size") <= 5
    for number in range(0, 400, 8):
        browser.execute_script(f"go({number})")
    shown_grid(browser, 39_300)
    wait_until(browser, "loaded.size <= 24")
    browser.execute_script("go(497)")
    wait_until(browser, "!document.getElementById('missing').hidden")
    assert text(browser, "missing") == "step_0049800.png cannot be read."
    browser.execute_script("go(498)")
    shown_grid(browser, 49_900)
    assert not browser.find_element("id", "missing").is_displayed()
    browser.get_log("browser")


def test_a_run_without_anything_opens(browser, tmp_path):
    page.write_page(
        tmp_path / "index.html", config_of("--run-name", "empty"), dcgan.Hyperparameters,
        is_running=True,
    )  # fmt: skip
    browser.get((tmp_path / "index.html").as_uri())
    assert text(browser, "name") == "empty"
    assert "in training at step 0" in text(browser, "state")
    assert browser.find_element("id", "follow").is_displayed()
    browser.execute_script("go(3); play()")
    assert not [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]

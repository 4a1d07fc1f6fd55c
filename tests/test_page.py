"""The page of a run: what it says, what it costs, and what a real browser makes of it."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.conftest import REPOSITORY
from utils.common.html import script_safe
from utils.watching import outputs, page
from utils.watching.alarms import Health
from utils.watching.answers import Answers
from utils.watching.contents import contents
from utils.watching.curves import OVERFITTING, Clock, health_plots
from utils.watching.history import History
from utils.watching.rules import MEASURED

HOSTILE = "</script><img src=x onerror=alert(1)> <!-- & ' \" \u2028.h5"
MEAN_ANSWER = "mean answer, as a probability (0.5: cannot tell)"
F_SCORE = "f_score: more is better"
ANSWERS = "answer (logit): median, and band of 5 to 95 %"
NAMES = ["d_loss", "d_real", "d_fake", "g_loss", "d_gradient_first", "f_score"]
CONFIG = {
    "method": "dcgan",
    "hyperparameters": {
        "latent_dim": 100, "data": HOSTILE, "generator_filters": (3, 4), "mirror": True,
        "image_size": 64, "run_name": "a-run", "resume": "", "dry_run": False,
        "of_another_version": 3,
    },
    "data_set": {"made_by": HOSTILE, "pictures": 20, "held_out": [1, 5], "fingerprint": 20 * "ab"},
    "device": "tensorflow on 2 CPU cores",
    "versions": {"keras": "3", "numpy": "2"},
}  # fmt: skip
DEFAULTS = {
    "latent_dim": 100, "data": "mechas", "generator_filters": (32,), "mirror": False,
    "image_size": 64, "run_name": "",
}  # fmt: skip


def shown(folder, **tables) -> dict:
    return contents(folder, CONFIG, DEFAULTS, f"python dcgan.py --data {HOSTILE}", **tables)


def history_of(rows) -> History:
    """Rows of step, epoch, seconds and the scalars in NAMES; they are in no file."""
    history = History(None, NAMES)
    history.rows = [list(row) for row in rows]
    return history


def many_rows(count: int) -> np.ndarray:
    random = np.random.default_rng(0)
    steps = 10.0 * np.arange(1, count + 1)
    # Slow at first: a middle of the steps is no middle of the time.
    seconds = np.sqrt(steps) * 3
    values = random.uniform(0.1, 0.9, (count, len(NAMES)))
    values[np.arange(count) % 50 != 0, -1] = np.nan
    return np.column_stack([steps, steps / 40, seconds, values])


def answers_of(steps) -> Answers:
    answers = Answers(None)
    for step in steps:
        for kind, middle in (("training", 2.0), ("held out", 1.0), ("generated", -1.0)):
            around = [middle - 0.9, middle - 0.5, middle, middle + 0.5, middle + 0.9]
            answers.rows.append([step, kind, 3, middle, 0.8, *around])
    return answers


def save_grids(folder, steps, *more: str) -> None:
    """The same grid at every step, and under more names."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (90, 60), "white").save(folder / "step_0000000.png")
    picture = (folder / "step_0000000.png").read_bytes()
    for name in (*(f"step_{step:07d}.png" for step in steps), *more):
        (folder / name).write_bytes(picture)


def data_in(path) -> dict:
    """What a written page holds for its script."""
    text = path.read_text(encoding="utf-8")
    found = re.findall(r'<script id="data" type="application/json">(.*?)</script>', text, re.S)
    assert len(found) == 1
    return json.loads(found[0])


# What it says ---------------------------------------------------------------------------------


def test_grids_curves_and_answers_are_on_one_clock(tmp_path):
    save_grids(tmp_path, [0, 15, 40, 99], "reals.png")
    rows = [
        [10, 0.5, 4.0, 0.123456789, 0.5, 0.5, np.nan, 0.0, np.nan],
        [20, 1.0, 6.0, 1234567.0, 0.6, 0.4, 1.0, 1e-9, 0.25],
        [40, 2.0, 7.0, 1.0, 0.7, 0.3, 2.0, 1e-3, np.nan],
    ]
    found = shown(
        tmp_path, history=history_of(rows), answers=answers_of([0, 40]),
        best={"step": 20.0, "f_score": 0.25, "kid": float("nan")},
    )  # fmt: skip
    # Between rows, and before the first, time passes evenly; after the last none is known.
    assert found["grids"] == {
        "steps": [0, 15, 40, 99], "seconds": [0, 5, 7, 7], "epochs": [0, 0.75, 2, 2],
    }  # fmt: skip
    assert found["last"] == {"step": 40, "epoch": 2, "seconds": 7}
    plots = {plot["label"]: plot for plot in found["plots"]}
    assert list(plots) == [
        "loss", MEAN_ANSWER, "norms of gradients", F_SCORE, ANSWERS, OVERFITTING,
    ]  # fmt: skip
    assert plots["loss"]["steps"] == [10, 20, 40]
    assert plots["loss"]["seconds"] == [4, 6, 7]
    assert plots["loss"]["series"] == [
        {"name": "d_loss", "values": [0.12346, 1234567, 1]},
        {"name": "g_loss", "values": [None, 1, 2]},
    ]
    assert plots[MEAN_ANSWER]["limits"] == [0, 1]
    # A logarithmic axis has no 0.
    assert plots["norms of gradients"]["is_logarithmic"] is True
    assert plots["norms of gradients"]["series"][0]["values"] == [None, 1e-9, 1e-3]
    assert (plots[F_SCORE]["steps"], plots[F_SCORE]["seconds"]) == ([20], [6])
    by_kind = {each["name"]: each for each in plots[ANSWERS]["series"]}
    assert by_kind["held out"] == {
        "name": "held out", "values": [1, 1], "low": [0.1, 0.1], "high": [1.9, 1.9], "colour": 2,
    }  # fmt: skip
    assert plots[OVERFITTING]["seconds"] == [0, 7]
    # Training 2, held out 1, generated -1: a third of the way.
    assert plots[OVERFITTING]["series"][0]["values"] == [0.33333, 0.33333]
    assert found["best"] == {"step": 20, "f_score": 0.25}
    assert found["alarms"] is None
    assert found["pictures"] == {"reals": "reals.png", "best_worst": None}
    json.dumps(found, allow_nan=False)

    # A run that was never scored has no plot of it.
    never = shown(tmp_path, history=history_of([[*row[:-1], np.nan] for row in rows]))
    assert [plot["label"] for plot in never["plots"]] == ["loss", MEAN_ANSWER, "norms of gradients"]


def test_health_is_drawn_and_its_alarms_are_shown(tmp_path):
    history = history_of([[4000, 8.0, 80.0, 1.0, 0.5, 0.5, 1.0, 1.0, 0.0]])
    health = Health(tmp_path / "health.csv", {"--batch-size": "16"}, discriminator="critic")
    assert shown(tmp_path, health=health)["alarms"] is None
    health.add(0, {"generator_weights": 0.02, "judge_weights": 0.03})
    begins = "Nothing is watched yet: alarms begin at step 2,000."
    assert shown(tmp_path, health=health)["watched"] == begins
    for step, alikeness in ((1000, 0.1), (2000, 0.5), (3000, 0.5)):
        health.add(step, {"alikeness": alikeness, "kid": -1.0 if step < 3000 else 50.0})
    assert [alarm["level"] for alarm in shown(tmp_path, health=health)["alarms"]] == ["error"]
    assert not shown(tmp_path, health=Health(None))["plots"]
    health.add(4000, {"alikeness": 0.0, "kid": 50.0, "generator_weights": 0.04})
    found = shown(tmp_path, history=history, health=health)
    assert found["watched"] == (
        "Watched since step 2,000. Not watched, as it is not measured: critic wins, critic sees "
        "nothing, vanishing gradients, exploding gradients, runaway critic, "
        "dead generator, copies, memorised, getting worse."
    )
    plots = {plot["label"]: plot for plot in found["plots"]}
    alike = plots["alikeness: 0 as reals, 1 all the same"]
    assert (alike["steps"], alike["seconds"]) == ([1000, 2000, 3000, 4000], [20, 40, 60, 80])
    assert alike["series"] == [{"name": "alikeness", "values": [0.1, 0.5, 0.5, 0]}]
    assert plots["KID: distance to held-out reals"]["series"][0]["values"] == [None, None, 50, 50]
    weights = plots["weights: root mean square"]
    assert weights["steps"] == [0, 4000]
    assert weights["series"] == [
        {"name": "generator", "values": [0.02, 0.04]}, {"name": "critic", "values": [0.03, None]},
    ]  # fmt: skip
    assert "originality: distance to training images, 1 as reals" not in plots
    assert found["alarms"] == [
        {
            "step": 2000, "level": "warning", "advice": "Try a larger --batch-size",
            "message": "collapse: generated images are as alike as if there were only 2.0 different"
            " ones; over at step 4000",
        }
    ]  # fmt: skip


def test_options_that_differ_and_facts(tmp_path):
    found = shown(tmp_path)
    assert (found["name"], found["resumed"]) == ("a-run", False)
    differing = {x["option"]: (x["value"], x["default"]) for x in found["options"] if x["differs"]}
    assert differing == {
        "--data": (HOSTILE, "mechas"),
        "--generator-filters": ("3 4", "32"),
        "--mirror": ("yes", "no"),
    }
    rest = {x["option"]: (x["value"], x["default"]) for x in found["options"] if not x["differs"]}
    assert rest == {
        "--latent-dim": ("100", "100"), "--image-size": ("64", "64"),
        "--of-another-version": ("3", None),
    }  # fmt: skip
    assert dict(found["facts"]) == {
        "data set": HOSTILE, "made by": HOSTILE,
        "pictures": "18, and 2 held out, 64 px, with mirror images",
        "fingerprint": 8 * "ab", "device": "tensorflow on 2 CPU cores",
        "versions": "keras 3, numpy 2",
    }  # fmt: skip
    # As they come back from config.json.
    again = contents(tmp_path, json.loads(json.dumps(CONFIG)), DEFAULTS, "")
    assert again["options"] == found["options"]


def test_many_classes_are_shown_by_the_most_common_and_the_rarest(tmp_path):
    classes = {f"kind {number}": 40 - number for number in range(15)}
    config = {
        "hyperparameters": {"classes": "kind"},
        "data_set": {"pictures": sum(classes.values()), "classes": classes},
    }
    facts = dict(contents(tmp_path, CONFIG | config, DEFAULTS, "")["facts"])
    assert facts["classes"] == (
        "kind: 15 classes: kind 0 40, kind 1 39, kind 2 38, kind 3 37, kind 4 36, kind 5 35, "
        "kind 6 34, kind 7 33, kind 8 32, kind 9 31, ..., kind 14 26"
    )


def test_files_that_are_there_are_shown_and_linked(tmp_path):
    path = tmp_path / "new" / "index.html"
    data = shown(path.parent, is_running=True)
    page.write_page(path, data)
    assert [each.name for each in path.parent.iterdir()] == ["index.html"]
    assert data_in(path)["is_running"]
    assert data["grids"] == {"steps": [], "seconds": [], "epochs": []}
    assert (data["plots"], data["best"], data["links"], data["explorers"]) == ([], None, [], [])
    for name in ("history.csv", "best-worst.png", "explorer-best.html", "training.gif", "a.txt"):
        (path.parent / name).touch()
    page.refresh_page(path)
    again = data_in(path)
    assert again["pictures"] == {"reals": None, "best_worst": "best-worst.png"}
    assert [name for name, _ in again["links"]] == ["history.csv", "training.gif"]
    assert again["explorers"] == [["explorer-best.html", "averaged weights at the best score"]]
    changed = ("pictures", "links", "explorers")
    assert all(again[name] == data[name] for name in ("is_running", "written", "options"))
    assert again.keys() - changed == data.keys() - changed

    path.write_text('<script id="data" type="application/json">{"name": </script>')
    before = path.read_text()
    page.refresh_page(path)
    assert path.read_text() == before


def test_the_documentation_names_every_file():
    text = (REPOSITORY / "docs" / "outputs.md").read_text()
    names = [value for name, value in vars(outputs).items() if name.isupper()]
    files = [name for name in names if isinstance(name, str)]
    files += [name for name, _ in outputs.EXPLORERS.values()]
    assert len(files) == 16
    assert [name for name in files if f"`{name}" not in text] == []
    assert set(outputs.LINKS) <= set(files)


# What it is made of ---------------------------------------------------------------------------


def test_no_name_leaves_its_place_and_only_its_two_scripts_may_run(tmp_path):
    path = tmp_path / "index.html"
    data = shown(tmp_path)
    page.write_page(path, data)
    text = path.read_bytes().decode()
    assert "onerror=alert" in text
    assert "<img src=x" not in text
    assert text.count("</script>") == 3
    assert data_in(path)["facts"][0] == ["data set", HOSTILE]
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
    digests = {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in page.LIBRARY.iterdir()
    }
    assert digests.pop("README.md")
    assert digests == {
        "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
        "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
        "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    }
    for name in digests:
        assert (page.LIBRARY / name).read_text() in text
    # Marks of the template are nothing special in a name.
    page.write_page(path, data | {"command": "@SCRIPT@@DATA@"})
    assert data_in(path)["command"] == "@SCRIPT@@DATA@"


def test_json_in_a_script():
    assert script_safe({"a": "</script><!--&"}) == (r'{"a": "\u003c/script\u003e\u003c!--\u0026"}')
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_safe([float("nan")])


def test_a_long_run_makes_no_long_page(tmp_path):
    rows = many_rows(10_000)
    health = Health(None)
    health.rows = [[step, *np.full(len(health.columns) - 1, 0.1)] for step in rows[:, 0]]
    data = shown(
        tmp_path, history=history_of(rows), answers=answers_of(range(0, 100_001, 200)),
        health=health,
    )  # fmt: skip
    assert len(script_safe(data)) < 700_000
    assert {len(plot["steps"]) for plot in data["plots"]} == {200, 501, 2000}
    loss = data["plots"][0]
    assert len(loss["steps"]) == len(loss["series"][0]["values"]) == 2000
    # Means of five rows each.
    assert loss["steps"][:2] == [30, 80]
    assert loss["series"][0]["values"][0] == pytest.approx(rows[:5, 3].mean(), rel=1e-4)
    assert loss["steps"][-1] == 99_980


# In a browser -----------------------------------------------------------------------------------

GRIDS = range(0, 4001, 100)
BACK = (
    "stop(); scrollTo(0, 0); zoom = 0; resize(); hovered = false; document.activeElement.blur();"
    "setAxis('steps'); go(last)"
)
"""Undoes what a test has done, without loading the page again."""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """The page of a run of 4,000 steps with hostile names, alarms and everything else there is."""
    folder = tmp_path_factory.mktemp("page")
    save_grids(folder, GRIDS, "reals.png", "best-worst.png", "history.csv")
    data = shown(
        folder, history=history_of(many_rows(400)), answers=answers_of(GRIDS),
        best={"step": 3000.0, "f_score": 0.7, "kid": 0.01},
    )  # fmt: skip
    data["alarms"] = [{"step": 1200, "level": "warning", "message": HOSTILE, "advice": HOSTILE}]
    page.write_page(folder / "index.html", data)
    return folder / "index.html"


@pytest.fixture
def opened(browser, path):
    if browser.current_url.partition("#")[0] == path.as_uri():
        browser.execute_script(BACK)
    else:
        for log in ("performance", "browser"):
            browser.get_log(log)  # of other tests
        browser.get(path.as_uri())
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
    ) == [90, 90, 90]
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
        background = "return getComputedStyle(document.body).backgroundColor"
        assert opened.execute_script(background) == "rgb(22, 24, 27)"
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
    page.write_page(tmp_path / "index.html", shown(tmp_path))
    browser.get((tmp_path / "index.html").as_uri())
    shown_grid(browser, 49_900)
    assert text(browser, "no-curves") == "No numbers have been written yet."
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
    page.write_page(tmp_path / "index.html", shown(tmp_path, is_running=True))
    browser.get((tmp_path / "index.html").as_uri())
    assert text(browser, "name") == "a-run"
    assert "in training at step 0" in text(browser, "state")
    assert browser.find_element("id", "follow").is_displayed()
    browser.execute_script("go(3); play()")
    assert not [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]


def test_a_score_that_history_shows_is_not_shown_again(tmp_path):
    health = Health(tmp_path / "health.csv", features="imagenet")
    health.rows = [[2000.0, *[0.5] * len(MEASURED)]]

    def kids(*columns):
        history = History(tmp_path / "history.csv", columns)
        plots = health_plots(health, history, Clock(None))
        return [each["label"] for each in plots if each["label"].startswith("KID")]

    assert kids("kid_random") == ["KID: distance to held-out reals"]
    assert kids("kid_imagenet") == []

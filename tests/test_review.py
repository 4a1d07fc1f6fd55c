"""The page of ``--review`` in a real browser: what is seen, clicked, typed and saved."""

from __future__ import annotations

import hashlib
import time

import pytest
from PIL import Image

from tests.preparing import prepare, report_of
from tests.test_pictures import encode
from utils.data import mechas
from utils.preparing.decisions import Picture
from utils.preparing.examine import Examined
from utils.preparing.filters import Thresholds
from utils.preparing.review import write_page
from utils.preparing.scratch import Heap


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve robots, one of them grey, one cut short, one named like a script."""
    folder = tmp_path_factory.mktemp("review")
    (folder / "in").mkdir()
    images, _, _ = mechas.draw_dataset(12, 64, processes=1, progress=False)
    for index, image in enumerate(map(Image.fromarray, images)):
        image = image.convert("L") if index == 4 else image
        image.save(folder / "in" / f"{index:02d}.png")
    factions = [f"{index:02d}.png,{'A' if index < 4 else 'B'}\n" for index in (0, 1, 2, 3, 8, 9)]
    (folder / "in" / "metadata.csv").write_text("file_name,faction\n" + "".join(factions))
    cut = (folder / "in" / "05.png").read_bytes()[:300]
    (folder / "in" / "05.png").write_bytes(cut)
    (folder / "in" / "06.png").rename(folder / "in" / "<script>alert(1)<!-- & '.png")
    prepare(folder, "in", "--output", "set.h5", "--filters", "mecha", "--review", "--size", 64)
    return folder


@pytest.fixture
def page(browser, folder):
    browser.get((folder / "set.review.html").as_uri())
    yield browser
    browser.execute_script("touched.clear()")  # or leaving the page asks whether one may
    assert not [each for each in browser.get_log("browser") if each["level"] == "SEVERE"]
    for path in browser.downloads.iterdir():
        path.unlink()


def card(page, file):
    return page.execute_script(
        "return pictures.find(picture => picture.file === arguments[0]).card", file
    )


def counts(page):
    return page.find_element("id", "counts").text


def shown(page):
    return page.execute_script(
        "return [...document.querySelectorAll('.card b')].map(each => each.textContent)"
    )


def choose(page, name, option):
    from selenium.webdriver.support.ui import Select

    Select(page.find_element("id", name)).select_by_visible_text(option)


def saved(page, name):
    page.find_element("id", f"save-{name.removesuffix('.txt')}").click()
    deadline = time.monotonic() + 600
    while not (page.downloads / name).exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return (page.downloads / name).read_text()


def test_it_shows_every_picture_and_why(page, folder):
    assert page.title == "set.h5 - review"
    assert counts(page) == "10 kept, 2 rejected, 0 changed by you"
    assert len(shown(page)) == 12
    assert shown(page)[0] == "04.png"  # the most doubtful first
    assert shown(page)[-1] == "05.png"  # nothing can be done about it
    assert "black and white: colours reach 0.00" in card(page, "04.png").text
    assert "<script>alert(1)<!-- & '.png" in shown(page)
    loaded = page.execute_script(
        "for (const image of document.images) image.loading = 'eager';"
        "return Promise.all([...document.images].map(image => image.decode()"
        ".then(() => image.naturalWidth)))"
    )
    assert loaded == [64] * 11
    assert "http" not in (folder / "set.review.html").read_text().replace("http-equiv", "")


def test_clicks_and_keys_change_verdicts_and_both_lists_come_back(page, folder):
    from selenium.webdriver.common.keys import Keys

    card(page, "04.png").click()
    assert counts(page) == "11 kept, 1 rejected, 1 changed by you"
    assert "kept by you" in card(page, "04.png").text
    active = page.switch_to.active_element
    active.send_keys(Keys.ARROW_RIGHT)
    page.switch_to.active_element.send_keys("x")
    second = shown(page)[1]
    assert counts(page) == "10 kept, 2 rejected, 2 changed by you"
    page.switch_to.active_element.send_keys(Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.SPACE)
    assert counts(page) == "11 kept, 1 rejected, 1 changed by you"
    page.switch_to.active_element.send_keys("x")
    odd = "<script>alert(1)<!-- & '.png"
    if second != odd:
        card(page, odd).click()
    choose(page, "show", "changed by you")
    assert sorted(shown(page)) == sorted({"04.png", second, odd})
    choose(page, "show", "all")

    digest = hashlib.sha256((folder / "in" / "04.png").read_bytes()).hexdigest()
    assert saved(page, "include.txt") == f"{digest}  04.png\n"
    excluded = saved(page, "exclude.txt")
    assert sorted(line[66:] for line in excluded.splitlines()) == sorted({second, odd})
    result = prepare(
        folder, "in", "--output", "again/set.h5", "--filters", "mecha", "--size", 64, "--review",
        "--exclude", page.downloads / "exclude.txt", "--include", page.downloads / "include.txt",
    )  # fmt: skip
    assert "no picture is called" not in result.stdout
    decided = {p["file"]: p["decision"] for p in report_of(folder / "again")["pictures"]}
    assert decided["04.png"] == "included"
    assert decided[second] == decided[odd] == "excluded"
    page.get((folder / "again/set.review.html").as_uri())
    assert counts(page) == "9 kept, 3 rejected, 3 changed by you"


def test_finding_filtering_and_sorting(page):
    page.find_element("id", "find").send_keys("SCRIPT")
    assert shown(page) == ["<script>alert(1)<!-- & '.png"]
    page.find_element("id", "find").clear()
    page.execute_script("arrange()")
    choose(page, "show", "filter: black and white")
    assert shown(page) == ["04.png"]
    choose(page, "show", "faction: B")
    assert sorted(shown(page)) == ["08.png", "09.png"]
    assert "faction: B" in card(page, "08.png").text
    choose(page, "show", "all")
    choose(page, "sort", "class: faction")
    assert shown(page)[-6:] == ["00.png", "01.png", "02.png", "03.png", "08.png", "09.png"]
    choose(page, "sort", "order of the sources")
    assert shown(page)[:3] == ["00.png", "01.png", "02.png"]
    assert "certainty of side" not in page.find_element("id", "sort").text  # nothing was mirrored


def test_the_contact_sheet_has_the_kept_ones_and_under_a_red_bar_the_rejected(folder):
    sheet = Image.open(folder / "set.review.png")
    assert sheet.size == (8 * 66, 2 * 66 + 6 + 66)
    assert {sheet.getpixel((x, y)) for x in (0, 527) for y in (132, 137)} == {(200, 40, 30)}
    for place, file in (((1, 1), "00.png"), ((1, 139), "04.png")):
        box = (*place, place[0] + 64, place[1] + 64)
        picture = Image.open(folder / "in" / file).convert("RGB")
        assert sheet.crop(box).tobytes() == picture.tobytes()


def test_three_thousand_pictures(browser, tmp_path):
    heap = Heap(tmp_path / "heap")
    thumbnail = encode(Image.new("RGB", (32, 32), "red"), "JPEG")
    pictures = [
        Picture(Examined(f"{index:04d}", f"{index:04d}.png", 0, None), heap.add(thumbnail, {}))
        for index in range(3000)
    ]
    write_page(tmp_path / "review.html", "set.h5", pictures, Thresholds(), heap)
    heap.close()
    browser.get((tmp_path / "review.html").as_uri())
    assert counts(browser) == "3000 kept, 0 rejected, 0 changed by you"
    # What is out of sight is neither decoded nor laid out.
    assert browser.execute_script(
        "return pictures.every(picture => picture.card.querySelector('img').loading === 'lazy' &&"
        " getComputedStyle(picture.card).contentVisibility === 'auto')"
    )
    # A click changes the card and the counts, and no other card; sorting sets the grid's children.
    changed = browser.execute_script(
        "const observer = new MutationObserver(() => {});"
        "observer.observe(document.body, {subtree: true, childList: true, attributes: true});"
        "pictures[1500].card.click();"
        "const others = observer.takeRecords().filter(each => each.target !== element('counts') &&"
        " !pictures[1500].card.contains(each.target));"
        "arrange();"
        "const targets = new Set(observer.takeRecords().map(each => each.target.id));"
        "observer.disconnect(); return [others.length, ...targets]"
    )
    assert changed == [0, "grid"]
    browser.execute_script("pictures[2999].card.focus()")
    browser.switch_to.active_element.send_keys("x")
    assert counts(browser) == "2998 kept, 2 rejected, 2 changed by you"
    choose(browser, "show", "rejected")
    assert shown(browser) == ["1500", "2999"]
    browser.execute_script("touched.clear()")

"""A large report in a browser, opened from the disk: what is loaded as one scrolls, searches and chooses."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from shared.report import large_files, large_page
from tests.support import browser as chromium
from tests.support.large_reports import make_large_page, make_large_results
from tests.support.stage import wait_until

pytestmark = pytest.mark.skipif(not chromium.is_there(), reason="no chromium and chromedriver")

SIZES = [30, *[4] * 60, *[2] * 40, *[1] * 30]  # 380 faces in 101 groups and 30 alone
FACES = sum(SIZES)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with the files of a large one, of 64 faces each."""
    folder = make_large_results(tmp_path_factory.mktemp("report") / "party", SIZES, pictured=270)
    with pytest.MonkeyPatch.context() as patch:
        for module in (large_files, large_page):
            patch.setattr(module, "FACES_A_FILE", 64)
        make_large_page(folder, patch)
    return folder / "report.html"


@pytest.fixture(scope="module")
def window() -> Iterator[Chrome]:
    """One window for all tests."""
    with chromium.browser() as driver:
        yield driver


@pytest.fixture
def page(window: Chrome, report: Path) -> Iterator[Chrome]:
    """The freshly opened report. Its console must stay empty: no file is refused or missing."""
    window.get(report.as_uri())
    wait_until(lambda: window.find_elements("css selector", "#pair .big"), 10, "the heat map shows its first pair")
    yield window
    assert window.get_log("browser") == []


def _texts(page: Chrome, selector: str) -> list[str]:
    """In one step: the page may replace the elements at any time."""
    script = "return [...document.querySelectorAll(arguments[0])].map(element => element.textContent)"
    return list(page.execute_script(script, selector))


def _to_the_end(page: Chrome) -> None:
    page.execute_script("scrollTo({top: document.body.scrollHeight, behavior: 'instant'})")


def test_faces_that_are_left_out_come_last(window: Chrome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a title of their own, behind those alone, also where that begins within a page of faces."""
    sizes = [6, 3, *[1] * 7]
    folder = make_large_results(tmp_path / "party", sizes, quality={row: {"sharpness": 0.5} for row in (0, 12, 14)})
    make_large_page(folder, monkeypatch)
    window.get((folder / "report.html").as_uri())
    window.execute_script("document.getElementById('groups').scrollIntoView({behavior: 'instant'})")
    wait_until(lambda: len(window.find_elements("css selector", "#groups .alone-title")) == 2, 10, "both titles")
    titles = window.find_elements("css selector", "#groups .alone-title")
    assert ["".join(title.text.split()) for title in titles] == ["Alone5faces", "Leftout3faces"]
    grids = window.find_elements("css selector", "#groups .alone-title + .faces")
    wait_until(
        lambda: all(grid.text.count(".jpg") == count for grid, count in zip(grids, (5, 3), strict=True)), 10, "names"
    )
    assert "000-00.jpg" in grids[1].text and "3 left out" in window.find_element("id", "groups").text
    assert "strangers" in window.find_element("css selector", ".group h3").text
    assert window.get_log("browser") == []


def test_scrolling_loads_page_after_page(page: Chrome) -> None:
    """Nothing is loaded before; at the end all groups and faces have been shown, and pages far away are emptied."""
    assert not page.find_elements("css selector", ".group")
    page.execute_script("document.getElementById('groups').scrollIntoView({behavior: 'instant'})")
    wait_until(lambda: _texts(page, "#group-1 + .faces figcaption")[:1] not in ([], [""]), 5, "the first group")
    assert _texts(page, "#group-1")[0].startswith("Group 130 faces, at most 0.")
    assert len(page.find_elements("css selector", "#group-1 + .faces figure")) == 24
    more = page.find_element("css selector", ".group .more")
    assert more.text == "6 more of 6"
    more.send_keys(Keys.ENTER)
    assert len(page.find_elements("css selector", "#group-1 + .faces figure")) == 30

    def all_loaded() -> bool:
        _to_the_end(page)
        return not page.find_element("id", "groups-more").is_displayed()

    wait_until(all_loaded, 20, "all pages")
    assert "30 faces" in _texts(page, ".alone-title")[0]
    wait_until(lambda: len(set(_texts(page, ".group-page:last-child figcaption")) - {""}) == 30, 5, "the last names")
    pages = page.find_elements("css selector", ".group-page")
    assert len(pages) == 6 and all(float(e.rect["height"]) > 50 for e in pages)


def test_search_finds_a_face_of_the_last_file(page: Chrome) -> None:
    """The list fills by itself; Enter shows the nearest faces, and the group's button leads to its group."""
    search = page.find_element("id", "search")
    search.send_keys("130-")  # the last person, alone
    wait_until(lambda: _texts(page, "#search-list li > bdi")[-1:] == ["130-00.jpg"], 10, "the last face")
    assert page.find_element("id", "search-count").text == "1 face."
    search.send_keys(Keys.ENTER)
    wait_until(lambda: len(page.find_elements("css selector", "#search-found .far")) == 12, 5, "its nearest faces")
    search.clear()
    search.send_keys("100-0")
    both = ["100-00.jpg", "100-01.jpg"]
    wait_until(lambda: _texts(page, "#search-list li > bdi") == both, 10, "two faces of a group")
    search.send_keys(Keys.ARROW_DOWN, Keys.ENTER)
    wait_until(lambda: page.find_elements("css selector", "#search-found .same"), 5, "the other face of the group")
    button = page.find_element("css selector", "#search-found .to-group")
    assert button.text == "Group 101, 2 faces"
    button.send_keys(Keys.ENTER)
    assert page.switch_to.active_element.get_attribute("id") == "group-101"
    wait_until(lambda: "100-01.jpg" in _texts(page, "#group-101 + .faces figcaption"), 5, "the group's faces")
    earlier = page.find_element("id", "groups-earlier")
    earlier.send_keys(Keys.ENTER)
    assert page.find_elements("id", "group-80")
    search.clear()
    search.send_keys(".jpg")
    wait_until(lambda: f"{FACES - 50} more" in page.find_element("id", "search-count").text, 10, "fifty are listed")
    search.send_keys("x")
    wait_until(lambda: "No face" in page.find_element("id", "search-count").text, 10, "that there is none")


def test_pictures_and_placeholders(page: Chrome) -> None:
    """A face without a picture is a box with the name of its file; a click on either shows the nearest faces."""
    page.execute_script("openGroup(0)")
    wait_until(lambda: page.find_elements("css selector", "#group-1 + .faces .sprite"), 5, "pictures")
    shown = page.find_element("css selector", "#group-1 + .faces .sprite")
    assert str(shown.get_attribute("aria-label")).startswith("Face ") and shown.size["width"] == shown.size["height"]
    sheet = page.execute_async_script(
        "const image = new Image(), done = arguments[1]; image.onload = () => done(image.naturalWidth);"
        "image.onerror = () => done(0); image.src = arguments[0].style.backgroundImage.slice(5, -2)",
        shown,
    )
    assert sheet == 1600
    page.execute_script("openGroup(100)")
    wait_until(lambda: page.find_elements("css selector", "#group-101 + .faces .none"), 5, "a placeholder")
    box = page.find_element("css selector", "#group-101 + .faces .none")
    name = box.text
    assert name in ("100-00.jpg", "100-01.jpg")
    box.click()
    title = page.find_element("id", "face-dialog-title")
    wait_until(lambda: title.text == f"Nearest to {name}", 5, "the dialog")
    wait_until(lambda: len(page.find_elements("css selector", "dialog .far")) == 12, 5, "the nearest faces")
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert not page.find_element("id", "face-dialog").is_displayed()


def test_the_heat_map_of_a_group(page: Chrome) -> None:
    """By its number, or by its button; the sample comes back."""
    before = page.execute_script("return document.getElementById('matrix-canvas').toDataURL().length")
    number = page.find_element("id", "matrix-group")
    number.send_keys("2", Keys.ENTER)
    said = page.find_element("id", "matrix-of")
    wait_until(lambda: said.text.startswith("Group 2: 4 faces, in the order"), 5, "the second group")
    canvas = page.find_element("id", "matrix-canvas")
    assert page.switch_to.active_element == canvas and "Group 2" in str(canvas.get_attribute("aria-label"))
    canvas.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    people = {name[:3] for name in _texts(page, "#pair figcaption")}
    assert people == {"001"} and 0 < float(page.find_element("css selector", "#pair .big").text) < 0.95
    number.clear()
    number.send_keys("7", Keys.ENTER)
    wait_until(lambda: said.text.startswith("Group 7"), 5, "another group")
    page.find_element("css selector", "#matrix-of button").send_keys(Keys.ENTER)
    assert not said.text
    assert page.execute_script("return document.getElementById('matrix-canvas').toDataURL().length") > before / 4
    page.execute_script("openGroup(0)")
    page.find_element("css selector", "#group-1 button").send_keys(Keys.ENTER)
    wait_until(lambda: said.text.startswith("Group 1: 30 faces"), 5, "the group of the button")


def test_a_phone_has_room_for_it(report: Path) -> None:
    """Nothing is wider than the screen."""
    with chromium.browser(chromium.PHONE) as phone:
        phone.get(report.as_uri())
        phone.execute_script("openGroup(0)")
        wait_until(lambda: phone.find_elements("css selector", "#group-1 + .faces .sprite"), 5, "pictures")
        assert phone.execute_script("return document.documentElement.scrollWidth") <= chromium.PHONE[0]
        assert phone.get_log("browser") == []


def test_missing_files_are_said(window: Chrome, report: Path, tmp_path: Path) -> None:
    """The page alone says what must be beside it."""
    window.get(Path(shutil.copy(report, tmp_path)).as_uri())
    assert not window.find_element("id", "files-missing").is_displayed()
    window.execute_script("openGroup(0)")
    missing = window.find_element("id", "files-missing")
    wait_until(missing.is_displayed, 5, "the message")
    assert "Keep the folder report beside it" in missing.text
    window.get_log("browser")

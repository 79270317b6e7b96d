"""The report in a browser: everything that needs a pointer, a keyboard or scripts (needs Chromium; CI installs it)."""

from collections.abc import Iterator

import pytest
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from shared.report.build import build_report
from tests.support import browser as chromium
from tests.support.results_folders import SIZE, make_results, people
from tests.support.stage import wait_until

pytestmark = pytest.mark.skipif(not chromium.is_there(), reason="no chromium and chromedriver")

FACES = 64


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a report on 16 people with four photographs each: `00-0.jpg` to `15-3.jpg`."""
    folder = tmp_path_factory.mktemp("report")
    paths = [f"{k // 4:02d}-{k % 4}.jpg" for k in range(FACES)]
    for k, path in enumerate(paths):
        (folder / "images").mkdir(exist_ok=True)
        Image.new("RGB", SIZE, (4 * k, 255 - 4 * k, 128)).save(folder / "images" / path)
    return build_report(
        make_results(folder / "party", paths, people(16, 4), photos=folder / "images"), folder / "images"
    ).as_uri()


@pytest.fixture(scope="module")
def window() -> Iterator[Chrome]:
    """One window for all tests."""
    with chromium.browser() as driver:
        yield driver


@pytest.fixture
def page(window: Chrome, report: str) -> Iterator[Chrome]:
    """The freshly opened report, scrolled to the heat map. Its console must stay empty."""
    window.get(report)
    wait_until(lambda: window.find_elements("css selector", "#pair .big"), 10, "the heat map shows its first pair")
    canvas = window.find_element("id", "matrix-canvas")
    window.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", canvas)
    yield window
    assert window.get_log("browser") == []


def _pair(page: Chrome) -> str:
    return " ".join(str(e.get_attribute("textContent")) for e in page.find_elements("css selector", "#pair figcaption"))


def _go_to(page: Chrome, where: WebElement, right: int = 0, down: int = 0) -> ActionChains:
    """Moves the mouse in steps, so that everything on the way gets its events."""
    return ActionChains(page, duration=40).move_to_element_with_offset(where, right, down)


def _map_shown(page: Chrome) -> str:
    return str(page.execute_script("return document.getElementById('matrix-canvas').toDataURL()"))


def test_a_click_pins_the_pair(page: Chrome) -> None:
    """The pair stays pinned on the way to the panel and Zoom in. Escape or another click releases it."""
    canvas = page.find_element("id", "matrix-canvas")
    _go_to(page, canvas, -100, 60).perform()
    previewed = _pair(page)
    _go_to(page, canvas, 100, -30).perform()
    assert _pair(page) != previewed
    _go_to(page, canvas, -100, 60).click().perform()
    assert _pair(page) == previewed and page.find_element("id", "unpin").is_displayed()
    zoom = page.find_element("id", "zoom-in")
    _go_to(page, canvas, 100, 100).perform()
    _go_to(page, zoom).click().click().perform()
    assert _pair(page) == previewed
    _go_to(page, canvas, 20, 20).perform()
    _go_to(page, page.find_element("css selector", "#pair figure:nth-child(2) a")).click().perform()
    assert previewed.endswith(page.find_element("id", "face-dialog-title").text.removeprefix("Nearest to "))
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert _pair(page) == previewed and page.find_elements("id", "unpin")
    page.find_element("id", "zoom-all").click()
    _go_to(page, canvas, 90, -120).click().perform()
    assert _pair(page) != previewed and page.find_elements("id", "unpin")
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert not page.find_elements("id", "unpin")


def test_a_part_of_the_heat_map_can_be_dragged(page: Chrome) -> None:
    """By mouse and by touch; the pinned pair stays the same."""
    canvas = page.find_element("id", "matrix-canvas")
    assert canvas.value_of_css_property("touch-action") == "manipulation"
    _go_to(page, canvas, 10, 10).click().perform()
    pair = _pair(page)
    for _ in range(2):
        page.find_element("id", "zoom-in").click()
    assert canvas.value_of_css_property("touch-action") == "none"
    before = _map_shown(page)
    _go_to(page, canvas).click_and_hold().move_by_offset(60, 40).release().perform()
    by_mouse = _map_shown(page)
    assert by_mouse != before and _pair(page) == pair
    box = canvas.rect
    scrolled = page.execute_script("return [scrollX, scrollY]")
    x, y = box["x"] - scrolled[0] + 200, box["y"] - scrolled[1] + 200
    for kind, points in (
        ("touchStart", [(x, y)]),
        ("touchMove", [(x - 40, y - 40)]),
        ("touchMove", [(x - 90, y - 70)]),
        ("touchEnd", []),
    ):
        page.execute_cdp_cmd(
            "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": a, "y": b} for a, b in points]}
        )
    wait_until(lambda: _map_shown(page) != by_mouse, 5, "the finger has moved the map")
    assert _pair(page) == pair


def test_enter_opens_the_row_and_shift_enter_the_column(page: Chrome) -> None:
    """The keyboard reaches both faces of a pair."""
    canvas = page.find_element("id", "matrix-canvas")
    canvas.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    row, column = (e.get_attribute("title") for e in page.find_elements("css selector", "#pair figcaption"))
    title = page.find_element("id", "face-dialog-title")
    canvas.send_keys(Keys.ENTER)
    assert title.text == f"Nearest to {row}"
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    canvas.send_keys(Keys.SHIFT, Keys.ENTER)
    assert title.text == f"Nearest to {column}" and row != column


def test_the_search_lists_what_it_finds(page: Chrome) -> None:
    """The list is updated while typing, has a count, at most 50 entries, and works with the arrow keys."""
    search = page.find_element("id", "search")
    options = "#search-list [role=option]"
    search.send_keys("03-")
    wait_until(lambda: len(page.find_elements("css selector", options)) == 4, 5, "the four files are listed")
    assert page.find_element("id", "search-count").text == "4 faces."
    search.send_keys(Keys.ENTER)
    assert not page.find_elements("css selector", "#search-found figure")
    search.send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    active = page.find_element("id", str(search.get_attribute("aria-activedescendant")))
    assert active.text == "03-1.jpg" and active.get_attribute("aria-selected") == "true"
    search.send_keys(Keys.ENTER)
    assert page.find_element("css selector", "#search-found figcaption").text == "03-1.jpg"
    assert not page.find_element("id", "search-list").is_displayed()
    search.clear()
    search.send_keys(".jpg")
    wait_until(lambda: len(page.find_elements("css selector", options)) == 50, 5, "fifty are listed")
    assert "14 more" in page.find_element("id", "search-count").text
    search.send_keys("nothing")
    wait_until(lambda: "No face" in page.find_element("id", "search-count").text, 5, "that there is none")
    assert not page.find_element("id", "search-list").is_displayed()


def test_the_dialog_keeps_the_focus(page: Chrome) -> None:
    """Enter moves from neighbor to neighbor. Closing restores the focus."""
    link = page.find_element("css selector", "#groups [data-face]")
    link.send_keys(Keys.ENTER)
    title = page.find_element("id", "face-dialog-title")
    first = title.text
    assert page.switch_to.active_element == title
    page.find_elements("css selector", "dialog .faces a")[1].send_keys(Keys.ENTER)
    assert page.switch_to.active_element == title and title.text != first
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert page.switch_to.active_element == link


def test_dark_where_the_system_is_or_the_button_says(page: Chrome) -> None:
    """Foreground and background colors are swapped."""
    body = page.find_element("tag name", "body")
    light = body.value_of_css_property("background-color")
    button = page.find_element("id", "theme")
    button.send_keys(Keys.ENTER)
    assert body.value_of_css_property("background-color") != light and button.text == "Light"
    button.send_keys(Keys.ENTER)
    assert body.value_of_css_property("background-color") == light
    page.execute_script("localStorage.clear()")
    with chromium.browser(dark=True) as dark:
        dark.get(page.current_url)
        background = dark.find_element("tag name", "body").value_of_css_property("background-color")
        assert background == "rgba(20, 24, 26, 1)" and dark.get_log("browser") == []

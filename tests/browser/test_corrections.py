"""Groups are corrected in a report that was opened from the disk; what it saves gives the same groups again."""

import csv
import io
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

from shared.analysis.calibration import SAME_PERSON
from shared.domain.arrays import Float32
from shared.report import large_files, large_page
from shared.report.build import ReportRequest, build_report
from shared.results.people_file import read_people
from tests.support import browser as chromium
from tests.support.correction_pages import (
    answer,
    answers,
    apply,
    block,
    candidates,
    choices,
    choose,
    groups_of_page,
    open_group,
    press,
    rename,
    status,
    text_of,
)
from tests.support.large_reports import make_large_page, make_large_results
from tests.support.results_folders import make_results
from tests.support.stage import wait_until

pytestmark = pytest.mark.skipif(not chromium.is_there(), reason="no chromium and chromedriver")

FACES = 36  # eight people with four photos each, two alone, and a photo and its copy
LARGE_SIZES = [30, *[4] * 30, *[2] * 10, *[1] * 10]


@dataclass(frozen=True)
class Made:
    """A report, and the results that it is of."""

    folder: Path
    address: str


def _embeddings() -> Float32:
    """People who look alike: 20 pairs of faces of different people are within the threshold."""
    rng = np.random.default_rng(3)
    basis = np.linalg.qr(rng.standard_normal((128, 12)))[0].T
    centers = np.concatenate([np.repeat(basis[1:9] + 1.2 * basis[0], 4, axis=0), basis[[9, 10, 11, 11]]])
    lengths = np.linalg.norm(centers, axis=1, keepdims=True)
    vectors = centers + 0.5 / np.sqrt(128) * lengths * rng.standard_normal(centers.shape)
    vectors[35] = vectors[34]
    found: Float32 = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A report in one file: face 4 p + k is photo k of person p."""
    paths = [f"{k // 4}-{k % 4}.jpg" for k in range(FACES)]
    folder = make_results(tmp_path_factory.mktemp("results") / "party", paths, _embeddings())
    return Made(folder, build_report(folder, None).as_uri())


@pytest.fixture(scope="module")
def stricter(small: Made) -> str:
    """The address of another report of the same job, with other groups."""
    other = small.folder.with_name("stricter.html")
    build_report(small.folder, None, ReportRequest(threshold=0.5)).rename(other)
    build_report(small.folder, None)
    return other.as_uri()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A report with the files of a large one, of 64 faces each: group 0 has 30 faces."""
    folder = make_large_results(tmp_path_factory.mktemp("results") / "large", LARGE_SIZES, pictured=100)
    with pytest.MonkeyPatch.context() as patch:
        for module in (large_files, large_page):
            patch.setattr(module, "FACES_A_FILE", 64)
        make_large_page(folder, patch)
    return Made(folder, (folder / "report.html").as_uri())


@pytest.fixture(scope="module")
def window() -> Iterator[Chrome]:
    """One window for all tests."""
    with chromium.browser() as driver:
        yield driver


def _open(window: Chrome, address: str) -> None:
    """A page without corrections. A browser may forget what is stored before its storage is open."""
    window.get(address)
    window.execute_script("localStorage.clear(); localStorage.setItem('open', '')")

    def is_kept() -> bool:
        window.get(address)
        return bool(window.execute_script("return localStorage.getItem('open') === '' && localStorage.length === 1"))

    wait_until(is_kept, 10, "the browser's storage")
    window.find_element("id", "correct").send_keys(Keys.ENTER)


@pytest.fixture
def page(window: Chrome, small: Made) -> Iterator[Chrome]:
    """The small report without corrections, ready for them. Its console must stay empty."""
    _open(window, small.address)
    yield window
    assert window.get_log("browser") == []


@pytest.fixture
def large_page_open(window: Chrome, large: Made) -> Iterator[Chrome]:
    """The large one."""
    _open(window, large.address)
    window.execute_script("openGroup(0)")
    wait_until(lambda: window.find_elements("css selector", "[data-group='0'] .sprite"), 5, "pictures")
    yield window
    assert window.get_log("browser") == []


def _groups_with(page: Chrome, *faces: int) -> list[set[int]]:
    return [set(group) for group in groups_of_page(page) if group & {*faces}]


_HIDDEN = """
correctable.records(0).then(({ rows }) => arguments[0]([...work.state.hidden].map((face) => rows[face])));
"""


def _round_trip(page: Chrome, made: Made, tmp_path: Path) -> list[str]:
    """Saves, applies to the job, and compares; the kinds of the rows."""
    file = tmp_path / "people.csv"
    file.write_text(text_of(page), encoding="utf-8", newline="")
    applied, _ = apply(made.folder, file, SAME_PERSON)
    hidden = set(page.execute_async_script(_HIDDEN))
    shown = {frozenset(group - hidden): name for group, name in groups_of_page(page).items() if group - hidden}
    assert applied == shown
    return [str(said.kind) for said in read_people(file)]


def test_split_undo_and_redo(page: Chrome, small: Made, tmp_path: Path) -> None:
    """Chosen faces become a group of their own, which stands beside the one they came from."""
    choose(page, 0, 1)
    assert page.find_element("id", "chosen-count").text == "2 faces chosen"
    press(page, "together")
    assert sorted(map(min, _groups_with(page, 0, 3))) == [0, 2]
    first, made = block(page, 0), page.find_element("css selector", "[data-group='0'] + .group")
    assert "2 faces, corrected" in first.text and "New group 1" in made.text and "apart" not in first.text
    assert len(made.find_elements("css selector", "figure")) == 2
    assert "2 faces in one group now: New group 1." in status(page)
    assert "10 groups of two faces and more" in page.find_element("id", "correct-summary").text
    assert _round_trip(page, small, tmp_path).count("different") >= 1
    choose(page, 4)
    press(page, "alone")
    assert {4} in _groups_with(page, 4) and "3 faces" in page.find_element("css selector", ".alone h3").text
    page.find_element("tag name", "body").send_keys(Keys.CONTROL, "z")
    press(page, "undo")
    assert _groups_with(page, 0) == [{0, 1, 2, 3}] and not made.is_displayed() and "apart" in first.text
    assert not page.find_element("id", "do-undo").is_enabled()
    press(page, "redo")
    press(page, "redo")
    assert {4} in _groups_with(page, 4) and {0, 1} in _groups_with(page, 0)
    assert _round_trip(page, small, tmp_path)


def test_merge_and_move(page: Chrome, small: Made, tmp_path: Path) -> None:
    """A whole group joins another, and a face goes from one to another; without names these are pairs."""
    open_group(page, 1)
    page.find_element("xpath", "//button[text()='Join to another group']").click()
    field = page.switch_to.active_element
    field.send_keys("3")
    assert "Group 3, 4 faces" in choices(page)[0]
    field.send_keys(Keys.ENTER)
    assert _groups_with(page, 4) == [{4, 5, 6, 7, 8, 9, 10, 11}] and "4 faces moved to Group 3." in status(page)
    assert not block(page, 1).is_displayed()
    assert {*_round_trip(page, small, tmp_path)} == {"same", "different"}
    choose(page, 0)
    press(page, "moveTo")
    page.switch_to.active_element.send_keys("4", Keys.ENTER)
    assert {0, 12, 13, 14, 15} in _groups_with(page, 0) and {1, 2, 3} in _groups_with(page, 1)
    assert "different" in _round_trip(page, small, tmp_path)
    choose(page, 34)
    press(page, "alone")
    assert "alone already" in status(page)
    press(page, "moveTo")
    page.switch_to.active_element.send_keys("5", Keys.ENTER)
    assert {16, 17, 18, 19, 34, 35} in _groups_with(page, 34) and "1 face (and 1 copy) moved" in status(page)
    choose(page, 32, 33)  # alone before
    press(page, "together")
    assert _groups_with(page, 32) == [{32, 33}]
    _round_trip(page, small, tmp_path)


def test_names_are_text_and_one_name_is_one_person(page: Chrome, small: Made, tmp_path: Path) -> None:
    """Names are suggested, may be markup or a formula, and a used one asks whether to join."""
    hostile = '=1+1,"<img src=x onerror=alert(1)>"'
    rename(page, 0, hostile)
    assert block(page, 0).find_element("css selector", "h3 bdi").text == hostile
    rename(page, 1, "Zoe\u0301 ")  # two characters, of which NFC makes one
    assert "Zo\u00e9" in block(page, 1).text and "group 2" in block(page, 1).text
    assert _round_trip(page, small, tmp_path) == ["person"] * 8
    assert hostile in {said.person for said in read_people(tmp_path / "people.csv")}
    open_group(page, 2)
    suggested = page.find_elements("css selector", "#known-names option")
    assert [option.get_attribute("value") for option in suggested] == [hostile, "Zo\u00e9"]
    field = page.find_element("id", "person-name")
    field.send_keys("x" * 201)
    field.submit()
    assert "201 characters" in page.find_element("css selector", "#correct-dialog [role=alert]").text
    field.clear()
    field.send_keys("Zo\u00e9")
    field.submit()
    assert answers(page) == ["Join them", "Cancel"]
    answer(page, "Cancel")
    field.submit()
    answer(page, "Join them")
    wait_until(lambda: {4, 5, 6, 7, 8, 9, 10, 11} in _groups_with(page, 4), 5, "one group")
    open_group(page, 0)
    page.find_element("xpath", "//button[text()='Join to another group']").click()
    page.switch_to.active_element.send_keys("zo", Keys.ENTER)
    assert answers(page) == ["Zo\u00e9", hostile, "Cancel"]
    answer(page, hostile)
    wait_until(lambda: groups_of_page(page).get(frozenset(range(12))) == hostile, 5, "the chosen name")
    assert not page.find_elements("css selector", "#groups img[src=x]")
    _round_trip(page, small, tmp_path)


def test_hidden_groups(page: Chrome, small: Made, tmp_path: Path) -> None:
    """A hidden group is not shown until one asks for it."""
    open_group(page, 0)
    page.find_element("xpath", "//button[text()='Hide it']").click()
    assert not block(page, 0).is_displayed() and "Group 1 hidden." in status(page)
    assert "1 hidden" in page.find_element("id", "correct-summary").text
    assert _round_trip(page, small, tmp_path) == ["hidden"] * 4
    press(page, "hidden")
    assert block(page, 0).is_displayed()
    open_group(page, 0)
    page.find_element("xpath", "//button[text()='Show it again']").click()
    assert "1 hidden" not in page.find_element("id", "correct-summary").text and block(page, 0).is_displayed()
    page.execute_script("document.documentElement.classList.remove('all-shown')")


def test_also_this_person(page: Chrome, small: Made, tmp_path: Path) -> None:
    """The nearest faces outside come with their distance. A refused one is not offered again, and joining it asks."""
    offered = candidates(page, 0)
    matrix = np.load(small.folder / "distances.npy")
    for near in offered:
        assert near["face"] > 3 and near["distance"] == pytest.approx(matrix[near["face"], :4].min(), abs=1e-4)
    assert [near["distance"] for near in offered] == sorted(near["distance"] for near in offered)
    open_group(page, 0)
    wait_until(lambda: len(choices(page)) == len(offered), 5, "the list")
    assert f"{offered[0]['distance']:.3f}" in choices(page)[0]
    refused, accepted = offered[0]["face"], offered[1]["face"]
    page.find_element("css selector", "#also li:first-child button[aria-label^=No]").click()
    wait_until(lambda: f"{offered[1]['distance']:.3f}" in choices(page)[0], 5, "the next one is first")
    assert candidates(page, 0)[0]["face"] == accepted
    page.find_element("css selector", "#also li:first-child button[aria-label^=Yes]").click()
    wait_until(lambda: {0, 1, 2, 3, accepted} in _groups_with(page, 0), 5, "the face has come")
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    assert refused // 4 not in {near["face"] // 4 for near in candidates(page, 0, 20)}
    kinds = _round_trip(page, small, tmp_path)
    assert {"same", "different"} == {*kinds}
    choose(page, refused)
    press(page, "moveTo")
    page.switch_to.active_element.send_keys("1", Keys.ENTER)
    question = page.find_element("id", "ask-question")
    assert answers(page) == ["Put them together", "Cancel"] and f"{refused // 4}-{refused % 4}.jpg" in question.text
    answer(page, "Cancel")
    assert {0, 1, 2, 3, accepted} in _groups_with(page, 0)
    press(page, "moveTo")
    page.switch_to.active_element.send_keys("1", Keys.ENTER)
    answer(page, "Put them together")
    wait_until(lambda: {0, 1, 2, 3, accepted, refused} in _groups_with(page, 0), 5, "against what was said")
    _round_trip(page, small, tmp_path)


def test_the_keyboard_is_enough(page: Chrome) -> None:
    """Arrow keys, Space, and a letter for each deed; what was done is said, and the focus stays among the faces."""
    page.find_element("css selector", "[data-face='0']").send_keys(Keys.SPACE)
    active = page.switch_to.active_element
    assert active.get_attribute("role") == "checkbox" and active.get_attribute("aria-checked") == "true"
    active.send_keys(Keys.ARROW_RIGHT)
    page.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    page.switch_to.active_element.send_keys(Keys.SHIFT, Keys.SPACE)
    assert page.find_element("id", "chosen-count").text == "3 faces chosen"
    page.switch_to.active_element.send_keys("n")
    assert {0, 1, 2} in _groups_with(page, 0)
    assert page.switch_to.active_element.get_attribute("data-face")
    page.find_element("css selector", "[data-face='4']").send_keys("a")
    page.switch_to.active_element.send_keys("e")
    assert page.switch_to.active_element.get_attribute("id") == "person-name"
    page.switch_to.active_element.send_keys("Ada", Keys.ENTER)
    assert groups_of_page(page)[frozenset({4, 5, 6, 7})] == "Ada" and "is Ada now" in status(page)
    page.find_element("css selector", "[data-face='8']").send_keys("m")
    page.switch_to.active_element.send_keys("ad", Keys.ENTER)
    assert {4, 5, 6, 7, 8} in _groups_with(page, 8)
    page.find_element("css selector", "[data-face='9']").send_keys("o")
    assert {9} in _groups_with(page, 9)
    page.find_element("css selector", "[data-face='10']").send_keys("?")
    assert "Arrow keys" in page.find_element("id", "correct-help").text
    ActionChains(page).send_keys(Keys.ESCAPE).perform()
    first = page.find_element("css selector", "[data-face='12']")
    first.send_keys(Keys.PAGE_DOWN)
    assert page.switch_to.active_element.get_attribute("data-face") == "16"
    page.switch_to.active_element.send_keys(Keys.END)
    assert page.switch_to.active_element.get_attribute("data-face") == "19"
    page.switch_to.active_element.send_keys(Keys.PAGE_UP)
    assert page.switch_to.active_element == first
    page.find_element("css selector", "#correct-bar [data-do=done]").send_keys(Keys.ENTER)
    assert page.switch_to.active_element.get_attribute("id") == "correct" and not first.get_attribute("role")


_KEPT = "return Object.keys(localStorage).filter((key) => key.endsWith(':file')).length"


def test_another_report_of_the_job_takes_the_work_over(page: Chrome, small: Made, stricter: str) -> None:
    """After an update, say. It asks first."""
    rename(page, 1, "Ada")
    wait_until(lambda: page.execute_script(_KEPT) == 1, 5, "what people.csv would have")
    page.get(stricter)
    assert len(groups_of_page(page)) > 13 and page.find_element("id", "correct-summary").text == ""
    page.find_element("xpath", "//button[text()='Take them over']").send_keys(Keys.ENTER)
    wait_until(lambda: groups_of_page(page).get(frozenset({4, 5, 6, 7})) == "Ada", 5, "the work")
    wait_until(lambda: page.execute_script(_KEPT) == 1, 5, "that it is kept for this report")
    page.get(small.address)
    assert "Ada" not in groups_of_page(page).values()
    page.find_element("xpath", "//button[text()='Forget them']").send_keys(Keys.ENTER)
    assert page.execute_script(_KEPT) == 0


def test_the_browser_keeps_the_work_and_files_carry_it(page: Chrome, small: Made, large: Made, tmp_path: Path) -> None:
    """Of this report alone. A saved file gives the same groups in another browser; one that is damaged is refused in a
    sentence, and rows about other faces are saved again.
    """
    choose(page, 0, 1)
    press(page, "together")
    rename(page, 1, "Ada")
    open_group(page, 2)
    page.find_element("xpath", "//button[text()='Hide it']").click()
    before, text = groups_of_page(page), text_of(page)
    page.refresh()
    assert groups_of_page(page) == before and "kept in this browser" in page.find_element("id", "correct-summary").text
    page.get(large.address)
    assert page.find_element("id", "correct-summary").text == ""
    page.get(small.address)
    page.find_element("id", "correct").send_keys(Keys.ENTER)
    page.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    press(page, "save")
    file = tmp_path / "people.csv"
    wait_until(file.exists, 10, "the download")
    wait_until(lambda: file.read_text() == text, 10, "the whole of it")
    rows = text.count("\n") - 1
    assert f"people.csv: {rows} rows" in status(page)
    page.execute_script("localStorage.clear()")
    page.get(small.address)
    page.find_element("id", "correct").send_keys(Keys.ENTER)
    field = page.find_element("id", "people-file")
    other = file.read_text() + 'person,elsewhere.jpg,3,,1,1,9,9,"Bo, ""B""",,,,,,,\n'
    file.write_text(other.replace("\n", "\r\n"), encoding="utf-8-sig", newline="")
    field.send_keys(str(file))
    wait_until(lambda: "1 row about faces that are not on this page" in status(page), 5, "what was loaded")
    assert groups_of_page(page) == before and sorted(text_of(page).split("\n")) == sorted(other.split("\n"))
    for content, reason in (
        ("kind,image\nperson", "line 2: 1 fields, and the first line has 2."),
        ('kind,image\nperson,"a', "line 2: a quotation mark is not closed."),
        ("a,b\n1,2\n", "it has no column `kind` in its first line."),
        ("", "it is empty."),
        ("kind,image,person\nsame,a.jpg,\n", "line 2: `other_image` is empty."),
    ):
        file.write_text(content)
        field.send_keys(str(file))
        wait_until(lambda reason=reason: status(page) == f"people.csv cannot be used: {reason}", 5, reason)
    file.write_bytes(b"kind,image\nhidden,\xff.jpg\n")
    field.send_keys(str(file))
    wait_until(lambda: "it is not UTF-8 text" in status(page), 5, "that it is no text")
    assert groups_of_page(page) == before
    press(page, "undo")
    assert page.find_element("id", "correct-summary").text == "" and frozenset(range(4)) in groups_of_page(page)


def test_a_file_that_was_written_by_hand(page: Chrome, small: Made, tmp_path: Path) -> None:
    """One face of a group is enough: the others go where it goes, but for those that are different."""
    file, field = tmp_path / "hand.csv", page.find_element("id", "people-file")
    file.write_text("kind, image , person\nperson,5-0.jpg,Eve\nperson,6-1.jpg,Eve\n")
    field.send_keys(str(file))
    wait_until(lambda: "hand.csv: 2 rows." in status(page), 5, "that it was loaded")
    assert groups_of_page(page)[frozenset(range(20, 28))] == "Eve"
    assert groups_of_page(page) == apply(small.folder, file, SAME_PERSON)[0]
    file.write_text(
        "kind,image,person,other_image\n"
        "person,6-2.jpg,Bo,\ndifferent,5-0.jpg,,5-3.jpg\nhidden,0-0.jpg,,\nperson,5-0.jpg,Bo,\ndifferent,5-0.jpg,,6-1.jpg\n"
    )
    field.send_keys(str(file))
    wait_until(lambda: "hand.csv: 5 rows. 2 rows contradict" in status(page), 5, "what was loaded")
    groups = groups_of_page(page)
    assert groups[frozenset({20, 21, 22, 24, 25, 27})] == "Eve" and groups[frozenset({26})] == "Bo"
    assert frozenset({23}) in groups
    _round_trip(page, small, tmp_path)


def test_a_browser_that_keeps_nothing_is_said(page: Chrome) -> None:
    """Storage may be forbidden or full."""
    refuse = "Storage.prototype.setItem = () => { throw new DOMException('', arguments[0]) }"
    for name, words in (("SecurityError", "keeps nothing for this page"), ("QuotaExceededError", "storage is full")):
        page.execute_script(refuse.replace("arguments[0]", f"'{name}'"))
        choose(page, 0)
        press(page, "alone")
        assert words in status(page) and {0} in _groups_with(page, 0)
        press(page, "undo")
    page.execute_script("work.done = []")  # so that leaving the page asks nothing


def test_a_report_made_with_the_file_goes_on(window: Chrome, small: Made, tmp_path: Path) -> None:
    """It begins with the file's groups and names, and saves earlier corrections with the later ones. `groups` prints
    them.
    """
    _open(window, small.address)
    rename(window, 0, "Ada")
    choose(window, 7)
    press(window, "alone")
    open_group(window, 2)
    window.find_element("xpath", "//button[text()='Hide it']").click()
    file = tmp_path / "people.csv"
    file.write_text(text_of(window), newline="")
    folder = small.folder.parent / "again"
    build = build_report(small.folder, None, ReportRequest(corrections=read_people(file)))
    build.rename(folder.with_suffix(".html"))
    build_report(small.folder, None)
    _open(window, folder.with_suffix(".html").as_uri())
    groups = groups_of_page(window)
    assert groups[frozenset(range(4))] == "Ada" and frozenset({7}) in groups and frozenset({4, 5, 6}) in groups
    assert set(text_of(window).splitlines()) == set(file.read_text().splitlines())
    assert window.find_element("id", "do-unhide").text == "Show 4 hidden faces in the next report"
    press(window, "unhide")
    assert "hidden," not in text_of(window) and not window.find_element("id", "do-unhide").is_displayed()
    press(window, "undo")
    choose_rows = window.execute_script("return data.people.records.rows")
    choose(window, choose_rows.index(4), choose_rows.index(5))
    press(window, "together")
    file.write_text(text_of(window), newline="")
    shown = {group: name for group, name in groups_of_page(window).items() if len(group) > 1}
    command = [sys.executable, "-m", "producer", "groups", "party", "--people", str(file), "--csv"]
    done = subprocess.run(
        [*command, "--results", str(small.folder.parent)], capture_output=True, text=True, check=True, timeout=60
    )
    printed: dict[str, set[int]] = {}
    names = {}
    for row in csv.DictReader(io.StringIO(done.stdout)):
        printed.setdefault(row["group"], set()).add(int(row["face"]))
        names[row["group"]] = row["person"]
    assert {frozenset(faces): names[group] for group, faces in printed.items() if len(faces) > 1} == shown
    assert window.get_log("browser") == []


def test_suggestions_stay_suggestions(window: Chrome, small: Made, tmp_path: Path) -> None:
    """Taking one out, or refusing a face, confirms no other; confirming is a deed of its own."""
    file, target = tmp_path / "people.csv", small.folder.parent / "suggested.html"
    file.write_text("kind,image,person\nperson,3-0.jpg,Ann\nperson,3-1.jpg,Ann\n")
    build_report(small.folder, None, ReportRequest(corrections=read_people(file))).rename(target)
    build_report(small.folder, None)
    _open(window, target.as_uri())
    assert len(window.find_elements("css selector", "#groups .suggested")) == 2
    choose(window, 14)
    press(window, "alone")
    assert groups_of_page(window)[frozenset({12, 13, 15})] == "Ann"
    assert _round_trip(window, small, tmp_path).count("person") == 2
    group = block(window, window.execute_script("return groupOfFace(work.state, 12)"))
    assert len(group.find_elements("css selector", ".suggested")) == 1
    open_group(window, int(str(group.get_attribute("data-group"))))
    window.find_element("xpath", "//button[text()='Confirm 1 suggestion']").click()
    assert _round_trip(window, small, tmp_path).count("person") == 3
    assert not window.find_elements("css selector", "#groups .suggested")


def test_a_large_page_is_corrected_too(large_page_open: Chrome, large: Made, tmp_path: Path) -> None:
    """Groups that are loaded as one scrolls: split, named, joined, and offered the nearest faces."""
    page = large_page_open
    assert {near["face"] >= 30 for near in candidates(page, 0)} == {True}  # all neighbors of its faces are in it
    choose(page, 1, 2, 3)
    press(page, "together")
    made = page.find_element("css selector", "[data-group='0'] + .group")
    assert "New group 1" in made.text and "3 faces" in made.text and "27 faces" in block(page, 0).text
    rename(page, 0, "Ada")
    choose(page, 1)
    press(page, "moveTo")
    page.switch_to.active_element.send_keys("ada", Keys.ENTER)
    open_group(page, 5)
    wait_until(lambda: len(choices(page)) > 1, 5, "near faces")
    page.find_element("xpath", "//button[text()='Join to another group']").click()
    page.switch_to.active_element.send_keys("5", Keys.ENTER)
    assert 8 in {len(group) for group in groups_of_page(page)}
    page.execute_script("openGroup(5)")  # it is joined: the other one is shown
    assert page.switch_to.active_element.find_element("xpath", "..").get_attribute("data-group") == "4"
    open_group(page, 3)
    page.find_element("xpath", "//button[text()='Hide it']").click()
    choose(page, 5)
    press(page, "alone")

    def at_the_end() -> bool:  # more groups come as one scrolls
        page.execute_script("scrollTo({top: document.body.scrollHeight, behavior: 'instant'})")
        return bool(page.find_elements("css selector", ".alone-title + .faces [data-face='5']"))

    wait_until(at_the_end, 10, "the face alone")
    before = groups_of_page(page)
    kinds = _round_trip(page, large, tmp_path)
    assert {"person", "same", "different", "hidden"} == {*kinds}
    page.refresh()
    wait_until(lambda: page.execute_script("return work.done.length") == 6, 5, "the work is there")
    assert groups_of_page(page) == before


def _tap(phone: Chrome, selector: str) -> None:
    target = phone.find_element("css selector", selector)
    phone.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", target)
    box = phone.execute_script("const box = arguments[0].getBoundingClientRect(); return [box.x, box.y]", target)
    point = {"x": box[0] + target.size["width"] / 2, "y": box[1] + target.size["height"] / 2}
    for kind, points in (("touchStart", [point]), ("touchEnd", [])):
        phone.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def test_a_finger_is_enough_on_a_phone(small: Made) -> None:
    """Taps choose; buttons are large enough, nothing is wider than the screen, and no drag is needed."""
    with chromium.browser(chromium.PHONE) as phone:
        phone.get(small.address)
        phone.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
        for tapped in ("#correct", "[data-face='0']", "[data-face='1']", "#correct-bar [data-do=together]"):
            _tap(phone, tapped)
        assert _groups_with(phone, 0) == [{0, 1}]
        open_group(phone, 1)
        wait_until(lambda: len(choices(phone)) > 1, 5, "near faces")
        for button in phone.find_elements(
            "css selector", "#correct-bar button, #correct-dialog button, .correct-group"
        ):
            size = button.size
            assert not size["height"] or (size["height"] >= 44 and size["width"] >= 44), button.text
        assert phone.execute_script("return document.documentElement.scrollWidth") <= chromium.PHONE[0]
        assert phone.get_log("browser") == []


def test_fields_survive_the_page_and_python(page: Chrome) -> None:
    """What one writes as CSV the other reads."""
    fields = [
        "=1+1",
        "@x",
        "-2",
        "a,b",
        'say "no"',
        '"',
        "",
        " blank ",
        "é\u0301",
        "\t",
        "🙂",
        "'",
        "ein\nUmbruch",
        "\r\n",
    ]
    rows = [fields, [field * 2 for field in fields], ["a"] * len(fields)]
    text = page.execute_script("return csvText(arguments[0])", rows)
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True)) == rows
    written = io.StringIO(newline="")
    csv.writer(written).writerows(rows)
    read = page.execute_script("return [...csvRows(arguments[0])].map(({ row }) => row)", written.getvalue())
    assert read == rows


# Random deeds: what is saved, applied and loaded gives the groups of the page.
_RANDOM = """
let seed = arguments[0];
const random = (below) => { seed = (seed * 1103515245 + 12345) % 2147483648; return Math.floor(seed / 65536) % below; };
const faces = () => [...new Set(Array.from({ length: 1 + random(3) }, () => random(correctable.base.faces)))];
work.done = []; work.undone = []; changed("");
for (let k = 0; k < 12; k++) {
  const { state } = work, some = faces(), group = groupOfFace(state, random(correctable.base.faces));
  const plans = [
    () => togetherSteps(state, some).steps,
    () => aloneSteps(state, some),
    () => joinGroup(state, some, group).steps,
    () => joinGroup(state, membersOf(state, groupOfFace(state, some[0])), group).steps,
    () => [
      { do: "name", group, name: `person ${k} ${arguments[0]}` },
      { do: "confirm", faces: membersOf(state, group) },
    ],
  ];
  commit(plans[random(plans.length)](), "");
  if (random(6) === 0) undo();
}
"""
_LOADED = """
const done = arguments[0];
(async () => {
  const rows = readPeople(await peopleText(work.state), data.people.columns);
  const { statements } = await statementsIn(rows);
  const { steps: list, contradictions } = stepsFrom(correctable.base, statements);
  work.done = []; commit([{ do: "reset" }, ...list], "");
  done(contradictions);
})();
"""


@pytest.mark.parametrize("seed", range(8))
def test_random_corrections_survive_the_file(page: Chrome, small: Made, tmp_path: Path, seed: int) -> None:
    """Applied to the job, and loaded into a page that knows nothing of them."""
    page.execute_script(_RANDOM, 7919 * seed + 1)
    before = groups_of_page(page)
    _round_trip(page, small, tmp_path)
    assert page.execute_async_script(_LOADED) == 0
    assert groups_of_page(page) == before
    _round_trip(page, small, tmp_path)

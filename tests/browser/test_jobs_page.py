"""The page of jobs in a browser: updates, a phone, no scripts, a report (needs Chromium; CI installs it)."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from shared.report import large_files, large_page
from shared.store.keys import PREFIX
from shared.store.worker_registry import Worker, announce
from tests.support import browser as chromium
from tests.support.browser import PHONE
from tests.support.jobs import do_batch, finish_job, make_job
from tests.support.jobs_page import JobsPageProcess
from tests.support.large_reports import make_large_page, make_large_results
from tests.support.stage import Stage, wait_until

pytestmark = pytest.mark.skipif(not chromium.is_there(), reason="no chromium and chromedriver")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server with a worker, a running job, and a finished one with a large report."""
    made = Stage(tmp_path_factory.mktemp("page"))
    record, _ = make_job(made, "archive")
    job = finish_job(record, {1: "b.jpg"})
    made.client.persist(f"{PREFIX}job:archive")
    folder = make_large_results(made.results / "archive", [20, *[3] * 40], uid=job.uid)
    with pytest.MonkeyPatch.context() as patch:
        for module in (large_files, large_page):
            patch.setattr(module, "FACES_A_FILE", 64)
        make_large_page(folder, patch)
    record, job = make_job(made, "holiday")
    do_batch(record, job, 0, record.attach_producer(job.uid))
    resources: dict[str, float | str] = {"cpu_percent": 198.0, "rss_mib": 812.0, "images_per_s": 17.2, "images_done": 9}
    announce(made.client, Worker("worker-7@a-host", ["embed", "aggregate"], 2, resources, host="a-host"), 600)
    yield made
    made.close()


@pytest.fixture(scope="module")
def page(stage: Stage) -> JobsPageProcess:
    """The page of that server."""
    return JobsPageProcess(stage)


@pytest.fixture(scope="module")
def window() -> Iterator[Chrome]:
    """One window for the tests on a desktop."""
    with chromium.browser() as driver:
        yield driver


@pytest.fixture
def opened(window: Chrome, page: JobsPageProcess) -> Chrome:
    """The freshly opened page."""
    open_page(window, page)
    return window


def open_page(window: Chrome, page: JobsPageProcess) -> None:
    """Opens the page as one who types user and password."""
    window.get("http://{}:{}@{}/".format(*page.login, page.host))
    assert window.find_elements("id", "job-archive")


def text_of(window: Chrome, selector: str) -> str:
    """The text of an element, which may be replaced at any time."""
    script = "return document.querySelector(arguments[0])?.textContent ?? ''"
    return str(window.execute_script(script, selector))


def test_the_page_updates_itself_and_keeps_what_one_has_opened(opened: Chrome, stage: Stage) -> None:
    """New jobs and states appear without a reload. Focus and opened lists stay, and an end is announced once."""
    opened.execute_script("window.marker = 1")
    opened.find_element("css selector", "#files-archive summary").click()
    opened.execute_script("document.getElementById('report-archive').focus()")
    record, _ = make_job(stage, "another")
    wait_until(lambda: opened.find_elements("id", "job-another"), 20, "the new job is shown")
    finish_job(record, {})
    wait_until(lambda: text_of(opened, "#news") == "Finished: another", 20, "its end is announced")
    assert opened.find_element("id", "job-another").get_attribute("data-state") == "finished"
    rows = [row.get_attribute("id") for row in opened.find_elements("css selector", "#jobs tbody tr")]
    assert rows == ["job-holiday", "job-another", "job-archive"]
    assert opened.execute_script("return window.marker") == 1, "the page was not loaded again"
    assert opened.find_element("id", "files-archive").get_attribute("open") is not None
    assert opened.execute_script("return document.activeElement.id") == "report-archive"
    assert opened.get_log("browser") == [], "no policy is violated"


def test_the_report_opens_and_reads_nothing_else(opened: Chrome, page: JobsPageProcess, tmp_path: Path) -> None:
    """A large report loads its files as from a disk, and has no access to the page or to other jobs."""
    opened.find_element("id", "report-archive").click()
    wait_until(lambda: opened.find_elements("css selector", "#pair .big"), 20, "the report is shown")
    opened.execute_script("scrollTo({top: document.body.scrollHeight, behavior: 'instant'})")
    wait_until(lambda: opened.find_elements("css selector", "#groups .face .sprite"), 20, "its files are loaded")
    assert not opened.find_element("id", "files-missing").is_displayed()
    assert opened.get_log("browser") == []
    save = "const a = document.createElement('a'); a.download = 'people.csv'; a.href = URL.createObjectURL(new Blob());"
    opened.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)})
    opened.execute_script(f"{save} a.click()")
    wait_until((tmp_path / "people.csv").is_file, 10, "corrections can be saved")
    opened.refresh()
    wait_until(lambda: opened.find_elements("css selector", "#pair .big"), 20, "the report can be loaded again")
    assert page.login[1] not in opened.execute_script("return document.baseURI + location.href + document.referrer")
    tries = """
        const done = arguments[arguments.length - 1];
        const root = location.origin;
        Promise.allSettled([
            fetch(`${root}/`, { credentials: "include" }), fetch(`${root}/jobs/archive/faces.csv`),
            fetch(root + location.pathname),
            new Promise((resolve, reject) => { resolve(localStorage.length); }),
        ]).then((all) => done(all.map((one) => one.status)));
    """
    assert opened.execute_async_script(tries) == ["rejected"] * 4
    opened.get_log("browser")  # the refusals


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_shows_everything_in_its_width(page: JobsPageProcess, dark: bool) -> None:
    """Rows become cards with their labels. Colors are the system's."""
    with chromium.browser(PHONE, dark=dark) as driver:
        open_page(driver, page)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
        assert driver.find_element("css selector", "#workers .label").is_displayed()
        assert not driver.find_element("css selector", "#jobs thead").is_displayed()
        paper = driver.find_element("tag name", "body").value_of_css_property("background-color")
        assert (sum(map(int, paper[paper.index("(") + 1 : -1].split(",")[:3])) < 3 * 128) == dark


def test_without_scripts_the_page_is_a_table_that_loads_itself_again(
    window: Chrome, page: JobsPageProcess, stage: Stage
) -> None:
    """Everything is in the page itself."""
    window.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        open_page(window, page)
        assert not window.find_element("id", "theme").is_displayed()
        assert "1 of 1+ images" in window.find_element("id", "job-holiday").text
        make_job(stage, "unscripted")
        wait_until(lambda: window.find_elements("id", "job-unscripted"), 30, "the page was loaded again")
    finally:
        window.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_lost_connection_is_said(opened: Chrome, page: JobsPageProcess) -> None:
    """The last state stays, and the browser tries again."""
    page.process.terminate()
    page.process.wait(20)
    wait_until(lambda: "does not answer" in text_of(opened, "#connection"), 20, "the page says so")
    assert opened.find_elements("id", "job-archive")

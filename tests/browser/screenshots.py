"""Screenshots of a real run: `make screenshots` (SCREENSHOTS=folder they go to, SHOT_DATA=a folder of photographs).

They show faces and stay out of the repository.
"""

import sys
import tempfile
import time
from pathlib import Path

import requests
from selenium.webdriver.common.action_chains import ActionChains

from tests.support import browser as chromium
from tests.support.browser import DESKTOP, PHONE, browser, picture
from tests.support.stage import Stage, wait_until

_WIDE = (1440, 900)  # Flower's table of tasks, with the longer names that hosts have


def main() -> None:
    """Runs the job on its own stage and takes the screenshots."""
    images, target = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    if not chromium.is_there():
        sys.exit("chromium and chromedriver are not installed: apt-get install chromium chromium-driver")
    if not images.is_dir():
        sys.exit(f"There is no folder {images}. Name one: make screenshots SHOT_DATA=...")
    with tempfile.TemporaryDirectory() as temporary:
        stage = Stage(Path(temporary))
        try:
            _take(stage, images, target)
        finally:
            stage.close()
    print(*sorted(str(path) for path in target.glob("*.png")), sep="\n")


def _take(stage: Stage, images: Path, target: Path) -> None:
    root, port = {"FACEQUEUE_DATA_ROOT": str(images)}, stage.free_port()
    stage.spawn("producer", "flower", "--port", str(port), log="flower.log", **root, FACEQUEUE_FLOWER_PASSWORD="word")
    stage.worker("--concurrency", "2", **root)
    page_port = stage.free_port()
    stage.spawn("producer", "page", "--port", str(page_port), log="page.log", **root, FACEQUEUE_FLOWER_PASSWORD="word")
    url = f"http://facequeue:word@127.0.0.1:{port}"
    wait_until(lambda: _answers(f"{url}/api/workers?refresh=1", "psutil"), 60, "Flower sees the worker")
    done = stage.producer("enqueue", str(images), "--wait", "--job", "photographs", "--batch-size", "8", **root)
    if done.returncode not in (0, 3):
        sys.exit(done.stderr)
    wait_until(lambda: _answers(f"{url}/api/tasks", "aggregate"), 30, "Flower has seen the tasks")
    with browser(_WIDE) as driver:
        driver.get(f"{url}/tasks")
        wait_until(lambda: "job=photographs" in driver.page_source, 30, "the task list")
        picture(driver, target / "flower-tasks.png")
        name = next(iter(requests.get(f"{url}/api/workers", timeout=10).json()))
        driver.get(f"{url}/worker/{name}")
        wait_until(lambda: "rss_mib" in driver.page_source, 30, "the worker's page")
        pane = driver.find_element(
            "xpath", "//*[contains(text(), 'rss_mib')]/ancestor::*[contains(@class, 'tab-pane')]"
        )
        driver.find_element(
            "css selector", f"[data-bs-target='#{pane.get_attribute('id')}'], [href='#{pane.get_attribute('id')}']"
        ).click()
        wait_until(pane.is_displayed, 10, "the tab with psutil's figures")
        wait_until(lambda: pane.value_of_css_property("opacity") == "1", 10, "the tab has faded in")
        picture(driver, target / "flower-worker.png")
    jobs = f"http://facequeue:word@127.0.0.1:{page_port}/"
    wait_until(lambda: _answers(jobs, "job-photographs"), 30, "the page of jobs")
    for name, size, dark in (("jobs", DESKTOP, False), ("jobs-dark", DESKTOP, True), ("jobs-phone", PHONE, False)):
        with browser(size, dark=dark) as driver:
            driver.get(jobs)
            picture(driver, target / f"{name}.png")
    report = (stage.results / "photographs" / "report.html").as_uri()
    for dark in (False, True):
        with browser(dark=dark) as driver:
            driver.get(report)
            picture(driver, target / f"report-top{'-dark' if dark else ''}.png")
            if not dark:
                matrix = driver.find_element("css selector", "canvas")
                driver.execute_script("arguments[0].scrollIntoView({block: 'center', behavior: 'instant'})", matrix)
                ActionChains(driver).move_to_element_with_offset(matrix, 60, -90).click().perform()
                picture(driver, target / "report-heat-map.png")
                groups = driver.find_element("id", "groups")
                driver.execute_script("arguments[0].scrollIntoView({behavior: 'instant'})", groups)
                time.sleep(0.5)  # for the page to be drawn there
                picture(driver, target / "report-people.png")
                driver.find_element("id", "correct").click()
                driver.find_element("css selector", "#groups [data-face]").click()
                picture(driver, target / "report-correcting.png")
                driver.find_element("css selector", "#groups .correct-group").click()
                time.sleep(0.5)
                picture(driver, target / "report-correcting-group.png")
    with browser(PHONE) as driver:
        driver.get(report)
        picture(driver, target / "report-phone.png")


def _answers(url: str, word: str) -> bool:
    try:
        return word in requests.get(url, timeout=10).text
    except requests.ConnectionError:
        return False


if __name__ == "__main__":
    main()

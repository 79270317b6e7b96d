"""Flower in a browser: readable tasks, and workers with their resources (needs Chromium; CI installs it)."""

from pathlib import Path

import pytest
import requests

from tests.support import browser as chromium
from tests.support.stage import Stage, wait_until

pytestmark = pytest.mark.skipif(not chromium.is_there(), reason="no chromium and chromedriver")


@pytest.fixture
def flower(stage: Stage, sample: Path) -> str:
    """The address of a Flower that has seen a job with the sample folder."""
    root = {"FACEQUEUE_DATA_ROOT": str(sample)}
    port = stage.free_port()
    stage.spawn("producer", "flower", "--port", str(port), log="flower.log", **root, FACEQUEUE_FLOWER_PASSWORD="word")
    stage.worker("--concurrency", "1", **root)
    url = f"http://facequeue:word@127.0.0.1:{port}"

    def answers(path: str, word: str) -> bool:
        try:
            return word in requests.get(url + path, timeout=10).text
        except requests.ConnectionError:
            return False

    wait_until(lambda: answers("/api/workers?refresh=1", "psutil"), 60, "Flower sees the worker")
    done = stage.producer("enqueue", str(sample), "--wait", "--job", "seen", "--batch-size", "8", **root)
    assert done.returncode == 3, done.stderr
    wait_until(lambda: answers("/api/tasks", "aggregate"), 30, "Flower has seen the tasks")
    return url


def test_the_task_list_can_be_read(flower: str) -> None:
    """The list has names, readable arguments, states and runtimes."""
    with chromium.browser() as driver:
        driver.get(f"{flower}/tasks")
        wait_until(lambda: "job=seen batch=0 images=8" in driver.page_source, 30, "the task list names job and batch")
        text = driver.find_element("tag name", "body").text
        assert "facequeue.embed_batch" in text
        assert "facequeue.aggregate" in text
        assert "SUCCESS" in text


def test_the_workers_page_shows_its_resources(flower: str) -> None:
    """The worker's page has CPU and memory from psutil."""
    name = next(iter(requests.get(f"{flower}/api/workers", timeout=10).json()))
    with chromium.browser() as driver:
        driver.get(f"{flower}/worker/{name}")
        wait_until(lambda: "rss_mib" in driver.page_source, 30, "the worker's page shows psutil's figures")
        assert "cpu_percent" in driver.page_source
        pane = driver.find_element(
            "xpath", "//*[contains(text(), 'rss_mib')]/ancestor::*[contains(@class, 'tab-pane')]"
        )
        assert pane.get_attribute("id")

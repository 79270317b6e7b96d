"""The HTML of a report: it escapes names, loads nothing from the network, and describes every picture."""

import base64
import hashlib
import re
from pathlib import Path

import numpy as np

from tests.support.report_pages import make_report, report_with, save_image
from tests.support.results_folders import make_results, people

HOSTILE = "<script>alert(1)</script>.jpg"


def test_hostile_names_are_text(tmp_path: Path) -> None:
    """They are text everywhere in the page and in the data for the scripts."""
    odd = [
        '"><img src=x onerror=alert(1)>.jpg',
        "</script><script>alert(2)</script>/a.jpg",
        "{{ 7 * 7 }}.jpg",
        "a'b&amp;.jpg",
    ]
    paths = [HOSTILE, *odd]
    bad = {"image": 9, "path": "<b>bad</b>.jpg", "outcome": "unreadable", "error": "<i>no</i>"}
    folder = make_results(
        tmp_path / "j", paths, np.tile(people(1, 1), (5, 1)), more=[bad], same_as={odd[3]: HOSTILE}, source="/<u>x</u>"
    )
    page = make_report(folder)
    assert [e.attributes.get("type") for e in page.all("script")] == ["application/json", None]
    assert not page.all("u") and not {(e.tag, e.text) for e in page.elements} & {("b", "bad"), ("i", "no")}
    assert all(str(e.attributes["src"]).startswith("data:") for e in page.all("img"))
    assert page.data["names"] == paths
    assert HOSTILE in page.text and "<b>bad</b>.jpg" in page.text and "/<u>x</u>" in page.text and odd[2] in page.text
    raw = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.source, re.S)
    assert raw and "<" not in raw[1]


def test_the_page_asks_nothing_of_the_network(tmp_path: Path) -> None:
    """There is no address, a policy forbids them, and scripts are allowed by hash only."""
    page = make_report(make_results(tmp_path / "j", ["a.jpg", "b.jpg"], people(1, 2)))
    assert not re.search(r"https?:|//[a-z]+\.|@import|url\(", page.source)
    policy = str(page.all("meta", http_equiv="Content-Security-Policy")[0].attributes["content"])
    assert "default-src 'none'" in policy and "img-src data:" in policy
    digest = base64.b64encode(hashlib.sha256(page.all("script")[-1].text.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert not [e for e in page.elements if any(name.startswith("on") for name in e.attributes)]


def test_every_picture_has_words(tmp_path: Path) -> None:
    """Thumbnails, heat map and charts have a description, and so has a missing picture."""
    save_image(tmp_path / "images" / "a.jpg")
    resources = {
        "w@host": [{"time": f"2026-01-31T12:00:0{k}.000+00:00", "cpu_percent": 50, "rss_mib": 100} for k in range(3)]
    }
    page = report_with(tmp_path, ["a.jpg", "b.jpg"], people(1, 2), resources=resources)
    assert len(page.all("img")) == 2 and all(e.attributes["alt"] for e in page.all("img"))
    labels = [str(e.attributes["aria-label"]) for e in page.elements if e.attributes.get("role") == "img"]
    assert all(labels) and any(label.startswith("Histogram of 1 distance") for label in labels)
    assert "No picture: Face 1, in b.jpg" in labels and any(label.startswith("CPU of w@host") for label in labels)
    assert all(e.attributes.get("aria-hidden") == "true" for e in page.all("svg"))

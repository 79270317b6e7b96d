"""Made-up results folders, and parsed reports."""

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from shared.domain.arrays import Float32
from shared.domain.contract import KNOWN_WEIGHTS, Contract
from shared.results.distances import Distances
from shared.results.schema import DIGEST_COLUMNS, FACE_COLUMNS, IMAGE_COLUMNS, SAMPLE_COLUMNS, samples_name

CONTRACT = Contract(
    faces="largest", mode="fast", margin_px=32, weights="casia-webface", weights_sha256=KNOWN_WEIGHTS["casia-webface"]
)
BOX = (10.0, 10.0, 50.0, 60.0)
SIZE = (100, 80)


def people(count: int, each: int, seed: int = 0, spread: float = 0.5) -> Float32:
    """Unit vectors [count * each, 128]: `each` faces of `count` people, one person after the other."""
    rng = np.random.default_rng(seed)
    centers = np.repeat(rng.standard_normal((count, 128)), each, axis=0)
    vectors = centers + spread * rng.standard_normal(centers.shape)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def make_results(
    folder: Path,
    paths: list[str],
    embeddings: Float32,
    *,
    more: list[dict[str, Any]] | None = None,
    matrix: bool = True,
    same_as: dict[str, str] | None = None,
    resources: dict[str, list[dict[str, Any]]] | None = None,
    photos: Path | None = None,
    boxes: Sequence[tuple[float, float, float, float]] | None = None,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    quality: dict[int, dict[str, Any]] | None = None,
    **summary: Any,
) -> Path:
    """Writes a results folder with these faces (a path that occurs twice has two). `more` are images without faces.

    Without `boxes` (one per face) and `sizes` (width and height by path), all have `BOX` and `SIZE`. `quality` has
    columns of faces.csv that some faces have otherwise. The digests of the files below `photos` are recorded: these are
    the files that were embedded.
    """
    folder.mkdir(parents=True)
    np.save(folder / "embeddings.npy", embeddings)
    if matrix:
        np.save(folder / "distances.npy", Distances(embeddings).among(np.arange(len(embeddings))))
    unique = list(dict.fromkeys(paths))
    faces = [
        {"face": k, "image": unique.index(path), "path": path, "probability": 0.99, "sharpness": 200.0}
        | dict(zip(("x1", "y1", "x2", "y2"), BOX if boxes is None else boxes[k], strict=True))
        | (quality or {}).get(k, {})
        for k, path in enumerate(paths)
    ]
    images = [
        {
            "image": k,
            "path": path,
            "outcome": "ok",
            "faces": paths.count(path),
            "same_as": (same_as or {}).get(path, ""),
        }
        | dict(zip(("width", "height"), (sizes or {}).get(path, SIZE), strict=True))
        for k, path in enumerate(unique)
    ] + (more or [])
    _write(folder / "faces.csv", FACE_COLUMNS, faces)
    _write(folder / "images.csv", IMAGE_COLUMNS, images)
    digests = [{"image": row["image"], "blake2b": _digest(photos, row["path"])} for row in images]
    _write(folder / "digests.csv", DIGEST_COLUMNS, digests)
    (folder / "resources").mkdir()
    for worker, samples in (resources or {}).items():
        _write(folder / "resources" / samples_name(worker), SAMPLE_COLUMNS, samples)
    values = {
        "job": folder.name,
        "source": "/nowhere/photos",
        "images": len(images),
        "faces": len(paths),
        "images_per_s": 12.5,
        "outcomes": {},
        "seconds": {"decode": 1.0, "detect": 2.0, "embed": 1.0},
        "workers": {},
        "contract": CONTRACT.as_dict(),
        "versions": {"facequeue": "0.1.0"},
        "started": "2026-01-31T12:00:00.000+00:00",
        "ended": "2026-01-31T12:00:10.000+00:00",
        "phases": {
            "distances_started": "2026-01-31T12:00:10.000+00:00",
            "distances_ended": "2026-01-31T12:00:12.000+00:00",
        },
    }
    (folder / "summary.json").write_text(json.dumps(values | summary))
    return folder


def _digest(photos: Path | None, path: str) -> str:
    if photos is None or not (photos / path).is_file():
        return ""
    return hashlib.blake2b((photos / path).read_bytes(), digest_size=16).hexdigest()


def _write(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@dataclass
class Element:
    """A tag with its attributes, and the text that follows it up to the next tag."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Page:
    """A report, parsed."""

    source: str
    elements: list[Element] = field(default_factory=list)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """The elements with this tag and these attributes; `class_` stands for `class`."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [e for e in self.elements if e.tag == tag and all(e.attributes.get(k) == v for k, v in wanted.items())]

    @property
    def text(self) -> str:
        """The visible text, as one line."""
        shown = [element.text for element in self.elements if element.tag not in ("script", "style")]
        return " ".join(" ".join(shown).split())

    @property
    def data(self) -> dict[str, Any]:
        """The data for the scripts."""
        return dict(json.loads(self.all("script", id="data")[0].text))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.elements.append(Element("/" + tag, {}))

    def handle_data(self, data: str) -> None:
        if self.elements:
            self.elements[-1].text += data


def read_page(path: Path) -> Page:
    """Parses the page at this path."""
    source = path.read_text(encoding="utf-8")
    reader = _Reader()
    reader.feed(source)
    return Page(source, reader.elements)

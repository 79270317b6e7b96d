"""Large reports of few faces: results with neighbors and thumbnails, and what the page's files hold."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from shared.analysis.near_pairs import near_neighbors
from shared.domain.arrays import Float32
from shared.domain.thumbnail import SIDE_PX, small_jpeg
from shared.report import build
from shared.report.build import ReportRequest, build_report
from shared.report.data_scripts import FUNCTION, UNIT
from shared.results.neighbors_file import NeighborsWriter
from shared.results.schema import NEIGHBORS, THUMBNAILS
from shared.results.thumbnail_file import ThumbnailWriter
from tests.support.results_folders import Page, make_results, people, read_page


def color_of(row: int) -> tuple[int, int, int]:
    """The color of a face's thumbnail."""
    return 40 + row * 37 % 200, 40 + row * 71 % 200, 40 + row * 113 % 200


def make_large_results(
    folder: Path, sizes: list[int], *, names: list[str] | None = None, pictured: int | None = None, **values: Any
) -> Path:
    """Results of people with so many photos each, one after the other: `000-00.jpg` and so on. The first `pictured`
    faces have thumbnails.
    """
    paths = names or [f"{person:03d}-{k:02d}.jpg" for person, size in enumerate(sizes) for k in range(size)]
    embeddings = faces_of(sizes)
    make_results(folder, paths, embeddings, matrix=False, **values)
    with NeighborsWriter(folder / NEIGHBORS, len(paths)) as file:
        file.add(near_neighbors(embeddings, 20, 1))
    with ThumbnailWriter(folder / THUMBNAILS, len(paths)) as jpegs:
        for row in range(len(paths) if pictured is None else pictured):
            jpegs.add(row, small_jpeg(Image.new("RGB", (SIDE_PX, SIDE_PX), color_of(row))))
    return folder


def faces_of(sizes: list[int]) -> Float32:
    """Embeddings of people with so many photos each, one after the other."""
    most = max(sizes)
    every = people(len(sizes), most, spread=0.25).reshape(len(sizes), most, -1)
    return np.concatenate([every[person, :size] for person, size in enumerate(sizes)])


@dataclass(frozen=True)
class LargePage:
    """A large report, parsed."""

    page: Page
    files: Path

    def content(self, kind: str, number: int = 0) -> Any:
        """What a script hands to the page."""
        text = (self.files / f"{kind}-{number + 1:04d}.js").read_text(encoding="ascii")
        begin = f'{FUNCTION}("{kind}",{number},'
        assert text.startswith(begin) and text.endswith(")\n")
        return json.loads(text[len(begin) : -2])

    def distances(self, packed: str) -> npt.NDArray[np.float64]:
        """The distances in a script."""
        return np.frombuffer(base64.b64decode(packed), "<u2") * UNIT


def make_large_page(folder: Path, monkeypatch: pytest.MonkeyPatch, most: int = 10, **request: Any) -> LargePage:
    """The report of results with more than `most` faces, as if these were many."""
    monkeypatch.setattr(build, "MAX_FACES", most)
    page = read_page(build_report(folder, None, ReportRequest(**request)))
    return LargePage(page, folder / page.data["files"])

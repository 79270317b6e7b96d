"""Reports of made-up results, and the pictures in them."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shared.domain.file_digests import image_digest
from shared.report.build import ReportRequest, build_report
from tests.support.results_folders import SIZE, Page, make_results, read_page


def make_report(folder: Path, images: Path | None = None, **options: Any) -> Page:
    return read_page(build_report(folder, images, ReportRequest(**options)))


def report_with(tmp_path: Path, paths: list[str], embeddings: np.ndarray, **values: Any) -> Page:
    """The report of a job with these faces, whose images are in `tmp_path/images`."""
    photos = tmp_path / "images"
    return make_report(make_results(tmp_path / "j", paths, embeddings, photos=photos, **values), photos)


def save_image(path: Path, size: tuple[int, int] = SIZE, color: str = "red", **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path, **options)


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return image_digest(file)


def picture_of(page: Page, face: int) -> Image.Image | None:
    shown = [e for e in page.all("img") if str(e.attributes["alt"]).startswith(f"Face {face},")]
    if not shown:
        return None
    return Image.open(io.BytesIO(base64.b64decode(str(shown[0].attributes["src"]).split(",", 1)[1])))

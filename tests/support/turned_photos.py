"""Photos that are turned by EXIF, with a red rectangle in place of a face, and their results."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from tests.support.results_folders import make_results, people

UPRIGHT = (120, 80)
"""Width and height of every photo as it is seen."""
FACE = (70, 10, 100, 50)
"""Left, top, right, bottom of the face in it."""
ORIENTATIONS = range(1, 9)
_STORED_BY = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def save_photo(path: Path, orientation: int) -> None:
    """Saves a photo so that programs turn it by this orientation."""
    image = Image.new("RGB", UPRIGHT, "white")
    image.paste("red", FACE)
    if orientation in _STORED_BY:
        image = image.transpose(_STORED_BY[orientation])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, "JPEG", quality=95, subsampling=0, exif=exif)


def red_box(image: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is red in an image."""
    pixels = np.asarray(image.convert("RGB")).astype(int)
    rows, columns = np.nonzero((pixels[..., 0] > 128) & (pixels[..., 1] < 128))
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def results_of_photos(folder: Path, photos: Path, paths: Sequence[str], **more: object) -> Path:
    """Results of photos with one face each. Each face is another person."""
    return make_results(
        folder,
        list(paths),
        people(len(paths), 1),
        photos=photos,
        boxes=[tuple(map(float, FACE))] * len(paths),
        sizes=dict.fromkeys(paths, UPRIGHT),
        **({"source": str(photos)} | more),
    )


def save_people(path: Path, names: Iterable[tuple[str, str]]) -> Path:
    """A `people.csv` that names the only face of each of these images."""
    lines = ["kind,image,person", *(f'person,"{_doubled(image)}","{_doubled(name)}"' for image, name in names)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _doubled(text: str) -> str:
    return text.replace('"', '""')

"""Many thumbnails in one JPEG: a browser opens one file for 400 faces."""

from io import BytesIO
from pathlib import Path

from PIL import Image

from shared.domain.pixels import to_rgb

CELL_PX = 80
"""Side of a thumbnail on a sheet: a multiple of 16, so that no block of the JPEG has pixels of two faces."""
COLUMNS = ROWS = 20
"""Of a sheet: its 1,600 x 1,600 pixels take 10 MB in a browser."""
CELLS = COLUMNS * ROWS
_QUALITY = 74
_MOST_PX = 1024  # side of a thumbnail that is decoded


class SpriteSheets:
    """Writes `sheet-0001.jpg` and so on into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self._sheet: Image.Image | None = None

    def add(self, jpeg: bytes) -> int | None:
        """Adds a thumbnail and returns its number, counted from 0; None if it is damaged."""
        cell = _cell(jpeg)
        if cell is None:
            return None
        at = self._count % CELLS
        if self._sheet is None:
            self._sheet = Image.new("RGB", (COLUMNS * CELL_PX, ROWS * CELL_PX))
        self._sheet.paste(cell, (at % COLUMNS * CELL_PX, at // COLUMNS * CELL_PX))
        self._count += 1
        if at == CELLS - 1:
            self.finish()
        return self._count - 1

    def finish(self) -> None:
        """Writes the last sheet."""
        if self._sheet is not None:
            name = sheet_name((self._count - 1) // CELLS)
            self._sheet.save(self._folder / name, "JPEG", quality=_QUALITY, optimize=True)
            self._sheet = None


def sheet_name(number: int) -> str:
    """The file name of a sheet, counted from 0."""
    return f"sheet-{number + 1:04d}.jpg"


def _cell(jpeg: bytes) -> Image.Image | None:
    try:
        with Image.open(BytesIO(jpeg), formats=["JPEG"]) as image:
            if max(image.size) > _MOST_PX:
                return None
            rgb = to_rgb(image)
            return rgb if rgb.size == (CELL_PX, CELL_PX) else rgb.resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS)
    except Exception:  # a damaged file: Pillow's readers raise nearly anything
        return None

"""The data of a large report as scripts beside it: a page that was opened from a disk may load nothing else."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

UNIT = 2 / 65535
"""Distances are stored as uint16 in steps of this: 0.00003."""
FUNCTION = "facequeueReport"
"""The page's function that a script calls."""


def write_script(folder: Path, kind: str, number: int, content: Any) -> None:
    """Writes `<kind>-0001.js` (for number 0), which hands `content` to the page."""
    values = f'"{kind}",{number},{as_script(content)}'
    (folder / f"{kind}-{number + 1:04d}.js").write_text(f"{FUNCTION}({values})\n", encoding="ascii")


def as_script(content: Any) -> str:
    """The value as JSON that is also JavaScript, and has neither markup nor line separators."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)  # all beyond ASCII is escaped
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def steps(distances: npt.NDArray[Any]) -> str:
    """Distances up to 2 as uint16 in base64, in steps of `UNIT`."""
    return packed((np.clip(distances, 0, 2).astype(np.float64) / UNIT).round(), "<u2")


def packed(values: npt.NDArray[Any], dtype: str) -> str:
    """The values as little-endian numbers in base64."""
    return base64.b64encode(values.astype(dtype).tobytes()).decode()

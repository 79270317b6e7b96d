"""A worker whose pipeline is simulated: `python -m benchmarks.simulated_worker ...` takes the arguments of
`python -m worker`.

Everything but decoding, detecting and embedding is a worker's. A face's embedding is a function of its path. An image
takes `SIMULATED_IMAGE_S` seconds (0 without it), without using the processor.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from shared.domain.arrays import Float32
from shared.domain.embedders import FACENET
from shared.domain.file_status import FileStatus
from shared.domain.outcomes import Outcome
from shared.domain.paths import RootPath
from shared.domain.thumbnail import SIDE_PX
from worker.batch_result import ImageRecord
from worker.vision.pipeline import Result

CENTERS = 50_000
_IMAGE_S = float(os.environ.get("SIMULATED_IMAGE_S", "0"))
_SPREAD = np.float32(0.6)  # faces of a center are 0.6 to 0.9 apart, others 1.4
_FACE = [10.0, 10.0, 110.0, 130.0, 0.9999, 40.0, 60.0, 80.0, 60.0, 60.0, 80.0, 45.0, 100.0, 75.0, 100.0]
_FACE += [100.0, 50.0, 0.0, 0.0, 1.0]  # quality


def center_of(path: RootPath) -> int:
    """The center that the face in this file was drawn around."""
    return _hash(path) % CENTERS


def embedding_of(path: RootPath) -> Float32:
    """[512], of length 1."""
    face = _direction(center_of(path)) + _SPREAD * _direction(_hash(path))
    length: Float32 = face / np.linalg.norm(face)
    return length


def _hash(path: RootPath) -> int:
    return int.from_bytes(hashlib.blake2b(path.encode(), digest_size=6).digest())


def _direction(seed: int) -> Float32:
    return np.random.Generator(np.random.SFC64(seed)).standard_normal(FACENET.dimensions, np.float32)


@lru_cache
def _thumbnail(shade: int) -> bytes:
    out = BytesIO()
    noise = np.random.default_rng(shade).integers(0, 256, (SIDE_PX // 4, SIDE_PX // 4, 3), np.uint8)
    Image.fromarray(noise).resize((SIDE_PX, SIDE_PX)).save(out, "JPEG", quality=72)
    return out.getvalue()


def simulate_images(
    root: Path,
    paths: Iterable[RootPath],
    *_: Any,
    status: Callable[[RootPath], FileStatus],
    thumbnails: bool,
    step: Callable[[], None],
    **__: Any,
) -> list[Result]:
    """As `worker.vision.pipeline.process_images`: one face in each image."""
    results = []
    for path in paths:
        step()
        time.sleep(_IMAGE_S)
        size, mtime_ns = status(path)
        record = ImageRecord(
            path=path,
            outcome=Outcome.OK,
            faces=[list(_FACE)],
            digest=f"{_hash(path):032x}",
            size=size,
            mtime_ns=mtime_ns,
            width=640,
            height=480,
            decode_ms=5.0,
            detect_ms=20.0,
            embed_ms=30.0,
            thumbnails=[_thumbnail(center_of(path) % 64)] if thumbnails else [],
        )
        results.append(Result(record, embedding_of(path)[np.newaxis]))
    return results


if __name__ == "__main__":
    from worker.__main__ import main
    from worker.execution import batch_runner
    from worker.models import loader

    vars(batch_runner)["process_images"] = simulate_images
    vars(loader).update(
        result_of_check=lambda settings: (loader.preloaded_folders(settings)[0], {}),
        load_networks=lambda *arguments, **named: None,
    )
    main()

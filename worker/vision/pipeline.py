"""Computes a batch: read, decode, detect, crop, embed. Knows nothing of queues or servers."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from shared.domain.arrays import Float32
from shared.domain.contract import MIN_FACE_PX, Contract
from shared.domain.errors import OutsideDataRoot
from shared.domain.file_status import FileStatus
from shared.domain.outcomes import Outcome
from shared.domain.paths import RootPath, resolve_inside
from shared.domain.thumbnail import crop_square, small_jpeg
from worker.batch_result import ImageRecord
from worker.vision.best_face_search import detect_best
from worker.vision.decode import ImageTrouble, Limits, decode, read_bytes
from worker.vision.face_crops import cut_crop
from worker.vision.face_quality import measure_quality
from worker.vision.face_selection import choose_faces
from worker.vision.integral_image import IntegralImage, SumsBuffer
from worker.vision.mtcnn_cascade import Detector, Faces, detect_faces

# The embedder's forward pass takes at most this many crops, so that a picture of a crowd does not need gigabytes.
_CROPS_A_PASS = 32
_LENGTH_ERROR = 1e-3
# A picture of a crowd would make a block large: the report cuts its thumbnails itself.
MOST_THUMBNAILS = 16
"""An image with more faces has no thumbnails."""
UNLISTED_FOLDER = "a folder that cannot be listed; the files in it are not known"
NAMED_FOLDER = "a folder, not a file"
"""The reason for a folder in a list of files. A folder walk marks those that it cannot list with a `/` at the end."""


class _Memory(threading.local):
    """What each thread uses for one image after another."""

    def __init__(self) -> None:
        self.buffer = SumsBuffer()


_OWN = _Memory()


class Networks(Detector, Protocol):
    """The detector's networks and the embedder."""

    crop_px: int
    """Side of the embedder's square input."""

    def embed(self, crops: Float32) -> Float32:
        """[n, 3, crop_px, crop_px] -> [n, dimensions], L2-normalized; the bits of a row do not depend on its neighbors.

        `worker.vision.face_crops.cut_crop` makes the crops.
        """


@dataclass
class Result:
    """What became of one image."""

    record: ImageRecord
    embeddings: Float32
    """[faces, dimensions], rows in the order of the record's faces."""


def process_images(
    root: Path,
    paths: Iterable[RootPath],
    networks: Networks,
    contract: Contract,
    limits: Limits,
    *,
    read: Callable[[RootPath], bytes] | None = None,
    status: Callable[[RootPath], FileStatus] = lambda path: FileStatus(),
    recall: Callable[[str], Result | None] = lambda digest: None,
    thumbnails: bool = False,
    step: Callable[[], None] = lambda: None,
) -> list[Result]:
    """One result an image, in the same order.

    `read` gives the bytes of a path's file where they are not below `root` on this disk, and `status` its size and
    time. `recall` may know the result
    of a file from its digest (under the same contract). With `thumbnails`, records hold those of their faces. `step` is
    called before each image and each pass of the embedder, and may raise to give up.
    """
    results: list[Result] = []
    waiting: list[tuple[Result, list[Float32]]] = []
    for path in paths:
        step()
        record = ImageRecord(path=path, outcome=Outcome.OK)
        result = Result(record, np.empty((0, contract.dimensions), np.float32))
        results.append(result)
        try:
            started = time.perf_counter()
            # Before the bytes are read: a file that changes meanwhile is then noticed later.
            record.size, record.mtime_ns = status(path)
            data = read_file(root, path, limits) if read is None else read(path)
            record.size = len(data)
            record.digest = hashlib.blake2b(data, digest_size=16).hexdigest()
            known = recall(record.digest)
            # Another worker's limit may have been higher.
            if known is not None and known.record.width * known.record.height <= limits.max_pixels:
                cut = known.record.thumbnails if thumbnails else []
                result.record = replace(
                    known.record,
                    path=path,
                    digest=record.digest,
                    size=record.size,
                    mtime_ns=record.mtime_ns,
                    recalled=True,
                    thumbnails=cut,
                )
                result.embeddings = known.embeddings
                continue
            crops = _find_crops(data, record, networks, contract, limits, started, thumbnails=thumbnails)
            waiting.append((result, crops))
        except ImageTrouble as trouble:
            record.outcome, record.error = trouble.outcome, str(trouble)
        except (OutsideDataRoot, OSError) as error:
            record.outcome, record.error = Outcome.UNREADABLE, _reason(error)
    _embed(waiting, networks, contract.mirror, step)
    return results


def _reason(error: OutsideDataRoot | OSError) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror or type(error).__name__}"
    return str(error)


def read_file(root: Path, relative: RootPath, limits: Limits) -> bytes:
    """The bytes of a file below `root`. ImageTrouble, OSError or OutsideDataRoot says why there are none."""
    path = resolve_inside(root, relative)
    if path.is_dir():
        raise ImageTrouble(Outcome.UNREADABLE, UNLISTED_FOLDER if relative.endswith("/") else NAMED_FOLDER)
    return read_bytes(path, limits)


def _find_crops(
    data: bytes,
    record: ImageRecord,
    networks: Networks,
    contract: Contract,
    limits: Limits,
    started: float,
    *,
    thumbnails: bool,
) -> list[Float32]:
    image = decode(data, limits)
    record.width, record.height = image.size
    decoded = time.perf_counter()
    record.decode_ms = (decoded - started) * 1000
    try:
        if min(image.size) < MIN_FACE_PX:
            raise ImageTrouble(Outcome.NO_FACE, f"smaller than the smallest face ({MIN_FACE_PX} px)")
        faces = _detect(IntegralImage(np.asarray(image), _OWN.buffer), networks, contract)
        chosen = choose_faces(faces, contract.faces, image.width, image.height)
        if len(chosen) == 0:
            raise ImageTrouble(Outcome.NO_FACE, "")
        boxes = faces.boxes[chosen]
        places = faces.landmarks[chosen]
        crops = [cut_crop(image, box, points, contract) for box, points in zip(boxes, places, strict=True)]
        quality = [measure_quality(image, box, points) for box, points in zip(boxes, places, strict=True)]
        if thumbnails and len(boxes) <= MOST_THUMBNAILS:
            squares = (crop_square(image, (x1, y1, x2, y2)) for x1, y1, x2, y2 in boxes.tolist())
            record.thumbnails = [small_jpeg(square) for square in squares]
    finally:
        record.detect_ms = (time.perf_counter() - decoded) * 1000
    figures = [boxes, faces.probabilities[chosen], places.reshape(-1, 10), np.array(quality)]
    record.faces = np.column_stack(figures).astype(float).tolist()
    return crops


def _detect(image: IntegralImage, networks: Networks, contract: Contract) -> Faces:
    if contract.mode == "exact" or contract.faces == "all":
        return detect_faces(image, networks)
    return detect_best(image, contract.faces, networks)


def embed_crops(crops: Float32, networks: Networks, *, mirror: bool) -> Float32:
    """[n, 3, crop_px, crop_px] -> [n, dimensions], L2-normalized; with `mirror` each row is the mean of the crop's and
    its mirror image's.
    """
    embeddings = networks.embed(crops)
    if not mirror:
        return embeddings
    both = embeddings + networks.embed(np.ascontiguousarray(crops[..., ::-1]))
    averaged: Float32 = both / np.linalg.norm(both, axis=1, keepdims=True)
    return averaged


def _embed(
    waiting: list[tuple[Result, list[Float32]]], networks: Networks, mirror: bool, step: Callable[[], None]
) -> None:
    """Embeds the crops of several images together, and hands each image its rows."""
    crops = [crop for _, of_one in waiting for crop in of_one]
    if not crops:
        return
    started = time.perf_counter()
    parts = []
    for first in range(0, len(crops), _CROPS_A_PASS):
        step()
        parts.append(embed_crops(np.stack(crops[first : first + _CROPS_A_PASS]), networks, mirror=mirror))
    face_ms = (time.perf_counter() - started) * 1000 / len(crops)
    rows = np.concatenate(parts)
    for result, of_one in waiting:
        embeddings, rows = rows[: len(of_one)], rows[len(of_one) :]
        record = result.record
        record.embed_ms = face_ms * len(of_one)
        if (np.abs(np.linalg.norm(embeddings, axis=1) - 1) < _LENGTH_ERROR).all():
            result.embeddings = embeddings
        else:  # only a model of the user's own does that
            record.outcome, record.error = Outcome.UNREADABLE, "the model gives a face in it no embedding"
            record.faces, record.thumbnails = [], []

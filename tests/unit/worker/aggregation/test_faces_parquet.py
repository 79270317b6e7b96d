"""`faces.parquet` says what faces.csv, images.csv and embeddings.npy say, in the same bytes every time."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from shared.domain.outcomes import Outcome
from shared.results.schema import FACE_COLUMNS
from tests.support.made_up_blocks import CONTRACT, sealed_job, write_job
from tests.support.results import rows_of
from worker.aggregation import results_writer
from worker.batch_result import Block, ImageRecord


def _images(count: int) -> list[ImageRecord]:
    """Images with 0 to 2 faces; every seventh is damaged."""
    images = []
    for k in range(count):
        faces = [[k + 0.123456789, 2.0, 30.5, 40.0, 0.98765432 + j / 1000, *[9.5] * 15] for j in range(k % 3)]
        record = ImageRecord(path=f"é/{k}.jpg", outcome=Outcome.OK if faces else Outcome.NO_FACE, faces=faces)
        record.width, record.height = 640 + k, 480
        if k % 7 == 6:
            record = ImageRecord(path=record.path, outcome=Outcome.UNREADABLE, error="damaged")
        images.append(record)
    return images


def _embeddings(images: list[ImageRecord]) -> np.ndarray:
    rows = [
        np.random.default_rng(abs(hash(image.faces[0][0]))).random((len(image.faces), 512))
        for image in images
        if image.faces
    ]
    return np.concatenate([np.empty((0, 512)), *rows]).astype(np.float32)


def _blocks(images: list[ImageRecord], size: int) -> list[bytes]:
    return [
        Block(
            batch=start // size,
            attempt=1 + start % 2,
            worker=f"w{size}",
            started_ms=start,
            ended_ms=900,
            commit_ms=0,
            images=images[start : start + size],
            embeddings=_embeddings(images[start : start + size]),
        ).pack()
        for start in range(0, len(images), size)
    ]


def _write(folder: Path, images: list[ImageRecord], batch_size: int) -> Path:
    job = replace(sealed_job(sum(len(image.faces) for image in images), "none"), images=len(images))
    write_job(job, _blocks(images, batch_size), folder)
    return folder / "j"


def test_it_agrees_with_the_other_files(tmp_path: Path) -> None:
    """The columns of faces.csv, outcome and size of the image, the embedding, and the contract."""
    folder = _write(tmp_path, _images(40), 16)
    table = pyarrow.parquet.read_table(folder / "faces.parquet")
    rows, faces = table.drop_columns(["embedding"]).to_pylist(), rows_of(folder / "faces.csv")
    images = rows_of(folder / "images.csv")
    assert len(rows) == len(faces) > 20
    for row, face in zip(rows, faces, strict=True):
        assert [type(row[column])(face[column]) for column in FACE_COLUMNS] == [row[column] for column in FACE_COLUMNS]
        image = images[row["image"]]
        assert [row["outcome"], str(row["width"]), str(row["height"])] == [
            image[column] for column in ("outcome", "width", "height")
        ]
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float not null>[512]"
    embeddings = np.stack(table["embedding"].to_numpy())
    assert np.array_equal(embeddings, np.load(folder / "embeddings.npy")) and embeddings.dtype == np.float32
    summary = json.loads((folder / "summary.json").read_text())
    assert json.loads(table.schema.metadata[b"facequeue.contract"]) == summary["contract"] == CONTRACT.as_dict()


def test_the_bytes_depend_on_the_faces_alone(tmp_path: Path) -> None:
    """Not on batches, workers or attempts; nor on whether some of the images were retried."""
    images = _images(7000)  # more than one row group
    once = (_write(tmp_path / "once", images, 16) / "faces.parquet").read_bytes()
    again = (_write(tmp_path / "again", images, 999) / "faces.parquet").read_bytes()
    assert once == again
    assert pyarrow.parquet.ParquetFile(tmp_path / "once" / "j" / "faces.parquet").metadata.num_row_groups == 2

    failed = [
        image if k % 5 else ImageRecord(path=image.path, outcome=Outcome.TIMEOUT) for k, image in enumerate(images)
    ]
    folder = _write(tmp_path / "retried", failed, 16)
    assert (folder / "faces.parquet").read_bytes() != once
    retried = {k: image.path for k, image in enumerate(images) if k % 5 == 0}
    job = replace(sealed_job(sum(len(image.faces) for image in images), "none"), images=len(images), retries=1)
    results_writer.write_results(
        job,
        _blocks([images[k] for k in retried], 16),
        retried,
        tmp_path / "retried",
        resources=dict,
        threads=1,
        distances_max_bytes=2**30,
        may_publish=lambda: True,
    )
    assert (folder / "faces.parquet").read_bytes() == once


def test_without_faces_it_is_empty(tmp_path: Path) -> None:
    """The columns are there."""
    table = pyarrow.parquet.read_table(_write(tmp_path, _images(1), 16) / "faces.parquet")
    assert table.num_rows == 0 and table.column_names[-1] == "embedding"


def test_without_pyarrow_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else is written."""
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    folder = _write(tmp_path, _images(40), 16)
    assert not (folder / "faces.parquet").exists() and len(rows_of(folder / "faces.csv")) > 20

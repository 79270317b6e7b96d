"""The cost of comparing a folder with earlier results."""

import csv
import sqlite3
from io import BytesIO
from pathlib import Path

import pytest

from producer.submission.folder_source import FolderSource
from producer.submission.update_plan import UpdatePlan
from shared.domain.file_digests import image_digest
from shared.results.schema import DIGEST_COLUMNS, DIGESTS, IMAGE_COLUMNS, IMAGES

SIZE = 12


def _results(folder: Path, photos: Path, moved_from: str) -> None:
    """Tables as if these photos had been embedded when they were in another folder."""
    folder.mkdir()
    with (folder / IMAGES).open("w") as images, (folder / DIGESTS).open("w") as digests:
        tables = csv.DictWriter(images, IMAGE_COLUMNS), csv.DictWriter(digests, DIGEST_COLUMNS)
        for table in tables:
            table.writeheader()
        for number, photo in enumerate(sorted(photos.iterdir())):
            tables[0].writerow({"image": number, "path": f"{moved_from}/{photo.name}", "outcome": "ok", "faces": 1})
            tables[1].writerow(
                {"image": number, "blake2b": image_digest(BytesIO(photo.read_bytes())), "size": SIZE, "mtime_ns": 1}
            )


def _steps_of_comparing(folder: Path, count: int, different: int, patch: pytest.MonkeyPatch) -> int:
    """The steps that the database takes for a folder whose files were all moved, and are equally large."""
    photos = folder / "new"
    photos.mkdir(parents=True)
    for number in range(count):
        (photos / f"{number:06}.bmp").write_bytes(f"{number % different:0{SIZE}}".encode())
    _results(folder / "results", photos, "old")
    steps, connect = 0, sqlite3.connect

    def counted(*arguments: object, **named: object) -> sqlite3.Connection:
        database = connect(*arguments, **named)  # type: ignore[call-overload]

        def step() -> int:
            nonlocal steps
            steps += 1
            return 0

        database.set_progress_handler(step, 100)
        assert isinstance(database, sqlite3.Connection)
        return database

    with patch.context() as patched:
        patched.setattr(sqlite3, "connect", counted)
        plan = UpdatePlan(FolderSource.open(photos), folder / "results")
    assert plan.counts.known == plan.counts.moved == count
    return steps


@pytest.mark.parametrize("copies", [1, 200])
def test_moved_files_of_one_size_are_found_in_linear_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: int
) -> None:
    """As uncompressed images have one size; and many copies of each file."""
    once = _steps_of_comparing(tmp_path / "once", 400, 400 // copies, monkeypatch)
    twice = _steps_of_comparing(tmp_path / "twice", 1600, 1600 // copies, monkeypatch)
    assert twice < 6 * once

"""A worker process's reader of members: how often it opens an archive, and what it says about one that has changed."""

import os
import random
from pathlib import Path
from typing import Any

import pytest

from producer.submission.archive_members import find_members
from shared.archives import opening
from shared.domain.errors import OutsideDataRoot
from shared.domain.outcomes import Outcome
from shared.domain.paths import FolderPath, RootPath
from shared.domain.stretch import Stretch
from tests.support.archives import archive_bytes
from worker.execution import member_reader
from worker.execution.member_reader import MemberReader
from worker.vision.decode import ImageTrouble, Limits

LIMITS = Limits(1 << 20, 1 << 20)
MEMBERS = {f"{k}.jpg": random.Random(k).randbytes(1000) for k in range(20)}
Batch = tuple[Stretch, list[RootPath]]


class Opened:
    """Counts how often archives are opened and bytes are skipped."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.archives = self.beats = 0

        class Counted(opening.OpenArchive):
            def __init__(inner, *arguments: Any) -> None:  # noqa: N805
                self.archives += 1
                super().__init__(*arguments)

        monkeypatch.setattr(member_reader, "OpenArchive", Counted)

    def beat(self) -> None:
        """Counts a MiB that was skipped."""
        self.beats += 1


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Counts from here on."""
    return Opened(monkeypatch)


def _batches(root: Path, archive: str, size: int = 4) -> list[Batch]:
    found = list(find_members(root, FolderPath(archive)))
    batches = []
    for first in range(0, len(found), size):
        members = [image.member for image in found[first : first + size] if image.member is not None]
        places = [member.place for member in members]
        stretch = Stretch(archive=RootPath(archive), size=members[0].size, mtime_ns=members[0].mtime_ns, places=places)
        batches.append((stretch, [RootPath(image.path) for image in found[first : first + size]]))
    return batches


def _read(reader: MemberReader, root: Path, batch: Batch, opened: Opened) -> list[bytes | str]:
    results: list[bytes | str] = []
    for path, place in zip(batch[1], batch[0].places, strict=True):
        try:
            results.append(reader.read(root, path, batch[0], place, LIMITS, opened.beat))
        except ImageTrouble as trouble:
            results.append(f"{trouble.outcome}: {trouble}")
    return results


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.zst", ".zip"])
def test_an_archive_is_opened_once_however_the_batches_come(tmp_path: Path, opened: Opened, suffix: str) -> None:
    """Except to go backward in a compressed one. Batches that other processes take are skipped."""
    (tmp_path / f"a{suffix}").write_bytes(archive_bytes(suffix, MEMBERS))
    batches, reader = _batches(tmp_path, f"a{suffix}"), MemberReader()
    for k in (0, 1, 3, 4):
        wanted = [MEMBERS[path.split("/")[1]] for path in batches[k][1]]
        assert _read(reader, tmp_path, batches[k], opened) == wanted
    assert opened.archives == 1
    assert _read(reader, tmp_path, batches[2], opened) == list(MEMBERS.values())[8:12]
    assert opened.archives == (1 if suffix in (".tar", ".zip") else 2)


def test_skipping_much_is_reported_meanwhile(tmp_path: Path, opened: Opened) -> None:
    """The time limit of an image does not include it."""
    members = {"large.bin": bytes(8 << 20), "a.jpg": b"1" * 100}
    (tmp_path / "a.tar.gz").write_bytes(archive_bytes(".tar.gz", members))
    _, last = _batches(tmp_path, "a.tar.gz", 1)
    assert _read(MemberReader(), tmp_path, last, opened) == [b"1" * 100]
    assert opened.beats >= 8


def test_an_archive_that_changes_between_batches_is_told_apart(tmp_path: Path, opened: Opened) -> None:
    """Replaced, or rewritten in place with the same size and another time."""
    path = tmp_path / "a.tar"
    path.write_bytes(archive_bytes(".tar", MEMBERS))
    batches, reader = _batches(tmp_path, "a.tar"), MemberReader()
    assert _read(reader, tmp_path, batches[0], opened) == list(MEMBERS.values())[:4]
    os.utime(path, ns=(0, 5))
    assert _read(reader, tmp_path, batches[1], opened) == ["unreadable: a.tar has changed since the job was made"] * 4
    path.unlink()
    with pytest.raises(FileNotFoundError):
        _read(reader, tmp_path, batches[2], opened)


def test_nothing_outside_the_data_root_is_opened(tmp_path: Path, opened: Opened) -> None:
    """Neither through a link that replaces the archive, nor when a member is looked for by name."""
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "a.tar").write_bytes(archive_bytes(".tar", MEMBERS))
    batches = _batches(tmp_path, "a.tar")
    (root / "a.tar").symlink_to(tmp_path / "a.tar")
    reader = MemberReader()
    with pytest.raises(OutsideDataRoot):
        _read(reader, root, batches[0], opened)
    for path in ("a.tar/0.jpg", "a.tar"):
        with pytest.raises(OutsideDataRoot):
            reader.find(root, RootPath(path), LIMITS, opened.beat)
    assert opened.archives == 0


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".zip"])
def test_members_are_found_by_name_in_one_pass(tmp_path: Path, opened: Opened, suffix: str) -> None:
    """In the archive's order; one that comes before needs a second pass, and one that is gone has its reason."""
    (tmp_path / f"a{suffix}").write_bytes(archive_bytes(suffix, MEMBERS))
    reader = MemberReader()

    def find(name: str) -> bytes:
        return reader.find(tmp_path, RootPath(f"a{suffix}/{name}"), LIMITS, opened.beat)

    for name in ("3.jpg", "4.jpg", "9.jpg", "17.jpg"):
        assert find(name) == MEMBERS[name]
    assert opened.archives == 1
    assert find("2.jpg") == MEMBERS["2.jpg"]
    assert opened.archives == 2
    with pytest.raises(ImageTrouble, match="not in the archive any more") as raised:
        find("gone.jpg")
    assert raised.value.outcome is Outcome.UNREADABLE
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff file")
    assert reader.find(tmp_path, RootPath("b.jpg"), LIMITS, opened.beat) == b"\xff\xd8\xff file"


def test_a_member_that_is_too_large_is_not_read(tmp_path: Path, opened: Opened) -> None:
    """Nor is one that is no image. The next one is read."""
    members = {"a.jpg": bytes(2 << 20), "b.txt": bytes(2 << 20), "c.jpg": b"1" * 40}
    (tmp_path / "a.zip").write_bytes(archive_bytes(".zip", members))
    (batch,) = _batches(tmp_path, "a.zip")
    large, text, small = _read(MemberReader(), tmp_path, batch, opened)
    assert large == "too_large: file of 2 MiB, the limit is 1 MiB"
    assert text == "skipped: neither an image extension nor an image signature"
    assert small == b"1" * 40

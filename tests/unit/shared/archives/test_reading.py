"""Archives of every kind and with every kind of damage: each member is read whole, or there is a reason."""

import io
import os
import random
import struct
import tarfile
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import pytest
import zstandard

from shared.archives import streams
from shared.archives.members import ArchiveError, DistinctNames, named_members, relative_name
from shared.archives.opening import OpenArchive, archive_of
from shared.archives.streams import Backward
from tests.support.archives import COMPRESSED, archive_bytes, read_archive, tar_bytes, zip_bytes

KINDS = [*COMPRESSED, ".zip"]
MEMBERS = {f"folder/{k}-{'long' * 70 if k == 3 else 'n'}.jpg": random.Random(k).randbytes(3000 * k) for k in range(9)}


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_read_in_order_and_again_at_their_places(kind: str, tmp_path: Path) -> None:
    """A place that was passed needs a new reader in a compressed tar, and only there."""
    path = _write(tmp_path / f"a{kind}", archive_bytes(kind, MEMBERS))
    assert read_archive(path) == (MEMBERS, None)
    with OpenArchive(path) as archive:
        members = list(archive.reader.members())
    assert [member.name for member in members] == list(MEMBERS)
    for start in (0, 4):
        with OpenArchive(path) as archive:
            for member in members[start:]:
                assert archive.reader.open(archive.reader.member_at(member.place)).read() == MEMBERS[member.name]
            if kind in (".tar", ".zip"):
                archive.reader.member_at(members[0].place)
            else:
                with pytest.raises(Backward):
                    archive.reader.member_at(members[0].place)


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_tar_is_read(format: int, tmp_path: Path) -> None:
    """Names that are long or not UTF-8 included, where the format has them."""
    names = ["a.jpg", "d\u00e9j\u00e0.jpg"]
    if format != tarfile.USTAR_FORMAT:
        names += ["n" * 300 + ".jpg", os.fsdecode(b"\xff\xfe.jpg")]
    members = {name: name.encode("utf-8", "surrogateescape") for name in names}
    assert read_archive(_write(tmp_path / "a.tar", tar_bytes(members, format))) == (members, None)


def test_only_regular_files_that_are_not_hidden_are_members(tmp_path: Path) -> None:
    """Links, devices, folders and hidden files are left out; empty files are not."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, kind in (
            ("folder", tarfile.DIRTYPE),
            ("soft.jpg", tarfile.SYMTYPE),
            ("hard.jpg", tarfile.LNKTYPE),
            ("device.jpg", tarfile.CHRTYPE),
            ("pipe.jpg", tarfile.FIFOTYPE),
            (".hidden.jpg", tarfile.REGTYPE),
            ("__MACOSX/._a.jpg", tarfile.REGTYPE),
            ("./a.jpg", tarfile.REGTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    assert read_archive(_write(tmp_path / "a.tar", target.getvalue())) == ({"a.jpg": b""}, None)
    link = zipfile.ZipInfo("link.jpg")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("folder/", b"")
        archive.writestr("folder/a.jpg", b"1")
    assert read_archive(_write(tmp_path / "a.zip", target.getvalue())) == ({"folder/a.jpg": b"1"}, None)


def test_names_are_data(tmp_path: Path) -> None:
    """A name that leads out, begins with `/` or occurs again is shown as a path below the archive, and only once."""
    names = ["../../etc/passwd", "/etc/passwd", "a.jpg", "a.jpg", "./a.jpg", "a#4.jpg", "b//c\n.jpg", "..", "/", "."]
    shown = ["__/__/etc/passwd", "etc/passwd", "a.jpg", "a#4.jpg", "a#5.jpg", "a#4#6.jpg", "b/c\n.jpg", "__"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of names that occur again
        for make, suffix in ((tar_bytes, ".tar"), (zip_bytes, ".zip")):
            members = [(name, str(k).encode()) for k, name in enumerate(names)]
            if make is zip_bytes:  # there it is a folder
                members.remove(("/", b"8"))
            found, trouble = read_archive(_write(tmp_path / f"a{suffix}", make(members)))
            assert (list(found), trouble) == (shown, None)
            assert list(found.values()) == [str(k).encode() for k in range(8)]
    assert relative_name("a\0b.jpg") == "a\\x00b.jpg"
    assert len(os.fsencode(relative_name("\u00e9" * 10_000) or "")) == 4096 + 32
    assert relative_name("\u00e9" * 10_000) != relative_name("\u00e9" * 10_001)


def test_distinct_names_take_the_same_memory_for_any_number() -> None:
    """Of 20,000 names, none that is new gets another, and each that occurs again does."""
    names = DistinctNames()
    tracemalloc.start()
    try:
        assert all(names.distinct(f"{k}.jpg") == f"{k}.jpg" for k in range(20_000))
        assert all(names.distinct(f"{k}.jpg") == f"{k}#{20_001 + k}.jpg" for k in range(1000))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [".tar", ".tar.gz", ".tar.xz", ".tar.zst"])
def test_a_tar_that_is_cut_short_gives_its_members_up_to_there(kind: str, tmp_path: Path) -> None:
    """Wherever it is cut: whole members come, and then the reason."""
    wanted = {name: data * 20 for name, data in MEMBERS.items()} if kind == ".tar.zst" else MEMBERS  # in several blocks
    whole = archive_bytes(kind, wanted)
    random_cuts = random.Random(5).sample(range(1, len(whole) - 10_240 if kind == ".tar" else len(whole) - 600), 40)
    seen = set()
    for cut in sorted({1, 511, 512, 600, *random_cuts}):
        path = _write(tmp_path / f"a{kind}", whole[:cut])
        members, trouble = {}, None
        try:
            with OpenArchive(path) as archive:
                for name, member in named_members(archive.reader):
                    archive.reader.check(member)
                    members[name] = member
        except ArchiveError as error:
            trouble = str(error)
        assert list(members) == list(MEMBERS)[: len(members)]
        assert trouble is not None and ("cut short" in trouble or "not a tar or zip" in trouble), cut
        seen.add(len(members))
        if members:
            found, _ = read_archive(path)
            assert all(found[name] == wanted[name] for name in members)
    assert len(seen) > 3


def test_a_damaged_header_ends_the_archive(tmp_path: Path) -> None:
    """Python's tarfile would end there without a word."""
    whole = bytearray(tar_bytes(MEMBERS))
    with OpenArchive(_write(tmp_path / "a.tar", bytes(whole))) as archive:
        place = list(archive.reader.members())[5].place
    whole[place : place + 100] = bytes(range(100, 200))
    found, trouble = read_archive(_write(tmp_path / "a.tar", bytes(whole)))
    assert list(found) == list(MEMBERS)[:5]
    assert trouble == f"damaged: no header at byte {place:,}; what comes after is not known"


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 100, b"no archive" * 200, b"PK\3\4no zip", b"\x1f\x8bno gzip", b"BZh no bzip2"]
)
def test_what_is_no_archive_has_a_reason(content: bytes, tmp_path: Path) -> None:
    """Also if it only begins like one."""
    found, trouble = read_archive(_write(tmp_path / "a.tar", content))
    assert found == {} and trouble and "\n" not in trouble


@pytest.mark.timeout(20)
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Nobody writes into it."""
    os.mkfifo(tmp_path / "a.tar")
    assert read_archive(tmp_path / "a.tar") == ({}, "not a regular file")


def test_a_sparse_file_is_read_with_its_holes(tmp_path: Path) -> None:
    """GNU tar's format of version 1.0."""
    data = b"1" * 512 + bytes(4096) + b"2" * 100
    sparse_map = b"2\n0\n512\n4608\n100\n".ljust(512, b"\0")
    stored = sparse_map + b"1" * 512 + b"2" * 100
    info = tarfile.TarInfo("GNUSparseFile.0/a.bin")
    info.size = len(stored)
    info.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "a.bin",
        "GNU.sparse.realsize": str(len(data)),
    }
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(stored))
        after = tarfile.TarInfo("b.jpg")
        after.size = 1
        tar.addfile(after, io.BytesIO(b"b"))
    assert read_archive(_write(tmp_path / "a.tar", target.getvalue())) == ({"a.bin": data, "b.jpg": b"b"}, None)


def test_headers_that_ask_for_much_memory_are_refused(tmp_path: Path) -> None:
    """A long name of 5 GiB in a sparse file, a size below zero, and one that no file has."""
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 5 << 30
    path = _write(tmp_path / "a.tar", name.tobuf(tarfile.GNU_FORMAT))
    os.truncate(path, 6 << 30)
    tracemalloc.start()
    try:
        assert read_archive(path) == ({}, "damaged: a header of more than 1 MiB")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20  # 8 MiB of them to tell names apart
    finally:
        tracemalloc.stop()
    for size in (b"\xff" * 11 + b"\0", b"\x80" + b"\xff" * 11):  # -256 and 2 ** 88 - 1 in base 256
        wrong = bytearray(tar_bytes({"a.jpg": b""}))
        wrong[124:136] = size
        wrong[148:156] = b" " * 8
        wrong[148:156] = b"%06o\0 " % sum(wrong[:512])
        assert read_archive(_write(tmp_path / "b.tar", bytes(wrong))) == ({}, "not a tar or zip")
    name.size = 1
    chain = (name.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * 5000  # each describes the next
    assert read_archive(_write(tmp_path / "c.tar", chain)) == ({}, "not a tar or zip")


def test_a_compressed_tar_that_grows_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it may grow to depends on its size, beyond an amount that is free."""
    monkeypatch.setattr(streams, "_FREE_BYTES", 1 << 20)
    bomb = tar_bytes({"zeros.bin": bytes(64 << 20), "a.jpg": b"1"})
    for kind in (".tar.zst", ".tar.xz", ".tar.gz"):
        found, trouble = read_archive(_write(tmp_path / f"a{kind}", COMPRESSED[kind](bomb)))
        assert "a.jpg" not in found and "grows to more than 200 times its size" in f"{found} {trouble}", kind


def test_a_decompressor_gets_no_more_memory_than_it_may_have(tmp_path: Path) -> None:
    """A zstd frame can ask for 2 GiB, an xz file for 4."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=30, enable_ldm=True)
    packed = zstandard.ZstdCompressor(compression_params=parameters)
    target = io.BytesIO()
    with packed.stream_writer(target, closefd=False) as writer:
        writer.write(tar_bytes(MEMBERS))
    found, trouble = read_archive(_write(tmp_path / "a.tar.zst", target.getvalue()))
    assert found == {} and trouble is not None and "damaged zstd data" in trouble


def _patched(data: bytes, offset: int, value: int, *, width: str = "<L") -> bytes:
    """A zip whose first directory entry has another value."""
    changed = bytearray(data)
    struct.pack_into(width, changed, data.index(b"PK\1\2") + offset, value)
    return bytes(changed)


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (24, 10, "another size or checksum"),
        (24, 5000, "fewer bytes than its directory says"),
        (16, 7, "another size or checksum"),
        (20, 5, "damaged in the zip"),
        (42, 5, "is not where the zip's directory says"),
        (42, 1 << 30, "outside the file"),
    ],
)
def test_a_zip_that_lies_about_a_member_costs_only_that_one(
    offset: int, value: int, reason: str, tmp_path: Path
) -> None:
    """Its size, checksum, stored size or place. The neighbor is read."""
    members = {"a.jpg": b"abcdefgh" * 100, "b.jpg": b"b" * 100}
    found, trouble = read_archive(_write(tmp_path / "a.zip", _patched(zip_bytes(members), offset, value)))
    assert isinstance(found["a.jpg"], str) and reason in found["a.jpg"]
    assert (found["b.jpg"], trouble) == (members["b.jpg"], None)


def test_a_zip_that_is_cut_short_gives_its_members_up_to_there(tmp_path: Path) -> None:
    """From their own headers. Those that a program has written without going back have no sizes there."""
    whole = zip_bytes(MEMBERS)
    seen = set()
    for cut in [*range(200, len(whole), 5_000), len(whole) - 100, len(whole) - 1]:
        found, trouble = read_archive(_write(tmp_path / "a.zip", whole[:cut]))
        assert trouble == "cut short: the directory at a zip's end is missing, and members may be"
        assert found == dict(list(MEMBERS.items())[: len(found)])
        seen.add(len(found))
    assert len(seen) > 5 and max(seen) == len(MEMBERS)

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    target = Pipe()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a.jpg", b"1" * 1000)
    assert read_archive(_write(tmp_path / "a.zip", target.getvalue())) == ({"a.jpg": b"1" * 1000}, None)
    found, trouble = read_archive(_write(tmp_path / "a.zip", target.getvalue()[:-30]))
    assert found == {} and trouble is not None and "cut short" in trouble


def test_zips_with_passwords_and_foreign_methods_have_reasons(tmp_path: Path) -> None:
    """Each member has its own."""
    members = {"a.jpg": b"a" * 100, "b.jpg": b"b" * 100}
    encrypted = _patched(zip_bytes(members), 8, 1, width="<H")
    assert read_archive(_write(tmp_path / "a.zip", encrypted))[0] == {"a.jpg": "encrypted", "b.jpg": members["b.jpg"]}
    foreign = _patched(zip_bytes(members), 10, 98, width="<H")
    found, _ = read_archive(_write(tmp_path / "a.zip", foreign))
    assert found["a.jpg"] == "compressed with method 98, which is not supported"
    bzip2 = zip_bytes(members, zipfile.ZIP_BZIP2)
    assert read_archive(_write(tmp_path / "a.zip", bzip2)) == (members, None)


def test_a_zip_with_64_bit_fields_and_one_in_parts(tmp_path: Path) -> None:
    """Fields of 64 bits are used as soon as a zip could become large."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive, archive.open(zipfile.ZipInfo("a.jpg"), "w", force_zip64=True) as file:
        file.write(b"64 bits")
    entry = target.getvalue().index(b"PK\1\2")
    assert read_archive(_write(tmp_path / "a.zip", target.getvalue())) == ({"a.jpg": b"64 bits"}, None)
    assert read_archive(_write(tmp_path / "a.zip", target.getvalue()[: entry + 10]))[1] is not None
    parts = bytearray(target.getvalue())
    struct.pack_into("<H", parts, parts.rindex(b"PK\5\6") + 4, 3)
    assert read_archive(_write(tmp_path / "a.zip", bytes(parts))) == (
        {"a.jpg": b"64 bits"},
        "a part of a zip in several files",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_random_damage_never_raises_anything_else(kind: str, tmp_path: Path) -> None:
    """300 archives with changed bytes: whatever comes is an ArchiveError."""
    whole, chance = archive_bytes(kind, {name: data[:200] for name, data in MEMBERS.items()}), random.Random(kind)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        read_archive(_write(tmp_path / f"a{kind}", bytes(damaged)))


def test_reading_headers_takes_the_same_memory_for_any_number(tmp_path: Path) -> None:
    """20,000 members, in a tar and in a zip."""
    members = {f"folder/{k}.jpg": b"" for k in range(20_000)}
    for suffix, data in ((".tar", tar_bytes(members, tarfile.USTAR_FORMAT)), (".zip", zip_bytes(members))):
        path = _write(tmp_path / f"a{suffix}", data)
        tracemalloc.start()
        try:
            with OpenArchive(path) as archive:
                assert sum(1 for _ in archive.reader.members()) == len(members)
            assert tracemalloc.get_traced_memory()[1] < 2**20, suffix
        finally:
            tracemalloc.stop()


def test_the_archive_in_a_path_is_the_first_that_is_no_folder(tmp_path: Path) -> None:
    """A folder may have an archive's name."""
    (tmp_path / "x.tar").mkdir()
    (tmp_path / "x.tar" / "y.zip").touch()
    assert archive_of(tmp_path, "x.tar/y.zip/b/c.jpg") == "x.tar/y.zip"
    assert archive_of(tmp_path, "x.tar/y.zip") is None
    assert archive_of(tmp_path, "gone.TGZ/a.jpg") == "gone.TGZ"
    assert archive_of(tmp_path, "a/b.jpg") is None

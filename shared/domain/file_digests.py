"""Digests of files: of images, to tell whether a file has changed, and of weights, which are identified by theirs."""

import hashlib
from io import BufferedReader, BytesIO
from pathlib import Path


def image_digest(file: BufferedReader | BytesIO) -> str:
    """BLAKE2b-128 of an open file's content, in hexadecimal, as `digests.csv` has it."""
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal. OSError as from the disk."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Downloads a file with a known SHA-256. A download resumes after an interruption, and is limited in size and time."""

import http.client
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from shared.config.logs import get_logger
from shared.domain.durable_files import sync_to_disk
from shared.domain.errors import WeightsError
from shared.domain.file_digests import file_sha256

_log = get_logger("download")
_PORTION_BYTES = 2**16


@dataclass(frozen=True, kw_only=True)
class DownloadLimits:
    """The limits of a download."""

    max_bytes: int = 2**30
    """The size of the whole file; InceptionResnetV1's weights have 112 MB."""
    total_s: float = 45 * 60
    """The time of one attempt; less than the conversion process is given."""
    silence_s: float = 60.0
    """The time without a single byte."""


_LIMITS = DownloadLimits()


def download(url: str, target: Path, sha256: str, limits: DownloadLimits = _LIMITS) -> Path:
    """Downloads a file to `target` unless it exists. WeightsError if the download fails or the file has another
    SHA-256.
    """
    if _is_whole(target, sha256):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with FileLock(target.with_suffix(".lock")):
        if _is_whole(target, sha256):
            return target
        try:
            # It is complete already if the process was killed just before the rename.
            if not part.is_file() or file_sha256(part) != sha256:
                _resume(url, part, limits)
        except _TooLarge:
            part.unlink(missing_ok=True)
            raise WeightsError(
                f"{url} sends more than the {limits.max_bytes:,} bytes that weights may have; what came was deleted. "
                "Check FACEQUEUE_WEIGHTS_URL."
            ) from None
        except (OSError, ValueError, http.client.HTTPException) as error:  # ValueError: no URL
            raise WeightsError(
                f"Downloading {url} failed: {error}. Try again (it resumes where it stopped), or download the file "
                "by other means and name it in FACEQUEUE_WEIGHTS_PATH."
            ) from None
        found = file_sha256(part)
        if found != sha256:
            part.unlink()
            raise WeightsError(f"What {url} sent has the SHA-256 {found} instead of {sha256}; it was thrown away.")
        sync_to_disk(part)
        part.replace(target)
    return target


class _TooLarge(Exception):
    """The server sends more bytes than the limit."""


def _is_whole(target: Path, sha256: str) -> bool:
    """Whether the file exists undamaged. A damaged file is downloaded again."""
    if not target.is_file():
        return False
    whole = file_sha256(target) == sha256
    if not whole:
        _log.warning("%s is damaged and is downloaded again", target, extra={"action": "weights_damaged"})
    return whole


def _resume(url: str, part: Path, limits: DownloadLimits) -> None:
    """Downloads the rest of a file, or all of it, into `part`. ConnectionError if fewer bytes arrive than were
    announced.
    """
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    deadline = time.monotonic() + limits.total_s
    try:
        with urllib.request.urlopen(request, timeout=limits.silence_s) as answer:
            resumed, whole = _announced(answer, have)
            if whole > limits.max_bytes:
                raise _TooLarge
            with part.open("ab" if resumed else "wb") as file:
                _copy(answer, file, limits, deadline)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
            raise
        # `part` is not smaller than the file, so it is not a part of it. It is discarded.
        part.unlink()
        _resume(url, part, limits)
        return
    # urllib reports no error when the connection is cut.
    came = part.stat().st_size
    if came < whole:
        raise ConnectionError(f"the connection was cut after {came:,} of {whole:,} bytes")


def _announced(answer: Any, have: int) -> tuple[bool, int]:
    """Whether the answer continues after the first `have` bytes, and the size of the whole file (0: not announced)."""
    span = re.match(r"bytes (\d+)-\d+/(\d+)$", answer.headers.get("Content-Range", ""))
    resumed = have > 0 and answer.status == 206 and (span is None or int(span[1]) == have)
    if resumed and span is not None:
        return True, int(span[2])
    length = answer.headers.get("Content-Length", "")
    return resumed, (int(length) if length.isdecimal() else 0) + (have if resumed else 0)


def _copy(answer: Any, file: Any, limits: DownloadLimits, deadline: float) -> None:
    while portion := answer.read1(_PORTION_BYTES):
        file.write(portion)
        if file.tell() > limits.max_bytes:
            raise _TooLarge
        if time.monotonic() > deadline:
            raise TimeoutError(f"it took longer than {limits.total_s:g} s")

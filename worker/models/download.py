"""Downloads a file of known SHA-256: resumed where an earlier attempt stopped, bounded in bytes and in time."""

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
from shared.domain.errors import WeightsError
from shared.results.files import sync_to_disk
from worker.models.digest import file_sha256

_log = get_logger("download")
_PORTION_BYTES = 2**16


@dataclass(frozen=True, kw_only=True)
class DownloadLimits:
    """How much a download may take."""

    max_bytes: int = 2**30
    """Of the whole file; InceptionResnetV1's weights take 112 MB."""
    total_s: float = 45 * 60
    """For one attempt; less than what the conversion's process is given."""
    silence_s: float = 60.0
    """Between two bytes."""


_LIMITS = DownloadLimits()


def download(url: str, target: Path, sha256: str, limits: DownloadLimits = _LIMITS) -> Path:
    """Downloads a file to `target`, unless it is there. WeightsError where it cannot be had, or is another file."""
    if _is_whole(target, sha256):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with FileLock(target.with_suffix(".lock")):
        if _is_whole(target, sha256):
            return target
        try:
            # Whole already, where the process was ended between its last byte and its new name.
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
    """The server sends more than the limit."""


def _is_whole(target: Path, sha256: str) -> bool:
    """Whether the file is there; one that the disk has damaged is downloaded again, as networks are converted again."""
    if not target.is_file():
        return False
    whole = file_sha256(target) == sha256
    if not whole:
        _log.warning("%s is damaged and is downloaded again", target, extra={"action": "weights_damaged"})
    return whole


def _resume(url: str, part: Path, limits: DownloadLimits) -> None:
    """The rest of a file into `part`, or all of it; ConnectionError where less came than was announced."""
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
        # The file has no more bytes than `part`, which is not that file: nothing of it is worth keeping.
        part.unlink()
        _resume(url, part, limits)
        return
    # urllib ends quietly when the connection is cut.
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

"""The thumbnails of a large page, some thousand at a time."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shared.domain.paths import ShownPath
from shared.report.face_order import FaceOrder
from shared.report.thumbnails import cut_thumbnails
from shared.results.distances import Faces
from shared.results.reader import Results
from shared.results.recorded_digests import recorded_digests

_AT_ONCE = 5_000  # thumbnails in memory: some 15 MB
_MOST_BYTES = 256 << 20


class LargePictures:
    """Thumbnails at hand (`ready`, by row), and those cut from the images below `images`."""

    def __init__(
        self, results: Results, order: FaceOrder, ready: Mapping[int, bytes], images: Path | None, seconds: float | None
    ) -> None:
        """No further image is read after `seconds`."""
        self._results, self._order, self._ready, self._images = results, order, ready, images
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self.missing = self.left_out = 0
        """Faces without one, as in `Thumbnails`."""

    def available(self) -> npt.NDArray[np.bool_]:
        """By place: which faces may have one."""
        if self._images is not None:
            return np.ones(len(self._order), bool)
        at_hand = np.zeros(len(self._results.faces), bool)
        at_hand[[row for row in self._ready if row < len(at_hand)]] = True
        return at_hand[self._order.rows]

    def of(self, places: Faces) -> Iterator[tuple[int, bytes]]:
        """Yields place and JPEG of those of `places` that have one."""
        rows = self._order.rows[places].tolist()
        paths = self._results.faces.paths
        others = {paths[row] for row in rows if row not in self._ready} if self._images is not None else set()
        digests = recorded_digests(self._results.folder, others) if others else {}
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            at_hand = {k: jpeg for k, row in enumerate(some) if (jpeg := self._ready.get(row)) is not None}
            if len(at_hand) == len(some):
                jpegs: list[bytes | None] = [at_hand[k] for k in range(len(some))]
            else:
                jpegs = self._cut(some, at_hand, digests)
            for place, jpeg in zip(places[start : start + _AT_ONCE].tolist(), jpegs, strict=True):
                if jpeg is not None:
                    yield place, jpeg

    def _cut(self, rows: list[int], at_hand: dict[int, bytes], digests: dict[ShownPath, str]) -> list[bytes | None]:
        faces = [self._results.faces[row] for row in rows]
        seconds = None if self._deadline is None else self._deadline - time.monotonic()
        found = cut_thumbnails(
            faces, self._results.images, digests, self._images, ready=at_hand, seconds=seconds, most_bytes=_MOST_BYTES
        )
        self.missing += found.missing
        self.left_out += found.left_out
        return found.jpegs

"""Area resizing by look-ups in an integral image.

`torch.nn.functional.interpolate(mode="area")` is the mean over whole-pixel windows: output row i of oh covers the input
rows [floor(i*h/oh), ceil((i+1)*h/oh)), and likewise for columns. With an integral image each such mean costs four
look-ups, whatever the size of the window. All results are planar (channel first), as the networks want them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from shared.domain.arrays import Float32, Int, UInt8, UInt32

BAND_PIXELS = 4_000_000
"""The integral image is held for about this many pixels at a time (12 bytes each). Larger images are gone through band
by band, once for each call.
"""
_MARGIN_PIXELS = 100_000  # an integral image has one row and one column more
_CHANNELS = 3
_ROWS_AT_A_TIME = 16
_CROP_ROWS_AT_A_TIME = 1536


class SumsBuffer:
    """Memory for the integral images of one image after another.

    Fresh memory costs more than the sums do. (Measured: 7 ns a pixel beside the networks, the sums themselves 1.)
    """

    def __init__(self) -> None:
        # What is never written takes no memory, and a buffer that grows would be written anew.
        self._values = np.empty(_CHANNELS * (BAND_PIXELS + _MARGIN_PIXELS), np.int32)

    def take(self, height: int, width: int) -> UInt32:
        """uint32 [3, height, width] of anything; what was taken before is overwritten."""
        size = _CHANNELS * height * width
        if size > self._values.size:
            self._values = np.empty(size, np.int32)
        return self._values[:size].reshape(_CHANNELS, height, width).view(np.uint32)


@dataclass(frozen=True)
class _Band:
    top: int
    bottom: int
    sums: UInt32  # [3, bottom - top + 1, w + 1]: of all pixels above and to the left, in the band


class IntegralImage:
    """An image, uint8 [h, w, 3], whose windows are averaged. Only one at a time may use a buffer.

    The sums wrap around in large images. That is harmless: differences are taken modulo 2**32 too, and the sum of one
    window fits (only a window of more than 16.8 megapixels of white would not).
    """

    def __init__(self, pixels: UInt8, buffer: SumsBuffer | None = None) -> None:
        self._pixels = pixels
        self._buffer = buffer or SumsBuffer()
        self.height, self.width = pixels.shape[:2]
        self._whole = self._sum(0, self.height) if self.height * self.width <= BAND_PIXELS else None

    def resize(self, sizes: list[tuple[int, int]]) -> list[Float32]:
        """The area-resized image for each (height, width): float32 [3, height, width] in 0..255."""
        resized = [np.empty((_CHANNELS, *size), np.float32) for size in sizes]
        edges = [window_edges(self.height, height) for height, _ in sizes]
        done = [0] * len(sizes)
        for band in self._bands(max((int((last - first).max()) for first, last in edges), default=1)):
            for number, (out, (first, last)) in enumerate(zip(resized, edges, strict=True)):
                end = int(np.searchsorted(last, band.bottom, side="right"))
                rows = slice(done[number], end)
                _fill_rows(band, first[rows], last[rows], out[:, rows])
                done[number] = end
        return resized

    def crop(self, boxes: Int, size: int) -> Float32:
        """Each box of the image area-resized to size x size: float32 [n, 3, size, size] in 0..255.

        `boxes` is [n, 4]: x1, y1, x2, y2 in pixels, x2 and y2 exclusive, inside the image, not empty.
        """
        if self._whole is None and len(boxes):
            x, y = boxes[:, :2].min(axis=0)
            around = self._pixels[y : boxes[:, 3].max(), x : boxes[:, 2].max()]
            if around.size < self._pixels.size:
                return IntegralImage(around, self._buffer).crop(boxes - [x, y, x, y], size)
        crops = np.empty((len(boxes), _CHANNELS, size, size), np.float32)
        order = np.lexsort((boxes[:, 0], boxes[:, 1]))  # neighbors share rows of sums in the processor's cache
        x1, y1, x2, y2 = boxes[order].astype(np.int64).T[:, :, None]
        left, right = _edges_within(x1, x2, size)
        top, bottom = _edges_within(y1, y2, size)
        missing = np.ones((len(boxes), size), bool)
        for band in self._bands(int((bottom - top).max(initial=1))):
            box, row = np.nonzero(missing & (top >= band.top) & (bottom <= band.bottom))
            missing[box, row] = False
            for first in range(0, len(box), _CROP_ROWS_AT_A_TIME):
                these = box[first : first + _CROP_ROWS_AT_A_TIME], row[first : first + _CROP_ROWS_AT_A_TIME]
                means = _row_means(band, top[these], bottom[these], left[these[0]], right[these[0]])
                crops[order[these[0]], :, these[1]] = means
        return crops

    def _bands(self, window: int) -> Iterator[_Band]:
        """Bands from top to bottom, so that every window of at most so many rows lies in one of them."""
        if self._whole is not None:
            yield self._whole
            return
        rows = max(BAND_PIXELS // self.width, 2 * window)
        top = 0
        while top < self.height:
            bottom = min(self.height, top + rows)
            yield self._sum(top, bottom)
            top = bottom - window + 1 if bottom < self.height else bottom

    def _sum(self, top: int, bottom: int) -> _Band:
        import cv2  # here: the aggregator imports this module too, and its image does not contain OpenCV

        sums = self._buffer.take(bottom - top + 1, self.width + 1)
        # OpenCV adds in int32, which wraps to the same bits. (numpy's cumsum takes 8 to 13 ns a pixel.)
        for plane, target in zip(cv2.split(self._pixels[top:bottom]), sums.view(np.int32), strict=True):
            cv2.integral(plane, sum=target, sdepth=cv2.CV_32S)
        return _Band(top, bottom, sums)


def window_edges(size: int, out_size: int) -> tuple[Int, Int]:
    """First and past-the-last input index of each of `out_size` windows over `size` pixels."""
    index = np.arange(out_size, dtype=np.int64)
    return index * size // out_size, -(-(index + 1) * size // out_size)


def _fill_rows(band: _Band, first_row: Int, last_row: Int, out: Float32) -> None:
    """The means of the windows of these image rows: float32 [3, rows, width of the resized image]."""
    first_col, last_col = window_edges(band.sums.shape[2] - 1, out.shape[2])
    shares = np.reciprocal((last_col - first_col).astype(np.float32))
    # A few rows at a time stay in the processor's cache on the way.
    for start in range(0, len(first_row), _ROWS_AT_A_TIME):
        part = slice(start, start + _ROWS_AT_A_TIME)
        sums = band.sums.take(last_row[part] - band.top, axis=1)
        sums -= band.sums.take(first_row[part] - band.top, axis=1)
        totals = sums.take(last_col, axis=2)
        totals -= sums.take(first_col, axis=2)
        heights = np.reciprocal((last_row[part] - first_row[part]).astype(np.float32))
        np.multiply(totals, shares * heights[:, None], out=out[:, part], casting="unsafe", dtype=np.float32)


def _row_means(band: _Band, top: Int, bottom: Int, left: Int, right: Int) -> Float32:
    """The means of rows of windows: float32 [rows, 3, size]. `top` and `bottom` are [rows], `left` and `right` [rows,
    size].
    """
    shares = np.reciprocal((bottom - top).astype(np.float32))[:, None] * np.reciprocal(
        (right - left).astype(np.float32)
    )
    row_stride = band.sums.shape[2]
    above, below = ((edge - band.top)[:, None] * row_stride for edge in (top, bottom))
    corners = below + right, above + right, below + left, above + left
    means = np.empty((len(top), _CHANNELS, left.shape[1]), np.float32)
    for channel in range(_CHANNELS):
        sums = band.sums[channel].reshape(-1)
        totals = sums.take(corners[0])
        totals -= sums.take(corners[1])
        totals -= sums.take(corners[2])
        totals += sums.take(corners[3])
        np.multiply(totals, shares, out=means[:, channel], casting="unsafe", dtype=np.float32)
    return means


def _edges_within(start: Int, end: Int, size: int) -> tuple[Int, Int]:
    """`window_edges` of many spans at once: [n, 1] each -> [n, size]."""
    index = np.arange(size, dtype=np.int64)
    length = end - start
    return start + index * length // size, start - (-(index + 1) * length // size)

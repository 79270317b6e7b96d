"""Area resizing by look-ups in an integral image.

`torch.nn.functional.interpolate(mode="area")` is the mean over whole-pixel windows: output row i of oh covers the input
rows [floor(i*h/oh), ceil((i+1)*h/oh)), and likewise for columns. With an integral image each such mean costs four
look-ups, whatever the size of the window. All arrays here are planar (channel first), as the networks want them.
"""

import numpy as np

from shared.domain.arrays import Float32, Int, UInt8, UInt32

_ROWS_AT_A_TIME = 16


def integral_image(pixels: UInt8) -> UInt32:
    """Sums of all pixels above and to the left: uint32 [3, h+1, w+1] from uint8 [h, w, 3].

    The sums wrap around in large images. That is harmless: differences are taken modulo 2**32 too, and the sum of one
    window fits (only a window of more than 16.8 megapixels of white would not).
    """
    height, width, channels = pixels.shape
    sums = np.empty((channels, height + 1, width + 1), np.uint32)
    sums[:, 0] = 0
    sums[:, :, 0] = 0
    for plane, target in zip(np.moveaxis(pixels, 2, 0), sums, strict=True):
        np.cumsum(plane, axis=1, dtype=np.uint32, out=target[1:, 1:])
        # Row by row: numpy's cumsum along the outer axis walks memory with a stride and is three times slower.
        for row in range(1, height):
            target[row + 1] += target[row]
    return sums


def window_edges(size: int, out_size: int) -> tuple[Int, Int]:
    """First and past-the-last input index of each of `out_size` windows over `size` pixels."""
    index = np.arange(out_size, dtype=np.int64)
    return index * size // out_size, -(-(index + 1) * size // out_size)


def resize_area(sums: UInt32, out_height: int, out_width: int, top: int = 0, bottom: int | None = None) -> Float32:
    """Rows [top, bottom) of the area-resized image, float32 [3, rows, out_width] in 0..255."""
    first_row, last_row = window_edges(sums.shape[1] - 1, out_height)
    first_col, last_col = window_edges(sums.shape[2] - 1, out_width)
    first_row, last_row = first_row[top:bottom], last_row[top:bottom]
    shares = np.reciprocal((last_col - first_col).astype(np.float32))
    means = np.empty((len(sums), len(first_row), out_width), np.float32)
    # A few rows at a time stay in the processor's cache on the way.
    for start in range(0, len(first_row), _ROWS_AT_A_TIME):
        part = slice(start, start + _ROWS_AT_A_TIME)
        rows = sums.take(last_row[part], axis=1)
        rows -= sums.take(first_row[part], axis=1)
        totals = rows.take(last_col, axis=2)
        totals -= rows.take(first_col, axis=2)
        heights = np.reciprocal((last_row[part] - first_row[part]).astype(np.float32))
        np.multiply(totals, shares * heights[:, None], out=means[:, part], casting="unsafe", dtype=np.float32)
    return means


def crop_area(sums: UInt32, boxes: Int, size: int) -> Float32:
    """Each box of the image area-resized to size x size: float32 [n, 3, size, size] in 0..255.

    `boxes` is [n, 4]: x1, y1, x2, y2 in pixels, x2 and y2 exclusive, inside the image, not empty.
    """
    row_stride = sums.shape[2]
    flat = sums.reshape(len(sums), -1)
    x1, y1, x2, y2 = boxes.astype(np.int64).T[:, :, None]
    first_col, last_col = _edges_within(x1, x2, size)
    first_row, last_row = _edges_within(y1, y2, size)
    above, below = (first_row * row_stride)[:, :, None], (last_row * row_stride)[:, :, None]
    left, right = first_col[:, None, :], last_col[:, None, :]
    totals = flat.take(below + right, axis=1)
    totals -= flat.take(above + right, axis=1)
    totals -= flat.take(below + left, axis=1)
    totals += flat.take(above + left, axis=1)
    heights = np.reciprocal((last_row - first_row).astype(np.float32))
    widths = np.reciprocal((last_col - first_col).astype(np.float32))
    means = np.empty((len(boxes), len(sums), size, size), np.float32)
    shares = heights[:, :, None] * widths[:, None, :]
    np.multiply(totals.swapaxes(0, 1), shares[:, None], out=means, casting="unsafe", dtype=np.float32)
    return means


def _edges_within(start: Int, end: Int, size: int) -> tuple[Int, Int]:
    """`window_edges` of many spans at once: [n, 1] each -> [n, size]."""
    index = np.arange(size, dtype=np.int64)
    length = end - start
    return start + index * length // size, start - (-(index + 1) * length // size)

"""Area resizing by look-ups in an integral image.

`torch.nn.functional.interpolate(mode="area")` is the mean over whole-pixel windows: output row i of oh covers the input
rows [floor(i*h/oh), ceil((i+1)*h/oh)), and likewise for columns. With an integral image each such mean costs four
look-ups, whatever the size of the window. All arrays here are planar (channel first), as the networks want them.
"""

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
UInt32 = npt.NDArray[np.uint32]
Int = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]


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
    rows = sums.take(last_row, axis=1)
    rows -= sums.take(first_row, axis=1)
    totals = rows.take(last_col, axis=2)
    totals -= rows.take(first_col, axis=2)
    counts = np.multiply.outer(last_row - first_row, last_col - first_col)
    means: Float32 = totals.astype(np.float32)
    means *= np.reciprocal(counts, dtype=np.float32)
    return means


def crop_area(sums: UInt32, boxes: Int, size: int) -> Float32:
    """Each box of the image area-resized to size x size: float32 [n, 3, size, size] in 0..255.

    `boxes` is [n, 4]: x1, y1, x2, y2 in pixels, x2 and y2 exclusive, inside the image, not empty.
    """
    channels, rows, row_stride = sums.shape
    flat = sums.reshape(-1)
    index = np.arange(size, dtype=np.int64)
    x1, y1, x2, y2 = (boxes[:, k, None].astype(np.int64) for k in range(4))
    width, height = x2 - x1, y2 - y1
    first_col, last_col = x1 + index * width // size, x1 - (-(index + 1) * width // size)
    first_row, last_row = y1 + index * height // size, y1 - (-(index + 1) * height // size)
    counts = (last_row - first_row)[:, :, None] * (last_col - first_col)[:, None, :]
    plane = (np.arange(channels, dtype=np.int64) * rows * row_stride)[None, :, None, None]
    above = plane + (first_row * row_stride)[:, None, :, None]
    below = plane + (last_row * row_stride)[:, None, :, None]
    left, right = first_col[:, None, None, :], last_col[:, None, None, :]
    totals = flat.take(below + right)
    totals -= flat.take(above + right)
    totals -= flat.take(below + left)
    totals += flat.take(above + left)
    means: Float32 = totals.astype(np.float32)
    means *= np.reciprocal(counts, dtype=np.float32)[:, None]
    return means

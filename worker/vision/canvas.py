"""P-net over many pyramid levels at once, packed into canvases of few shapes.

OpenVINO compiles a network anew for each shape of its input, and every image has a dozen levels of its own shapes.
(Measured: P-net takes 50 ns a pixel, a new shape 1 to 4 ms.) So the levels are laid side by side, each from an even row
and an even column on: then no cell of P-net sees more than it would see in its level alone, because the convolutions
are not padded. The exceptions are the last row and the last column of cells where a level's height or width is odd:
there the pooling hangs over the edge. These are computed on canvases of their own that end where the level ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from shared.domain.arrays import Float32, Int

CELL_PX, STRIDE_PX = 12, 2
"""P-net's receptive field and step."""
CANVAS_PIXELS = 120_000
"""About the size of a canvas: its activations stay in the processor's cache, and memory does not grow with the image.
"""
_OVERLAP_PX = CELL_PX - STRIDE_PX  # input rows that the next canvas has in common with this one
_EDGE_PX = CELL_PX - 1  # the smallest odd side, which has one cell
_STEP_PX = 32  # canvases have sides of multiples of this
_EDGE_STEP_PX = 256  # and those of edges lengths of multiples of this


class ProposalNetwork(Protocol):
    """The detector's first network."""

    def pnet(self, pixels: Float32) -> Float32:
        """[n, 3, h, w] in 0..255 -> [n, 5, h', w']: face logit, then x1, y1, x2, y2 offsets."""


@dataclass(frozen=True)
class _Piece:
    """A part of a level, and its place on a canvas. All offsets are even."""

    level: int
    top: int
    left: int
    height: int
    width: int
    canvas_top: int
    canvas_left: int


def find_cells(levels: list[Float32], network: ProposalNetwork, threshold: float) -> list[tuple[Int, Float32]]:
    """For each level, float32 [3, h, w], the cells whose face logit is at least `threshold`, row by row.

    Cells are int64 [n, 2], row and column; the values are float32 [n, 5] as `pnet` gives them.
    """
    found: list[list[tuple[Int, Float32]]] = [[] for _ in levels]
    for shape, pieces in _canvases([level.shape[1:] for level in levels]):
        canvas = np.zeros((1, 3, *shape), np.float32)
        for piece in pieces:
            rows, cols = slice(piece.top, piece.top + piece.height), slice(piece.left, piece.left + piece.width)
            target = canvas[0, :, piece.canvas_top :, piece.canvas_left :]
            target[:, : piece.height, : piece.width] = levels[piece.level][:, rows, cols]
        output = network.pnet(canvas)[0]
        row, col = np.nonzero(output[0] >= threshold)
        values = output[:, row, col].T
        for piece in pieces:
            down, right = row - piece.canvas_top // STRIDE_PX, col - piece.canvas_left // STRIDE_PX
            inside = (down >= 0) & (down < _cells(piece.height)) & (right >= 0) & (right < _cells(piece.width))
            cells = np.stack([down[inside] + piece.top // STRIDE_PX, right[inside] + piece.left // STRIDE_PX], axis=1)
            found[piece.level].append((cells, values[inside]))
    return [_in_order(parts) for parts in found]


def _cells(side: int) -> int:
    # A piece of the smallest odd side ends where its canvas ends: the pooling hangs over and gives one cell.
    return 1 if side == _EDGE_PX else (side - _OVERLAP_PX) // STRIDE_PX


def _in_order(parts: list[tuple[Int, Float32]]) -> tuple[Int, Float32]:
    cells, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    order = np.lexsort((cells[:, 1], cells[:, 0]))
    return cells[order], values[order]


def _canvases(sizes: list[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], list[_Piece]]]:
    """Height and width of each canvas, and what is on it."""
    width = _round_up(max(width for _, width in sizes), _STEP_PX)
    corners, height = _pack(sizes, width)
    rows = max(2 * _STEP_PX, CANVAS_PIXELS // width // _STEP_PX * _STEP_PX)
    for top in range(0, max(1, height - _OVERLAP_PX), rows - _OVERLAP_PX):
        bottom = top + min(rows, _round_up(height - top, _STEP_PX))
        yield (bottom - top, width), list(_cut(sizes, corners, top, bottom))
    yield from _edges(sizes)


def _pack(sizes: list[tuple[int, int]], width: int) -> tuple[list[tuple[int, int]], int]:
    """Top and left of each level on a sheet of this width, and the height that they need together.

    Each goes into the smallest free rectangle that holds it, and leaves what is to its right and what is below it.
    """
    free: list[tuple[int, int, int, int]] = []  # top, left, height, width
    corners, bottom = [], 0
    for size in sizes:
        tall, wide = (_round_up(side, STRIDE_PX) for side in size)
        fitting = [place for place in free if place[2] >= tall and place[3] >= wide]
        if fitting:
            place = min(fitting, key=lambda place: place[2] * place[3])
            free.remove(place)
        else:
            place = (bottom, 0, tall, width)
            bottom += tall
        top, left, place_height, place_width = place
        free.append((top, left + wide, place_height, place_width - wide))
        free.append((top + tall, left, place_height - tall, wide))
        corners.append((top, left))
    return corners, bottom


def _cut(sizes: list[tuple[int, int]], corners: list[tuple[int, int]], top: int, bottom: int) -> Iterator[_Piece]:
    """What lies in these rows of the sheet."""
    for level, ((height, width), (level_top, left)) in enumerate(zip(sizes, corners, strict=True)):
        first, last = max(0, top - level_top), min(height, bottom - level_top)
        if last - first >= CELL_PX:
            yield _Piece(level, first, 0, last - first, width, level_top + first - top, left)


def _edges(sizes: list[tuple[int, int]]) -> Iterator[tuple[tuple[int, int], list[_Piece]]]:
    """The last row and the last column of cells where a level's height or width is odd."""
    rows, columns, corners = [], [], []
    right = down = 0
    for level, (height, width) in enumerate(sizes):
        last_row, last_col = height - _EDGE_PX, width - _EDGE_PX
        if height % 2:
            rows.append(_Piece(level, last_row, 0, _EDGE_PX, width, 0, right))
            right += _round_up(width, STRIDE_PX)
        if width % 2:
            columns.append(_Piece(level, 0, last_col, height, _EDGE_PX, down, 0))
            down += _round_up(height, STRIDE_PX)
        if height % 2 and width % 2:
            corners.append(_Piece(level, last_row, last_col, _EDGE_PX, _EDGE_PX, 0, 0))
    if rows:
        yield (_EDGE_PX, _round_up(right, _EDGE_STEP_PX)), rows
    if columns:
        yield (_round_up(down, _EDGE_STEP_PX), _EDGE_PX), columns
    for corner in corners:
        yield (_EDGE_PX, _EDGE_PX), [corner]


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step

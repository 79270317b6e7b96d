"""Every face against every other, for the page: packed for its scripts, and as a PNG with one pixel per pair."""

import base64
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from shared.analysis.average_linkage import average_linkage
from shared.analysis.clustering import Groups, leaf_order
from shared.analysis.neighbors import nearest
from shared.domain.arrays import Float32
from shared.report.charts import ticks
from shared.report.rendering import data_uri
from shared.report.view_model import MatrixData, MatrixView, NeighborData
from shared.results.distances import Distances, Faces, condensed, evenly_spaced

MAX_MATRIX_FACES = 1_000
"""In the heat map: a million pairs take 2 MB."""
_NEIGHBORS = 12
# Matplotlib's viridis (CC0), reversed, at ten places: near is bright on far, which is dark in both themes.
PALETTE = ("#fde725", "#b5de2b", "#6ece58", "#35b779", "#1f9e89", "#26828e", "#31688e", "#3e4989", "#482878", "#440154")
_SHADES = 256


def matrix_views(
    square: Float32, tree: npt.NDArray[np.float64], groups: Groups | None
) -> tuple[MatrixView, MatrixData]:
    """The heat map of the distances [n, n] for the template and for the script. `tree` is their linkage."""
    count = len(square)
    some = evenly_spaced(count, MAX_MATRIX_FACES)
    if len(some) < count:
        square = square[np.ix_(some, some)]
        tree = average_linkage(square)
    people = [] if groups is None else _places_of(groups, some, count)
    order = _side_by_side(leaf_order(tree, len(square)), people)
    threshold = None if groups is None else groups.threshold
    square = square[np.ix_(order, order)]
    upper = condensed(square, np.float32)
    top = max(0.1, float(np.ceil(upper.max() * 10 - 1e-4)) / 10)
    cells, unit = _as_uint16(upper)
    first = divmod(int(np.argmin(square + np.eye(len(square), dtype=np.float32) * 1e9)), len(square))
    view = MatrixView(
        size=len(square),
        sampled=len(some) < count,
        top=top,
        picture=data_uri(_draw(square, top), "image/png"),
        colors=",".join(PALETTE),
        alt=f"Heat map of the distances between {len(square)} faces, from {upper.min():.2f} to {upper.max():.2f}.",
        ticks=ticks(top, 4),
        threshold_share=100 * threshold / top if threshold is not None and threshold <= top else None,
    )
    data = MatrixData(
        size=len(square),
        order=some[order].tolist(),
        cells=cells,
        unit=unit,
        first=first,
        squares=_squares(people, order),
    )
    return view, data


def _draw(square: Float32, top: float) -> bytes:
    """A PNG of one pixel a pair: from `PALETTE`'s first color for the distance 0 to its last for `top`."""
    shades = np.minimum(square * ((_SHADES - 1) / top), _SHADES - 1).round().astype(np.uint8)
    image = Image.fromarray(shades)
    image.putpalette(_palette().tobytes())
    out = BytesIO()
    image.save(out, "PNG", optimize=True)
    return out.getvalue()


def _palette() -> npt.NDArray[np.uint8]:
    anchors = np.array([[int(color[k : k + 2], 16) for k in (1, 3, 5)] for color in PALETTE], np.float64)
    at = np.linspace(0, len(PALETTE) - 1, _SHADES)
    places = np.arange(len(PALETTE))
    return np.stack([np.interp(at, places, anchors[:, k]) for k in range(3)], axis=1).round().astype(np.uint8)


def _places_of(groups: Groups, some: Faces, count: int) -> list[list[int]]:
    """The faces of each group of two and more among `some` of all faces, by their place there."""
    place = np.full(count, -1)
    place[some] = np.arange(len(some))
    chosen = ([int(place[face]) for face in faces if place[face] >= 0] for faces in groups.people)
    return [faces for faces in chosen if len(faces) > 1]


def _side_by_side(order: Faces, people: list[list[int]]) -> Faces:
    """The same order, but all faces of a group where its first one is."""
    place = np.argsort(order)
    at = place.copy()
    for faces in people:
        at[faces] = place[faces].min()
    return np.lexsort((place, at))


def _squares(people: list[list[int]], order: Faces) -> list[tuple[int, int]]:
    """The beginning and end of each group in the order, where its faces are side by side."""
    place = np.argsort(order)
    return [(int(place[faces].min()), int(place[faces].max()) + 1) for faces in people]


def neighbor_data(distances: Distances) -> NeighborData:
    """The nearest faces of every face, for the script."""
    rows, found = nearest(distances, np.arange(len(distances)), _NEIGHBORS)
    near, unit = _as_uint16(found)
    return NeighborData(rows.shape[1], _in_base64(rows), near, unit)


def _as_uint16(values: Float32) -> tuple[str, float]:
    """The values in steps of the second result: 0.00003 for distances up to 2, so that three decimals are right."""
    unit = max(float(values.max()), 1e-6) / 65535
    return _in_base64((values.astype(np.float64) / unit).round()), unit


def _in_base64(values: npt.NDArray[Any]) -> str:
    return base64.b64encode(values.astype("<u2").tobytes()).decode()

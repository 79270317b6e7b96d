"""P-net on packed levels compared with P-net on each level alone."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.domain.arrays import Float32
from worker.vision import canvas
from worker.vision.canvas import find_cells
from worker.vision.pipeline import Networks

SIDE = st.integers(12, 90)
EVERY_CELL = -1e9


def _levels(sizes: list[tuple[int, int]]) -> list[Float32]:
    random = np.random.default_rng(3)
    return [random.integers(0, 256, (3, *size)).astype(np.float32) for size in sizes]


def _check(levels: list[Float32], networks: Networks) -> None:
    for level, (cells, values) in zip(levels, find_cells(levels, networks, EVERY_CELL), strict=True):
        alone = networks.pnet(level[None])[0]
        rows, cols = np.nonzero(alone[0] >= EVERY_CELL)
        assert np.array_equal(cells, np.stack([rows, cols], axis=1))
        np.testing.assert_allclose(values, alone[:, rows, cols].T, atol=2e-4)


@given(st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=5), st.integers(1, 12_000))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_cell_is_that_of_its_level_alone(
    networks: Networks, sizes: list[tuple[int, int]], canvas_pixels: int
) -> None:
    """Every cell occurs once and in order, with any neighbor on the canvas, for even and odd sides and all canvas
    sizes.
    """
    with patch.object(canvas, "CANVAS_PIXELS", canvas_pixels):
        _check(_levels(sizes), networks)


@pytest.mark.parametrize("sizes", [[(12, 12)], [(13, 13)], [(13, 12), (12, 13)], [(12, 3001)], [(3001, 13)]])
def test_smallest_and_longest_levels(networks: Networks, sizes: list[tuple[int, int]]) -> None:
    """Levels with one cell, with one cell from the overhanging pooling, and strips."""
    _check(_levels(sizes), networks)


def test_only_cells_above_the_threshold_are_found(networks: Networks) -> None:
    """The cells have their values."""
    levels = _levels([(60, 70)])
    ((_, all_values),) = find_cells(levels, networks, EVERY_CELL)
    threshold = float(np.median(all_values[:, 0]))
    ((cells, values),) = find_cells(levels, networks, threshold)
    assert np.array_equal(values, all_values[all_values[:, 0] >= threshold])
    assert len(cells) == len(values) < len(all_values)


def test_a_folder_of_images_needs_few_shapes() -> None:
    """For one width there are as many canvases as rounded heights, and one shape has most of the pixels."""
    shapes: list[tuple[int, int]] = []
    for height in range(600, 700, 7):
        sizes = [(int(height * scale), int(800 * scale)) for scale in (0.6, 0.425, 0.3, 0.21, 0.15)]
        shapes += [shape for shape, _ in canvas._canvases(sizes)]
    main = [shape for shape in shapes if min(shape) > 12]
    assert len(set(main)) <= 12
    assert main.count(max(main, key=main.count)) > len(main) / 2

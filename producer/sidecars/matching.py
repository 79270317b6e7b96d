"""Which face of an image a region is about, although programs draw the boxes of faces differently."""

from collections.abc import Sequence

from shared.domain.boxes import Box
from shared.results.found_faces import overlap

MIN_OVERLAP = 0.15
"""Intersection over union. A region with hair and neck is up to 2.5 times as wide and high as the detector's box, from
brow to chin: 1 / 2.5**2. One of a whole person overlaps less.
"""


def match(regions: Sequence[Box], faces: Sequence[Box]) -> dict[int, int]:
    """The face of each region that has one, by their places in the two sequences; no face has two regions.

    The center of each has to be in the other: a neighbor's face may be in a large region, but then at its edge. Of
    several, the pair that overlaps most comes first.
    """
    pairs = sorted(
        (-share, r, f)
        for r, region in enumerate(regions)
        for f, face in enumerate(faces)
        if (share := overlap(region, face)) >= MIN_OVERLAP and _has_center(region, face) and _has_center(face, region)
    )
    found: dict[int, int] = {}
    taken: set[int] = set()
    for _, r, f in pairs:
        if r not in found and f not in taken:
            found[r] = f
            taken.add(f)
    return found


def _has_center(box: Box, other: Box) -> bool:
    """Whether the center of the other box is in the box."""
    x, y = (other[0] + other[2]) / 2, (other[1] + other[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]

"""Digests of a job's images, which tell whether a file is still the one that was embedded."""

import csv
from collections.abc import Container
from pathlib import Path

from shared.domain.paths import ShownPath
from shared.results.files import open_table
from shared.results.schema import DIGESTS, IMAGES


def recorded_digests(folder: Path, paths: Container[ShownPath]) -> dict[ShownPath, str]:
    """The digests that the results in `folder` record for these images, by path as in `images.csv`.

    Paths without a digest are left out: all of them if `digests.csv` is missing or does not fit `images.csv`.
    """
    try:
        with (
            open_table(folder / IMAGES) as images,
            open_table(folder / DIGESTS) as digests,
        ):
            rows = zip(csv.DictReader(images), csv.DictReader(digests), strict=True)
            return {
                ShownPath(image["path"]): digest["blake2b"]
                for image, digest in rows
                if image["path"] in paths and image["image"] == digest["image"] and digest["blake2b"]
            }
    except (OSError, ValueError, KeyError, csv.Error):
        return {}

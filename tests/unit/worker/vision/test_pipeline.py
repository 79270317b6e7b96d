"""The way of a batch through the networks."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shared.domain.arrays import Float32
from shared.domain.outcomes import Outcome
from tests.support.made_up_blocks import CONTRACT
from worker.vision.decode import Limits
from worker.vision.pipeline import Networks, process_images

LIMITS = Limits(100 * 2**20, 100 * 10**6)


@dataclass
class _Failing:
    """The real networks, but for an embedder that has nothing to say of the second face that it gets."""

    real: Networks
    value: float

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    def embed(self, crops: Float32) -> Float32:
        found = self.real.embed(crops).copy()
        found[1] *= self.value
        return found


def test_a_face_without_an_embedding_costs_its_image_alone(sample: Path, networks: Networks) -> None:
    """As a model of the user's own may return: zeros, or what is no number. Neighbors keep their results."""
    paths = ["hopper/as-is.jpg", "collins/as-is.jpg", "hopper/mirrored.jpg"]
    good = process_images(sample, paths, networks, CONTRACT, LIMITS, thumbnails=True)
    for value in (0.0, np.nan, np.inf):
        results = process_images(sample, paths, _Failing(networks, value), CONTRACT, LIMITS, thumbnails=True)
        assert [result.record.outcome for result in results] == [Outcome.OK, Outcome.UNREADABLE, Outcome.OK]
        failed = results[1]
        assert failed.record.error == "the model gives a face in it no embedding"
        assert (failed.record.faces, failed.record.thumbnails, failed.embeddings.shape) == ([], [], (0, 512))
        for kept in (0, 2):
            assert np.array_equal(results[kept].embeddings, good[kept].embeddings)

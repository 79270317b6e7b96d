"""Mean embeddings of groups some of which must stay apart: the distance of these is infinite."""

import numpy as np

from shared.analysis.bundles import Bundles
from shared.analysis.copies import Copies
from shared.analysis.group_means import GroupMeans, Groups, Values
from shared.domain.arrays import Float32


class ConstrainedMeans(GroupMeans):
    """The means of groups that keep to constraints."""

    def __init__(self, embeddings: Float32, copies: Copies, bundles: Bundles) -> None:
        super().__init__(embeddings, copies)
        self._bundles = bundles

    def join(self, low: Groups, high: Groups) -> None:
        super().join(low, high)
        self._bundles.join(low, high)

    def mean_squares(self, one: Groups, other: Groups) -> Values:
        found = super().mean_squares(one, other)
        found[self._bundles.forbidden(one, other)] = np.inf
        return found

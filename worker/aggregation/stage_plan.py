"""How the second stage of a job divides its work into tiles."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from shared.analysis.candidates import Wanted, wanted_of
from shared.analysis.near_pairs import divide, tiles_of


@dataclass(frozen=True)
class _TilesPlan:
    """The tiles of a matrix of pairs, symmetric, whose rows are divided into blocks."""

    faces: int
    block_rows: int
    digest: str
    """BLAKE2b of the embeddings, in order."""

    @cached_property
    def blocks(self) -> list[range]:
        """The rows of each block."""
        return divide(self.faces, self.block_rows)

    @cached_property
    def tiles(self) -> list[tuple[int, int]]:
        """The tiles, by their blocks."""
        return tiles_of(len(self.blocks))

    def about(self, tile: int) -> dict[str, Any]:
        """What the values of a tile depend on."""
        return asdict(self) | {"tile": tile}


@dataclass(frozen=True)
class PairsPlan(_TilesPlan):
    """The search for the nearest neighbors among the distinct embeddings."""

    count: int
    within: float | None
    lost: float | None
    """What the squared distances of projections lose, which are screened then; it does not change the neighbors."""

    def about(self, tile: int) -> dict[str, Any]:
        """What the values of a tile depend on."""
        return super().about(tile) | {"lost": None}

    @property
    def wanted(self) -> Wanted:
        """Which neighbors are searched."""
        return wanted_of(self.count, self.within, self.faces)


@dataclass(frozen=True)
class MatrixPlan(_TilesPlan):
    """The distance matrix of all faces."""

    arithmetic: str
    """What the last bits depend on: all tiles have the same."""

    @property
    def bytes(self) -> int:
        """The size of the matrix."""
        return 4 * self.faces**2


@dataclass(frozen=True)
class StagePlan:
    """The tiles of a stage: those of the search first, then those of the matrix."""

    stage: str
    """A random name: that of the record, if the folder is the one that the record means."""
    pairs: PairsPlan | None
    """None if the job needs no search."""
    matrix: MatrixPlan | None
    """None if the job has no matrix, or the aggregator writes it alone."""

    @staticmethod
    def from_dict(values: Any) -> "StagePlan":
        """The inverse of `asdict`; TypeError, ValueError or LookupError if these are no plan."""
        pairs, matrix = values["pairs"], values["matrix"]
        return StagePlan(
            values["stage"],
            None if pairs is None else PairsPlan(**pairs),
            None if matrix is None else MatrixPlan(**matrix),
        )

    @property
    def searches(self) -> int:
        """The number of tiles of the search."""
        return 0 if self.pairs is None else len(self.pairs.tiles)

    @property
    def tiles(self) -> int:
        """The number of all tiles."""
        return self.searches + (0 if self.matrix is None else len(self.matrix.tiles))

"""The folder of a job's second stage: the embeddings, and what each tile makes of them.

It lies hidden beside the results. Whoever begins the stage writes the embeddings, the workers map them.
"""

import json
import secrets
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Self

from shared.analysis.calibration import same_person_threshold
from shared.analysis.candidates import Candidates, wanted_of
from shared.analysis.copies import Copies
from shared.analysis.pair_screening import screen_tile
from shared.domain.arrays import Float32
from shared.domain.durable_files import replace_content, sync_to_disk
from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.domain.paths import printable
from shared.results.distance_tiles import arithmetic
from shared.results.files import read_json
from worker.aggregation.block_rows import CandidateEstimate, choose_block_rows
from worker.aggregation.candidate_file import is_whole, map_candidates, read_bounds, write_candidates
from worker.aggregation.hidden_names import stage_folder
from worker.aggregation.known_neighbors import neighbor_update
from worker.aggregation.matrix_tiles import MatrixTiles
from worker.aggregation.reserved_array import NO_ROOM
from worker.aggregation.stage_embeddings import StageEmbeddings, digest_of
from worker.aggregation.stage_plan import MatrixPlan, PairsPlan, StagePlan

_PLAN = "plan.json"
_MOST_BLOCKS = 12
_MOST_MATRIX_ROWS = 16_384
"""A tile of the matrix then writes 2 GiB."""
_BYTES_A_CANDIDATE = 8


class PairStage:
    """The folder and its plan."""

    def __init__(self, folder: Path, plan: StagePlan) -> None:
        self.folder, self.plan = folder, plan
        self._embeddings = StageEmbeddings(folder, plan.stage)
        self.matrix = None if plan.matrix is None else MatrixTiles(folder, plan.matrix)

    @classmethod
    def find(cls, job: Job, results_dir: Path) -> Self | None:
        """The stage that the job's record names; None if this results folder does not have it."""
        folder = stage_folder(job, results_dir)
        try:
            found = cls(folder, StagePlan.from_dict(read_json(folder / _PLAN)))
        except (OSError, ValueError, TypeError, LookupError):
            return None
        if found.plan.stage != job.stage or job.stage == "":
            return None
        return found if found.matrix is None or found.matrix.exists else None

    @classmethod
    def begin(
        cls,
        job: Job,
        portions: Iterable[Float32],
        results_dir: Path,
        smallest: int,
        block_rows: int,
        *,
        neighbors: bool = True,
        matrix: bool = False,
        earlier: Path | None = None,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> Self | None:
        """Writes the embeddings, which come in portions, and the plan of the search for `neighbors`, if more than
        `smallest` are distinct and the results in `earlier` do not have most, and of the `matrix`. None if neither has
        any tiles: then nothing is left.

        What was made in an earlier stage with the same embeddings stays. `may_begin` is called last: the stage of
        another aggregator, which has taken over, stays too. ResultsError then, or if the disk has no room, unless the
        job does without a matrix.
        """
        folder = stage_folder(job, results_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _PLAN).unlink(missing_ok=True)
        name = secrets.token_hex(16)
        written = StageEmbeddings(folder, name)
        written.remove_others()
        try:
            copies = written.write(job, portions)
            searched = neighbors and len(copies.first) > smallest
            if searched and earlier is not None:
                searched = neighbor_update(job, written.distinct, earlier) is None
            pairs, candidates = _plan_pairs(job, copies, written, block_rows) if searched else (None, 0)
            distances = _plan_matrix(job, written, block_rows) if matrix else None
            if pairs is not None:
                distances = _check_room(job, candidates * _BYTES_A_CANDIDATE, distances, folder)
            if distances is not None:
                distances = _reserve(job, distances, folder)
            plan = StagePlan(name, pairs, distances)
            if not may_begin():
                raise ResultsError(f"Another aggregator has taken over job '{job.name}'.")
            if plan.tiles == 0:
                shutil.rmtree(folder)
                return None
            if plan.matrix is None:
                written.keep_distinct_alone()
            replace_content(folder / _PLAN, json.dumps(asdict(plan)).encode())
        except BaseException:
            written.remove()  # the next attempt writes them anyway, and may need their room
            raise
        sync_to_disk(folder)
        return cls(folder, plan)

    @staticmethod
    def bytes_there(job: Job, results_dir: Path) -> int:
        """The disk space that an earlier attempt has taken, which `begin` frees or uses."""
        return sum(path.stat().st_blocks * 512 for path in stage_folder(job, results_dir).glob("*"))

    @property
    def embeddings(self) -> Float32:
        """The distinct embeddings, mapped."""
        return self._embeddings.distinct

    @property
    def whole(self) -> bool:
        """Whether all tiles are done."""
        return all(self.has(tile) for tile in range(self.plan.tiles))

    def arithmetic_of(self, tile: int) -> str | None:
        """With what a tile must be computed, if that matters."""
        return None if self.plan.matrix is None or tile < self.plan.searches else self.plan.matrix.arithmetic

    def has(self, tile: int) -> bool:
        """Whether what a tile makes is there and whole."""
        if self.matrix is not None and tile >= self.plan.searches:
            return self.matrix.has(tile - self.plan.searches)
        return self.plan.pairs is not None and is_whole(self._path(tile), self.plan.pairs.about(tile))

    def compute(self, tile: int, threads: int) -> None:
        """Writes the candidates or the distances of a tile. OSError as from the disk."""
        if self.matrix is not None and tile >= self.plan.searches:
            self.matrix.compute(tile - self.plan.searches, self._embeddings.all, threads)
        elif (plan := self.plan.pairs) is not None:
            a, b = plan.tiles[tile]
            # Fewer candidates, among which are the same neighbors.
            known = [self._known(plan, block) for block in (a, b)]
            screened = self.embeddings if plan.lost is None else self._embeddings.projected
            found = screen_tile(screened, plan.blocks[a], plan.blocks[b], plan.wanted, threads, known, plan.lost or 0.0)
            write_candidates(self._path(tile), plan.about(tile), [found[0]] if a == b else [*found])

    def candidates_of(self, plan: PairsPlan, block: int) -> list[Candidates]:
        """The candidates of a block's faces from each of its tiles, mapped."""
        return [self._candidates(tile, blocks, block) for tile, blocks in enumerate(plan.tiles) if block in blocks]

    def _known(self, plan: PairsPlan, block: int) -> list[Candidates]:
        """The bounds of the tiles that other processes have finished."""
        found = []
        for tile, blocks in enumerate(plan.tiles):
            if block in blocks and (bounds := read_bounds(self._path(tile), plan.about(tile))) is not None:
                found.append(bounds[blocks.index(block)])
        return found

    def _candidates(self, tile: int, blocks: tuple[int, int], block: int) -> Candidates:
        return map_candidates(self._path(tile))[blocks.index(block)]

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, tile: int) -> Path:
        return self.folder / f"tile-{tile}.pairs"


def _plan_pairs(job: Job, copies: Copies, written: StageEmbeddings, block_rows: int) -> tuple[PairsPlan, int]:
    """The plan, and about how many candidates its tiles write."""
    threshold = same_person_threshold(job.contract.as_dict())
    embeddings, faces = written.distinct, len(copies.first)
    estimate = CandidateEstimate(embeddings, wanted_of(job.options.neighbors, threshold, faces))
    rows = _rows_a_block(faces, block_rows, choose_block_rows(estimate))
    lost = written.write_projections()
    plan = PairsPlan(faces, rows, digest_of(embeddings), job.options.neighbors, threshold, lost)
    return plan, int(estimate.in_tiles(rows).sum())


def _plan_matrix(job: Job, written: StageEmbeddings, block_rows: int) -> MatrixPlan:
    rows = _rows_a_block(job.faces, block_rows, _MOST_MATRIX_ROWS)
    return MatrixPlan(job.faces, rows, digest_of(written.all), arithmetic())


def _reserve(job: Job, plan: MatrixPlan, folder: Path) -> MatrixPlan | None:
    """The plan, once the matrix has its room; None if the job does without it then."""
    try:
        MatrixTiles(folder, plan).create()
    except OSError as error:
        if job.options.distances != "auto" or error.errno not in NO_ROOM:
            raise
        return None
    return plan


def _rows_a_block(faces: int, smallest: int, most: int) -> int:
    """Blocks of about the same size, so that workers finish at about the same time."""
    rows = min(most, max(smallest, -(-faces // _MOST_BLOCKS)))
    return -(-faces // -(-faces // rows))


def _check_room(job: Job, needed: int, matrix: MatrixPlan | None, folder: Path) -> MatrixPlan | None:
    """The plan of the matrix; None if the job does without it because the candidates, of `needed` bytes, would have no
    room then. ResultsError if they have none.
    """
    there = sum(path.stat().st_size for path in folder.glob("tile-*.pairs"))
    free = shutil.disk_usage(folder).free + there
    if matrix is not None and not MatrixTiles(folder, matrix).exists:
        if job.options.distances == "auto" and needed + matrix.bytes > free:
            matrix = None
        else:
            needed += matrix.bytes
    if needed > free:
        raise ResultsError(
            f"Comparing the faces of job '{job.name}' takes {needed / 2**30:.2f} GiB for a while, and only "
            f"{free / 2**30:.2f} GiB are free in {printable(str(folder.parent))}. Make room, or leave out the "
            "neighbors with --neighbors 0."
        )
    return matrix

"""The folder of a job's second stage: the distinct embeddings, and the candidates of each tile of their pair matrix.

It lies hidden beside the results. Whoever begins the stage writes the embeddings, the workers map them.
"""

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from shared.analysis.calibration import same_person_threshold
from shared.analysis.candidates import Candidates, Wanted, wanted_of
from shared.analysis.copies import Copies, find_copies
from shared.analysis.near_pairs import divide, tiles_of
from shared.analysis.pair_screening import screen_tile
from shared.domain.arrays import DIMENSIONS, Float32
from shared.domain.durable_files import replace_content, sync_to_disk
from shared.domain.errors import ResultsError
from shared.domain.job import Job
from shared.domain.paths import printable
from shared.results.files import map_array, read_json
from worker.aggregation.candidate_file import is_whole, map_candidates, write_candidates
from worker.aggregation.hidden_names import stage_folder
from worker.aggregation.reserved_array import new_array

_PLAN, _EMBEDDINGS, _ALL = "plan.json", "distinct.npy", "embeddings.npy"
_MOST_BLOCKS, _MOST_BLOCK_ROWS = 12, 50_000
_BYTES_A_CANDIDATE = 8


@dataclass(frozen=True)
class Plan:
    """How the pairs are divided."""

    stage: str
    """A random name: that of the record, if the folder is the one that the record means."""
    faces: int
    """The number of distinct embeddings."""
    block_rows: int
    count: int
    within: float | None
    digest: str
    """BLAKE2b of the embeddings."""

    @property
    def blocks(self) -> list[range]:
        """The rows of each block."""
        return divide(self.faces, self.block_rows)

    @property
    def tiles(self) -> list[tuple[int, int]]:
        """The tiles, by their blocks."""
        return tiles_of(len(self.blocks))

    @property
    def wanted(self) -> Wanted:
        """Which neighbors are searched."""
        return wanted_of(self.count, self.within, self.faces)

    def about(self, tile: int) -> dict[str, Any]:
        """What the candidates of a tile depend on."""
        return {name: value for name, value in asdict(self).items() if name != "stage"} | {"tile": tile}


class PairStage:
    """The folder and its plan."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan

    @classmethod
    def find(cls, job: Job, results_dir: Path) -> Self | None:
        """The stage that the job's record names; None if this results folder does not have it."""
        folder = stage_folder(job, results_dir)
        try:
            plan = Plan(**read_json(folder / _PLAN))
        except (OSError, ValueError, TypeError):
            return None
        return cls(folder, plan) if plan.stage == job.stage != "" else None

    @classmethod
    def begin(
        cls, job: Job, portions: Iterable[Float32], results_dir: Path, smallest: int, block_rows: int
    ) -> Self | None:
        """Writes the embeddings, which come in portions, and the plan; None if `smallest` or fewer are distinct: then
        nothing is left.

        Candidates of an earlier stage with the same embeddings stay. ResultsError if the disk has no room.
        """
        folder = stage_folder(job, results_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _PLAN).unlink(missing_ok=True)
        copies = _write_embeddings(job, portions, folder)
        faces = len(copies.first)
        if faces <= smallest:
            shutil.rmtree(folder)
            return None
        rows_a_block = min(_MOST_BLOCK_ROWS, max(block_rows, -(-faces // _MOST_BLOCKS)))
        digest = digest_of(map_array(folder / _EMBEDDINGS))
        threshold = same_person_threshold(job.contract.as_dict())
        plan = Plan(secrets.token_hex(16), faces, rows_a_block, job.options.neighbors, threshold, digest)
        _check_room(job, plan, folder)
        replace_content(folder / _PLAN, json.dumps(asdict(plan)).encode())
        sync_to_disk(folder)
        return cls(folder, plan)

    @property
    def embeddings(self) -> Float32:
        """The distinct embeddings, mapped."""
        return map_array(self.folder / _EMBEDDINGS)

    def has(self, tile: int) -> bool:
        """Whether the candidates of a tile are there and whole."""
        return is_whole(self._path(tile), self.plan.about(tile))

    def compute(self, tile: int, threads: int) -> None:
        """Writes the candidates of a tile. OSError as from the disk."""
        plan = self.plan
        a, b = plan.tiles[tile]
        # Fewer candidates, among which are the same neighbors.
        known = [self._known(block) for block in (a, b)]
        found = screen_tile(self.embeddings, plan.blocks[a], plan.blocks[b], plan.wanted, threads, known)
        write_candidates(self._path(tile), plan.about(tile), [found[0]] if a == b else [*found])

    def candidates_of(self, block: int) -> list[Candidates]:
        """The candidates of a block's faces from each of its tiles, mapped."""
        return [self._candidates(tile, block) for tile, blocks in enumerate(self.plan.tiles) if block in blocks]

    def _known(self, block: int) -> list[Candidates]:
        """Those of the tiles that other processes have finished."""
        found = []
        for tile, blocks in enumerate(self.plan.tiles):
            if block in blocks and self.has(tile):
                found.append(self._candidates(tile, block))
        return found

    def _candidates(self, tile: int, block: int) -> Candidates:
        return map_candidates(self._path(tile))[self.plan.tiles[tile].index(block)]

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, tile: int) -> Path:
        return self.folder / f"tile-{tile}.pairs"


def _write_embeddings(job: Job, portions: Iterable[Float32], folder: Path) -> Copies:
    for name in (_ALL, _EMBEDDINGS):
        (folder / name).unlink(missing_ok=True)
    embeddings = new_array(folder / _ALL, (job.faces, DIMENSIONS))
    faces = 0
    for portion in portions:
        if faces + len(portion) <= job.faces:
            embeddings[faces : faces + len(portion)] = portion
        faces += len(portion)
    if faces != job.faces:
        raise ResultsError(
            f"Job '{job.name}' counts {job.faces} faces, and its blocks have {faces}. Cancel it and run it again."
        )
    if isinstance(embeddings, np.memmap):
        embeddings.flush()
    copies = find_copies(embeddings)
    if len(copies.first) == faces:
        (folder / _ALL).rename(folder / _EMBEDDINGS)
    else:
        distinct = new_array(folder / _EMBEDDINGS, (len(copies.first), DIMENSIONS))
        for first in range(0, len(distinct), 4096):
            distinct[first : first + 4096] = embeddings[copies.first[first : first + 4096]]
        if isinstance(distinct, np.memmap):
            distinct.flush()
        (folder / _ALL).unlink()
    sync_to_disk(folder / _EMBEDDINGS)
    return copies


def digest_of(embeddings: Float32, chosen: Iterable[int] | None = None) -> str:
    """BLAKE2b of embeddings [n, d], or of those `chosen`, in this order."""
    found = hashlib.blake2b(digest_size=16)
    rows = np.arange(len(embeddings)) if chosen is None else np.asarray(chosen)
    for first in range(0, len(rows), 4096):
        found.update(np.ascontiguousarray(embeddings[rows[first : first + 4096]], np.float32).tobytes())
    return found.hexdigest()


def _check_room(job: Job, plan: Plan, folder: Path) -> None:
    needed = plan.faces * len(plan.blocks) * plan.wanted.kept * _BYTES_A_CANDIDATE
    there = sum(path.stat().st_size for path in folder.glob("tile-*.pairs"))
    free = shutil.disk_usage(folder).free + there
    if needed > free:
        raise ResultsError(
            f"Comparing the faces of job '{job.name}' takes {needed / 2**30:.2f} GiB for a while, and only "
            f"{free / 2**30:.2f} GiB are free in {printable(str(folder.parent))}. Make room, or leave out the "
            "neighbors with --neighbors 0."
        )

"""Decides when finished blocks move from the server to spill files, and moves them."""

import time
from collections.abc import Sequence

import redis

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.domain.errors import FaceQueueError
from shared.domain.job import Job
from shared.store.redis_client import Client, server_memory
from worker.aggregation.spilling import move_blocks, sweep_spill_files

_log = get_logger("spill_policy")
_MIB = 2**20
_TIGHT, _WATCHFUL, _WELL_BELOW = 0.6, 0.4, 0.3  # shares of maxmemory
_STEP_BYTES = 64 * _MIB  # then the reconciler continues with its other work
_SWEEP_EVERY_S = 60.0


class SpillPolicy:
    """Keeps the finished blocks and the server's memory use below their limits."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client, self._settings = client, settings
        self._next_sweep = 0.0
        self._said = ""

    def step(self, jobs: Sequence[Job]) -> bool:
        """Moves some blocks of these unfinished jobs. Returns whether more may have to be moved very soon."""
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + _SWEEP_EVERY_S
            self._sweep()
        memory = server_memory(self._client)
        blocks, limit = sum(job.block_bytes for job in jobs), self._settings.blocks_in_server_mib * _MIB
        excess = blocks - limit / 2 if blocks > limit else 0.0
        if memory.above(_TIGHT):
            excess = max(excess, memory.used - _WELL_BELOW * memory.limit)
        wanted, moved = min(excess, _STEP_BYTES), 0
        for job in sorted(jobs, key=lambda job: -job.block_bytes):
            if job.block_bytes and moved < wanted:
                moved += self._move(job, wanted - moved)
        return moved > 0 or (blocks > 0 and memory.above(_WATCHFUL))

    def _sweep(self) -> None:
        try:
            sweep_spill_files(self._client, self._settings.results_dir)
        except (FaceQueueError, OSError, redis.ResponseError) as error:
            _log.error("old spill files stay: %s", error, extra={"action": "sweep_failed"})

    def _move(self, job: Job, wanted_bytes: float) -> int:
        try:
            moved = move_blocks(self._client, job, self._settings.results_dir, wanted_bytes)
        # ValueError and ResponseError: the record is damaged.
        except (FaceQueueError, OSError, ValueError, redis.ResponseError) as error:
            if str(error) != self._said:  # otherwise the same line would appear several times a second
                self._said = str(error)
                _log.error("blocks stay on the server: %s", error, extra={"action": "spill_failed", "job": job.name})
            return 0
        if moved:
            self._said = ""
            _log.info(
                "job %s: %.1f MiB moved to its spill file",
                job.name,
                moved / _MIB,
                extra={"action": "blocks_spilled", "job": job.name},
            )
        return moved

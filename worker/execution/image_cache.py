"""Caches results in Redis, by contract and digest of the file's bytes. Copies of a file are computed once, across jobs.

Only `ok` and `no_face` are cached, for a limited time and up to a limited size. If the cache fails, everything is
computed.
"""

import hashlib
import json
import time
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import redis
from pydantic import TypeAdapter

from shared.config.logs import get_logger
from shared.domain.arrays import DIMENSIONS
from shared.domain.contract import Contract, Runtime
from shared.domain.outcomes import Outcome
from shared.store.keys import CACHE_BYTES, CACHE_INDEX, cache_prefix
from shared.store.redis_client import Client
from worker.batch_result import EMBEDDING_DTYPE, ImageRecord
from worker.vision.pipeline import Result

_log = get_logger("cache")
_KEPT = (Outcome.OK, Outcome.NO_FACE)
_PAUSE_S = 5.0  # after an error
_RECORD = TypeAdapter(ImageRecord)
_FACE_FIGURES = 5
_SERVER_SHARE = 4  # if the server has a memory limit, the cache takes at most this part of it


class ImageCache:
    """This process's access to the cache. After an error it does not use the server for a while."""

    def __init__(self, client: Client, runtime: Runtime, ttl_s: int, max_mib: int) -> None:
        self._client, self._runtime, self._ttl_s, self._max_bytes = client, runtime, ttl_s, max_mib * 2**20
        self._keep_script = client.register_script(_script())
        self._off_until = 0.0

    def under(self, contract: Contract) -> "ContractCache":
        """The cached results of this worker's runtime under a contract."""
        label = json.dumps(contract.as_dict() | self._runtime.as_dict(), sort_keys=True).encode()
        return ContractCache(self, cache_prefix(hashlib.blake2b(label, digest_size=16).hexdigest()))

    def get(self, key: str) -> bytes | None:
        """A packed result; None if it is not cached, or the server does not answer."""
        if self._is_off():
            return None
        try:
            packed: bytes | None = self._client.get(key)
        except redis.RedisError as error:
            self._turn_off(error)
            return None
        return packed

    def put(self, entries: dict[str, bytes]) -> None:
        """Stores packed results by key, as far as there is room."""
        if self._is_off() or not entries:
            return
        keys = [CACHE_INDEX, CACHE_BYTES, *entries]
        try:
            self._keep_script(keys=keys, args=[self._ttl_s, self._limit(), *entries.values()])
        except redis.RedisError as error:
            self._turn_off(error)

    def _limit(self) -> int:
        server_bytes = int(self._client.info("memory").get("maxmemory", 0))
        return min(self._max_bytes, server_bytes // _SERVER_SHARE) if server_bytes else self._max_bytes

    def _is_off(self) -> bool:
        return self._ttl_s == 0 or self._max_bytes == 0 or time.monotonic() < self._off_until

    def _turn_off(self, error: redis.RedisError) -> None:
        self._off_until = time.monotonic() + _PAUSE_S
        _log.info("no image cache for %.0f s: %s", _PAUSE_S, error, extra={"action": "cache_off"})


class ContractCache:
    """The cached results of one contract."""

    def __init__(self, cache: ImageCache, prefix: str) -> None:
        self._cache, self._prefix = cache, prefix

    def recall(self, digest: str) -> Result | None:
        """The result of a file with this digest; None if it is not cached."""
        packed = self._cache.get(self._prefix + digest)
        return None if packed is None else _unpack(packed)

    def keep(self, results: Iterable[Result]) -> None:
        """Stores computed results, as far as there is room."""
        self._cache.put(
            {
                self._prefix + result.record.digest: _pack(result)
                for result in results
                if result.record.outcome in _KEPT and not result.record.recalled
            }
        )


@lru_cache(maxsize=1)
def _script() -> str:
    return (Path(__file__).parent / "cache_keep.lua").read_text()


def _pack(result: Result) -> bytes:
    record = result.record
    values = {
        "outcome": record.outcome,
        "error": record.error,
        "faces": record.faces,
        "width": record.width,
        "height": record.height,
        "embeddings": np.ascontiguousarray(result.embeddings, EMBEDDING_DTYPE).tobytes(),
    }
    packed: bytes = msgpack.packb(values)
    return packed


def _unpack(packed: bytes) -> Result | None:
    try:
        values: dict[str, Any] = msgpack.unpackb(packed)
        embeddings = np.frombuffer(values.pop("embeddings"), EMBEDDING_DTYPE).reshape(-1, DIMENSIONS)
        record = _RECORD.validate_python({**values, "path": ""})
        if record.outcome not in _KEPT or any(len(face) != _FACE_FIGURES for face in record.faces):
            return None
    except (ValueError, TypeError, LookupError, AttributeError):  # not written by this version
        return None
    return Result(record, embeddings) if len(record.faces) == len(embeddings) else None

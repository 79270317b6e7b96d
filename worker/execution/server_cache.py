"""Keeps results of images in Redis, for a limited time and up to a limited size. All workers share them."""

import hashlib
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import redis

from shared.config.logs import get_logger
from shared.store.keys import CACHE_BYTES, CACHE_INDEX, cache_prefix
from shared.store.redis_client import Client

_log = get_logger("cache")
_PAUSE_S = 5.0  # after an error
_SERVER_SHARE = 4  # if the server has a memory limit, the cache takes at most this part of it


class ServerCache:
    """This process's access to the cache. After an error it does not use the server for a while."""

    keeps_thumbnails = False  # the server's memory is for embeddings

    def __init__(self, client: Client, ttl_s: int, max_mib: int) -> None:
        self._client, self._ttl_s, self._max_bytes = client, ttl_s, max_mib * 2**20
        self._keep_script = client.register_script(_script())
        self._off_until = 0.0

    def get(self, label: str, digest: str) -> bytes | None:
        """A packed result; None if it is not cached, or the server does not answer."""
        if self._is_off():
            return None
        try:
            packed: bytes | None = self._client.get(_prefix(label) + digest)
        except redis.RedisError as error:
            self._turn_off(error)
            return None
        return packed

    def put(self, label: str, results: Mapping[str, bytes]) -> None:
        """Stores packed results by digest, as far as there is room."""
        if self._is_off() or not results:
            return
        prefix = _prefix(label)
        keys = [CACHE_INDEX, CACHE_BYTES, *(prefix + digest for digest in results)]
        try:
            self._keep_script(keys=keys, args=[self._ttl_s, self._limit(), *results.values()])
        except redis.RedisError as error:
            self._turn_off(error)

    def _limit(self) -> int:
        server_bytes = int(self._client.info("memory").get("maxmemory", 0))
        return min(self._max_bytes, server_bytes // _SERVER_SHARE) if server_bytes else self._max_bytes

    def _is_off(self) -> bool:
        return self._ttl_s == 0 or self._max_bytes == 0 or time.monotonic() < self._off_until

    def _turn_off(self, error: redis.RedisError) -> None:
        self._off_until = time.monotonic() + _PAUSE_S
        _log.info("no cached results for %.0f s: %s", _PAUSE_S, error, extra={"action": "cache_off"})


@lru_cache(maxsize=8)
def _prefix(label: str) -> str:
    return cache_prefix(hashlib.blake2b(label.encode(), digest_size=16).hexdigest())


@lru_cache(maxsize=1)
def _script() -> str:
    return (Path(__file__).parent / "cache_keep.lua").read_text()

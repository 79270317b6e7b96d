"""The worker that `run` starts, and restarts when it dies."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from producer.local.early_worker import order
from shared.config.settings import Settings
from shared.domain.errors import FaceQueueError

if TYPE_CHECKING:
    from shared.store.redis_client import Client

_START_TIMEOUT_S = 600.0  # the first worker on a machine converts the networks and may download weights
_STOP_TIMEOUT_S = 45.0
_LAST_WORDS_S = 0.03
_LAST_SPANS_S = 4.0
_MOST_RESTARTS = 5
_LONGEST_PAUSE_S = 5.0


class WorkerProcess:
    """A worker of this process, with the settings of this process. It ends when this process does."""

    def __init__(self, settings: Settings, processes: int, log: Path) -> None:
        """`processes`: how many child processes compute; 0: one per usable core. `log`: where the output goes."""
        self.environment = os.environ | environment_of(settings)
        self._log, self._processes, self._starts = log, processes, 0
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._killed = False
        self._images_done, self._restarts = 0, 0

    def serves(self, settings: Settings) -> bool:
        """Whether it was started with these settings."""
        return self.environment == os.environ | environment_of(settings)

    def start(self) -> None:
        """Starts the worker if it is not running yet. It may take minutes to get ready."""
        if self._starts == 0:
            self._start()

    def _start(self) -> None:
        self._starts += 1
        self._started_at = time.monotonic()
        arguments = ["--concurrency", str(self._processes), "--parent-pid", str(os.getpid())]
        self._process = order(arguments, environment_of(self._settings), self._log)
        if self._process is not None:
            return
        command = [sys.executable, "-m", "worker", *arguments]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=self.environment
            )

    def ensure(self, say: Callable[[str], None], images_done: Callable[[], int]) -> bool:
        """Restarts the worker if it has exited; True while it may still be getting ready.

        FaceQueueError after too many restarts in a row without an image done in between.
        """
        if self._process is None or self._process.poll() is None:
            return time.monotonic() - self._started_at < _START_TIMEOUT_S
        import redis

        with suppress(redis.RedisError):  # the caller, who follows the job, reports this
            done = images_done()
            if done > self._images_done:
                self._images_done, self._restarts = done, 0
        self._restarts += 1
        if self._restarts > _MOST_RESTARTS:
            raise FaceQueueError(
                f"The worker exited {self._restarts} times. Its log is {self._log}:\n{self._last_lines()}"
            )
        say(f"The worker exited (code {self._process.returncode}) and is restarted; its log is {self._log}")
        # Not a retry within one call: the caller that follows the job calls this repeatedly.
        time.sleep(min(_LONGEST_PAUSE_S, 0.5 * 2**self._restarts))
        self._start()
        return True

    def stop(self) -> None:
        """Ends the worker: it returns its unfinished batches to the queue first, unless that takes too long."""
        if self._process is None or self._process.poll() is not None or self._killed:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def end_now(self, client: "Client") -> None:
        """Ends the worker of a finished job, which has no batch to return to the queue."""
        import redis

        from shared.store.worker_registry import sign_off

        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()  # it acknowledges its last message, and takes no other
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LAST_SPANS_S if self._settings.otel_exporter_otlp_endpoint else _LAST_WORDS_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        self._killed = True  # its memory, most of a gigabyte, is freed meanwhile
        with suppress(redis.RedisError):  # its entries expire
            sign_off(client, f"worker-{process.pid}@{socket.gethostname()}", self._settings.queue_prefix)

    def _last_lines(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").strip().splitlines()[-3:])


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings that `run` or its options may have changed, as environment variables. Empty ones count as unset."""
    return {
        "REDIS_URL": settings.given_url,
        "FACEQUEUE_DATA_ROOT": str(settings.data_root),
        "FACEQUEUE_RESULTS_DIR": str(settings.results_dir),
        "FACEQUEUE_QUEUE_PREFIX": settings.queue_prefix,
        "FACEQUEUE_ALLOWED_URLS": settings.allowed_urls or "",
        "FACEQUEUE_BATCH_SIZE": str(settings.batch_size),
        "FACEQUEUE_DEVICE": settings.device,
        "FACEQUEUE_PRELOAD_WEIGHTS": settings.preload_weights,
        "FACEQUEUE_WEIGHTS_PATH": str(settings.weights_path or ""),
        "FACEQUEUE_PROFILE_DIR": str(settings.profile_dir or ""),
        "FACEQUEUE_CACHE_TTL_S": str(settings.cache_ttl_s),
        "FACEQUEUE_DISK_CACHE_DIR": str(settings.disk_cache_dir or ""),
        "FACEQUEUE_DISK_CACHE_MAX_MIB": str(settings.disk_cache_max_mib),
    }

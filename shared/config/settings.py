"""Every setting, read once per process from the environment and from `.env`."""

import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from platformdirs import user_cache_path, user_state_path
from pydantic import AliasChoices, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.domain.errors import InvalidSetting


class Settings(BaseSettings):
    """Settings of producer and worker. Names carry the prefix FACEQUEUE_, except REDIS_URL."""

    model_config = SettingsConfigDict(
        env_prefix="FACEQUEUE_",
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
    )

    redis_url: Annotated[
        str | None,
        Field(
            validation_alias=AliasChoices("REDIS_URL", "FACEQUEUE_REDIS_URL"),
            description="The server. Without it, `run` starts its own and the rest use the compose file's on loopback.",
        ),
    ] = None
    redis_password: Annotated[str, Field(description="Password of the compose file's server.")] = "facequeue"  # noqa: S105 - the compose file's default, reachable on loopback only
    redis_host: Annotated[str, Field(description="Host of the compose file's server; its containers set it.")] = (
        "127.0.0.1"
    )
    redis_port: Annotated[int, Field(ge=1, le=65535, description="Port of the compose file's server.")] = 6379
    queue_prefix: Annotated[
        str, Field(description="Put before the queues' names, so that several installations can share a server.")
    ] = ""

    data_root: Annotated[Path, Field(description="Images are read below this folder only.")] = Path("data")
    results_dir: Annotated[Path, Field(description="Where the aggregator writes `<job>/`.")] = Path("results")
    state_dir: Annotated[Path, Field(description="Data folder of the server that `run` starts, and its logs.")] = (
        user_state_path("facequeue")
    )
    cache_dir: Annotated[Path, Field(description="Downloaded and converted weights.")] = user_cache_path("facequeue")

    batch_size: Annotated[int, Field(ge=1, le=1024, description="Images a batch.")] = 16
    window_batches: Annotated[
        int, Field(ge=1, description="The producer waits while this many batches of its job are not done.")
    ] = 1000
    blocks_in_server_mib: Annotated[
        int,
        Field(
            ge=1,
            description="Above this, or above 60 % of maxmemory, the aggregator moves finished blocks to the results folder.",
        ),
    ] = 256
    inline_window_mib: Annotated[
        int, Field(ge=1, description="`enqueue --inline` waits while this much of its images is on the server.")
    ] = 128
    max_image_mib: Annotated[int, Field(ge=1, description="Larger files are `too_large`.")] = 100
    max_image_megapixels: Annotated[int, Field(ge=1, description="Images of more pixels are `too_large`.")] = 100
    image_timeout_s: Annotated[
        float,
        Field(
            gt=0, description="An image that takes longer is run alone, and given up as `timeout` after three times."
        ),
    ] = 30.0

    concurrency: Annotated[int, Field(ge=0, description="Worker processes; 0: the usable cores.")] = 0
    threads: Annotated[int, Field(ge=0, description="Threads a worker process; 0: cores / processes.")] = 0
    backend: Annotated[
        Literal["auto", "openvino", "torch"], Field(description="`auto`: OpenVINO on the CPU where it is installed.")
    ] = "auto"
    device: Annotated[str, Field(description="`cpu`, `cuda` or `cuda:1`; `cuda` needs the torch backend.")] = "cpu"
    cpu_isa: Annotated[
        Literal["auto", "sse41", "avx", "avx2", "avx512_core"],
        Field(
            # oneDNN's own variables have their effect in any case, so they count as the setting.
            validation_alias=AliasChoices("FACEQUEUE_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"),
            description="Best instruction set that the networks use; where processors differ, the one all workers have.",
        ),
    ] = "auto"
    preload_weights: Annotated[
        Literal["casia-webface", "vggface2"], Field(description="Weights that a worker loads before it takes work.")
    ] = "casia-webface"
    weights_path: Annotated[
        Path | None, Field(description="Local weights file, for `vggface2` or for weights of one's own.")
    ] = None
    weights_url: Annotated[str | None, Field(description="Where `vggface2` is downloaded from instead.")] = None

    cache_ttl_s: Annotated[
        int,
        Field(ge=0, description="How long the result of an image is kept for files of the same bytes; 0: not at all."),
    ] = 24 * 3600
    cache_max_mib: Annotated[int, Field(ge=0, description="Most memory of the server for them.")] = 256

    lease_s: Annotated[float, Field(gt=0, description="A batch whose worker is silent this long is sent again.")] = 15.0
    stop_after_s: Annotated[
        float, Field(ge=0, description="A worker that is told to stop hands batches back that take longer than this.")
    ] = 20.0
    job_ttl_s: Annotated[
        int,
        Field(
            ge=60,
            description="How long the server keeps a finished job's record. Unfinished work is kept, and `stalled` after so long without news.",
        ),
    ] = 7 * 24 * 3600
    server_timeout_s: Annotated[float, Field(gt=0, description="How long commands wait for the server.")] = 10.0
    worker_timeout_s: Annotated[float, Field(gt=0, description="How long waiting goes on with no worker.")] = 30.0
    profile_dir: Annotated[
        Path | None, Field(description="Workers write a cProfile file each there; `run --profile` sets it.")
    ] = None
    sample_interval_s: Annotated[float, Field(gt=0, description="Between two samples of CPU and memory.")] = 1.0
    log_dir: Annotated[
        Path | None,
        Field(
            description="Where each worker writes its samples, `<worker>.csv`; without it, `workers` in "
            "`FACEQUEUE_STATE_DIR`; `none`: nowhere."
        ),
    ] = None
    log_max_mib: Annotated[
        float, Field(gt=0, description="A file of samples this large becomes `<worker>.csv.1`, and another begins.")
    ] = 16.0
    distances_max_gib: Annotated[
        float, Field(gt=0, description="`--distances auto` leaves out a larger distance matrix.")
    ] = 16.0

    flower_port: Annotated[int, Field(ge=1, le=65535, description="Loopback port of Flower.")] = 5555
    flower_user: Annotated[str, Field(description="Flower's user.")] = "facequeue"
    flower_password: Annotated[
        str | None, Field(description="Flower's password; without it, one is made up and printed at each start.")
    ] = None
    flower_hosts: Annotated[
        str | None,
        Field(description="Names under which Flower is answered beside loopback's, with commas between them."),
    ] = None

    metrics_port: Annotated[int, Field(ge=1, le=65535, description="Loopback port of the metrics.")] = 9808
    metrics_hosts: Annotated[
        str | None,
        Field(description="Names under which the metrics are served beside loopback's, with commas between them."),
    ] = None

    @field_validator("redis_url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss", "unix", "redis+socket"):
            raise ValueError("it begins with redis://, rediss:// or unix://")
        _ = parts.port  # ValueError where it is none
        return url.replace("unix://", "redis+socket://", 1)  # kombu's spelling

    @field_validator("cpu_isa", mode="before")
    @classmethod
    def _lower_isa(cls, isa: object) -> object:
        return isa.lower() if isinstance(isa, str) else isa

    @field_validator("device")
    @classmethod
    def _check_device(cls, device: str) -> str:
        if not re.fullmatch(r"cpu|cuda(:[0-9]{1,3})?", device):
            raise ValueError(
                f"{device!r} is no device; give cpu, cuda, or cuda:N for one of several GPUs, from cuda:0 up"
            )
        return device

    @field_validator("flower_user", "flower_password")
    @classmethod
    def _check_flower(cls, value: str | None) -> str | None:
        if value is not None and "," in value:
            raise ValueError("it holds a comma, by which Flower separates its users")
        return value

    @field_validator("flower_hosts", "metrics_hosts")
    @classmethod
    def _check_hosts(cls, hosts: str | None) -> str | None:
        for name in _names(hosts):
            if not re.fullmatch(r"[a-z0-9._-]+|[0-9a-f:.]+", name):
                raise ValueError(f"{name!r} is no host name; give names alone, without http:// and port")
        return hosts

    @property
    def flower_host_names(self) -> list[str]:
        """The names in `flower_hosts`, in lower case."""
        return _names(self.flower_hosts)

    @property
    def metrics_host_names(self) -> list[str]:
        """The names in `metrics_hosts`, in lower case."""
        return _names(self.metrics_hosts)

    @property
    def server_url(self) -> str:
        """REDIS_URL, or the address of the compose file's server."""
        return self.redis_url or f"redis://:{quote(self.redis_password, safe='')}@{self.redis_host}:{self.redis_port}/0"

    @property
    def sample_log_dir(self) -> Path | None:
        """Where workers write their samples; None: nowhere."""
        if self.log_dir is None:
            return self.state_dir / "workers"
        return None if self.log_dir == Path("none") else self.log_dir

    @property
    def embed_queue(self) -> str:
        return f"{self.queue_prefix}embed"

    @property
    def aggregate_queue(self) -> str:
        return f"{self.queue_prefix}aggregate"


def _names(hosts: str | None) -> list[str]:
    return [name for part in (hosts or "").split(",") if (name := part.strip().lower().strip("[]").rstrip("."))]


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """This process's settings; InvalidSetting names the one that is not right."""
    return load_settings()


def load_settings(**given: Any) -> Settings:
    """Settings from the environment and `.env`, where those `given` (by field name) win; InvalidSetting names a wrong one."""
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        name = name if name.startswith(("REDIS_URL", "FACEQUEUE")) else f"FACEQUEUE_{name}"
        raise InvalidSetting(
            f"The setting {name} is not right: {first['msg']}. It comes from the environment or .env."
        ) from None
    except UnicodeDecodeError:
        raise InvalidSetting("The file .env is not UTF-8 text. Save it as such, or remove it.") from None

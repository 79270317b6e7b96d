"""Several machines, simulated by two networks of containers that only the server joins. See docs/cluster.md."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

BACK, WORKERS = "fq-back", "fq-workers"
URL = "rediss://facequeue:{}@redis:6380/0?ssl_cert_reqs=required&ssl_ca_certs=/certificates/ca.pem"


def docker(*arguments: str, timeout_s: float = 180, expect: int = 0, **environment: str) -> str:
    """Runs `docker ...`; ends the test if it fails."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=timeout_s, env=os.environ | environment
    )
    if done.returncode != expect:
        raise SystemExit(
            f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )
    return done.stdout


def make_certificates(folder: Path) -> None:
    """Creates a certificate authority, and a certificate for the server's name."""
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=facequeue",
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
    )
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=redis", "-keyout", "redis.key", "-out", "redis.csr")
    (folder / "names").write_text("subjectAltName=DNS:redis")
    openssl(
        "x509",
        "-req",
        "-in",
        "redis.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "names",
        "-out",
        "redis.pem",
    )
    (folder / "ca.pem").chmod(0o644)
    folder.chmod(0o755)


def play(compose: Callable[..., str], folder: Path, images: Path, password: str) -> None:
    """Runs a job whose producer and workers share only the server, over TLS: the images travel through it.

    `compose` runs `docker compose` for the server's machine. `password` is its password as it is written in an address.
    """
    certificates, empty = folder / "docker" / "certificates", folder / "empty"
    make_certificates(certificates)
    empty.mkdir()
    compose("stop", "worker")  # the job is the other machine's
    with (folder / ".env").open("a") as settings:
        settings.write("COMPOSE_FILE=docker-compose.yml:docker-compose.tls.yml\n")
    compose("up", "--detach", "--wait", "redis", "aggregator", timeout_s=240)
    docker("network", "create", BACK)
    docker("network", "connect", "--alias", "redis", BACK, compose("ps", "--quiet", "redis").strip())
    (folder / "networks.yml").write_text(f"networks: {{default: {{external: true, name: {BACK}}}}}\n")
    _workers(
        folder,
        "up",
        "--detach",
        "--wait",
        "--wait-timeout",
        "120",
        REDIS_URL=URL.format(password),
        FACEQUEUE_IMAGES=str(empty),
        FACEQUEUE_CERTIFICATES=str(certificates),
    )
    compose(
        "run",
        "--rm",
        "--volume",
        f"{images}:/elsewhere:ro",
        "producer",
        "enqueue",
        "/elsewhere",
        "--inline",
        "--wait",
        "--job",
        "far",
        "--batch-size",
        "4",
        expect=3,
    )


def _workers(folder: Path, *arguments: str, **environment: str) -> None:
    files = ["-f", str(folder / "docker-compose.workers.yml"), "-f", str(folder / "networks.yml")]
    docker("compose", "-p", WORKERS, "--project-directory", str(folder), *files, *arguments, **environment)


def clear_up(folder: Path) -> None:
    """Removes everything that was started on the other machines."""
    quiet: dict[str, Any] = {"capture_output": True, "timeout": 120}
    found = subprocess.run(["docker", "ps", "-aq", "--filter", f"name={WORKERS}"], text=True, **quiet).stdout.split()
    found += subprocess.run(["docker", "ps", "-aq", "--filter", f"network={BACK}"], text=True, **quiet).stdout.split()
    ends = [
        ["docker", "rm", "--force", "--volumes", *found],
        ["docker", "network", "rm", BACK],
        ["docker", "volume", "rm", f"{WORKERS}_worker-logs"],
    ]
    for command in ends:
        subprocess.run(command, cwd=folder, **quiet)

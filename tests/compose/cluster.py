"""Several machines, played with two networks of containers: only the server is in both. See docs/cluster.md."""

import os
import subprocess
from pathlib import Path
from typing import Any

FRONT, BACK, SERVER, AGGREGATOR, WORKERS = "fq-front", "fq-back", "fq-redis", "fq-aggregator", "fq-workers"
URL = "rediss://facequeue:s3cret@redis:6379/0?ssl_cert_reqs=required&ssl_ca_certs=/certificates/ca.pem"


def docker(*arguments: str, timeout_s: float = 180, expect: int = 0, **environment: str) -> str:
    """`docker ...`; ends the story where it does not go as expected."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=timeout_s, env=os.environ | environment
    )
    if done.returncode != expect:
        raise SystemExit(
            f"docker {' '.join(arguments)}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )
    return done.stdout


def make_certificates(folder: Path) -> None:
    """A certificate authority, and a certificate for the server's name."""
    folder.mkdir()

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
    for path in folder.iterdir():
        path.chmod(0o644)  # the server's user reads the key; the certificates live as long as this test
    folder.chmod(0o755)


def play(folder: Path, images: Path, results: Path) -> None:
    """A job whose producer and workers share only the server, over TLS: the images travel through it."""
    certificates, empty = folder / "certificates", folder / "empty"
    make_certificates(certificates)
    empty.mkdir()
    results.mkdir()
    results.chmod(0o777)
    mounts = ["--volume", f"{certificates}:/certificates:ro", "--env", f"REDIS_URL={URL}"]
    docker("network", "create", FRONT)
    docker("network", "create", BACK)
    docker(
        "run", "--detach", "--name", SERVER, "--network", FRONT, "--network-alias", "redis", "--volume", f"{certificates}:/certificates:ro",
        "redis:7-alpine", "redis-server", "--port", "0", "--tls-port", "6379", "--tls-cert-file", "/certificates/redis.pem",
        "--tls-key-file", "/certificates/redis.key", "--tls-ca-cert-file", "/certificates/ca.pem", "--tls-auth-clients", "no",
        "--user", "default", "off", "--user", "facequeue", "on", ">s3cret", "~*", "&*", "+@all", "-@admin", "-@dangerous", "+info",
    )  # fmt: skip
    docker("network", "connect", "--alias", "redis", BACK, SERVER)
    docker(
        "run", "--detach", "--name", AGGREGATOR, "--network", FRONT, *mounts, "--volume", f"{results}:/results", "facequeue",
        "python", "-m", "worker", "--queues", "aggregate", "--concurrency", "1",
    )  # fmt: skip
    (folder / "networks.yml").write_text(f"networks: {{default: {{external: true, name: {BACK}}}}}\n")
    _workers(
        folder, "up", "--detach", "--wait", "--wait-timeout", "120",
        REDIS_URL=URL, FACEQUEUE_IMAGES=str(empty), FACEQUEUE_CERTIFICATES=str(certificates),
    )  # fmt: skip
    docker(
        "run", "--rm", "--network", FRONT, *mounts, "--volume", f"{images}:/elsewhere:ro", "facequeue",
        "python", "-m", "producer", "enqueue", "/elsewhere", "--inline", "--wait", "--job", "far", "--batch-size", "4",
        expect=3,
    )  # fmt: skip


def _workers(folder: Path, *arguments: str, **environment: str) -> None:
    files = ["-f", str(folder / "docker-compose.workers.yml"), "-f", str(folder / "networks.yml")]
    docker("compose", "-p", WORKERS, "--project-directory", str(folder), *files, *arguments, **environment)


def clear_up(folder: Path) -> None:
    """Removes what was started, however far it came."""
    quiet: dict[str, Any] = {"capture_output": True, "timeout": 120}
    ends = [
        ["docker", "rm", "--force", *subprocess.run(["docker", "ps", "-aq", "--filter", f"name={WORKERS}"], text=True, **quiet).stdout.split(), SERVER, AGGREGATOR],
        ["docker", "network", "rm", FRONT, BACK],
    ]  # fmt: skip
    for command in ends:
        subprocess.run(command, cwd=folder, **quiet)

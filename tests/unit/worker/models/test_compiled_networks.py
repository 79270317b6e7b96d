"""Networks are compiled when weights are converted, for the processor that does it: they load in half the time."""

from pathlib import Path

import numpy as np
import pytest

from shared.config.settings import load_settings
from shared.domain.contract import KNOWN_WEIGHTS
from worker.models import openvino_backend
from worker.models.backend import choose_backend
from worker.models.instruction_set import processor_key
from worker.models.openvino_backend import OpenVinoNetworks
from worker.models.weights_store import prepare

NAME = "casia-webface"


@pytest.fixture
def folder() -> Path:
    settings = load_settings()
    return prepare(NAME, KNOWN_WEIGHTS[NAME], choose_backend(settings), settings)


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
    threads: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the shape, the batch and the number of threads."""
    assert len(list(folder.glob("*.blob"))) == 4
    monkeypatch.setattr(openvino_backend.ov.Core, "compile_model", None)
    compiled = _outputs(OpenVinoNetworks(folder, threads, "float32", processor_key(load_settings())))
    monkeypatch.undo()
    anew = _outputs(OpenVinoNetworks(folder, threads))
    assert all(np.array_equal(one, other) for one, other in zip(compiled, anew, strict=True))


def test_what_openvino_does_not_take_is_compiled_anew(folder: Path, tmp_path: Path) -> None:
    """A file of another build of OpenVINO, for example."""
    key = processor_key(load_settings())
    assert (folder / f"embedder-{key}.blob").is_file()
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(b"\0" * 100 if file.suffix == ".blob" else file.read_bytes())
    assert len(OpenVinoNetworks(tmp_path, 1, "float32", key).embed(np.zeros((1, 3, 160, 160), np.float32))) == 1

"""The examples of docs/recipes.md do what they say, with the results of a real job."""

import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from sklearn.cluster import DBSCAN

from benchmarks.groups import made_up_faces
from shared.config.settings import Settings
from tests.support.commands import run_in
from tests.support.made_up_blocks import sealed_job
from tests.support.results import rows_of
from tests.support.stage import ROOT
from worker.aggregation.neighbor_files import write_neighbors

RECIPES = (ROOT / "docs" / "recipes.md").read_text()
NOT_RUN = "fiftyone"


def _examples() -> dict[str, str]:
    """The Python examples by heading and number."""
    found: dict[str, str] = {}
    for section in RECIPES.split("\n## "):
        for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", section, flags=re.M | re.S)):
            found[f"{section.splitlines()[0].lstrip('# ')} {number}"] = code
    return found


EXAMPLES = _examples()


@pytest.fixture(scope="module")
def folder(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `results/archive`, where the examples run."""
    folder = tmp_path_factory.mktemp("recipes")
    done = run_in(folder, sample, "--results", folder / "results", "--job", "archive", "--no-report")
    assert done.returncode == 3, done.stderr
    return folder


@pytest.fixture(scope="module")
def left(folder: Path) -> dict[str, dict[str, Any]]:
    """What each example leaves: its variables. One process for all of them, since imports take longest."""
    code = (
        "import pickle, sys\n"
        "left = {}\n"
        "for name, code in pickle.load(sys.stdin.buffer).items():\n"
        "    values = {}\n"
        "    exec(compile(code, name, 'exec'), values)\n"
        "    left[name] = {key: value if type(value).__module__ in ('builtins', 'numpy', 'pandas') else\n"
        "        value.fetchall() if hasattr(value, 'fetchall') else None for key, value in values.items()\n"
        "        if not key.startswith('__') and type(value).__name__ not in ('module', 'type', 'function')}\n"
        "with open('left', 'wb') as file: pickle.dump(left, file)\n"
    )
    run = {name: example for name, example in EXAMPLES.items() if NOT_RUN not in example}
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(run), cwd=folder, capture_output=True, timeout=150
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, dict[str, Any]] = pickle.loads((folder / "left").read_bytes())
    return found


def test_every_example_of_an_installed_package_is_run(left: dict[str, Any]) -> None:
    """All but FiftyOne's, and the text marks what is not run."""
    assert set(EXAMPLES) - set(left) == {"FiftyOne 0"} and len(left) == 9
    assert RECIPES.lower().count("*not run*") == 4  # the introduction too


def test_the_examples_agree_with_the_other_files(left: dict[str, dict[str, Any]], folder: Path) -> None:
    """Embeddings, distances, neighbors and paths are those of embeddings.npy, distances.npy and faces.csv."""
    results = folder / "results" / "archive"
    embeddings, distances = np.load(results / "embeddings.npy"), np.load(results / "distances.npy")
    faces = rows_of(results / "faces.csv")
    assert left["Recipes 0"]["contract"]["weights"] == Settings(_env_file=None).preload_weights
    nearest = left["DuckDB 0"]["nearest"]
    assert nearest[0][:2] == (0, faces[0]["path"]) and len(nearest) == 10
    assert np.allclose([distance for *_, distance in nearest], np.sort(distances[0])[:10], atol=1e-5)
    assert len(left["DuckDB 0"]["largest"]) == 10
    assert left["pandas and polars 0"]["embeddings"].dtype == np.float32
    assert np.array_equal(left["pandas and polars 0"]["embeddings"], embeddings)
    sure = [float(face["probability"]) > 0.99 for face in faces]
    assert np.array_equal(left["pandas and polars 1"]["embeddings"], embeddings[sure])
    assert np.array_equal(left["Hugging Face datasets 0"]["first"], embeddings[0])
    assert np.allclose(left["FAISS 0"]["distances"], np.sort(distances, axis=1)[:, :5], atol=2e-3)
    small = {face["path"] for face in faces if float(face["x2"]) - float(face["x1"]) < 40}
    assert {row["path"] for row in rows_of(folder / "small.csv")} == small


def test_clusters_from_neighbors_are_those_of_all_embeddings(
    left: dict[str, Any], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the sample; and of people some of whose faces are copies, where DBSCAN leaves faces alone."""
    sample = np.load(folder / "results" / "archive" / "embeddings.npy")
    assert np.array_equal(left["scikit-learn 0"]["clusters"], DBSCAN(0.9, min_samples=3).fit(sample).labels_)
    once = made_up_faces(500)
    random = np.random.default_rng(1)
    faces = random.permutation(np.concatenate([once, once[random.integers(0, 60, 150)]]))
    results = tmp_path / "results" / "archive"
    results.mkdir(parents=True)
    np.save(results / "embeddings.npy", faces)
    write_neighbors(sealed_job(len(faces)), results, 1)
    monkeypatch.chdir(tmp_path)
    for eps in ("0.65", "0.7", "0.9"):
        values: dict[str, Any] = {}
        exec(EXAMPLES["scikit-learn 0"].replace("eps=0.9", f"eps={eps}"), values)
        expected = DBSCAN(float(eps), min_samples=3).fit(faces).labels_
        assert expected.max() > 10 and (eps == "0.9" or -1 in expected)
        np.testing.assert_array_equal(values["clusters"], expected)


def test_vectors_for_pgvector_lose_no_bit(left: dict[str, Any], folder: Path) -> None:
    """The text is what pgvector reads, and the same float32 values."""
    rows = rows_of(folder / "faces-for-pgvector.csv")
    assert all(re.fullmatch(r"\[[-0-9.e, ]+\]", row["embedding"]) for row in rows)
    read = np.array([[float(value) for value in row["embedding"].strip("[]").split(",")] for row in rows], np.float32)
    assert np.array_equal(read, np.load(folder / "results" / "archive" / "embeddings.npy"))
    columns = re.search(r"CREATE TABLE faces \((.*)\);", RECIPES)
    assert columns is not None
    assert [column.split()[0] for column in columns[1].split(", ")] == list(rows[0])


def test_the_example_for_fiftyone_uses_columns_that_exist(folder: Path) -> None:
    """It compiles, and its boxes lie in the image."""
    code = EXAMPLES["FiftyOne 0"]
    compile(code, "recipe", "exec")
    table = pyarrow.parquet.read_table(folder / "results" / "archive" / "faces.parquet")
    used = set(re.findall(r"\brow\.(\w+)", code))
    assert used >= {"x1", "y1", "x2", "y2", "width", "height", "probability", "embedding"}
    assert used <= set(table.column_names)
    for row in table.to_pylist():
        center = (row["x1"] + row["x2"]) / 2 / row["width"], (row["y1"] + row["y2"]) / 2 / row["height"]
        assert 0 < center[0] < 1 and 0 < center[1] < 1

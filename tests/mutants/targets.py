"""The mutated files, and the tests that must notice the mutants."""

from collections.abc import Iterator
from pathlib import Path

from tests.mutants.lua import mutants_of_lua
from tests.mutants.mutant import Mutant
from tests.mutants.python import mutants_of_python

TESTS = (
    "tests/integration/shared/store/test_guards_*.py",
    "tests/integration/shared/store/test_jobs.py",
    "tests/integration/shared/store/test_locks.py",
    "tests/integration/shared/store/test_many_jobs.py",
    "tests/integration/shared/store/test_removal.py",
    "tests/integration/worker/execution/test_server_cache.py",
    "tests/integration/worker/supervision/test_reconciler.py",
    "tests/integration/worker/supervision/test_reconciler_lost_messages.py",
    "tests/integration/worker/supervision/test_reconciler_queues.py",
)
"""Patterns of test files. A run of their tests shows which of them reach a mutant."""
_PYTHON = tuple(
    Path(name)
    for name in (
        "shared/store/aggregation_lock.py",
        "shared/store/blocks.py",
        "shared/store/finishing.py",
        "shared/store/leases.py",
        "shared/store/removal.py",
        "worker/supervision/reconciler.py",
    )
)


def targets(root: Path) -> list[Path]:
    """Every script of the queue, and the Python that leases, aggregates, finishes, removes and reconciles; relative
    to the checkout.
    """
    scripts = [*(root / "shared" / "store" / "lua").glob("*.lua"), *(root / "worker" / "execution").glob("*.lua")]
    return [*sorted(path.relative_to(root) for path in scripts), *_PYTHON]


def mutants_of(root: Path, path: Path) -> Iterator[Mutant]:
    """The mutants of a file, without duplicates."""
    source = (root / path).read_text()
    seen = {source}
    for mutant in mutants_of_lua(path, source) if path.suffix == ".lua" else mutants_of_python(path, source):
        if mutant.source not in seen:
            seen.add(mutant.source)
            yield mutant


def test_files(root: Path) -> list[str]:
    """The test files, relative to the checkout."""
    return [str(path.relative_to(root)) for pattern in TESTS for path in sorted(root.glob(pattern))]

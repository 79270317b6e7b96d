"""What is mutated, and the tests that must notice."""

from collections.abc import Iterator
from dataclasses import dataclass
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
    "tests/integration/worker/execution/test_image_cache.py",
    "tests/integration/worker/supervision/test_reconciler.py",
    "tests/integration/worker/supervision/test_lost_messages.py",
)
"""Patterns of test files. Which of their tests reach a mutant is found out by running them."""
_PYTHON: dict[str, tuple[str, ...] | None] = {
    "shared/store/leases.py": (
        "Leases.take",
        "Leases.is_wanted",
        "Leases.note_alone",
        "Leases.lose",
        "Leases.verdicts",
        "Leases.renew",
        "Leases.give_back",
        "Leases.find_unleased",
        "Leases.resend",
    ),
    "shared/store/aggregation_lock.py": None,
    "shared/store/blocks.py": ("Blocks.stored", "Blocks.count_spooled"),
    "shared/store/finishing.py": ("Finishing.finish",),
    "worker/supervision/reconciler.py": None,
}
"""Python files with the functions that are mutated; None: all."""


@dataclass(frozen=True)
class Target:
    """A file that is mutated."""

    path: Path
    functions: tuple[str, ...] | None = None
    """Of a Python file; None: all."""

    def mutants(self, root: Path) -> Iterator[Mutant]:
        """Its mutants, each change once."""
        source = (root / self.path).read_text()
        found = (
            mutants_of_lua(self.path, source)
            if self.path.suffix == ".lua"
            else mutants_of_python(self.path, source, self.functions)
        )
        seen = {source}
        for mutant in found:
            if mutant.source not in seen:
                seen.add(mutant.source)
                yield mutant


def targets(root: Path) -> list[Target]:
    """Every script of the queue, and the Python of leases, reconciler and aggregation lock."""
    scripts = [*(root / "shared" / "store" / "lua").glob("*.lua"), *(root / "worker" / "execution").glob("*.lua")]
    return [
        *(Target(path.relative_to(root)) for path in sorted(scripts)),
        *(Target(Path(path), functions) for path, functions in _PYTHON.items()),
    ]


def test_files(root: Path) -> list[str]:
    """The test files, relative to the checkout."""
    return [str(path.relative_to(root)) for pattern in TESTS for path in sorted(root.glob(pattern))]

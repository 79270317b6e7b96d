"""What is mutated, which tests must notice, and which mutants no test can notice."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.lua import mutants_of_lua
from tests.mutants.mutant import Mutant
from tests.mutants.python import mutants_of_python

_TESTS = Path("tests/integration")
_GUARDS = ("test_guards_*.py", "test_jobs.py")
_RECORD_TESTS = (*_GUARDS, "test_reconciler.py", "test_lost_messages.py")
_TESTS_OF = {
    **dict.fromkeys(
        ("begin_delete", "close", "end_delete", "forget", "sweep", "tidy", "create"), ("test_removal.py", *_GUARDS)
    ),
    **dict.fromkeys(
        ("count_jobs", "count_leases", "waiting", "unleased"), ("test_guards_worker.py", "test_many_jobs.py")
    ),
    **dict.fromkeys(
        ("claim", "disclaim", "elect", "prolong", "resign"),
        ("test_locks.py", "test_guards_aggregator.py", "test_reconciler.py"),
    ),
    "add_batch": ("test_guards_producer.py",),
    "lost_aggregation": ("test_reconciler.py", "test_lost_messages.py"),
}
"""Tests of scripts that have others than the direct ones of every script, by the script's name."""
_LEASES = (
    "JobRecord.take", "JobRecord.is_wanted", "JobRecord.note_alone", "JobRecord.lose", "JobRecord.verdicts",
    "JobRecord.renew", "JobRecord.give_back",
    "JobRecord.claim_aggregation", "JobRecord.renew_aggregation", "JobRecord.holds_aggregation",
    "JobRecord.release_aggregation", "JobRecord.note_problem", "JobRecord.aggregation_claimed", "JobRecord.finish",
    "JobRecord.stored", "JobRecord.count_spooled", "JobRecord.find_unleased", "JobRecord.resend",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A file and the tests that hold it."""

    path: Path
    tests: tuple[str, ...]
    """Patterns below tests/integration, the quickest to notice first."""
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

    def test_files(self, root: Path) -> list[str]:
        """The tests, relative to the checkout."""
        return [str(path.relative_to(root)) for one in self.tests for path in sorted((root / _TESTS).rglob(one))]


def targets(root: Path) -> list[Target]:
    """Every script of the queue, and the Python of leases, reconciler and aggregation lock."""
    scripts = sorted(path.relative_to(root) for path in (root / "shared" / "store" / "lua").glob("*.lua"))
    return [
        *(Target(path, _TESTS_OF.get(path.stem, _GUARDS)) for path in scripts),
        *(
            Target(path.relative_to(root), ("test_image_cache.py",))
            for path in sorted((root / "worker" / "execution").glob("*.lua"))
        ),
        Target(Path("shared/store/jobs.py"), _RECORD_TESTS, _LEASES),
        Target(
            Path("worker/supervision/reconciler.py"),
            ("test_reconciler.py", "test_jobs.py", "test_lost_messages.py"),
        ),
    ]

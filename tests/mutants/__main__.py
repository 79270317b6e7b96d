"""`python -m tests.mutants` makes small changes to the scripts and the record code, and fails unless the fast tests
notice each of them.
"""

import argparse
import queue
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.mutant import Mutant
from tests.mutants.runners import Runner, Traced
from tests.mutants.targets import mutants_of, targets, test_files

ROOT = Path(__file__).resolve().parent.parent.parent
_CONTROLS = 20
"""How many tests run with an equivalent mutant: if one of them failed, the other verdicts would mean nothing."""
_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")


def main() -> int:
    """Returns 0 if every mutant was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("only", nargs="*", help="parts of file names: only these files are mutated")
    parser.add_argument("--jobs", type=int, default=2, help="how many mutants are tried at once")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    arguments = parser.parse_args()
    chosen = [path for path in targets(ROOT) if not arguments.only or any(part in str(path) for part in arguments.only)]
    found = [mutant for path in chosen for mutant in mutants_of(ROOT, path)]
    if arguments.list:
        for mutant in found:
            print(mutant.row("-"))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # in good order: servers and folders go
    started = time.monotonic()
    verdicts = _try_all(chosen, found, arguments.jobs)
    bad, equivalent = [], 0
    for mutant, verdict in zip(found, verdicts, strict=True):
        listed = _is_equivalent(mutant)
        equivalent += listed
        if verdict != ("SURVIVED" if listed else "noticed"):
            bad.append(mutant.row(f"{verdict}, but is listed as equivalent" if listed else verdict))
    mutated = set(map(str, chosen))
    stale = [
        one
        for one in EQUIVALENT
        if (one.path in mutated or not arguments.only) and not any(one.matches(mutant) for mutant in found)
    ]
    if bad:
        print("| verdict | where | what | before | after |\n| --- | --- | --- | --- | --- |")
        print("\n".join(bad))
    for one in stale:
        print(f"tests/mutants/equivalent.py lists a mutant of {one.path} that is none any more: `{one.after}`")
    print(
        f"{len(found)} mutants of {len(chosen)} files in {time.monotonic() - started:.0f} s: {equivalent} equivalent, "
        f"{len(bad)} with another verdict than they should have"
    )
    return 1 if bad or stale else 0


def _is_equivalent(mutant: Mutant) -> bool:
    return any(one.matches(mutant) for one in EQUIVALENT)


def _try_all(paths: list[Path], tried: list[Mutant], jobs: int) -> list[str]:
    """The verdict on each mutant. The tests first run once without one, which shows the tests that reach it and their
    times.
    """
    files = test_files(ROOT)
    with tempfile.TemporaryDirectory(prefix="facequeue-mutants-") as folder:
        free: queue.SimpleQueue[Runner] = queue.SimpleQueue()
        for number in range(jobs):
            free.put(Runner(ROOT, Path(folder, str(number)), files))

        def all_answers(ask: Callable[[Runner, _Asked], _Answer], asked: Iterable[_Asked]) -> list[_Answer]:
            def by_a_free_one(one: _Asked) -> _Answer:
                runner = free.get()
                try:
                    return ask(runner, one)
                finally:
                    free.put(runner)

            with ThreadPoolExecutor(jobs) as pool:
                return list(pool.map(by_a_free_one, asked))

        def verdict(runner: Runner, mutant: Mutant) -> str:
            tests = [test for test in quickest_first if mutant.place in test.reached]
            if _is_equivalent(mutant):
                tests = tests[:_CONTROLS]
            reaching = {test.test: test.seconds for test in tests}
            answer = runner.verdict(mutant, reaching) if reaching else "SURVIVED: no test reaches it"
            shown = "equivalent" if answer == "SURVIVED" and _is_equivalent(mutant) else answer
            print(mutant.row(shown), file=sys.stderr, flush=True)
            return answer

        try:
            traced: list[list[Traced]] = all_answers(lambda runner, file: runner.trace(file, paths), files)
            passed = [test for of_file in traced for test in of_file if test.outcome == "passed"]
            quickest_first = sorted(passed, key=lambda test: test.seconds)
            return all_answers(verdict, tried)
        finally:
            while not free.empty():
                free.get().close()


if __name__ == "__main__":
    sys.exit(main())

"""`python -m tests.mutants`: changes the scripts and the leasing code in small ways, and fails where the fast tests do not notice."""

import argparse
import queue
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.mutant import Mutant
from tests.mutants.targets import Target, targets
from tests.mutants.trial import Copy

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> int:
    """0 where every mutant was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("only", nargs="*", help="parts of file names: only these files are mutated")
    parser.add_argument("--jobs", type=int, default=2, help="how many mutants are tried at once")
    parser.add_argument("--list", action="store_true", help="only list the mutants")
    arguments = parser.parse_args()
    chosen = [
        one for one in targets(ROOT) if not arguments.only or any(part in str(one.path) for part in arguments.only)
    ]
    found = [(target, mutant) for target in chosen for mutant in target.mutants(ROOT)]
    tried = [(target, mutant) for target, mutant in found if not any(one.matches(mutant) for one in EQUIVALENT)]
    if arguments.list:
        for _, mutant in found:
            print(mutant.row("-"))
        return 0
    started = time.monotonic()
    verdicts = _try_all(chosen, tried, arguments.jobs)
    bad = [mutant.row(verdict) for (_, mutant), verdict in zip(tried, verdicts, strict=True) if verdict != "noticed"]
    mutated = {str(target.path) for target in chosen}
    stale = [
        one
        for one in EQUIVALENT
        if (one.path in mutated or not arguments.only) and not any(one.matches(mutant) for _, mutant in found)
    ]
    if bad:
        print("| verdict | where | what | before | after |\n| --- | --- | --- | --- | --- |")
        print("\n".join(bad))
    for one in stale:
        print(f"tests/mutants/equivalent.py lists a mutant of {one.path} that is none any more: `{one.after}`")
    print(
        f"{len(tried)} mutants of {len(chosen)} files in {time.monotonic() - started:.0f} s: "
        f"{len(tried) - len(bad)} noticed, {len(bad)} not, {len(found) - len(tried)} equivalent"
    )
    return 1 if bad or stale else 0


def _try_all(chosen: list[Target], tried: list[tuple[Target, Mutant]], jobs: int) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="facequeue-mutants-") as folder:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(jobs):
            copies.put(Copy(ROOT, Path(folder, str(number))))

        def with_copy(target: Target, mutant: Mutant | None) -> str:
            copy = copies.get()
            try:
                if mutant is None:
                    copy.check(target)
                    return ""
                verdict = copy.verdict(target, mutant)
                print(mutant.row(verdict), file=sys.stderr, flush=True)
                return verdict
            finally:
                copies.put(copy)

        with ThreadPoolExecutor(jobs) as pool:
            by_tests = {target.tests: target for target in chosen}
            list(pool.map(lambda target: with_copy(target, None), by_tests.values()))
            return list(pool.map(lambda pair: with_copy(*pair), tried))


if __name__ == "__main__":
    sys.exit(main())

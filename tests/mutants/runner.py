"""Runs pytest again and again in forks of one process that has imported everything: `python -m tests.mutants.runner TEST ...`.

Only for changes of files that are read and not imported. Each line on standard input is a folder for temporary files; the answer is
pytest's exit code in a line.
"""

import os
import signal
import sys

import pytest

_TIMEOUT_S = 180


def main(tests: list[str]) -> None:
    """Answers until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what the tests print goes to the log
    pytest.main(["--collect-only", "-qq", "-p", "no:cacheprovider", "-p", "no:xdist", *tests])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setsid()
            signal.alarm(_TIMEOUT_S)
            code = pytest.main(["-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp", line.strip(), *tests])
            sys.stdout.flush()
            os._exit(int(code))
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    main(sys.argv[1:])

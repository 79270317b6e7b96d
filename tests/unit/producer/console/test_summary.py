"""The summary at the end of `run`."""

import os
from pathlib import Path

import pytest

from producer.console.summary import print_summary
from shared.domain.errors import ResultsError


@pytest.mark.timeout(20)
def test_a_pipe_among_the_results_blocks_nobody(tmp_path: Path) -> None:
    """A pipe is an error and is not read."""
    os.mkfifo(tmp_path / "summary.json")
    with pytest.raises(ResultsError, match="not a regular file"):
        print_summary(tmp_path)

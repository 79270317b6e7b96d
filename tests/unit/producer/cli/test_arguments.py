"""Arguments that no command takes."""

import sys

import pytest

from producer.cli import app


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["export", "xmp", "j", "--people", "p.csv", "--to", ""], "--to"),
        (["report", "j", "--results="], "--results"),
        (["run", ""], "An argument"),
    ],
)
def test_an_empty_argument_is_refused_in_one_line(
    arguments: list[str], name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a path it would be the current folder. The line names the option, and the exit code is 2."""
    monkeypatch.setattr(sys, "argv", ["producer", *arguments])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"producer: {name} is empty. Is a variable of the shell not set?\n"


@pytest.mark.parametrize("threshold", ["1e300", "nan", "-1"])
def test_a_threshold_that_is_no_distance_is_refused(
    threshold: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Embeddings have length 1, so no two are farther apart than 2."""
    monkeypatch.setattr(sys, "argv", ["producer", "groups", "j", "--threshold", threshold])
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    assert "--threshold" in capsys.readouterr().err

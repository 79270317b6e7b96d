"""Thinned samples are still correct."""

from tests.support.samples import sample_row
from worker.supervision.thinning import Window


def test_a_window_has_the_mean_of_the_cpu_and_the_peak_of_memory() -> None:
    """It is not just one of the samples: a short load and the memory peak are included."""
    window = Window(10)
    cpu, rss = (10, 90, 20), (100, 700, 200)
    for k in range(3):
        assert (
            window.add([sample_row(100 + k, 1, cpu=cpu[k], rss=rss[k], images=k, batch="7" if k == 1 else "")], 100 + k)
            == []
        )
    (row,) = window.add([sample_row(110, 1)], 110)
    assert (row["cpu_percent"], row["rss_mib"], row["images_done"], row["batch"]) == ("40.0", "700.0", "2", "7")
    assert row["time"] == sample_row(102, 1)["time"] and row["pid"] == "1"


def test_a_process_that_was_there_for_a_part_counts_for_that_part() -> None:
    """The sum over processes is the worker's mean, even if a child process was replaced."""
    window = Window(60)
    for second in range(4):
        window.add([sample_row(second, 1 if second < 2 else 2, cpu=80)], second)
    rows = window.add([sample_row(60, 2)], 60)
    assert [row["pid"] for row in rows] == ["1", "2"]
    assert sum(float(row["cpu_percent"]) for row in rows) == 80
    assert len({row["time"] for row in rows}) == 1


def test_windows_are_those_of_the_clock() -> None:
    """Each window is returned once, whatever the time between samples, even if the clock is set back."""
    window = Window(10)
    ended = [len(window.add([sample_row(at, 1)], at)) for at in (5, 9, 12, 95, 15, 16)]
    assert ended == [0, 0, 1, 1, 1, 0]

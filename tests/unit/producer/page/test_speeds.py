"""The speed of a job, from what was seen of it lately or from its beginning."""

from dataclasses import replace

import pytest

from producer.page.speeds import Speeds
from shared.domain.job import Job, JobState
from shared.domain.options import Options
from tests.support.jobs import CONTRACT


def _job(done: int, **changes: object) -> Job:
    job = Job(
        name="j",
        uid="0" * 32,
        state=JobState.SEALED,
        origin="o",
        source="s",
        contract=CONTRACT,
        options=Options(folder=".", batch_size=2, distances="auto"),
        queue_prefix="",
        batches=10,
        images=1000,
        cursor=None,
        images_done=done,
        created_ms=0,
        started_ms=1_000,
        updated_ms=0,
    )
    return replace(job, **changes)  # type: ignore[arg-type]


def test_at_first_the_speed_is_that_since_the_beginning() -> None:
    """Without an image done there is none. Known images took no time."""
    speeds = Speeds()
    job = _job(300, images_known=100)
    speeds.note([job], 0.0)
    found = speeds.of(job, now_ms=21_000)
    assert found is not None and (found.images_per_s, found.left_s) == (10.0, pytest.approx(70.0))
    assert speeds.of(_job(0), now_ms=21_000) is None
    assert speeds.of(_job(5, started_ms=None), now_ms=21_000) is None
    assert speeds.of(_job(5), now_ms=500) is None, "the server's clock was set back"


def test_then_it_is_that_of_the_last_half_minute() -> None:
    """What was before is forgotten, and a job of the same name begins anew."""
    speeds = Speeds()
    for second in range(101):
        speeds.note([_job(10 * second if second < 50 else 500 + 2 * (second - 50))], float(second))
    last = _job(600)
    found = speeds.of(last, now_ms=101_000)
    assert found is not None and found.images_per_s == pytest.approx(2.0)
    assert len(speeds._states["j"]) <= 32
    again = _job(3, uid="1" * 32, started_ms=100_000)
    speeds.note([again], 101.0)
    fresh = speeds.of(again, now_ms=101_000)
    assert fresh is not None and fresh.images_per_s == 3.0
    speeds.note([], 102.0)
    assert speeds._states == {}

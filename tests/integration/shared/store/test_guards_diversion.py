"""Every refusal of `divert` and `undivert`: who diverts which job, and when its queue is removed."""

import pytest

from shared.domain.queues import own_queue
from shared.store.diversion import all_diverted_queues, diverted_queues
from shared.store.keys import DIVERTED
from shared.store.leases import Lease
from tests.integration.conftest import LONG_S, FreshJob
from tests.support.jobs import add_batch, make_job

OTHER = "0" * 32


def _divert(
    fresh: FreshJob, worker: str = "w", *, uid: str = "", again_s: float = 0, others: list[str] | None = None
) -> str:
    job = fresh.load() if not uid else fresh.job.__class__(**{**vars(fresh.job), "uid": uid})
    return fresh.record.divert(
        job,
        0,
        "w/1",
        worker,
        f"{worker} has no weights",
        again_s=again_s,
        unless_alone=others is not None,
        others=others or [],
    )


@pytest.fixture
def leased(fresh: FreshJob) -> FreshJob:
    """A job whose only batch is leased to `w/1`."""
    fresh.add()
    assert isinstance(fresh.take(), Lease)
    return fresh


def test_a_diverted_job_has_a_queue_of_its_own_and_its_batch_is_free(leased: FreshJob) -> None:
    """The refusal names the worker and the reason."""
    assert _divert(leased) == "diverted"
    job = leased.load()
    assert job.diverted and job.embed_queue == own_queue("", job.uid) == leased.record.embed_queue()
    assert leased.record.refusals() == {"w": "w has no weights"} and job.refusal == "w has no weights"
    assert leased.client.hgetall(DIVERTED) == {job.embed_queue.encode(): b"j"}
    assert leased.record.find_unleased() == {0: "1"}
    assert leased.record.refusal_of("w") == "w has no weights"
    assert leased.record.refusal_of("v") is None


def test_another_jobs_message_diverts_nothing(leased: FreshJob) -> None:
    """A message of an earlier job with the same name is refused."""
    before = leased.snapshot()
    assert _divert(leased, uid=OTHER) == "unknown"
    assert leased.snapshot() == before


@pytest.mark.parametrize("state", ["cancelled", "finished"])
def test_a_job_that_has_ended_is_not_diverted(leased: FreshJob, state: str) -> None:
    """Its queue would never be removed."""
    leased.client.hset(leased.key(), "state", state)
    before = leased.snapshot()
    assert _divert(leased) == state
    assert leased.snapshot() == before


def test_a_sealed_job_is_diverted_like_one_that_is_enqueued(leased: FreshJob) -> None:
    """A sealed job still has open batches."""
    leased.seal()
    assert _divert(leased) == "diverted"


def test_a_lease_that_another_has_is_left_alone(leased: FreshJob) -> None:
    """The refusing worker was too slow: another worker has the lease."""
    leased.run_out()
    assert isinstance(leased.take(holder="v/1"), Lease)
    assert _divert(leased) == "diverted"
    assert leased.record.find_unleased() == {} and leased.record.renew(0, "v/1", LONG_S)


def test_the_last_worker_is_told_that_it_is_alone(leased: FreshJob) -> None:
    """If all other workers refuse, nothing is changed."""
    assert _divert(leased, "v") == _divert(leased, "u", again_s=LONG_S) == "diverted"
    before = leased.snapshot()
    assert _divert(leased, others=[]) == "alone"
    assert _divert(leased, others=["v", "u"]) == "alone"
    assert leased.snapshot() == before
    assert _divert(leased, others=["v", "u", "t"]) == "diverted"


def test_a_worker_whose_refusal_has_run_out_counts_as_left(leased: FreshJob) -> None:
    """That worker will try again, so the refusing worker is not the last one."""
    assert _divert(leased, "v", again_s=0.001) == "diverted"
    while leased.record.refusal_of("v") is not None:
        pass
    assert _divert(leased, others=["v"]) == "diverted"


def test_a_refusal_holds_for_its_time(leased: FreshJob) -> None:
    """The server's clock decides. A permanent refusal lasts as long as the job."""
    assert _divert(leased, again_s=LONG_S) == "diverted"
    note = leased.client.hget(leased.key("refusals"), "w").split()[0]
    assert abs(int(note) - leased.client.time()[0] * 1000 - LONG_S * 1000) < 5000
    assert leased.record.refusal_of("w") is not None
    assert _divert(leased) == "diverted"
    assert leased.client.hget(leased.key("refusals"), "w").split()[0] == b"0"
    assert leased.record.refusal_of("w") is not None


@pytest.mark.parametrize("length", ["known", "none", "no number"])
def test_a_refusal_that_ends_later_than_any_is_over(leased: FreshJob, length: str) -> None:
    """It was recorded before the server's clock was set back by an hour."""
    assert _divert(leased, "v", again_s=60) == "diverted"
    if length == "none":
        leased.client.hdel(leased.key(), "refusal_ms")
    elif length == "no number":
        leased.client.hset(leased.key(), "refusal_ms", "long")
    _end_refusal_later(leased, "v", 50_000)
    assert (leased.record.refusal_of("v") is None) == (length != "known")
    assert _divert(leased, others=["v"], again_s=60) == "alone"
    _end_refusal_later(leased, "v", 3_600_000)
    assert leased.record.refusal_of("v") is None
    assert _divert(leased, others=["v"], again_s=0.001) == "diverted"


def test_the_longest_refusal_of_the_job_decides(leased: FreshJob) -> None:
    """Workers may have leases of different lengths."""
    assert _divert(leased, "v", again_s=LONG_S) == "diverted"
    assert _divert(leased, "u", again_s=0.001) == "diverted"
    assert leased.record.refusal_of("v") is not None
    assert _divert(leased, others=["v"], again_s=0.001) == "alone"


def _end_refusal_later(fresh: FreshJob, worker: str, later_ms: int) -> None:
    note = fresh.client.hget(fresh.key("refusals"), worker).decode()
    again, _, reason = note.partition(" ")
    fresh.client.hset(fresh.key("refusals"), worker, f"{int(again) + later_ms} {reason}")


@pytest.mark.parametrize("sealed", [False, True])
def test_the_queue_of_an_unfinished_job_stays(leased: FreshJob, sealed: bool) -> None:
    """Its messages wait for a worker that can serve the job."""
    _divert(leased)
    if sealed:
        leased.seal()
    queue = leased.record.embed_queue()
    leased.client.lpush(queue, "message")
    assert not leased.record.undivert(queue)
    assert leased.client.llen(queue) == 1 and leased.client.hexists(DIVERTED, queue)


@pytest.mark.parametrize("state", ["finished", "cancelled"])
def test_the_queue_goes_with_its_job(leased: FreshJob, state: str) -> None:
    """The entry that names the queue is removed as well."""
    _divert(leased)
    queue = leased.record.embed_queue()
    leased.client.lpush(queue, "message")
    leased.client.hset(leased.key(), "state", state)
    assert leased.record.undivert(queue)
    assert not leased.client.exists(queue, DIVERTED)


def test_the_queue_of_a_job_that_is_gone_goes(leased: FreshJob) -> None:
    """The record has expired, or its name belongs to a job that is not diverted."""
    _divert(leased)
    queue = leased.record.embed_queue()
    leased.client.delete(leased.key())
    assert leased.record.undivert(queue)
    assert not leased.client.exists(DIVERTED)
    leased.client.hset(DIVERTED, queue, "j")
    leased.client.hset(leased.key(), mapping={"uid": OTHER, "state": "enqueuing"})
    assert leased.record.undivert(queue)


def test_a_new_job_of_the_name_hides_no_queue(leased: FreshJob) -> None:
    """Both jobs are diverted. Messages of the earlier job are found and removed, the others stay."""
    _divert(leased)
    before = leased.record.embed_queue()
    leased.client.lpush(before, "message")
    leased.client.delete(leased.key())  # it has expired
    record, job = make_job(leased.stage)
    add_batch(record, job.uid, record.attach_producer(job.uid), 0, ["a.jpg"])
    assert record.divert(job, 0, "w/1", "w", "no weights") == "diverted"
    own = record.embed_queue()
    leased.client.lpush(own, "message")
    assert diverted_queues(leased.client, "") == {before: "j", own: "j"}
    assert record.undivert(before) and not record.undivert(own)
    assert (leased.client.exists(before), leased.client.llen(own)) == (0, 1)
    assert diverted_queues(leased.client, "") == {own: "j"}


def test_a_queue_that_was_not_noted_is_left_alone(leased: FreshJob) -> None:
    """A queue that is registered for another job is left alone too."""
    leased.client.hset(leased.key(), "state", "finished")
    queue = own_queue("", leased.uid)
    leased.client.lpush(queue, "message")
    before = leased.snapshot()
    assert not leased.record.undivert(queue)
    assert leased.snapshot() == before
    leased.client.hset(DIVERTED, queue, "k")
    assert not leased.record.undivert(queue)
    assert leased.client.llen(queue) == 1


def test_what_names_no_diverted_job_is_passed_over(leased: FreshJob) -> None:
    """Invalid entries are skipped: bytes that are not text, invalid job names, queues of other kinds."""
    _divert(leased)
    own = leased.record.embed_queue()
    strange = {b"\xff": "j", "embed.00000001": b"\xff", "embed.00000002": "a:b", "embed": "j", "embed.00000003\n": "j"}
    leased.client.hset(DIVERTED, mapping=strange)
    assert diverted_queues(leased.client, "") == {own: "j"}
    assert own in all_diverted_queues(leased.client)

"""Each refusal of the scripts that workers and reconciler call (`shared/store/lua`): what is refused changes nothing on
the server.
"""

import pytest

from shared.domain.contract import Runtime
from shared.domain.outcomes import Outcome, Verdict
from shared.store.keys import PREFIX, UNFINISHED
from shared.store.leases import DEATHS_ALONE, Lease, Requeued
from shared.store.queue_inspection import waiting_tasks
from shared.store.registry import Census, count_jobs
from shared.store.scripts import run_script
from tests.integration.conftest import LONG_S, FreshJob
from tests.support.jobs import RUNTIME, add_batch, make_job

VERDICT = Verdict(Outcome.CRASHED, "x")
OTHER = "0" * 32
"""A uid that no job has."""


# take


def _take_refused(fresh: FreshJob, send: int = 1, *, uid: str = "") -> object:
    before = fresh.snapshot()
    answer = fresh.record.take(uid or fresh.uid, 0, send, "w/2", LONG_S)
    assert fresh.snapshot() == before
    return answer


def test_a_batch_of_another_job_of_the_name_is_not_taken(fresh: FreshJob) -> None:
    """An old message names a batch number that this job has too."""
    fresh.add()
    assert _take_refused(fresh, uid=OTHER) == "unknown"


def test_a_batch_of_a_cancelled_job_is_not_taken(fresh: FreshJob) -> None:
    """This holds even if the cancellation was interrupted after it set the state."""
    fresh.add()
    fresh.half_cancelled()
    assert _take_refused(fresh) == "cancelled"


def test_a_batch_that_is_done_is_not_taken(fresh: FreshJob) -> None:
    """Its message was delivered twice."""
    fresh.add()
    fresh.take()
    fresh.commit()
    assert _take_refused(fresh) == "done"


def test_only_the_last_sending_is_taken(fresh: FreshJob) -> None:
    """The earlier message is still in the queue."""
    fresh.add()
    assert fresh.record.resend(fresh.uid, 0, "1") == Requeued(2, ["0.jpg"])
    assert _take_refused(fresh, 1) == "sent again"
    assert isinstance(fresh.take(0, 2), Lease)


def test_a_leased_batch_is_not_taken_until_its_lease_has_run_out(fresh: FreshJob) -> None:
    """Two processes get the same message. After the lease expires, the second one counts as another attempt."""
    fresh.add()
    assert fresh.take() == Lease(attempt=1, losses=0)
    assert _take_refused(fresh) == "leased"
    fresh.run_out()
    assert fresh.take(holder="w/2") == Lease(attempt=2, losses=0)
    assert not fresh.record.renew(0, "w/1", LONG_S)


def test_images_that_are_taken_again_are_counted_once(fresh: FreshJob) -> None:
    """The count belongs to the job and stays when the batch is done."""
    for batch, takes in ((0, 1), (1, 2), (2, 3)):
        fresh.add(batch, *(f"{batch}-{index}.jpg" for index in range(5)))
        for _ in range(takes):
            lease = fresh.record.take(fresh.uid, batch, batch + 1, "w/1", LONG_S, images=5)
            assert isinstance(lease, Lease)
            fresh.run_out(batch)
        fresh.commit(batch)
        assert fresh.load().images_retaken == 5 * batch


# commit


def _commit_refused(fresh: FreshJob, *, uid: str = "") -> str:
    before = fresh.snapshot()
    answer = fresh.record.commit(uid or fresh.uid, 0, b"late", {"ok": 5}, 7, {"images": 5})
    assert fresh.snapshot() == before
    return answer


def test_nothing_is_committed_to_another_job_of_the_name(fresh: FreshJob) -> None:
    """A late worker commits a block of the previous job."""
    fresh.add()
    fresh.take()
    assert _commit_refused(fresh, uid=OTHER) == "unknown"


def test_nothing_is_committed_to_a_cancelled_job(fresh: FreshJob) -> None:
    """This holds even if the cancellation was interrupted after it set the state."""
    fresh.add()
    fresh.take()
    fresh.half_cancelled()
    assert _commit_refused(fresh) == "cancelled"


def test_a_batch_is_committed_once(fresh: FreshJob) -> None:
    """The first block stays. Counters and totals rise once."""
    fresh.add()
    fresh.add(1)
    fresh.take()
    assert fresh.commit() == "stored"
    assert _commit_refused(fresh) == "done"
    assert (fresh.load().images_done, fresh.load().faces, fresh.record.blocks([0])) == (1, 1, [b"block"])


def test_a_repeated_commit_changes_nothing_and_is_answered_like_the_first(fresh: FreshJob) -> None:
    """The answer was lost. The same bytes get the same answer, before and after the seal."""
    fresh.take(0, fresh.add(0))
    assert fresh.commit() == "stored"
    before = fresh.snapshot()
    assert fresh.commit() == "stored"
    assert fresh.snapshot() == before
    fresh.take(1, fresh.add(1))
    fresh.seal()
    assert fresh.commit(0) == "stored"  # another batch is open
    assert fresh.commit(1) == "last"
    before = fresh.snapshot()
    assert fresh.commit(1) == "last"
    assert fresh.commit(1, b"another's block") == "done"
    assert fresh.snapshot() == before


def test_only_the_last_batch_of_a_sealed_job_is_the_last(fresh: FreshJob) -> None:
    """An earlier batch is not the last one, nor is the only one while the producer may add more."""
    fresh.take(0, fresh.add(0))
    assert fresh.commit(0) == "stored"
    fresh.take(1, fresh.add(1))
    fresh.take(2, fresh.add(2))
    fresh.seal()
    assert (fresh.commit(1), fresh.commit(2)) == ("stored", "last")


def test_a_commit_takes_its_batches_images_off_the_server(fresh: FreshJob) -> None:
    """Only the images of this batch are removed."""
    for batch in (0, 1):
        fresh.record.put_image(fresh.uid, fresh.producer, batch, f"{batch}.jpg", b"bytes")
        fresh.take(batch, fresh.add(batch))
    assert fresh.commit(0) == "stored"
    assert fresh.record.inline_bytes() == 5
    assert [fresh.client.exists(fresh.record.inline_key(batch)) for batch in (0, 1)] == [0, 1]


# renew, release, alone


def _leased(fresh: FreshJob) -> None:
    fresh.add()
    assert isinstance(fresh.take(), Lease)


def test_only_the_holder_renews(fresh: FreshJob) -> None:
    """A frozen worker neither renews another worker's lease nor revives a removed one."""
    _leased(fresh)
    before = fresh.snapshot()
    assert not fresh.record.renew(0, "w/2", LONG_S)
    assert fresh.snapshot() == before
    assert fresh.record.renew(0, "w/1", 2 * LONG_S)
    assert fresh.client.zscore(fresh.key("leases"), "0") - fresh.client.time()[0] * 1000 > 1.5 * LONG_S * 1000
    fresh.commit()
    assert not fresh.record.renew(0, "w/1", LONG_S)
    assert not fresh.client.exists(fresh.key("leases"))


def test_only_the_holder_gives_back(fresh: FreshJob) -> None:
    """A worker that ends late leaves another worker's lease alone."""
    _leased(fresh)
    before = fresh.snapshot()
    assert not fresh.record.give_back(0, "w/2")
    assert fresh.snapshot() == before
    assert fresh.record.give_back(0, "w/1")
    assert not fresh.client.exists(fresh.key("leases"), fresh.key("holders"))
    assert not fresh.record.give_back(0, "w/1")


def test_only_the_holder_notes_what_runs_alone(fresh: FreshJob) -> None:
    """Otherwise a crash would be attributed to the wrong image. No index means that none runs in isolation."""
    _leased(fresh)
    before = fresh.snapshot()
    fresh.record.note_alone(0, "w/2", 0)
    assert fresh.snapshot() == before
    fresh.record.note_alone(0, "w/1", 0)
    assert fresh.client.hget(fresh.key("alone"), "0") == b"0"
    fresh.record.note_alone(0, "w/2", None)
    assert fresh.client.hget(fresh.key("alone"), "0") == b"0"
    fresh.record.note_alone(0, "w/1", None)
    assert not fresh.client.exists(fresh.key("alone"))


def test_a_batch_is_wanted_by_its_holder_while_its_job_is(fresh: FreshJob) -> None:
    """Each condition alone makes a process stop before its next image."""
    _leased(fresh)
    assert fresh.record.is_wanted(fresh.uid, 0, "w/1") is True
    assert not fresh.record.is_wanted(OTHER, 0, "w/1")
    assert not fresh.record.is_wanted(fresh.uid, 0, "w/2")
    assert not fresh.record.is_wanted(fresh.uid, 1, "w/1")
    fresh.half_cancelled()
    assert not fresh.record.is_wanted(fresh.uid, 0, "w/1")


def test_a_batch_waits_for_its_last_sending_until_it_is_done(fresh: FreshJob) -> None:
    """A worker checks this before it forwards a batch to another queue."""
    fresh.add()
    assert fresh.record.waits_for(0, 1) is True
    assert fresh.record.resend(fresh.uid, 0, "1") == Requeued(2, ["0.jpg"])
    assert (fresh.record.waits_for(0, 1), fresh.record.waits_for(0, 2)) == (False, True)
    fresh.take(0, 2)
    fresh.commit()
    assert fresh.record.waits_for(0, 2) is False


# lose


def _lose_refused(fresh: FreshJob, *, uid: str = "", holder: str = "w/1") -> None:
    before = fresh.snapshot()
    assert fresh.record.lose(uid or fresh.uid, 0, holder, VERDICT) is None
    assert fresh.snapshot() == before


def test_a_loss_is_counted_for_the_holder_of_a_wanted_batch_alone(fresh: FreshJob) -> None:
    """Crashes are not counted for another uid, without a lease, or for a cancelled job."""
    _leased(fresh)
    _lose_refused(fresh, uid=OTHER)
    _lose_refused(fresh, holder="w/2")
    fresh.half_cancelled()
    _lose_refused(fresh)


def test_a_loss_frees_the_batch_under_a_new_send_number(fresh: FreshJob) -> None:
    """The old message is void, and the next worker learns of the crash."""
    _leased(fresh)
    assert fresh.record.lose(fresh.uid, 0, "w/1", VERDICT) == Requeued(2, ["0.jpg"])
    assert fresh.take() == "sent again"
    assert fresh.take(0, 2) == Lease(attempt=2, losses=1)
    assert fresh.record.verdicts(0, 1) == {}  # it was not alone


def test_the_last_of_so_many_deaths_alone_is_a_verdict(fresh: FreshJob) -> None:
    """The verdict is on that image, not earlier, and not after crashes together with other images."""
    send = fresh.add(0, "a.jpg", "b.jpg")
    for death in range(DEATHS_ALONE):
        assert fresh.record.verdicts(0, 2) == {}
        assert fresh.take(0, send) == Lease(attempt=death + 1, losses=death)
        fresh.record.note_alone(0, "w/1", 1)
        answer = fresh.record.lose(fresh.uid, 0, "w/1", VERDICT)
        assert answer is not None
        send = answer.send
    assert fresh.record.verdicts(0, 2) == {1: VERDICT}


def test_what_a_lost_worker_ran_alone_convicts_nobody(fresh: FreshJob) -> None:
    """Leasing the batch again clears the note. A crash together with other images does not count."""
    _leased(fresh)
    fresh.record.note_alone(0, "w/1", 0)
    fresh.run_out()
    fresh.take(holder="w/2")
    for _ in range(DEATHS_ALONE + 1):
        answer = fresh.record.lose(fresh.uid, 0, "w/2", VERDICT)
        assert answer is not None
        fresh.take(0, answer.send, "w/2")
    assert fresh.record.verdicts(0, 1) == {}
    assert not fresh.client.exists(fresh.key("deaths"))


# agree


def test_the_first_runtime_stands(fresh: FreshJob) -> None:
    """The runtime applies to this job only."""
    before = fresh.snapshot()
    assert fresh.record.agree_on_runtime(OTHER, RUNTIME) == {}
    assert fresh.snapshot() == before
    assert fresh.record.agree_on_runtime(fresh.uid, RUNTIME) == RUNTIME.as_dict()
    late = Runtime(backend="c 2", device="cuda", instruction_set="sm_90", decoder="e 2")
    assert fresh.record.agree_on_runtime(fresh.uid, late) == RUNTIME.as_dict()


# unleased, resend


def test_only_what_nobody_holds_is_unleased(fresh: FreshJob) -> None:
    """Batches that are neither done nor leased. An expired lease does not count."""
    for batch in range(4):
        fresh.add(batch)
    for batch in (1, 2, 3):
        fresh.take(batch, batch + 1)
    fresh.commit(3)
    assert fresh.record.find_unleased() == {0: "1"}
    fresh.run_out(2)
    assert fresh.record.find_unleased() == {0: "1", 2: "3"}
    assert count_jobs(fresh.client).in_flight == 1


def test_a_look_for_lost_batches_says_where_it_goes_on(fresh: FreshJob) -> None:
    """An empty text ends the search; another call would read every batch again."""
    fresh.add(0)
    fresh.add(1)
    keys = [fresh.key("open"), fresh.key("leases"), fresh.key()]
    assert run_script(fresh.client, "unleased", keys, ["-inf", 1]) == [b"1", b"0", b"1"]
    assert run_script(fresh.client, "unleased", keys, ["-inf", 2]) == [b"2", b"0", b"1", b"1", b"2"]
    assert run_script(fresh.client, "unleased", keys, ["-inf", 3]) == [b"", b"0", b"1", b"1", b"2"]
    assert run_script(fresh.client, "unleased", keys, ["2", 1]) == [b""]


# waiting


def test_what_is_no_task_id_is_passed_over(fresh: FreshJob) -> None:
    """A queue may contain foreign messages: numbers, long texts, control characters."""
    longest, key = "a" * 255, "embed"
    ids = ['"j:0:1"', f'"{longest}"', f'"{longest}a"', '"a b"', '"a\x07"', '"\xe9"', "5", '""']
    fresh.client.lpush(key, *(f'{{"id": {one}}}' for one in ids), "no JSON", '{"id": 5, "headers": {"id":"k:0:1"}}')
    assert waiting_tasks(fresh.client, key) == {"j:0:1", longest, "k:0:1"}


@pytest.mark.parametrize(
    ("most", "most_bytes", "goes_on_at"), [(64, 9999, 64), (65, 9999, 65), (999, 640, 64), (999, 75, 8)]
)
def test_a_stretch_of_a_queue_ends_in_time(fresh: FreshJob, most: int, most_bytes: int, goes_on_at: int) -> None:
    """After so many messages, or so many bytes, in steps of 8 messages: one can have 100 KB."""
    fresh.client.lpush("embed", *["x" * 10] * 200)
    assert run_script(fresh.client, "waiting", ["embed"], [0, most, most_bytes]) == [goes_on_at]
    assert run_script(fresh.client, "waiting", ["embed"], [200, most, most_bytes]) == [-1]


# count_jobs, count_leases


def test_what_is_no_job_is_not_counted_among_others(fresh: FreshJob) -> None:
    """A key of another type has the name of a record, or of its leases."""
    fresh.add()
    fresh.take()
    for name in ("a", "b"):
        record, job = make_job(fresh.stage, name)
        add_batch(record, job.uid, record.attach_producer(job.uid), 0, ["a.jpg"])
        record.take(job.uid, 0, 1, "w/1", LONG_S)
    for key in (f"{PREFIX}job:a", f"{PREFIX}job:b:leases"):
        fresh.client.delete(key)
        fresh.client.set(key, "7")
    assert count_jobs(fresh.client) == Census({"enqueuing": 2, "sealed": 0, "finished": 1}, 1, [""])


def test_jobs_are_counted_by_state(fresh: FreshJob) -> None:
    """Batches of all jobs count while they are leased. A job that has not started has none."""
    fresh.client.config_resetstat()
    assert count_jobs(fresh.client) == Census({"enqueuing": 1, "sealed": 0, "finished": 0}, 0, [""])
    assert "cmdstat_zcount" not in fresh.client.info("commandstats")
    fresh.add()
    fresh.take()
    for name in ("k", "m"):
        begun, job = make_job(fresh.stage, name)
        producer = begun.attach_producer(job.uid)
        for batch in range(2):
            send = add_batch(begun, job.uid, producer, batch, [f"{batch}.jpg"])
            if name == "m":
                assert isinstance(begun.take(job.uid, batch, send, "w", LONG_S), Lease)
        begun.seal(job.uid, producer)
    assert count_jobs(fresh.client) == Census({"enqueuing": 1, "sealed": 2, "finished": 0}, 3, [""])
    fresh.run_out()
    assert count_jobs(fresh.client).in_flight == 2


def test_jobs_that_are_not_unfinished_count_as_finished(fresh: FreshJob) -> None:
    """This includes a job whose blocks are still being removed. A missing record counts as nothing."""
    fresh.client.hset(f"{PREFIX}job:{fresh.record.name}", "state", "finished")
    fresh.client.zadd(UNFINISHED, {"other-:gone": 0})
    assert count_jobs(fresh.client) == Census({"enqueuing": 0, "sealed": 0, "finished": 1}, 0, ["", "other-"])


def test_a_stretch_of_batches_tells_where_to_go_on(fresh: FreshJob) -> None:
    """After the last send number if the range is full, leased or not; nowhere at the end."""
    for batch in range(3):
        fresh.add(batch)
    fresh.take(1, 2)

    keys = [fresh.key("open"), fresh.key("leases"), fresh.key()]

    def stretch(after: str, most: int) -> object:
        return run_script(fresh.client, "unleased", keys, [after, most])

    assert stretch("-inf", 2) == [b"2", b"0", b"1"]
    assert stretch("2", 2) == [b"", b"2", b"3"]
    assert stretch("-inf", 3) == [b"3", b"0", b"1", b"2", b"3"]
    assert stretch("3", 3) == [b""]
    assert stretch("-inf", 4) == [b"", b"0", b"1", b"2", b"3"]


def _resend_refused(fresh: FreshJob, *, uid: str = "", send: str = "1") -> None:
    before = fresh.snapshot()
    assert fresh.record.resend(uid or fresh.uid, 0, send) is None
    assert fresh.snapshot() == before


def test_a_batch_of_another_or_a_cancelled_job_is_not_sent_again(fresh: FreshJob) -> None:
    """The reconciler read the job a moment ago."""
    fresh.add()
    _resend_refused(fresh, uid=OTHER)
    fresh.half_cancelled()
    _resend_refused(fresh)


def test_a_batch_that_was_sent_again_meanwhile_is_not_sent_twice(fresh: FreshJob) -> None:
    """A batch that is done is not requeued either."""
    fresh.add()
    assert fresh.record.resend(fresh.uid, 0, "1") == Requeued(2, ["0.jpg"])
    _resend_refused(fresh)
    fresh.take(0, 2)
    fresh.commit()
    _resend_refused(fresh, send="2")


def test_a_batch_that_was_taken_meanwhile_is_not_sent_again(fresh: FreshJob) -> None:
    """Its lease counts until it expires. Then its holder is removed."""
    _leased(fresh)
    _resend_refused(fresh)
    fresh.run_out()
    assert fresh.record.resend(fresh.uid, 0, "1") == Requeued(2, ["0.jpg"])
    assert not fresh.record.renew(0, "w/1", LONG_S)


def test_totals_that_cannot_be_counted_cost_no_commit(fresh: FreshJob) -> None:
    """The batch is committed even if the totals are damaged."""
    fresh.add()
    fresh.take()
    assert fresh.record.commit(fresh.uid, 0, b"block", {"ok": 1}, 1, {"images": 10**30}) == "stored"
    assert fresh.record.open_batches() == 0


@pytest.mark.parametrize("totals", [{}, {"images": 3}])
def test_counters_of_a_commit_go_where_they_belong(fresh: FreshJob, totals: dict[str, int]) -> None:
    """The job's counters go into its record, the others into the totals."""
    fresh.add()
    fresh.take()
    fresh.record.commit(fresh.uid, 0, b"block", {"ok": 1, "unreadable": 2}, 1, totals)
    job = fresh.load()
    assert (job.images_done, job.faces, job.outcomes) == (3, 1, {"ok": 1, "unreadable": 2})
    found = fresh.client.hgetall("facequeue:metrics")
    assert {name.decode(): int(value) for name, value in found.items()} == totals

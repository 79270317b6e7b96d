"""Creating and parsing ids of tasks."""

import pytest

from shared.domain.task_ids import TaskId, aggregate_task_id, aggregated_job, embed_task_id, parse_task_id


def test_an_id_says_what_the_task_works_on() -> None:
    """It names the job and its batch or aggregation."""
    embeds, aggregates = parse_task_id(embed_task_id("j.1", 12, 5)), parse_task_id(aggregate_task_id("j.1"))
    assert embeds == TaskId("j.1", "12")
    assert (embeds.batch, embeds.label) == (12, "j.1:12")
    assert aggregates == TaskId("j.1", "aggregate")
    assert aggregates.batch is None
    assert aggregated_job(aggregate_task_id("j.1")) == "j.1"
    assert aggregated_job(embed_task_id("j.1", 12, 5)) is None
    assert parse_task_id(embeds.label) == embeds


@pytest.mark.parametrize("task_id", ["", ":", "a/b:1:2", ":aggregate:1", "0b8f-ä:1:1"])
def test_an_id_of_somebody_elses_names_no_job(task_id: str) -> None:
    """Any client can send a message with any id."""
    assert parse_task_id(task_id) is None
    assert aggregated_job(task_id) is None

"""Puts the known images of an update, which its blocks only name, between those that were computed."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.domain.errors import ResultsError
from shared.domain.file_status import FileStatus
from shared.domain.job import Job
from shared.domain.paths import printable
from shared.results.kept_rows import unpack_kept
from shared.results.owner import results_uid
from worker.aggregation.earlier_results import UNREADABLE, EarlierResults, earlier_results
from worker.aggregation.rows import Row, rows_of_block


def updated_rows(blocks: Iterable[bytes], job: Job, folder: Path) -> Iterator[Row]:
    """The images of an update in order; `folder` has the earlier results. ResultsError if these are not the ones that
    the update was made from.
    """
    uid = results_uid(folder)
    if uid not in (job.options.replaces, job.uid):
        raise _replaced(job, folder)
    index = 0
    with _explained(job, folder), earlier_results(folder, job.options.folder, job.contract.dimensions) as earlier:
        for block in blocks:
            # An aggregator that died after it had published: the new results have the known images already.
            for row in _rows_of(block, job, earlier, published_from=index if uid == job.uid else None):
                index += 1
                yield row


def _rows_of(block: bytes, job: Job, earlier: EarlierResults, *, published_from: int | None) -> Iterator[Row]:
    kept = unpack_kept(block)
    if kept is None:
        yield from rows_of_block(block, job.options.folder, job.contract.dimensions)
        return
    for place, image in enumerate(kept):
        row = image.row if published_from is None else published_from + place
        yield earlier.row(row, image.path, FileStatus(image.size, image.mtime_ns))


@contextmanager
def _explained(job: Job, folder: Path) -> Iterator[None]:
    try:
        yield
    except UNREADABLE as error:
        raise ResultsError(
            f"The earlier results in {printable(str(folder))} cannot be read ({printable(str(error))}), so job "
            f"'{job.name}' cannot take its known images from them. Cancel the job, and repeat the command with --fresh."
        ) from None


def _replaced(job: Job, folder: Path) -> ResultsError:
    return ResultsError(
        f"{printable(str(folder))} does not have the results that the update of job '{job.name}' was made from: they "
        "were replaced or moved meanwhile, or this aggregator has another results folder. Cancel the job, and repeat "
        "the command."
    )

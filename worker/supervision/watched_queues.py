"""The queues that a reconciler watches, and which of them are none because another program uses their keys."""

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.store.diversion import diverted_queues
from shared.store.foreign_keys import foreign_queues, why_no_queue
from shared.store.queue_inspection import waiting_tasks
from shared.store.redis_client import Client

_log = get_logger("reconcile")


class WatchedQueues:
    """The queues of one installation, as they were at the last look. Jobs of those that are none wait, and cost the
    others nothing.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client, self._settings = client, settings
        self._of_batches: list[str] = []
        self._foreign: dict[str, str] = {}

    def look(self) -> None:
        """Looks for queues of diverted jobs, and for queues that are none, which is logged once."""
        settings, before = self._settings, self._foreign
        self._of_batches = [settings.embed_queue, *sorted(diverted_queues(self._client, settings.queue_prefix))]
        self._foreign = foreign_queues(self._client, [*self._of_batches, settings.aggregate_queue])
        for queue in sorted(self._foreign.keys() - before.keys()):
            _log.error(
                "%s; until then its jobs wait",
                why_no_queue(queue, self._foreign[queue]),
                extra={"action": "queue_foreign"},
            )

    @property
    def all_usable(self) -> bool:
        """Whether all of them are queues."""
        return not self._foreign

    def is_usable(self, queue: str) -> bool:
        """Whether it is a queue."""
        return queue not in self._foreign

    def batches(self) -> set[str]:
        """The task ids of all batches in the queues."""
        return {task for queue in self._of_batches for task in self.tasks_in(queue)}

    def tasks_in(self, queue: str) -> set[str]:
        """The task ids of all messages in a queue; none if it is not one."""
        return waiting_tasks(self._client, queue) if self.is_usable(queue) else set()

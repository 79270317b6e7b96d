"""Queues that are none, because another program has written in the place of their keys."""

from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.store.diversion import diverted_queues
from shared.store.foreign_keys import foreign_queues, why_no_queue
from shared.store.queue_inspection import waiting_tasks
from shared.store.redis_client import Client

_log = get_logger("reconcile")


class ForeignQueues:
    """Such queues among those of a worker. Their jobs wait, and cost the others nothing."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client, self._settings = client, settings
        self._found: dict[str, str] = {}

    def __contains__(self, queue: str) -> bool:
        return queue in self._found

    def __bool__(self) -> bool:
        return bool(self._found)

    def look(self) -> None:
        """Looks for them; what was not there before is logged."""
        settings, before = self._settings, self._found
        diverted = diverted_queues(self._client, settings.queue_prefix)
        self._found = foreign_queues(self._client, [settings.embed_queue, settings.aggregate_queue, *diverted])
        for queue in sorted(self._found.keys() - before.keys()):
            _log.error(
                "%s; until then its jobs wait",
                why_no_queue(queue, self._found[queue]),
                extra={"action": "queue_foreign"},
            )

    def tasks_in(self, queue: str) -> set[str]:
        """The task ids of all messages in a queue; none if it is not one."""
        return set() if queue in self else waiting_tasks(self._client, queue)

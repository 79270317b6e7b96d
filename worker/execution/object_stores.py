"""The URL prefixes that a worker process reads from."""

from shared.config.settings import Settings
from shared.domain.errors import LocationUnavailable
from shared.domain.locations import is_allowed, parse_location
from shared.objects.store import ObjectStore, open_store
from worker.execution.read_ahead import check_reachable


class ObjectStores:
    """The stores that a process has opened. It keeps the last one, with its connections."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: dict[str, ObjectStore] = {}

    def open(self, url: str) -> ObjectStore:
        """The store of a job's location. LocationUnavailable if this worker may not read it, or a package is missing.

        Jobs come from a server that others can write to, so this is asked for every batch.
        """
        if not is_allowed(parse_location(url), self._settings.allowed_locations):
            raise LocationUnavailable(f"{url} is not below any of the URLs in its FACEQUEUE_ALLOWED_URLS")
        if url not in self._open:
            self._open = {url: open_store(url)}
        return self._open[url]

    def check(self, url: str, *, all_failed: bool) -> None:
        """LocationUnavailable if the location can no longer be read (`check_reachable`)."""
        check_reachable(self.open(url), self._settings.object_patience_s, all_failed=all_failed)

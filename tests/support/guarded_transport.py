"""Messages are sent and received as in a worker, by one test alone."""

import kombu.transport
import pytest
from kombu.transport import TRANSPORT_ALIASES

from worker.broker.transport import use_guarded_transport


def use_it_in_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the transport until the test ends: those that follow in this process send as producers do."""
    # kombu caches what a URL scheme meant when this process first used it.
    monkeypatch.setattr(kombu.transport, "_transport_cache", {})
    for scheme in ("redis", "rediss"):
        monkeypatch.setitem(TRANSPORT_ALIASES, scheme, TRANSPORT_ALIASES[scheme])
    use_guarded_transport()

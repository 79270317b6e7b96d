"""A reconciler that is stepped by a test, and the messages that it sends."""

import base64
import json

from shared.messaging.celery_app import make_celery
from tests.support.stage import Stage
from worker.supervision.reconciler import Reconciler

MOMENT_S = 0.03
"""A lease of which a third has passed at the next step."""


def make_reconciler(stage: Stage, lease_s: float = MOMENT_S, name: str = "w") -> Reconciler:
    """The reconciler of a worker with this name and these leases."""
    settings = stage.settings.model_copy(update={"lease_s": lease_s})
    return Reconciler(make_celery(settings), stage.client, settings, name)


def messages_in(stage: Stage, queue: str = "embed") -> list[dict[str, object]]:
    """The messages that wait in a queue, in the order in which they will be taken."""
    bodies = [base64.b64decode(json.loads(raw)["body"]) for raw in reversed(stage.client.lrange(queue, 0, -1))]
    return [json.loads(body)[1]["message"] for body in bodies]

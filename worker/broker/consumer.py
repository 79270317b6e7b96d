"""Celery's consumer, which accepts only valid calls of our tasks and rejects everything else."""

from collections.abc import Callable
from typing import Any

from celery.utils.log import get_logger
from celery.worker import consumer as celery_consumer

from shared.domain.errors import BadMessage
from worker.broker.envelope import check_task_message
from worker.broker.rejection import reject_message

_celery_log = get_logger(__name__)


class Consumer(celery_consumer.Consumer):  # type: ignore[misc]
    """Validates messages in the main process, before a child process receives them.

    Celery's own four handlers of bad messages log the body with a traceback and drop the message.
    """

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], None]:
        """The function that Celery calls with every message of a queue."""
        handle = super().create_task_handler(*args, **options)

        def check_and_handle(message: Any) -> None:
            try:
                check_task_message(message)
            except BadMessage as error:
                self._reject(message, error)
            else:
                handle(message)

        return check_and_handle

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        """Rejects a message whose body cannot be decoded, or has a content type that is not accepted."""
        self._reject(message, f"body cannot be decoded: {exc}")

    def on_unknown_message(self, body: Any, message: Any) -> None:
        """Rejects a message that names no task."""
        self._reject(message, "no task is named")

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Rejects a message for a task that this worker does not have."""
        self._reject(message, f"unknown task {exc}")

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        """Rejects a message that violates Celery's protocol."""
        self._reject(message, exc)

    def _reject(self, message: Any, reason: object) -> None:
        where = message.delivery_info.get("routing_key") or message.headers.get("task") or "broadcast"
        reject_message(message.channel.dead_letters, str(where), reason, message.body)
        message.ack_log_error(_celery_log, self.connection_errors)

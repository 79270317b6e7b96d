"""kombu's Redis transport with checks on what it reads: entries of a queue's list, and messages that it restores.

kombu decodes both in the worker's event loop and trusts their shape, so one invalid entry would end the worker.
"""

from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from kombu.utils.json import dumps

from shared.domain.errors import BadMessage
from shared.messaging.celery_app import AGAIN
from shared.store.redis_client import Client
from worker.broker.envelope import check_envelope, read_envelope
from worker.broker.oom_tolerant_redis import OomTolerantChannel
from worker.broker.rejection import reject_message


def use_guarded_transport(dead_letters: Client | None = None) -> None:
    """Makes kombu use this transport for Redis URLs. Rejected messages are stored in `dead_letters`, by default only
    logged.

    The setting `broker_transport` does not suffice: kombu ignores it for `redis+socket://` and after a failover, and
    looks up `rediss` by name.
    """
    # kombu creates the objects itself. A client cannot go into its transport options, because `inspect stats`
    # broadcasts them.
    channel = type(Channel.__name__, (Channel,), {"dead_letters": dead_letters})
    transport = type(Transport.__name__, (Transport,), {"Channel": channel})
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), lambda: transport))  # type: ignore[arg-type]


class QoS(kombu_redis.QoS):
    """Restores unacknowledged messages. An invalid entry becomes a dead letter, or restoring would fail forever."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Puts one message back into its queue; an invalid entry becomes a dead letter."""
        with self.channel.conn_or_acquire(client) as client:
            raw = client.hget(self.unacked_key, tag)
            try:
                if raw is not None:
                    _check_unacked(raw, self.channel)
            except BadMessage as error:
                reject_message(self.channel.dead_letters, self.unacked_key, error, raw)
                self._remove_from_indices(tag).execute()  # type: ignore[no-untyped-call]
            else:
                super().restore_by_tag(tag, client, leftmost)  # type: ignore[no-untyped-call]


def _check_unacked(raw: bytes, channel: Any) -> None:
    entry = read_envelope(raw)
    if not isinstance(entry, list) or [type(part) for part in entry[1:]] != [str, str]:
        raise BadMessage("not [message, exchange, routing key]")
    check_envelope(entry[0], channel)


class Channel(OomTolerantChannel):
    """Delivers valid messages and rejects everything else."""

    QoS = QoS
    dead_letters: Client | None = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        client = super()._create_client(asynchronous)  # type: ignore[no-untyped-call]
        if asynchronous:  # the client that waits for messages
            plain = client.response_callbacks.get("BRPOP", lambda answer: answer)
            client.set_response_callback("BRPOP", lambda answer: self._drop_invalid(plain(answer)))
        return client

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        """Puts a message into its queue; a requeued batch goes first, since its job has waited for it already."""
        if not message["headers"].get(AGAIN):
            super()._put(queue, message, **options)  # type: ignore[no-untyped-call]
            return
        with self.conn_or_acquire() as client:
            client.rpush(queue, dumps(message))  # type: ignore[no-untyped-call]

    def _drop_invalid(self, answer: Any) -> Any:
        """The answer to a BRPOP. If the entry is invalid, None, as if the queues were empty."""
        if not answer:
            return answer
        key, raw = answer
        queue = key.decode(errors="replace").rsplit(self.sep, 1)[0]
        try:
            envelope = read_envelope(raw)
            check_envelope(envelope, self)
            address = envelope["properties"]["delivery_info"]
            if not address["exchange"] and address["routing_key"] != queue:
                # If it were put back, it would be written to whatever key it names.
                raise BadMessage("envelope: addressed to another queue")
        except BadMessage as error:
            reject_message(self.dead_letters, queue, error, raw)
            return None
        return answer

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        """Delivers a remote-control message if it is valid; anyone with access to the server can publish there."""
        try:
            check_envelope(message, self)
        except BadMessage as error:
            reject_message(self.dead_letters, exchange, error, message)
            return False
        return bool(super()._deliver_fanout_message(message, exchange))  # type: ignore[no-untyped-call]


class Transport(kombu_redis.Transport):
    """`redis://`, `rediss://` and `redis+socket://`, guarded."""

    Channel = Channel

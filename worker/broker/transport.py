"""kombu's Redis transport, with a guard at both of its doors: entries of a queue's list, and messages put back.

kombu decodes both in the worker's event loop and trusts their shape, so one entry of junk would end the worker.
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

DEAD_LETTERS_OPTION = "dead_letters"
"""The transport option that holds a client of the server, for dead letters; without it, junk is only logged."""


def use_guarded_transport() -> None:
    """Makes kombu take this transport for the schemes of Redis.

    Not `broker_transport`: kombu forgets it for `redis+socket://` and after a failover, and `rediss` is a name it looks for.
    """
    TRANSPORT_ALIASES.update(redis=f"{__name__}:Transport", rediss=f"{__name__}:Transport")


class QoS(kombu_redis.QoS):
    """Puts unacknowledged messages back, but no entry that it would fail at again and again."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """One message back into its queue; an entry that is none is parked."""
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
    """Delivers what is a message; rejects the rest."""

    QoS = QoS
    dead_letters: Client | None = None
    from_transport_options = (*OomTolerantChannel.from_transport_options, DEAD_LETTERS_OPTION)  # type: ignore[assignment]

    def _create_client(self, asynchronous: bool = False) -> Any:
        client = super()._create_client(asynchronous)  # type: ignore[no-untyped-call]
        if asynchronous:  # the one that waits at the queues
            plain = client.response_callbacks.get("BRPOP", lambda answer: answer)
            client.set_response_callback("BRPOP", lambda answer: self._drop_junk(plain(answer)))
        return client

    def _put(self, queue: str, message: Any, **options: Any) -> None:
        """A lost batch goes to the end that is taken from next: its job has waited for it already."""
        if not message["headers"].get(AGAIN):
            super()._put(queue, message, **options)  # type: ignore[no-untyped-call]
            return
        with self.conn_or_acquire() as client:
            client.rpush(queue, dumps(message))  # type: ignore[no-untyped-call]

    def _drop_junk(self, answer: Any) -> Any:
        """The answer to a BRPOP; none, as if the queues were empty, where the entry is junk."""
        if not answer:
            return answer
        key, raw = answer
        queue = key.decode(errors="replace").rsplit(self.sep, 1)[0]
        try:
            envelope = read_envelope(raw)
            check_envelope(envelope, self)
            address = envelope["properties"]["delivery_info"]
            if not address["exchange"] and address["routing_key"] != queue:
                # Put back, it would be written into whatever key it names.
                raise BadMessage("envelope: addressed to another queue")
        except BadMessage as error:
            reject_message(self.dead_letters, queue, error, raw)
            return None
        return answer

    def _deliver_fanout_message(self, message: Any, exchange: str) -> bool:
        """Remote control comes this way; anybody can publish there."""
        try:
            check_envelope(message, self)
        except BadMessage as error:
            reject_message(self.dead_letters, exchange, error, message)
            return False
        return bool(super()._deliver_fanout_message(message, exchange))  # type: ignore[no-untyped-call]


class Transport(kombu_redis.Transport):
    """`redis://`, `rediss://` and `redis+socket://`, guarded."""

    Channel = Channel

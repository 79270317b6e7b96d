"""Metrics of queues, jobs and workers for Prometheus, read from the server at every scrape."""

from collections.abc import Callable, Iterator

import redis
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from producer.monitoring.queue_lengths import queue_lengths
from shared.config.logs import get_logger
from shared.config.settings import Settings
from shared.domain.stages import STAGES
from shared.store.redis_client import Client
from shared.store.registry import count_jobs
from shared.store.totals import Totals
from shared.store.turns import count_waiting
from shared.store.worker_registry import Worker, living_workers

_MIB = 2**20
_log = get_logger("metrics")


class QueueCollector(Collector):
    """Reads the server once per scrape. If it does not answer, `facequeue_up` is 0 and there are no other metrics."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client, self._settings = client, settings
        self._was_up = True

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        try:
            found = [
                metric
                for part in (self._of_images, self._of_queues, self._of_workers)
                for metric in self._readable(part)
            ]
        except redis.RedisError as error:
            if self._was_up:
                _log.warning("the server does not answer: %s", error, extra={"action": "server_away"})
            found, self._was_up = [], False
        else:
            self._was_up = True
        yield GaugeMetricFamily("facequeue_up", "Whether the server answers.", value=float(self._was_up))
        yield from found

    def _readable(self, part: Callable[[], Iterator[Metric]]) -> list[Metric]:
        """The metrics of a part; none if its key has another type."""
        try:
            return list(part())
        except redis.ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            _log.warning("some metrics are missing: %s", error, extra={"action": "metrics_missing"})
            return []

    def _of_images(self) -> Iterator[Metric]:
        totals = Totals.read(self._client)
        images = CounterMetricFamily("facequeue_images", "Images done, by outcome.", labels=["outcome"])
        for outcome, amount in totals.images().items():
            images.add_metric([outcome], amount)
        yield images
        yield CounterMetricFamily("facequeue_faces", "Faces embedded.", value=totals.faces)
        stages = HistogramMetricFamily(
            "facequeue_stage_seconds", "Seconds an image spent in a stage.", labels=["stage"]
        )
        for stage in STAGES:
            stages.add_metric([stage], totals.buckets(stage), totals.seconds(stage))
        yield stages

    def _of_queues(self) -> Iterator[Metric]:
        jobs = count_jobs(self._client)
        length = GaugeMetricFamily(
            "facequeue_queue_length", "Batches and messages that no worker has taken.", labels=["queue"]
        )
        turns = GaugeMetricFamily(
            "facequeue_batches_waiting", "Batches that wait for their job's turn.", labels=["queue", "priority"]
        )
        # With a label for each diverted job, the labels would never end.
        prefixes = {self._settings.queue_prefix, *jobs.prefixes}  # of others that share the server too
        for queue, waiting in queue_lengths(self._client, prefixes).items():
            length.add_metric([queue], waiting)
            for priority, batches in count_waiting(self._client, queue).items():
                turns.add_metric([queue, priority], batches)
        yield length
        yield turns
        yield GaugeMetricFamily(
            "facequeue_batches_in_flight", "Batches that workers have leased.", value=jobs.in_flight
        )
        states = GaugeMetricFamily("facequeue_jobs", "Jobs on the server, by state.", labels=["state"])
        for state, amount in jobs.by_state.items():
            states.add_metric([state], amount)
        yield states

    def _of_workers(self) -> Iterator[Metric]:
        rss = GaugeMetricFamily("facequeue_worker_rss_bytes", "Memory of a worker's processes.", labels=["worker"])
        cpu = GaugeMetricFamily(
            "facequeue_worker_cpu_percent", "CPU time of a worker's processes, in percent of a core.", labels=["worker"]
        )
        images = CounterMetricFamily("facequeue_worker_images", "Images a worker has done.", labels=["worker"])
        for worker in living_workers(self._client):
            for family, name, unit in ((rss, "rss_mib", _MIB), (cpu, "cpu_percent", 1), (images, "images_done", 1)):
                _add_figure(family, worker, name, unit)
        yield from (rss, cpu, images)


def _add_figure(family: GaugeMetricFamily | CounterMetricFamily, worker: Worker, name: str, unit: int) -> None:
    figure = worker.figure(name)
    if figure is not None:
        family.add_metric([worker.name], figure * unit)

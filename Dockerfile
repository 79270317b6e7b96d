# Targets: `base` (producer, aggregator, Flower; no torch) and `worker`. Packages and networks come before the code: a change of
# the code rebuilds in seconds. No pyarrow (faces.parquet): it would add 170 MB for a file that can be made from the
# others.
FROM python:3.11-slim AS packages
LABEL org.opencontainers.image.title="facequeue" \
      org.opencontainers.image.description="Face embeddings and a distance matrix from a folder of photographs" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="MIT"
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    FACEQUEUE_DATA_ROOT=/data FACEQUEUE_RESULTS_DIR=/results FACEQUEUE_STATE_DIR=/state \
    FACEQUEUE_CACHE_DIR=/var/cache/facequeue
# Whoever runs a container (FACEQUEUE_UID) can write into /state, where volumes are mounted.
RUN useradd --uid 10001 --create-home facequeue \
    && install -d -o facequeue -g facequeue /data /results /var/cache/facequeue \
    && install -d -m 1777 /state /state/workers
WORKDIR /app
COPY requirements/base.lock requirements/
RUN pip install --no-deps --require-hashes -r requirements/base.lock

FROM packages AS base
COPY docker/aggregator-entrypoint.sh /usr/local/bin/
COPY shared shared
COPY producer producer
COPY worker worker
USER facequeue
CMD ["python", "-m", "producer", "--help"]

FROM python:3.11-slim AS worker-packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# PyTorch's CPU-only wheels are a third of the size: --build-arg TORCH_INDEX_URL=<their index>
ARG TORCH_INDEX_URL=
COPY requirements/worker.lock requirements/
RUN if [ -n "$TORCH_INDEX_URL" ]; then \
      pip install --no-deps --index-url "$TORCH_INDEX_URL" torch==2.14.1 torchvision==0.29.1 \
      && awk '/^[^ ]/ {keep = !/^(nvidia-|cuda-|triton=|torch=|torchvision=)/} keep' requirements/worker.lock > rest.lock \
      && pip install --no-deps --require-hashes -r rest.lock; \
    else \
      pip install --no-deps --require-hashes -r requirements/worker.lock; \
    fi

# Converted and checked now, so that nothing is downloaded or converted at the start. BACKEND: openvino, or torch for a GPU.
FROM packages AS networks
COPY --from=worker-packages /usr/local/lib/python3.11/site-packages /usr/local/lib/python3.11/site-packages
COPY shared shared
COPY worker worker
ARG BACKEND=openvino WEIGHTS=casia-webface
USER facequeue
RUN for name in casia-webface $WEIGHTS; do FACEQUEUE_BACKEND=$BACKEND python -m worker fetch-weights "$name" || exit 1; done

FROM packages AS worker
COPY --from=worker-packages /usr/local/lib/python3.11/site-packages /usr/local/lib/python3.11/site-packages
COPY --from=networks /var/cache/facequeue /var/cache/facequeue
COPY shared shared
COPY producer producer
COPY worker worker
USER facequeue
CMD ["python", "-m", "worker", "--queues", "embed"]

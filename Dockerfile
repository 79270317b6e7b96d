# Targets: `base` (producer, aggregator, Flower; no torch) and `worker`.
FROM python:3.11-slim AS base
LABEL org.opencontainers.image.title="facequeue" \
      org.opencontainers.image.description="Face embeddings and a distance matrix from a folder of photographs" \
      org.opencontainers.image.licenses="MIT"
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    FACEQUEUE_DATA_ROOT=/data FACEQUEUE_RESULTS_DIR=/results FACEQUEUE_STATE_DIR=/state \
    FACEQUEUE_CACHE_DIR=/var/cache/facequeue
RUN useradd --uid 10001 --create-home facequeue \
    && mkdir -p /data /results /state /var/cache/facequeue \
    && chown facequeue:facequeue /results /state /var/cache/facequeue
WORKDIR /app
COPY requirements/base.lock requirements/
RUN pip install --no-deps --require-hashes -r requirements/base.lock
COPY docker/aggregator-entrypoint.sh /usr/local/bin/
COPY shared shared
COPY producer producer
COPY worker worker
USER facequeue
CMD ["python", "-m", "producer", "--help"]

# The packages come before the code: a change of the code rebuilds in seconds.
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

FROM base AS worker
COPY --from=worker-packages /usr/local/lib/python3.11/site-packages /usr/local/lib/python3.11/site-packages
# Converted and checked now, so that nothing is downloaded or converted at the start.
RUN python -m worker fetch-weights casia-webface
CMD ["python", "-m", "worker", "--queues", "embed"]

# The server as an image: targets `cpu` and `cuda`. See docs/operating.md.
#
# BASE is any Python 3.11 on Debian; the lock files under deploy/image are made
# for that version, the one that the tests run on.
ARG BASE=docker.io/library/python:3.11-slim-bookworm

# pip and the build backend live in /build and go no further than this stage's
# children; /opt/gradwire is what will be copied.
FROM ${BASE} AS tools
ARG PIP_CERT
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/gradwire

FROM tools AS libraries-cpu
COPY deploy/image/requirements-cpu.txt /
RUN /build/bin/pip --python /opt/gradwire/bin/python install \
    --require-hashes --no-deps --only-binary :all: --requirement /requirements-cpu.txt

FROM tools AS libraries-cuda
COPY deploy/image/requirements-cuda.txt /
RUN /build/bin/pip --python /opt/gradwire/bin/python install \
    --require-hashes --no-deps --only-binary :all: --requirement /requirements-cuda.txt

# The wheel, built once for both, and installed by itself under /own, so that a
# change of ours is a small layer on top of the libraries.
FROM tools AS own
COPY deploy/image/requirements-build.txt /
RUN /build/bin/pip install --require-hashes --no-deps --requirement /requirements-build.txt
COPY pyproject.toml README.md LICENSE /source/
COPY client /source/client
COPY server /source/server
RUN /build/bin/pip wheel --no-build-isolation --no-deps --wheel-dir /wheel /source \
    && /build/bin/pip --python /opt/gradwire/bin/python install \
    --no-index --no-deps --root /own /wheel/*.whl

# What both targets share: a user, the folders, no pip.
FROM ${BASE} AS runtime
RUN rm -rf /usr/local/bin/pip* /usr/local/bin/wheel /usr/local/lib/python3.*/site-packages/* \
    /usr/local/lib/python3.*/ensurepip /usr/lib/python3.*/ensurepip /usr/share/python-wheels \
    && groupadd --gid 10001 gradwire \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent \
    --shell /usr/sbin/nologin gradwire \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/cache/gradwire \
    && install --directory /etc/gradwire/tls /etc/gradwire/token /etc/gradwire/warm
ENV PATH=/opt/gradwire/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GRADWIRE_SERVER_LISTEN=0.0.0.0:8701 \
    GRADWIRE_SERVER_METRICS=0.0.0.0:8702 \
    GRADWIRE_SERVER_ALLOW_PLAINTEXT_METRICS=true \
    GRADWIRE_SERVER_CACHE_DIR=/var/cache/gradwire \
    GRADWIRE_SERVER_WARM_DIR=/etc/gradwire/warm \
    GRADWIRE_SERVER_LOG_FORMAT=json
# Calls are served in plaintext only if the image is run with a setting for it: without
# --tls-cert and --tls-key, or --allow-plaintext-network, the server refuses to start.
EXPOSE 8701 8702
VOLUME /var/cache/gradwire
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10m --retries=3 \
    CMD ["python", "-I", "-m", "gradwire_server.process.health_check"]
ENTRYPOINT ["gradwire-server"]
# deploy/image/build adds version, revision and source.
LABEL org.opencontainers.image.title="gradwire server" \
    org.opencontainers.image.description="Derivatives over gRPC, computed with JAX" \
    org.opencontainers.image.licenses="Apache-2.0"

FROM runtime AS cuda
# Without a driver JAX would compute on the processor. With one that is too old for its
# libraries the container runtime refuses to start this, and says why.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    NVIDIA_REQUIRE_CUDA="cuda>=13.0" \
    GRADWIRE_SERVER_PLATFORM=gpu
COPY --from=libraries-cuda /opt/gradwire /opt/gradwire
COPY --from=own /own/opt/gradwire /opt/gradwire

# Last, and so what is built when no target is named.
FROM runtime AS cpu
COPY --from=libraries-cpu /opt/gradwire /opt/gradwire
COPY --from=own /own/opt/gradwire /opt/gradwire

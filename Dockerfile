# syntax=docker/dockerfile:1

# Base images are named by digest, so that a build tomorrow is the build of today. To update one: docker pull TAG, then
# docker inspect --format '{{index .RepoDigests 0}}' TAG.
FROM rust:1.95-slim-trixie@sha256:e14e87345b4d5964ddcc3491d27ee046a0f23820f340c3c1e24da6880141f7c0 AS build
WORKDIR /src
COPY . .
# The queries were checked against a database when .sqlx/ was written: none is needed here.
ENV SQLX_OFFLINE=true
# target/ lives in a cache mount and is gone after this step, so the binary is copied out of it.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --bin signpost \
 && cp target/release/signpost /usr/local/bin/signpost

FROM debian:trixie-slim@sha256:a29215f6a35e51e22adffa17f89e9d2ef06214e64a2bad10d765c46aea49f11f
# The certificate authorities of the world, for the ACME directory, Entra and webhooks.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --user-group --no-create-home --home-dir /var/lib/signpost --shell /usr/sbin/nologin signpost \
 && install --directory --owner=signpost --group=signpost --mode=700 /var/lib/signpost
COPY --from=build /usr/local/bin/signpost /usr/local/bin/signpost

USER signpost
WORKDIR /var/lib/signpost
VOLUME /var/lib/signpost
ENV SIGNPOST_STATE_DIR=/var/lib/signpost \
    SIGNPOST_HTTP_ADDR=0.0.0.0:8080 \
    SIGNPOST_HTTPS_ADDR=0.0.0.0:8443 \
    SIGNPOST_OPS_ADDR=0.0.0.0:9090
# 9090, the ops listener, is for the orchestrator and Prometheus on the inner network: never publish it.
EXPOSE 8080 8443
STOPSIGNAL SIGTERM

# The image has bash but no curl, and bash speaks TCP.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9090 && printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]

ENTRYPOINT ["signpost"]
CMD ["serve"]

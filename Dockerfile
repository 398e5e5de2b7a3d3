# Weir as an image: docker build -t weir . && docker run -p 8080:8080 -v weir-data:/data weir
#
# Any base with glibc can carry the binary; a distroless "cc" image is the smallest:
#   docker build --build-arg RUNTIME=<image> -t weir .
ARG RUNTIME=debian:bookworm-slim

FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# The caches hold the dependencies between builds, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --profile dist --locked --bin weir \
    && install -D target/dist/weir /image/usr/local/bin/weir \
    && install -d -o 65532 -g 65532 /image/data

FROM ${RUNTIME}
# Copied with its owner: a fresh volume takes it over from here, and the user below may write to it.
COPY --from=build --chown=65532:65532 /image/data /data
COPY --from=build /image/usr/local/bin/weir /usr/local/bin/weir
# The user "nonroot" of distroless images; it needs no entry in /etc/passwd.
USER 65532:65532
ENV WEIR_DATA_DIR=/data
VOLUME /data
WORKDIR /data
EXPOSE 8080
# No HEALTHCHECK: the image has no shell and no curl, and an orchestrator asks over HTTP better than a process inside can.
# Liveness is GET /health; readiness is GET /health/ready, which is 503 while the gateway drains.
# SIGTERM is the orderly stop; give it server.drain_timeout (30 s) before a kill.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/weir"]
CMD ["serve", "--listen", "0.0.0.0:8080"]

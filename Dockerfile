# syntax=docker/dockerfile:1
# The worker, without `dev`: one binary in an image that has no shell, no package manager and no root.
#
#   docker build -t darkroom .                          the image
#   docker run --rm darkroom --version                  a first look
#   docker build --build-arg RUNTIME=IMAGE@sha256:… .   another base, pinned
ARG RUNTIME=gcr.io/distroless/cc-debian12:nonroot

FROM rust:1.95.0-bookworm AS build
WORKDIR /build
# The image's own toolchain: rust-toolchain.toml would fetch rustfmt and clippy, which a release does not need.
ENV RUSTUP_TOOLCHAIN=1.95.0 \
    CARGO_PROFILE_RELEASE_LTO=thin \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 \
    CARGO_PROFILE_RELEASE_STRIP=debuginfo
COPY . .
# Cargo's registry and what was compiled stay in the builder's cache: a change of ours compiles ours alone.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/build/target,sharing=locked \
    cargo build --release --locked --package darkroom --no-default-features \
    && install -D target/release/darkroom /out/darkroom \
    && ! grep -qa 'darkroom-fault:' /out/darkroom \
    && /out/darkroom --version

FROM ${RUNTIME}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="darkroom" \
      org.opencontainers.image.description="Background worker: jobs from Redis, clean JPEGs into S3" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /out/darkroom /usr/local/bin/darkroom
USER 65532:65532
EXPOSE 8080
# The process itself, not the bucket or Redis: those being away is no reason to kill a worker that waits for them.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=4 CMD ["/usr/local/bin/darkroom", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/darkroom"]
CMD ["worker"]

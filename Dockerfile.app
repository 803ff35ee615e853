# The image of simple-app: a single static program.
#   docker build -f Dockerfile.app --build-arg VERSION=1.0.1 -t simple-app:1.0.1 .
# Versions differ only in the last stage, so that only the first build compiles anything.

FROM rust:1.95-alpine AS chef
# Alpine removes old package versions, so a pinned version would soon be unavailable.
# hadolint ignore=DL3018
RUN apk add --no-cache build-base && cargo install cargo-chef --locked --version 0.1.78
WORKDIR /src

FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM chef AS build
COPY --from=plan /src/recipe.json recipe.json
# Dependencies are rebuilt only when a manifest or the lock file changes.
RUN cargo chef cook --release --locked --package simple-app --recipe-path recipe.json
COPY . .
RUN cargo build --release --locked --package simple-app

FROM scratch
ARG VERSION=dev
ARG DELAY=0s
ARG ERROR_RATE=0
LABEL org.opencontainers.image.title="simple-app" \
      org.opencontainers.image.description="Returns its version; the app being released" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /src/target/release/simple-app /usr/local/bin/simple-app
# A container has its own network, so the app listens on all addresses.
ENV VERSION=${VERSION} DELAY=${DELAY} ERROR_RATE=${ERROR_RATE} BIND_ADDRESS=0.0.0.0
USER 10001:10001
EXPOSE 8080 8000
ENTRYPOINT ["/usr/local/bin/simple-app"]

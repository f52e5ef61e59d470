# The operator's image: one static program and the system's certificate authorities. Built for the machine's own
# processor; for both at once: docker buildx build --platform linux/amd64,linux/arm64 .
FROM rust:1.95-alpine AS build
RUN apk add --no-cache build-base linux-headers ca-certificates
WORKDIR /liaison
COPY Cargo.toml Cargo.lock askama.toml ./
COPY src src
# The manifest names their main files; they are not built here.
COPY tests tests
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/liaison/target \
    target="$(uname -m)-unknown-linux-musl" \
    && cargo build --release --locked --target "$target" --bin liaison \
    && cp "target/$target/release/liaison" /usr/local/bin/liaison

FROM scratch
LABEL org.opencontainers.image.title="liaison" \
      org.opencontainers.image.description="Connections to SaaS applications as a Kubernetes resource" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/local/bin/liaison /liaison
USER 65532:65532
EXPOSE 8400 8401 8443
ENTRYPOINT ["/liaison"]
CMD ["run"]

# One static binary on an empty image: no shell, no package manager, nobody but the user it runs as.
FROM golang:1.26.8-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/quipu . \
 && mkdir -m 0700 /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/quipu /quipu
USER 65532:65532
# All interfaces: without QUIPU_API_KEYS the server says so and does not start.
ENV QUIPU_ADDR=:8080 QUIPU_DATA=/data QUIPU_LOG_FORMAT=json
EXPOSE 8080
VOLUME /data
# Works with a read-only root: /data is all that is written.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 CMD ["/quipu", "health"]
ENTRYPOINT ["/quipu"]
CMD ["serve"]

ARG BUILD_IMAGE=golang:1.26
ARG BASE_IMAGE=gcr.io/distroless/static-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
ARG GOPROXY
ARG VERSION=dev
ENV CGO_ENABLED=0 GOPROXY=${GOPROXY} GOFLAGS=-buildvcs=false
WORKDIR /src
# One step: a download of its own would fetch what only the tests need.
COPY go.mod go.sum ./
COPY cmd cmd
COPY internal internal
COPY migrations migrations
RUN go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/tenant-registry ./cmd/server \
 && go build -trimpath -ldflags "-s -w" -o /out/migrate ./cmd/migrate

# The final stage has the two binaries and what the base brings: certificates, time zones, a user without rights. No toolchain.
FROM ${BASE_IMAGE}
COPY --from=build /out/tenant-registry /out/migrate /
USER 65532:65532
ENV APP_ENV=prod
EXPOSE 8090
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s CMD ["/tenant-registry", "healthcheck"]
ENTRYPOINT ["/tenant-registry"]

package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/log"
)

const (
	defaultImage = "docker.io/library/postgres:17-alpine"
	port         = "5432/tcp"

	engineTimeout  = 3 * time.Second  // for an engine to answer at all
	pullIdle       = 10 * time.Second // for a pull to report progress: a slow registry may take long
	pullTimeout    = 5 * time.Minute
	startTimeout   = time.Minute
	maxConnections = "300"
)

func image(getenv func(string) string) string {
	if name := getenv("TEST_POSTGRES_IMAGE"); name != "" {
		return name
	}
	return defaultImage
}

// silence turns off the library's log, which belongs to the whole process.
var silence = sync.OnceFunc(func() { log.SetDefault(log.NewNoopLogger()) })

// fromContainer starts a container that is removed by stop; while testcontainers' reaper is on, also if this process is
// killed.
func fromContainer(ctx context.Context, image string) (*server, error) {
	silence()
	engine, err := engine(ctx)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	if err := ensureImage(ctx, engine.Client(), image); err != nil {
		return nil, err
	}
	if !engine.Config().RyukDisabled {
		//lint:ignore SA1019 the library offers no other name for the image it is about to use
		if err := ensureImage(ctx, engine.Client(), testcontainers.ReaperDefaultImage); err != nil {
			return nil, fmt.Errorf("%w (TESTCONTAINERS_RYUK_DISABLED=true does without it)", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	password := rand.Text()
	started, err := testcontainers.Run(ctx, image,
		testcontainers.WithEnv(map[string]string{"POSTGRES_USER": "postgres", "POSTGRES_PASSWORD": password}),
		testcontainers.WithExposedPorts(port),
		testcontainers.WithHostConfigModifier(loopback(ctx, engine)),
		testcontainers.WithCmd("postgres", "-c", "fsync=off", "-c", "max_connections="+maxConnections))
	remove := func() error { return testcontainers.TerminateContainer(started, testcontainers.StopTimeout(0)) }
	if err != nil {
		return nil, errors.Join(fmt.Errorf("container of %s: %w", image, err), remove())
	}
	address, err := started.PortEndpoint(ctx, port, "")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("container of %s: %w", image, err), remove())
	}
	srv := &server{about: "a container of " + image, stop: remove}
	if err := srv.await(ctx, startTimeout/2, published(address, password)...); err != nil {
		return nil, errors.Join(fmt.Errorf("container of %s: %w", image, err), remove())
	}
	return srv, nil
}

// published are the DSNs to try: the address testcontainers names, and the same port here, which is the one that
// answers if we are in a container with an engine of its own.
func published(address, password string) []string {
	var dsns []string
	_, port, _ := net.SplitHostPort(address)
	for _, host := range []string{address, net.JoinHostPort("127.0.0.1", port)} {
		dsn := url.URL{
			Scheme:   "postgres",
			User:     url.UserPassword("postgres", password),
			Host:     host,
			Path:     "/postgres",
			RawQuery: "sslmode=disable",
		}
		dsns = append(dsns, dsn.String())
	}
	return dsns
}

// engine asks the Docker engine whether it is there, without waiting long for one that is not.
func engine(ctx context.Context) (found *testcontainers.DockerProvider, err error) {
	ctx, cancel := context.WithTimeout(ctx, engineTimeout)
	defer cancel()
	defer func() {
		if failure := recover(); failure != nil { // how testcontainers reports some settings it cannot use
			err = fmt.Errorf("no Docker engine: %v", failure)
		}
	}()
	probe, err := testcontainers.NewDockerClientWithOpts(ctx)
	if err != nil {
		return nil, fmt.Errorf("no Docker engine: %w", err)
	}
	defer probe.Close()
	if _, err := probe.Ping(ctx, client.PingOptions{}); err != nil {
		return nil, fmt.Errorf("no Docker engine: %w", err)
	}
	return testcontainers.NewDockerProvider()
}

// ensureImage pulls an image unless it is here. testcontainers would repeat a failed pull for as long as its context
// lets it.
func ensureImage(ctx context.Context, engine client.APIClient, image string) error {
	if _, err := engine.ImageInspect(ctx, image); err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pullTimeout)
	defer cancel()
	idle := time.AfterFunc(pullIdle, cancel)
	defer idle.Stop()
	var options client.ImagePullOptions
	if _, auth, err := testcontainers.DockerImageAuth(ctx, image); err == nil {
		options.RegistryAuth, _ = authconfig.Encode(auth)
	}
	answer, err := engine.ImagePull(ctx, image, options)
	if err != nil {
		return fmt.Errorf("image %s is not here and cannot be pulled: %w", image, err)
	}
	defer answer.Close()
	for message, err := range answer.JSONMessages(ctx) {
		if err == nil && message.Error != nil {
			err = message.Error
		}
		if err != nil {
			return fmt.Errorf("image %s is not here and cannot be pulled: %w", image, err)
		}
		idle.Reset(pullIdle)
	}
	return ctx.Err()
}

// loopback keeps the port off the network where the engine is on this machine; elsewhere it has to be on a network.
func loopback(ctx context.Context, engine *testcontainers.DockerProvider) func(*container.HostConfig) {
	return func(host *container.HostConfig) {
		name, err := engine.DaemonHost(ctx)
		if err == nil && (name == "localhost" || name == "127.0.0.1") {
			host.PortBindings = network.PortMap{
				network.MustParsePort(port): {{HostIP: netip.MustParseAddr("127.0.0.1")}},
			}
		}
	}
}

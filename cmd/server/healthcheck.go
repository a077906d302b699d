package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// healthcheck asks the server that runs with the same environment, for a container's HEALTHCHECK. It asks that server
// and no other: a proxy of the environment (HTTP_PROXY) is not for it, whatever ADDR is.
func healthcheck(ctx context.Context, args []string, getenv func(string) string) error {
	addr, path := getenv("ADDR"), "/healthz"
	if addr == "" {
		addr = ":8090"
	}
	if len(args) == 1 {
		path = args[0]
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return unusable{fmt.Errorf("ADDR: must be HOST:PORT or :PORT")}
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return unusable{err}
	}
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d", path, resp.StatusCode)
	}
	return nil
}

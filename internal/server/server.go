package server

import (
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
)

// Config is what a Server needs. Registry and Auth are required.
type Config struct {
	Registry *registry.Service
	Auth     auth.Authenticator
	Guard    *registry.Guard                 // writes security events; nil for none
	AuthMode string                          // shown as X-Auth-Mode on every answer if it is "dev"
	Logger   *slog.Logger                    // slog.Default if nil
	Wrap     func(http.Handler) http.Handler // put directly around the mux, for telemetry; nil for none
	Version  string                          // of the program, shown at /
	// CallTimeout bounds what one request may wait for the store; 5 s if zero. A change goes on for this long even if its
	// client has gone.
	CallTimeout time.Duration
	// RateLimit is how many requests a second one principal may make here, and twice as many at once; 0 is no limit.
	RateLimit int
	// TrustedProxies is how many proxies stand before this server and write X-Forwarded-For; 0 is none.
	TrustedProxies int
}

// Server answers the HTTP API. It is safe for concurrent use.
type Server struct {
	registry       *registry.Service
	auth           auth.Authenticator
	guard          *registry.Guard
	authMode       string
	limits         limits
	trustedProxies int
	log            *slog.Logger
	version        string
	callTimeout    time.Duration
	draining       atomic.Bool
	handler        http.Handler
}

// New makes a Server. It panics if a line of the route table has no valid policy: such a program must not start.
func New(c Config) *Server { return newServer(c, routes) }

func newServer(c Config, table []route) *Server {
	s := &Server{
		registry: c.Registry, auth: c.Auth, guard: c.Guard, authMode: c.AuthMode, limits: newLimits(c.RateLimit), trustedProxies: c.TrustedProxies,
		log: c.Logger, version: c.Version, callTimeout: c.CallTimeout,
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	if s.callTimeout == 0 {
		s.callTimeout = 5 * time.Second
	}
	var routed http.Handler = s.mux(table)
	if c.Wrap != nil {
		routed = c.Wrap(routed)
	}
	s.handler = s.observe(s.canonical(routed))
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Drain makes /readyz answer 503 from now on, so that no new traffic is sent here, and answers whoever waits for events, now or later,
// at once; everything else goes on.
func (s *Server) Drain() {
	s.draining.Store(true)
	s.registry.EndWaits()
}

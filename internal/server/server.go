package server

import (
	"cmp"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/breakpilot/tenant-registry/internal/apikey"
	"github.com/breakpilot/tenant-registry/internal/auth"
	"github.com/breakpilot/tenant-registry/internal/registry"
	"github.com/breakpilot/tenant-registry/internal/server/web"
)

// Config is what a Server needs. Registry and Auth are required.
type Config struct {
	Registry *registry.Service
	Auth     auth.Authenticator
	Security *registry.SecurityLog           // records refusals; nil: nothing does
	AuthMode string                          // shown as X-Auth-Mode on every answer if it is "dev"
	Logger   *slog.Logger                    // slog.Default if nil
	Wrap     func(http.Handler) http.Handler // put directly around the mux, for telemetry; nil: nothing is
	Version  string                          // of the program, shown at /
	Docs     bool                            // serve the documentation pages at /docs
	// CallTimeout bounds what one request may wait for the store; 5 s if zero. A change goes on for this long even if
	// its client has gone.
	CallTimeout time.Duration
	// RateLimit is how many requests a second one principal may make here, and twice as many at once; 0: no limit.
	RateLimit int
	// TrustedProxies is how many proxies are in front of this server and write X-Forwarded-For.
	TrustedProxies int
	// SelfRevokePace is the interval at whose multiples self-revocations are answered; 100 ms if zero.
	SelfRevokePace time.Duration
}

// Server answers the HTTP API. It is safe for concurrent use.
type Server struct {
	*web.Responder
	registry       *registry.Service
	auth           auth.Authenticator
	security       *registry.SecurityLog
	limits         rateLimits
	trustedProxies int
	warnOfProxy    sync.Once
	log            *slog.Logger
	version        string
	docs           bool
	callTimeout    time.Duration
	selfRevokePace time.Duration
	readiness      atomic.Pointer[readiness] // what /readyz answered last
	handler        http.Handler
}

// New makes a Server. It panics if a line of the route table has no policy: such a program must not start.
func New(c Config) *Server { return newServer(c, routes) }

func newServer(c Config, table []route) *Server {
	log := c.Logger
	if log == nil {
		log = slog.Default()
	}
	s := &Server{
		Responder: &web.Responder{
			Log: log, Realm: "tenant-registry", Problems: problems, Drain: web.NewDrain(), Translate: translate,
			IsSecret: func(text string) bool { return apikey.HasPrefix(text) || registry.HoldsCredential(text) },
		},
		registry: c.Registry, auth: c.Auth, security: c.Security, limits: newRateLimits(c.RateLimit),
		trustedProxies: c.TrustedProxies, log: log, version: c.Version, docs: c.Docs,
		callTimeout:    cmp.Or(c.CallTimeout, 5*time.Second),
		selfRevokePace: cmp.Or(c.SelfRevokePace, 100*time.Millisecond),
	}
	var routed http.Handler = s.mux(table)
	if c.Wrap != nil {
		routed = c.Wrap(routed)
	}
	observer := web.Observer{
		Responder: s.Responder, DevMode: c.AuthMode == "dev", Probes: []string{"GET /healthz", "GET /readyz"},
	}
	s.handler = observer.Wrap(s.canonical(routed))
	return s
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Drain makes /readyz answer 503 from now on, so that no new traffic is sent here. Every answer from then on closes its
// connection, so that a client's next request goes elsewhere, also where connections are balanced and not requests.
// Long polls, now and later, are answered at once, and exports that can be continued end with the page that they are
// in; everything else goes on.
func (s *Server) Drain() {
	s.Responder.Drain.Begin()
	s.registry.Drain()
}

// GiveUpStalled cuts off, from now on, clients that take longer than two seconds to read one part of a long answer.
func (s *Server) GiveUpStalled() { s.Responder.Drain.GiveUpStalled() }

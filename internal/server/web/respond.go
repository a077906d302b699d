package web

import (
	"io"
	"log/slog"
	"net/http"
	"strconv"
)

// Responder writes answers.
type Responder struct {
	Log      *slog.Logger
	Realm    string                 // of WWW-Authenticate
	Problems map[string]ProblemType // by code
	Drain    *Drain                 // of the server's connections; nil: there is none
	// IsSecret reports whether a text may hold a secret, so that it is neither logged nor repeated; nil: none does.
	IsSecret func(string) bool
	// Translate returns the problem that stands for an error which is none; nil: it is internal, and the log alone says
	// why.
	Translate func(error) *Problem
}

// Response is what a handler has to say. No Body means no body; Raw is written as it is under ContentType, and so is
// what Stream writes.
type Response struct {
	Status       int
	Body         any
	Raw          []byte
	Stream       func(io.Writer) error // each write is sent at once
	ContentType  string                // of Raw and Stream
	Filename     string                // under which a browser stores what Stream writes
	Location     string
	NextCursor   string  // of a page whose body has no place for it
	Entity       *Entity // shown by Body, for the entity tag; nil: the answer has none
	Tagged       any     // what the tag is of, if not Body: without members that change in the background
	CacheControl string  // no-store if empty
	CSP          string  // Content-Security-Policy; empty: none
	Replayed     bool    // an earlier request had the effect
	Done         func()  // called when the answer was written, or could not be; nil: nothing is
}

// Cacheable is the Cache-Control of what a portal reads at every page: fresh for five seconds, then for half a minute
// while it is revalidated, and for five minutes if there is no answer.
const Cacheable = "private, max-age=5, stale-while-revalidate=30, stale-if-error=300"

// These header values are shared by all answers: they must not be changed in place.
var (
	noStore       = []string{"no-store"}
	cacheable     = []string{Cacheable}
	authorization = []string{"Authorization"}
	typeJSON      = []string{"application/json"}
	noSniffing    = []string{"nosniff"}
	closing       = []string{"close"}
)

// setHeader is h.Set for a name in its canonical form.
func setHeader(h http.Header, name, value string) { h[name] = []string{value} }

// Respond writes what a handler returned.
func (rs *Responder) Respond(w http.ResponseWriter, r *http.Request, a Response, err error) {
	if a.Done != nil {
		defer a.Done()
	}
	switch {
	case err != nil:
		rs.WriteError(w, r, err)
	case a.Stream != nil:
		rs.stream(w, r, a)
	default:
		rs.write(w, r, a)
	}
}

// etag is the entity tag of an answer with this body.
func (a Response) etag(body []byte) (string, error) {
	if a.Tagged == nil {
		return a.Entity.ETag(body), nil
	}
	text, err := encode(a.Tagged)
	if err != nil {
		return "", err
	}
	defer text.release()
	return a.Entity.ETag(text.b), nil
}

// write sends an answer, which is encoded whole before the first byte leaves.
func (rs *Responder) write(w http.ResponseWriter, r *http.Request, a Response) {
	h := w.Header()
	switch a.CacheControl {
	case "":
		h["Cache-Control"] = noStore
	case Cacheable: // by a private cache, and for that caller alone
		h["Cache-Control"], h["Vary"] = cacheable, authorization
	default:
		setHeader(h, "Cache-Control", a.CacheControl)
	}
	body := a.Raw
	if a.Body != nil {
		text, err := encode(a.Body)
		if err != nil {
			rs.WriteError(w, r, err)
			return
		}
		defer text.release()
		body, h["Content-Type"] = text.b, typeJSON
	}
	if a.Entity != nil {
		etag, err := a.etag(body)
		if err != nil {
			rs.WriteError(w, r, err)
			return
		}
		setHeader(h, "Etag", etag)
		read := r.Method == http.MethodGet || r.Method == http.MethodHead // the answer to a change is never conditional
		if read && matchesETag(r.Header["If-None-Match"], etag) {
			delete(h, "Content-Type")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	if a.Replayed {
		h.Set("Idempotent-Replayed", "true")
	}
	if a.Location != "" {
		setHeader(h, "Location", a.Location)
	}
	if a.NextCursor != "" {
		setHeader(h, "Next-Cursor", a.NextCursor)
	}
	if a.CSP != "" {
		setHeader(h, "Content-Security-Policy", a.CSP)
	}
	if a.Body == nil && a.ContentType != "" {
		setHeader(h, "Content-Type", a.ContentType)
	}
	if body != nil {
		setHeader(h, "Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(a.Status)
	_, _ = w.Write(body) // a client that has gone cannot be told
}

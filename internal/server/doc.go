// Package server speaks HTTP for the registry: it routes, reads strictly, calls one use case and writes what came of it. It
// decides nothing about tenants, keys or events, and knows no store.
//
// A request passes, from the outside in: request id, access log and recovery (middleware.go), the check that the path is written
// in its one canonical form, the mux with the route table (routes.go), the adapter that gives the handler its deadline and its
// parsed query (endpoint.go), and the handler. A handler returns an answer or an error; errors become problem documents in one
// place (problem.go).
package server

// Package server speaks HTTP for the registry: it routes, authenticates, calls one use case and shows what came of it.
// It decides nothing about tenants, keys or events, and knows no store. What is HTTP and nothing else is in package
// web.
//
// A request passes, from the outside in: request id, access log and recovery (web.Observer); the check that the path is
// written in its one canonical form and the mux with the route table (routing.go, routes.go); the adapter that
// authenticates the caller and gives the handler its deadline, query and body (endpoint.go, policy.go); and the
// handler, which is in the file of its resource and verb. A handler returns an answer or an error; errors become
// problems in one place (problems.go).
package server

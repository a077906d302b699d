// Package web is the HTTP side of the API: strict bodies and queries, answers and problems, entity tags, cursors,
// streams, request ids, the access log and rate limits. It knows nothing of tenants, keys or events.
package web

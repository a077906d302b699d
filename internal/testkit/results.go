// Package testkit is what the tests of several packages share.
package testkit

import "github.com/breakpilot/tenant-registry/internal/registry"

// Value is the object of a command's result.
func Value[T any](r registry.Result[T], err error) (T, error) { return r.Value, err }

// Secret is the key of a command's result, and its text.
func Secret(r registry.Result[registry.APIKeySecret], err error) (registry.APIKey, string, error) {
	return r.Value.APIKey, r.Value.Text, err
}

// Created is the object of a command's result, and whether the command made it.
func Created[T any](r registry.Result[T], err error) (T, bool, error) {
	return r.Value, err == nil && !r.Unchanged, err
}

// Items are the items of a page, and whether there is a next one.
func Items[T any](p registry.Page[T], err error) ([]T, bool, error) {
	return p.Items, p.Next != "", err
}

// Package wasm reads, checks and rewrites canister modules.
package wasm

//go:build !linux

package engine

import "errors"

// Elsewhere heaps are plain Go memory: correct, for development only.
func reserve(n uint64) ([]byte, error) { return make([]byte, n), nil }

const canMap = false

func renew(b []byte) error { return errors.New("it needs Linux") }

func unmap([]byte) {}

func discard(b []byte) { clear(b) }

func probeScan() (trackerMaker, error) { return nil, errors.New("it needs Linux") }

func probePagemap() (trackerMaker, error) { return nil, errors.New("it needs Linux") }

func mapCode(string, uint64) ([]byte, error) { return nil, errors.New("it needs Linux") }

func unmapCode([]byte) {}

package api

import (
	"ashlar/image/slots"
	"ashlar/internal/phases"
	"ashlar/internal/supervise"
)

// Status is the answer of GET /v1/status.
type Status struct {
	Name     string                        `json:"name"`
	Version  string                        `json:"version"`
	Slot     slots.Slot                    `json:"slot"`
	Trial    bool                          `json:"trial"` // this release is not confirmed yet
	Uptime   float64                       `json:"uptime_seconds"`
	Ready    bool                          `json:"ready"` // the boot is over: the replica has been healthy
	ReadyAt  float64                       `json:"ready_at_seconds,omitempty"`
	Health   Health                        `json:"health"`
	Phases   []phases.Report               `json:"phases"`
	Slots    slots.Record                  `json:"slots"`
	TPM      string                        `json:"tpm"` // ok, or why the node is not attested
	PCRs     map[int]string                `json:"pcrs,omitempty"`
	Config   string                        `json:"config_digest"`
	Guest    string                        `json:"guest_digest,omitempty"`
	KVM      string                        `json:"kvm"` // ok, or why the guest is emulated
	Services map[string]supervise.Counters `json:"services"`
	Memory   Memory                        `json:"memory"`
	Notes    []string                      `json:"notes,omitempty"` // what a person should know
	Log      []string                      `json:"log,omitempty"`
}

// Health is how the replica is, as the guest last told.
type Health struct {
	Healthy  bool    `json:"healthy"`
	Height   uint64  `json:"height"`
	Message  string  `json:"message,omitempty"`
	Restarts int     `json:"replica_restarts"`
	Age      float64 `json:"age_seconds"` // since the guest told it
}

// Memory of the machine, in KiB. Host is all that is used outside of the guest.
type Memory struct {
	Total     uint64 `json:"total_kib"`
	Host      uint64 `json:"host_kib"`
	VM        uint64 `json:"vm_kib"` // resident in QEMU
	Guest     uint64 `json:"guest_kib"`
	Processes int    `json:"processes"` // outside the kernel
	InGuest   int    `json:"guest_processes"`
}

// Package wasm reads, checks and rewrites canister modules.
//
//	code ── Unzip ──> decode ──> validate each body ──> IC's rules ──> Info
//	                                    │ the same typed pass
//	                                    └──> rewritten module: Prepared.Code
//
// Rewriting makes a module that any engine of plain 32-bit Wasm can run and that
// gives the same results, the same instruction count and the same trap everywhere:
//
//	metering     every basic block charges its cost (the Internet Computer's table
//	             and block rule) to a global; entry and loop heads check it
//	NaN          every float that could be observed is made canonical
//	depth        calls are bounded by a static cost per frame, not by the host's stack
//	memory64     addresses and table indices of 64 bits are checked and cut to 32
//	bulk ops     charge their length before they run
//	memory.grow  asks the host first
//	start, data  are taken out: the engine applies them once, at install
//	exports      only canister_* stay; mutable globals become visible to the engine
//
// The package is pure: bytes in, bytes out. Running the code is replica/engine's.
// Spec: ic-interface-spec "Canister module format"; WebAssembly core 2.0 with
// memory64, extended-const and tail-call.
package wasm

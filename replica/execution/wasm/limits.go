package wasm

// The limits of a module. Those of the Internet Computer are from its resource
// limits; the others are the implementation limits of wasmparser, which mainnet
// validates with, so that a module is accepted here if and only if it is there.
const (
	MaxModuleBytes  = 100 << 20   // whole module, unzipped
	maxCodeBytes    = 10 << 20    // code section
	maxFunctions    = 50_000      // defined functions
	maxGlobals      = 1_000       // defined globals
	maxMethods      = 1_000       // exported canister_update/query/composite_query
	maxMethodChars  = 20_000      // sum of the lengths of their names
	maxCustomBytes  = 1 << 20     // icp: sections, names and contents
	maxCustom       = 16          // icp: sections
	maxBodyOps      = 1_000_000   // instructions of one function
	maxBodyWeight   = 1_000_000   // complexity of one function: bounds compile time
	maxMoved        = 200_000_000 // values that calls, blocks and branches of a module carry, counted where they stand
	maxTables       = 1           // tables of a canister
	maxTableEntries = 1_000_000   // elements of a table: 8 MB of host memory each

	maxTypes        = 1_000_000
	maxParams       = 1_000
	maxResults      = 1_000
	maxLocals       = 50_000
	maxImports      = 1_000_000
	maxExports      = 1_000_000
	maxSegments     = 100_000
	maxElemItems    = 10_000_000
	maxBranchTable  = 65_520
	maxNameBytes    = 100_000
	maxTraceName    = 200    // a function name shown in an error is cut here
	maxPages32      = 65_536 // 4 GiB
	maxPages64      = 1 << 48
	maxLoweredPages = 65_535 // wazero's Memory.Size is 32 bits: 65536 pages would read as 0
)

// DepthBudget bounds the stack: every call takes frameCost from it and gives it
// back on return. wazero stops at 50,000,000 bytes of native stack, a figure that
// depends on the processor; the budget is spent well before.
const DepthBudget = 40_000_000

// The version of the rewriting: part of the key of every cache of compiled code.
// Change it with any change of what the pass emits.
const Version = 6

package wasm

// ValType is a Wasm value type by its byte in the binary format.
type ValType byte

// The value types. Addr is no type of Wasm: it stands for the width of the
// module's memory, i32 or i64, in the signatures of host functions.
const (
	Addr      ValType = 0
	I32       ValType = 0x7f
	I64       ValType = 0x7e
	F32       ValType = 0x7d
	F64       ValType = 0x7c
	V128      ValType = 0x7b
	FuncRef   ValType = 0x70
	ExternRef ValType = 0x6f
)

// Info is what validation learned of a module.
type Info struct {
	Hash     [32]byte // SHA-256 of the code as given
	Memory64 bool
	HasHeap  bool
	// Imports are the names imported from module "ic0".
	Imports []string
	// The exported entry points, names without their "canister_update " prefix.
	Updates, Queries, CompositeQueries map[string]bool
	// Lifecycle holds the exported canister_init, canister_heartbeat, ...
	Lifecycle map[string]bool
	HasStart  bool
	// Custom are the icp: sections: what read_state shows as metadata.
	Custom map[string]Section
	// Instructions is the number of instructions in the code and in what mainnet's
	// metering adds to it: compiling is charged by it.
	Instructions uint64
	// Globals are those that snapshots show.
	Globals []Shown
	// DataBytes is the length of the data section.
	DataBytes uint64
}

// Section is a custom section icp:public NAME or icp:private NAME.
type Section struct {
	Public  bool
	Content []byte
}

package wasm

// module is a decoded module. Bodies stay bytes until the pass walks over them.
type module struct {
	types     []funcType
	imports   []imported
	funcs     []uint32 // type of each defined function
	tables    []table
	memories  []memory
	globals   []global
	exports   []export
	start     int64 // -1: none
	elems     []elem
	data      []dataSegment
	dataCount int64 // -1: no such section
	bodies    []body
	customs   []custom
	names     map[uint32]string // functions, from the name section
	dataBytes uint64

	canister bool            // the Internet Computer's rules apply
	declared map[uint32]bool // functions that ref.func may name

	// The index spaces with imports first; built after decoding.
	importedFuncs int
	funcTypes     []uint32
	allTables     []table
	allMemories   []memory
	allGlobals    []globalType
}

type funcType struct{ params, results []ValType }

func (t funcType) equal(u funcType) bool {
	return equalTypes(t.params, u.params) && equalTypes(t.results, u.results)
}

func equalTypes(a, b []ValType) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

const (
	kindFunc = iota
	kindTable
	kindMemory
	kindGlobal
	kindTag
)

type imported struct {
	module, name string
	kind         byte
	typ          uint32
	table        table
	memory       memory
	global       globalType
}

type limits struct {
	min, max uint64
	hasMax   bool
	is64     bool
}

type table struct {
	elem ValType
	limits
}

type memory struct{ limits }

type globalType struct {
	typ     ValType
	mutable bool
}

type global struct {
	globalType
	init []byte // constant expression with its end
	at   int    // offset in the module
}

type export struct {
	name  string
	kind  byte
	index uint32
}

const (
	segActive = iota
	segPassive
	segDeclared
)

type elem struct {
	mode   byte
	table  uint32
	offset []byte
	at     int
	typ    ValType
	funcs  []uint32 // items as function indices, or
	exprs  [][]byte // as constant expressions
	exprAt []int
}

func (e *elem) size() int { return max(len(e.funcs), len(e.exprs)) }

type dataSegment struct {
	mode   byte
	memory uint32
	offset []byte
	at     int
	bytes  []byte
}

type body struct {
	at, end int // of the code in the module, after its locals
	locals  []localGroup
	count   uint32 // locals without parameters
}

type localGroup struct {
	n   uint32
	typ ValType
}

type custom struct {
	name    string
	content []byte
}

func (m *module) typeOf(fn uint32) funcType { return m.types[m.funcTypes[fn]] }

func (m *module) memory64() bool { return len(m.allMemories) > 0 && m.allMemories[0].is64 }

// index builds the index spaces.
func (m *module) index() {
	for _, i := range m.imports {
		switch i.kind {
		case kindFunc:
			m.funcTypes = append(m.funcTypes, i.typ)
			m.importedFuncs++
		case kindTable:
			m.allTables = append(m.allTables, i.table)
		case kindMemory:
			m.allMemories = append(m.allMemories, i.memory)
		case kindGlobal:
			m.allGlobals = append(m.allGlobals, i.global)
		}
	}
	m.funcTypes = append(m.funcTypes, m.funcs...)
	m.allTables = append(m.allTables, m.tables...)
	m.allMemories = append(m.allMemories, m.memories...)
	for _, g := range m.globals {
		m.allGlobals = append(m.allGlobals, g.globalType)
	}
}

//lint:file-ignore ST1005 the texts are those of mainnet, which clients and test suites match

package wasm

import (
	"fmt"
	"strings"
)

// Import is a function that canisters may import from module "ic0". Addr in its
// signature stands for the width of the module's memory.
type Import struct {
	Name            string
	Params, Results []ValType
	Only32          bool // only modules with a 32-bit memory may import it
}

// Refused is a module that breaks a rule of the Internet Computer, in mainnet's words.
// Help and the section of the documentation are for faults that the author can mend;
// others are the toolchain's.
type Refused struct{ Text, Help, Doc string }

func (r *Refused) Error() string { return r.Text }

func invalid(part, format string, args ...any) error {
	return &Refused{Text: "Wasm module has an invalid " + part + ". " + fmt.Sprintf(format, args...)}
}

func tooMany(what string, count, limit int, help, doc string) error {
	return &Refused{fmt.Sprintf("Wasm module defined %d %s which exceeds the maximum number allowed %d.", count, what, limit), help, doc}
}

const smallerFunctions = "Try breaking large functions up into multiple smaller functions."

func tooComplex(function int, weight uint64) error {
	return &Refused{fmt.Sprintf("Wasm module contains a function at index %d with complexity %d which exceeds the maximum complexity allowed %d.", function, weight, maxBodyWeight),
		smallerFunctions, "wasm-module-function-complexity-too-high"}
}

func tooLong(function int, size uint64) error {
	return &Refused{fmt.Sprintf("Wasm module contains a function at index %d of size %d that exceeds the maximum allowed size of %d.", function, size, maxBodyOps),
		smallerFunctions, "wasm-module-function-too-large"}
}

// unsupported is the error of the instructions that change a table: a canister's table
// is what its module says, in every message.
func unsupported(function int, instruction string) error {
	return &Refused{Text: fmt.Sprintf("Wasm module contains a function at index %d with unsupported instruction %s.", function, instruction)}
}

const shrink = " using tools like `ic-wasm` or splitting the logic across multiple canisters."

func moduleTooLarge(size, limit int) error {
	return &Refused{fmt.Sprintf("Wasm module size of %d exceeds the maximum allowed size of %d.", size, limit), "Try shrinking the module" + shrink, "wasm-module-too-large"}
}

func codeTooLarge(size int) error {
	return &Refused{fmt.Sprintf("Wasm module code section size of %d exceeds the maximum allowed size of %d.", size, maxCodeBytes), "Try shrinking the module code section" + shrink, "wasm-module-code-section-too-large"}
}

func undecodable(format string, args ...any) error {
	return &Refused{Text: "Failed to decode wasm module: " + fmt.Sprintf(format, args...)}
}

// rules checks what the Internet Computer asks of a module beyond validity, and
// fills info with what it learns.
func (m *module) rules(allowed []Import, info *Info) error {
	if err := m.importRules(allowed, info); err != nil {
		return err
	}
	if err := m.exportRules(info); err != nil {
		return err
	}
	if err := m.sizes(); err != nil {
		return err
	}
	return m.customRules(info)
}

func (m *module) sizes() error {
	if n := len(m.globals); n > maxGlobals {
		return tooMany("globals", n, maxGlobals, "Try collecting multiple globals into a single structured which can be stored on the heap.", "wasm-module-too-many-globals")
	}
	for _, g := range m.globals {
		if isRef(g.typ) {
			return invalid("global section", "Unsupported global type: %s", typeName(g.typ))
		}
	}
	if n := len(m.funcs); n > maxFunctions {
		return tooMany("functions", n, maxFunctions, "Try spliting this canister into multiple canisters.", "wasm-module-too-many-functions")
	}
	if n := len(m.tables); n > maxTables {
		return fmt.Errorf("module defined %d tables, which exceeds the maximum number allowed %d", n, maxTables)
	}
	for _, t := range m.tables {
		if t.min > maxTableEntries {
			return fmt.Errorf("module defines a table of %d elements, which exceeds the maximum number allowed %d", t.min, maxTableEntries)
		}
	}
	for _, mem := range m.memories {
		if mem.min > maxLoweredPages {
			return fmt.Errorf("module needs a memory of %d pages at start, more than the %d supported", mem.min, maxLoweredPages)
		}
	}
	return nil
}

func (m *module) importRules(allowed []Import, info *Info) error {
	byName := make(map[string]*Import, len(allowed))
	for i := range allowed {
		byName[allowed[i].Name] = &allowed[i]
	}
	wide := m.memory64()
	for _, i := range m.imports {
		switch i.kind {
		case kindTable:
			return invalid("import section", "Module imports table %q from %q: importing tables is not allowed.", i.name, i.module)
		case kindMemory:
			return invalid("import section", "Module imports memory %q from %q: importing memories is not allowed.", i.name, i.module)
		case kindGlobal:
			return invalid("import section", "Importing globals is not allowed.")
		}
		a := byName[i.name]
		if a == nil || a.Only32 && wide {
			return invalid("import section", "Module imports function '%s' from '%s' that is not exported by the runtime.", i.name, i.module)
		}
		if i.module != "ic0" {
			return invalid("import section", `Module imports function %q from %q, expected to be imported from one of ["ic0"] instead.`, i.name, i.module)
		}
		if err := m.types[i.typ].is(i.name, funcType{lower(a.Params, wide), lower(a.Results, wide)}); err != nil {
			return err
		}
		info.Imports = append(info.Imports, i.name)
	}
	return nil
}

// lower replaces Addr by the width of the memory.
func lower(ts []ValType, wide bool) []ValType {
	out := make([]ValType, len(ts))
	for i, t := range ts {
		switch {
		case t != Addr:
			out[i] = t
		case wide:
			out[i] = I64
		default:
			out[i] = I32
		}
	}
	return out
}

// is checks the type of an import or export.
func (t funcType) is(name string, want funcType) error {
	if !equalTypes(t.params, want.params) {
		return invalid("function signature", "Expected input params %s for '%s', got %s.", listed(want.params), name, listed(t.params))
	}
	if !equalTypes(t.results, want.results) {
		return invalid("function signature", "Expected return type %s for '%s', got %s.", listed(want.results), name, listed(t.results))
	}
	return nil
}

func listed(ts []ValType) string {
	names := make([]string, len(ts))
	for i, t := range ts {
		names[i] = strings.ToUpper(typeName(t))
	}
	return "[" + strings.Join(names, ", ") + "]"
}

const methodExports = "`canister_update <name>`, `canister_query <name>`, or `canister_composite_query <name>`"

// The prefixes of exported methods, and the lifecycle functions.
var lifecycle = map[string]bool{
	"canister_init": true, "canister_pre_upgrade": true, "canister_post_upgrade": true, "canister_inspect_message": true,
	"canister_heartbeat": true, "canister_global_timer": true, "canister_on_low_wasm_memory": true,
}

func (m *module) exportRules(info *Info) error {
	info.Updates, info.Queries, info.CompositeQueries = map[string]bool{}, map[string]bool{}, map[string]bool{}
	info.Lifecycle = map[string]bool{}
	seen := map[string]bool{}
	chars := 0
	for _, e := range m.exports {
		if e.name == "canister_start" || e.name == "canister counter_instructions" {
			return invalid("export section", "Exporting reserved symbol %s not allowed.", e.name)
		}
		if e.kind != kindFunc || !strings.HasPrefix(e.name, "canister_") {
			continue
		}
		kind, method, isMethod := strings.Cut(e.name, " ")
		set := map[string]map[string]bool{
			"canister_update": info.Updates, "canister_query": info.Queries, "canister_composite_query": info.CompositeQueries,
		}[kind]
		switch {
		case isMethod && set != nil:
			if seen[method] {
				return &Refused{fmt.Sprintf("Duplicate function '%s' exported multiple times with different call types: update, query, or composite_query.", method),
					fmt.Sprintf("Try defining different versions of the function for each call type, e.g. `%s_update`, `%[1]s_query`, etc.", method), "wasm-module-duplicate-exports"}
			}
			seen[method], set[method] = true, true
			chars += len(method)
		case lifecycle[e.name]:
			info.Lifecycle[e.name] = true
		default:
			return invalid("export section", "Exporting reserved function '%s' with \"canister_\" prefix", e.name)
		}
		if err := m.typeOf(e.index).is(e.name, funcType{}); err != nil {
			return err
		}
	}
	if len(seen) > maxMethods {
		return &Refused{fmt.Sprintf("The number of exported functions called %s is %d which exceeds %d.", methodExports, len(seen), maxMethods),
			"Try combining multiple endpoints into a single endpoint.", "wasm-module-exports-too-many-methods"}
	}
	if chars > maxMethodChars {
		return &Refused{fmt.Sprintf("The sum of `<name>` lengths in exported functions called %s is %d which exceeds the allowed limit of %d.", methodExports, chars, maxMethodChars),
			"Try using shorter method names.", "wasm-module-sum-of-exported-name-lengths-too-large"}
	}
	return nil
}

func (m *module) customRules(info *Info) error {
	info.Custom = map[string]Section{}
	total := 0
	for _, c := range m.customs {
		if !strings.HasPrefix(c.name, "icp:") {
			continue
		}
		name, public := strings.CutPrefix(c.name, "icp:public ")
		if !public {
			var private bool
			if name, private = strings.CutPrefix(c.name, "icp:private "); !private {
				if c.name == "icp:public" || c.name == "icp:private" {
					return invalid("custom section", "'icp:' section names must have a space after the public/private scope")
				}
				return invalid("custom section", "Invalid custom section: Custom section '%s' has no public/private scope defined.", c.name)
			}
		}
		if _, ok := info.Custom[name]; ok {
			return invalid("custom section", "Invalid custom section: name %s already exists", name)
		}
		total += len(name) + len(c.content)
		if total > maxCustomBytes {
			return invalid("custom section", "Invalid custom sections: total size of the custom sections exceeds the maximum allowed: size %d bytes, allowed %d bytes", total, maxCustomBytes)
		}
		info.Custom[name] = Section{Public: public, Content: append([]byte(nil), c.content...)}
		if len(info.Custom) > maxCustom {
			return tooMany("custom sections", len(info.Custom), maxCustom, "", "")
		}
	}
	return nil
}

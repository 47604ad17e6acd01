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

// rules checks what the Internet Computer asks of a module beyond validity, and
// fills info with what it learns.
func (m *module) rules(allowed []Import, info *Info) error {
	if err := m.sizes(); err != nil {
		return err
	}
	if err := m.importRules(allowed, info); err != nil {
		return err
	}
	if err := m.exportRules(info); err != nil {
		return err
	}
	for i, g := range m.globals {
		if isRef(g.typ) {
			return fmt.Errorf("unsupported type %s of global %d", typeName(g.typ), i)
		}
	}
	return m.customRules(info)
}

func (m *module) sizes() error {
	for _, s := range []struct {
		what         string
		count, limit int
	}{
		{"functions", len(m.funcs), maxFunctions},
		{"globals", len(m.globals), maxGlobals},
		{"tables", len(m.tables), maxTables},
	} {
		if s.count > s.limit {
			return fmt.Errorf("module defined %d %s, which exceeds the maximum number allowed %d", s.count, s.what, s.limit)
		}
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
			return fmt.Errorf("module imports table %q from %q: importing tables is not allowed", i.name, i.module)
		case kindMemory:
			return fmt.Errorf("module imports memory %q from %q: importing memories is not allowed", i.name, i.module)
		case kindGlobal:
			return fmt.Errorf("module imports global %q from %q: importing globals is not allowed", i.name, i.module)
		}
		a := byName[i.name]
		if a == nil || i.module != "ic0" || a.Only32 && wide {
			return fmt.Errorf("Module imports function '%s' from '%s' that is not exported by the runtime.", i.name, i.module)
		}
		want := funcType{lower(a.Params, wide), lower(a.Results, wide)}
		if got := m.types[i.typ]; !got.equal(want) {
			return fmt.Errorf("Invalid function signature for import '%s': expected %s, got %s", i.name, want, got)
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

func (t funcType) String() string {
	list := func(ts []ValType) string {
		names := make([]string, len(ts))
		for i, t := range ts {
			names[i] = typeName(t)
		}
		return "(" + strings.Join(names, ", ") + ")"
	}
	return list(t.params) + " -> " + list(t.results)
}

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
			return fmt.Errorf("Exporting reserved symbol %s not allowed.", e.name)
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
				return fmt.Errorf("Duplicate function '%s' exported multiple times with different call types: update, query, or composite_query.", method)
			}
			seen[method], set[method] = true, true
			chars += len(method)
		case lifecycle[e.name]:
			info.Lifecycle[e.name] = true
		default:
			return fmt.Errorf("Exporting reserved function '%s' with \"canister_\" prefix", e.name)
		}
		if t := m.typeOf(e.index); len(t.params)+len(t.results) > 0 {
			return fmt.Errorf("Invalid function signature for export '%s': expected () -> (), got %s", e.name, t)
		}
	}
	if len(seen) > maxMethods {
		return fmt.Errorf("The number of exported functions called `canister_update <name>`, `canister_query <name>`, or `canister_composite_query <name>` exceeds %d.", maxMethods)
	}
	if chars > maxMethodChars {
		return fmt.Errorf("The sum of `<name>` lengths in exported functions called `canister_update <name>`, `canister_query <name>`, or `canister_composite_query <name>` exceeds %d.", maxMethodChars)
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
				return fmt.Errorf("Invalid custom section: Custom section '%s' has no public/private scope defined.", c.name)
			}
		}
		if _, ok := info.Custom[name]; ok {
			return fmt.Errorf("Invalid custom section: name %s already exists", name)
		}
		total += len(name) + len(c.content)
		if total > maxCustomBytes {
			return fmt.Errorf("Invalid custom sections: total size of the custom sections exceeds the maximum allowed: size %d bytes, allowed %d bytes", total, maxCustomBytes)
		}
		info.Custom[name] = Section{Public: public, Content: append([]byte(nil), c.content...)}
		if len(info.Custom) > maxCustom {
			return fmt.Errorf("module defined %d custom sections, which exceeds the maximum number allowed %d", len(info.Custom), maxCustom)
		}
	}
	return nil
}

package did

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"ashlar/replica/wire/candid"
)

// File is an interface file.
type File struct {
	Types   map[string]*candid.Type
	Service *candid.Type   // nil if the file has none
	Init    []*candid.Type // arguments of a service constructor
}

// ParseFile reads an interface file.
func ParseFile(src string) (*File, error) {
	p, err := newParser(src)
	if err != nil {
		return nil, err
	}
	f, err := p.file()
	if err == nil && p.peek().kind != end {
		err = p.unexpected("a definition or the end")
	}
	if err != nil {
		return nil, p.at(err)
	}
	return f, nil
}

type parser struct {
	toks  []token
	pos   int
	depth int
	names map[string]*candid.Type // filled in when all definitions are read
	defs  map[string]*candid.Type
}

func newParser(src string) (*parser, error) {
	toks, err := tokens(src)
	return &parser{toks: toks, names: map[string]*candid.Type{}, defs: map[string]*candid.Type{}}, err
}

func (p *parser) peek() token { return p.toks[p.pos] }

func (p *parser) at(err error) error { return fmt.Errorf("line %d: %w", p.peek().line, err) }

func (p *parser) next() token {
	t := p.toks[p.pos]
	if t.kind != end {
		p.pos++
	}
	return t
}

// is tells whether the next token is this word or symbol, and takes it.
func (p *parser) is(s string) bool {
	t := p.peek()
	if (t.kind == word || t.kind == symbol) && t.text == s {
		p.pos++
		return true
	}
	return false
}

func (p *parser) unexpected(want string) error {
	return fmt.Errorf("found %s, want %s", p.peek(), want)
}

func (p *parser) need(s string) error {
	if !p.is(s) {
		return p.unexpected(strconv.Quote(s))
	}
	return nil
}

// nested guards the stack.
func (p *parser) nested(f func() error) error {
	if p.depth++; p.depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	defer func() { p.depth-- }()
	return f()
}

func (p *parser) file() (*File, error) {
	if err := p.definitions(); err != nil {
		return nil, err
	}
	f := &File{Types: p.names}
	if !p.is("service") {
		return f, p.link()
	}
	if t := p.peek(); t.kind == word {
		p.next()
	}
	if err := p.need(":"); err != nil {
		return nil, err
	}
	var err error
	if p.peek().text == "(" {
		if f.Init, err = p.tuple(); err != nil {
			return nil, err
		}
		if err := p.need("->"); err != nil {
			return nil, err
		}
	}
	if p.peek().text == "{" {
		f.Service, err = p.service()
	} else {
		f.Service, err = p.datatype()
	}
	if err != nil {
		return nil, err
	}
	p.is(";")
	if err := p.link(); err != nil {
		return nil, err
	}
	if f.Service.Kind != candid.Service {
		return nil, fmt.Errorf("the service has the type %s", f.Service.Kind)
	}
	return f, nil
}

func (p *parser) definitions() error {
	for p.is("type") {
		name := p.next()
		if name.kind != word {
			return fmt.Errorf("%s is not the name of a type", name)
		}
		if p.defs[name.text] != nil {
			return fmt.Errorf("type %s is defined twice", name.text)
		}
		if err := p.need("="); err != nil {
			return err
		}
		t, err := p.datatype()
		if err != nil {
			return err
		}
		p.defs[name.text] = t
		if !p.is(";") {
			return nil
		}
	}
	return nil
}

// link fills in the types that were referred to by name.
func (p *parser) link() error {
	for name, t := range p.names {
		def := p.defs[name]
		for steps := 0; def != nil && def.Kind == 0; steps++ { // a name for a name
			if steps > len(p.defs) {
				return fmt.Errorf("type %s is defined by itself", name)
			}
			def = p.defs[p.nameOf(def)]
		}
		if def == nil {
			return fmt.Errorf("type %s is not defined", name)
		}
		*t = *def
	}
	for name, def := range p.defs {
		if p.names[name] == nil {
			p.names[name] = def
		}
	}
	return p.checkMethods()
}

// nameOf finds the name that a type not filled in stands for.
func (p *parser) nameOf(t *candid.Type) string {
	for name, x := range p.names {
		if x == t {
			return name
		}
	}
	return ""
}

func (p *parser) checkMethods() error {
	for name, t := range p.names {
		for _, m := range t.Methods {
			if m.Func.Kind != candid.FuncRef {
				return fmt.Errorf("method %q of %s is not a function", m.Name, name)
			}
		}
	}
	return nil
}

var primitives = func() map[string]*candid.Type {
	out := map[string]*candid.Type{"principal": candid.Prim(candid.Principal)}
	for k := candid.Null; k >= candid.Empty; k-- {
		out[k.String()] = candid.Prim(k)
	}
	return out
}()

func (p *parser) datatype() (t *candid.Type, err error) {
	err = p.nested(func() error { t, err = p.datatypeHere(); return err })
	return t, err
}

func (p *parser) datatypeHere() (*candid.Type, error) {
	tok := p.peek()
	if tok.kind != word {
		return nil, p.unexpected("a type")
	}
	p.next()
	if t := primitives[tok.text]; t != nil {
		return t, nil
	}
	switch tok.text {
	case "blob":
		return candid.VecOf(candid.Prim(candid.Nat8)), nil
	case "opt", "vec":
		elem, err := p.datatype()
		if err != nil {
			return nil, err
		}
		if tok.text == "opt" {
			return candid.OptOf(elem), nil
		}
		return candid.VecOf(elem), nil
	case "record", "variant":
		return p.fields(tok.text == "record")
	case "func":
		return p.function()
	case "service":
		return p.service()
	}
	if p.names[tok.text] == nil {
		p.names[tok.text] = &candid.Type{}
	}
	return p.names[tok.text], nil
}

// fields of a record, or cases of a variant.
func (p *parser) fields(record bool) (*candid.Type, error) {
	if err := p.need("{"); err != nil {
		return nil, err
	}
	var out []candid.Field
	var next uint64 // the id of a field of a record without a label
	for !p.is("}") {
		f, err := p.field(record, &next)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
		if !p.is(";") && p.peek().text != "}" {
			return nil, p.unexpected("; or }")
		}
	}
	t := candid.VariantOf(out...)
	if record {
		t = candid.RecordOf(out...)
	}
	for i := 1; i < len(t.Fields); i++ {
		if t.Fields[i].ID == t.Fields[i-1].ID {
			return nil, fmt.Errorf("two fields have the id %d (%q, %q)", t.Fields[i].ID, t.Fields[i].Name, t.Fields[i-1].Name)
		}
	}
	return t, nil
}

func (p *parser) field(record bool, next *uint64) (f candid.Field, err error) {
	tok, labeled := p.peek(), p.toks[min(p.pos+1, len(p.toks)-1)].text == ":"
	if record && !labeled { // a tuple's field
		f.Type, err = p.datatype()
		f.ID = uint32(*next)
	} else {
		if f, err = label(p.next()); err != nil {
			return f, err
		}
		f.Type = candid.Prim(candid.Null)
		if p.is(":") {
			f.Type, err = p.datatype()
		}
	}
	if err == nil && *next > 0xffffffff {
		err = fmt.Errorf("field %s has an id above 32 bits", tok)
	}
	*next = uint64(f.ID) + 1
	return f, err
}

// label is a name or a number.
func label(t token) (candid.Field, error) {
	switch t.kind {
	case number:
		id, err := strconv.ParseUint(stripped(t.text), 0, 32)
		if err != nil {
			return candid.Field{}, fmt.Errorf("%s is not a field id of 32 bits", t)
		}
		return candid.Field{ID: uint32(id)}, nil
	case word:
		return candid.F(t.text, nil), nil
	case text:
		if utf8.ValidString(t.text) {
			return candid.F(t.text, nil), nil
		}
	}
	return candid.Field{}, fmt.Errorf("%s is not the label of a field", t)
}

var modes = map[string]candid.Mode{"query": candid.Query, "oneway": candid.Oneway, "composite_query": candid.CompositeQuery}

func (p *parser) function() (*candid.Type, error) {
	args, err := p.tuple()
	if err != nil {
		return nil, err
	}
	if err := p.need("->"); err != nil {
		return nil, err
	}
	results, err := p.tuple()
	if err != nil {
		return nil, err
	}
	t := candid.FuncOf(args, results)
	for modes[p.peek().text] != 0 && p.peek().kind == word {
		t.Modes = append(t.Modes, modes[p.next().text])
	}
	return t, nil
}

// tuple reads (types), each perhaps with a name.
func (p *parser) tuple() ([]*candid.Type, error) {
	if err := p.need("("); err != nil {
		return nil, err
	}
	var out []*candid.Type
	for !p.is(")") {
		if p.toks[min(p.pos+1, len(p.toks)-1)].text == ":" {
			p.pos += 2 // the name says nothing
		}
		t, err := p.datatype()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
		if !p.is(",") && p.peek().text != ")" {
			return nil, p.unexpected(", or )")
		}
	}
	return out, nil
}

func (p *parser) service() (*candid.Type, error) {
	if err := p.need("{"); err != nil {
		return nil, err
	}
	var out []candid.Method
	for !p.is("}") {
		name := p.next()
		if name.kind != word && name.kind != text {
			return nil, fmt.Errorf("%s is not the name of a method", name)
		}
		if err := p.need(":"); err != nil {
			return nil, err
		}
		var t *candid.Type
		var err error
		if p.peek().text == "(" {
			t, err = p.function()
		} else {
			t, err = p.datatype()
		}
		if err != nil {
			return nil, err
		}
		out = append(out, candid.Method{Name: name.text, Func: t})
		if !p.is(";") && p.peek().text != "}" {
			return nil, p.unexpected("; or }")
		}
	}
	t := candid.ServiceOf(out...)
	for i := 1; i < len(t.Methods); i++ {
		if t.Methods[i].Name == t.Methods[i-1].Name {
			return nil, fmt.Errorf("two methods have the name %q", t.Methods[i].Name)
		}
	}
	return t, nil
}

package did

import (
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
)

// ParseValues reads values such as (42, "text") at the types of a method's
// arguments. Values that are missing at the end read as null where that is allowed.
func ParseValues(src string, types []*candid.Type) ([]candid.Value, error) {
	p, err := newParser(src)
	if err != nil {
		return nil, err
	}
	nodes, err := p.valueTuple()
	if err == nil && p.peek().kind != end {
		err = p.unexpected("the end")
	}
	if err != nil {
		return nil, p.at(err)
	}
	out := make([]candid.Value, len(types))
	for i, t := range types {
		if i < len(nodes) {
			out[i], err = nodes[i].as(t, 0)
		} else {
			out[i], err = absent(t)
		}
		if err != nil {
			return nil, fmt.Errorf("value %d: %w", i, err)
		}
	}
	return out, nil
}

// node is a value before its type is known.
type node struct {
	kind   string // null bool number text blob opt vec record variant principal service func
	text   string // of bool, number, text, blob and references; the method of func
	to     string // the canister of func
	elems  []*node
	fields []candid.Field // labels of elems in a record or variant
}

func (p *parser) valueTuple() ([]*node, error) {
	if err := p.need("("); err != nil {
		return nil, err
	}
	var out []*node
	for !p.is(")") {
		n, err := p.annotated()
		if err != nil {
			return nil, err
		}
		out = append(out, n)
		if !p.is(",") && p.peek().text != ")" {
			return nil, p.unexpected(", or )")
		}
	}
	return out, nil
}

// annotated reads a value and, perhaps, the type that it says it has.
func (p *parser) annotated() (n *node, err error) {
	err = p.nested(func() error {
		if p.is("(") {
			if n, err = p.annotated(); err == nil {
				err = p.need(")")
			}
		} else {
			n, err = p.value()
		}
		if err == nil && p.is(":") {
			_, err = p.datatype()
		}
		return err
	})
	return n, err
}

func (p *parser) value() (*node, error) {
	t := p.next()
	switch {
	case t.kind == symbol && (t.text == "-" || t.text == "+") && p.peek().kind == number:
		return &node{kind: "number", text: strings.TrimPrefix(t.text, "+") + p.next().text}, nil
	case t.kind == number:
		return &node{kind: "number", text: t.text}, nil
	case t.kind == text:
		return &node{kind: "text", text: t.text}, nil
	case t.kind != word:
		return nil, fmt.Errorf("found %s, want a value", t)
	}
	switch t.text {
	case "null":
		return &node{kind: "null"}, nil
	case "true", "false":
		return &node{kind: "bool", text: t.text}, nil
	case "opt":
		n, err := p.annotated()
		return &node{kind: "opt", elems: []*node{n}}, err
	case "blob", "principal", "service":
		s, err := p.quotedText()
		return &node{kind: t.text, text: s}, err
	case "func":
		return p.funcValue()
	case "vec":
		return p.vector()
	case "record", "variant":
		return p.fieldValues(t.text)
	}
	return nil, fmt.Errorf("found %s, want a value", t)
}

func (p *parser) quotedText() (string, error) {
	if p.peek().kind != text {
		return "", p.unexpected("a text")
	}
	return p.next().text, nil
}

func (p *parser) funcValue() (*node, error) {
	to, err := p.quotedText()
	if err != nil {
		return nil, err
	}
	if err := p.need("."); err != nil {
		return nil, err
	}
	name := p.next()
	if name.kind != word && name.kind != text {
		return nil, fmt.Errorf("%s is not the name of a method", name)
	}
	return &node{kind: "func", to: to, text: name.text}, nil
}

func (p *parser) vector() (*node, error) {
	if err := p.need("{"); err != nil {
		return nil, err
	}
	out := &node{kind: "vec"}
	for !p.is("}") {
		n, err := p.annotated()
		if err != nil {
			return nil, err
		}
		out.elems = append(out.elems, n)
		if !p.is(";") && p.peek().text != "}" {
			return nil, p.unexpected("; or }")
		}
	}
	return out, nil
}

func (p *parser) fieldValues(kind string) (*node, error) {
	if err := p.need("{"); err != nil {
		return nil, err
	}
	out := &node{kind: kind}
	var next uint32
	for !p.is("}") {
		after := p.toks[min(p.pos+1, len(p.toks)-1)].text
		f, n := candid.Field{ID: next}, &node{kind: "null"}
		var err error
		if kind == "variant" || after == "=" {
			if f, err = label(p.next()); err == nil && p.is("=") {
				n, err = p.annotated()
			}
		} else {
			n, err = p.annotated()
		}
		if err != nil {
			return nil, err
		}
		next = f.ID + 1
		out.fields, out.elems = append(out.fields, f), append(out.elems, n)
		if !p.is(";") && p.peek().text != "}" {
			return nil, p.unexpected("; or }")
		}
	}
	if kind == "variant" && len(out.elems) != 1 {
		return nil, fmt.Errorf("a variant has %d cases, want 1", len(out.elems))
	}
	return out, nil
}

func absent(t *candid.Type) (candid.Value, error) {
	switch t.Kind {
	case candid.Opt:
		return candid.Option{}, nil
	case candid.Null, candid.Reserved:
		return nil, nil
	}
	return nil, fmt.Errorf("a required %s is missing", t.Kind)
}

func (n *node) misfit(t *candid.Type) error {
	return fmt.Errorf("%s %s is not a value of type %s", n.kind, n.text, t.Kind)
}

// as reads the node at a type.
func (n *node) as(t *candid.Type, depth int) (candid.Value, error) {
	if depth > maxDepth {
		return nil, errors.New("values are nested too deep")
	}
	switch t.Kind {
	case candid.Reserved:
		return nil, nil
	case candid.Opt:
		return n.asOpt(t, depth)
	case candid.Vec:
		return n.asVec(t, depth)
	case candid.Record:
		if n.kind == "record" {
			return n.asRecord(t, depth)
		}
	case candid.Variant:
		if n.kind == "variant" {
			return n.asVariant(t, depth)
		}
	case candid.Null:
		if n.kind == "null" {
			return nil, nil
		}
	case candid.Bool:
		if n.kind == "bool" {
			return n.text == "true", nil
		}
	case candid.Text:
		if n.kind == "text" && utf8.ValidString(n.text) {
			return n.text, nil
		}
	case candid.Principal, candid.Service:
		if n.kind == t.Kind.String() || t.Kind == candid.Principal && n.kind == "service" {
			return ic.ParsePrincipal(n.text)
		}
	case candid.FuncRef:
		if n.kind == "func" && utf8.ValidString(n.text) {
			to, err := ic.ParsePrincipal(n.to)
			return candid.Func{Service: to, Method: n.text}, err
		}
	default:
		if n.kind == "number" {
			return n.asNumber(t)
		}
	}
	return nil, n.misfit(t)
}

func (n *node) asOpt(t *candid.Type, depth int) (candid.Value, error) {
	in := n
	switch n.kind {
	case "null":
		return candid.Option{}, nil
	case "opt":
		in = n.elems[0]
	}
	v, err := in.as(t.Elem, depth+1)
	return candid.Option{Some: err == nil, Value: v}, err
}

func (n *node) asVec(t *candid.Type, depth int) (candid.Value, error) {
	blob := t.Elem.Kind == candid.Nat8
	if n.kind == "blob" && blob {
		return []byte(n.text), nil
	}
	if n.kind != "vec" {
		return nil, n.misfit(t)
	}
	values, bytes := []candid.Value{}, []byte{}
	for _, e := range n.elems {
		v, err := e.as(t.Elem, depth+1)
		if err != nil {
			return nil, err
		}
		if blob {
			bytes = append(bytes, v.(uint8))
		}
		values = append(values, v)
	}
	if blob {
		return bytes, nil
	}
	return values, nil
}

func (n *node) asRecord(t *candid.Type, depth int) (candid.Value, error) {
	out := candid.Fields{}
	for _, f := range t.Fields {
		at := slices.IndexFunc(n.fields, func(g candid.Field) bool { return g.ID == f.ID })
		var v candid.Value
		var err error
		if at >= 0 {
			v, err = n.elems[at].as(f.Type, depth+1)
		} else {
			v, err = absent(f.Type)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, candid.FieldValue{ID: f.ID, Value: v})
	}
	return out, nil
}

func (n *node) asVariant(t *candid.Type, depth int) (candid.Value, error) {
	for _, f := range t.Fields {
		if f.ID == n.fields[0].ID {
			v, err := n.elems[0].as(f.Type, depth+1)
			return candid.Choice{ID: f.ID, Value: v}, err
		}
	}
	return nil, n.misfit(t)
}

func stripped(s string) string { return strings.ReplaceAll(s, "_", "") }

func (n *node) asNumber(t *candid.Type) (candid.Value, error) {
	s := stripped(n.text)
	if t.Kind == candid.Float32 || t.Kind == candid.Float64 {
		return asFloat(t, s)
	}
	base := 10
	if body := strings.TrimPrefix(s, "-"); strings.HasPrefix(body, "0x") {
		s, base = strings.Replace(s, "0x", "", 1), 16
	}
	v, ok := new(big.Int).SetString(s, base)
	if !ok {
		return nil, n.misfit(t)
	}
	return sized(t, v)
}

func asFloat(t *candid.Type, s string) (candid.Value, error) {
	bits := 64
	if t.Kind == candid.Float32 {
		bits = 32
	}
	v, err := strconv.ParseFloat(s, bits)
	if err != nil {
		return nil, err
	}
	if bits == 32 {
		return float32(v), nil
	}
	return v, nil
}

// sized fits a number into its type.
func sized(t *candid.Type, v *big.Int) (candid.Value, error) {
	signed := t.Kind == candid.Int || t.Kind <= candid.Int8 && t.Kind >= candid.Int64
	switch {
	case !signed && v.Sign() < 0:
		return nil, fmt.Errorf("%s is negative, its type is %s", v, t.Kind)
	case t.Kind == candid.Nat || t.Kind == candid.Int:
		return v, nil
	case signed:
		bits := 8 << (candid.Int8 - t.Kind)
		if !v.IsInt64() || v.Int64()>>(bits-1) != 0 && v.Int64()>>(bits-1) != -1 {
			return nil, fmt.Errorf("%s does not fit into %s", v, t.Kind)
		}
		x := v.Int64()
		return []candid.Value{int8(x), int16(x), int32(x), x}[candid.Int8-t.Kind], nil
	case t.Kind <= candid.Nat8 && t.Kind >= candid.Nat64:
		if v.BitLen() > 8<<(candid.Nat8-t.Kind) {
			return nil, fmt.Errorf("%s does not fit into %s", v, t.Kind)
		}
		x := v.Uint64()
		return []candid.Value{uint8(x), uint16(x), uint32(x), x}[candid.Nat8-t.Kind], nil
	}
	return nil, fmt.Errorf("a number is not a value of type %s", t.Kind)
}

package merkle

// NewValue is the node of a value, whatever its length.
func NewValue(content []byte) Node {
	if len(content) > PieceBytes {
		return long(content)
	}
	return &value{content: content}
}

type value struct {
	content []byte
	sum     Sum
	summed  bool
}

func (v *value) Kind() Kind { return Value }
func (v *value) Sum() Sum {
	if !v.summed {
		v.sum, v.summed = SumValue(v.content), true
	}
	return v.sum
}
func (v *value) Level() int      { return 0 }
func (v *value) Kids() []Kid     { return nil }
func (v *value) Content() []byte { return v.content }

type long []byte

func (l long) Kind() Kind      { return Long }
func (l long) Sum() Sum        { return SumValue(l) }
func (l long) Level() int      { return 0 }
func (l long) Content() []byte { return nil }
func (l long) Kids() (kids []Kid) {
	for i, rest := 0, []byte(l); len(rest) > 0; i++ {
		n := min(len(rest), PieceBytes)
		kids = append(kids, Kid{Slot: i, Node: &value{content: rest[:n]}})
		rest = rest[n:]
	}
	return kids
}

// NewDir is a Dir of these nodes, in order of label.
func NewDir(kids []Kid) Node {
	d := &dir{kids: kids}
	edges := make([]Edge, len(kids))
	for i := range kids {
		edges[i] = Edge{Label: kids[i].Label, Sum: kids[i].Node.Sum()}
	}
	d.sum = SumDir(edges)
	return d
}

type dir struct {
	kids []Kid
	sum  Sum
}

func (d *dir) Kind() Kind      { return Dir }
func (d *dir) Sum() Sum        { return d.sum }
func (d *dir) Level() int      { return 0 }
func (d *dir) Kids() []Kid     { return d.kids }
func (d *dir) Content() []byte { return nil }

// Known is a node whose sum is remembered and whose insides are made when asked for.
type Known struct {
	Remembered Sum
	Make       func() Node
}

// Kind of the node.
func (k Known) Kind() Kind { return k.Make().Kind() }

// Sum that was remembered.
func (k Known) Sum() Sum { return k.Remembered }

// Level of the node.
func (k Known) Level() int { return k.Make().Level() }

// Kids of the node.
func (k Known) Kids() []Kid { return k.Make().Kids() }

// Content of the node.
func (k Known) Content() []byte { return k.Make().Content() }

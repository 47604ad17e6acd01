package candid

// pair is an assumption a <: b of the coinductive check.
type pair struct{ a, b *Type }

// subtypes decides a <: b. Every type is a subtype of every opt, so a failure is
// never absorbed: the first one ends the check, and what was assumed is dropped.
type subtypes struct {
	assumed map[pair]bool
	spend   func(n int) error
}

func (s *subtypes) check(a, b *Type) (bool, error) {
	if err := s.spend(1); err != nil {
		return false, err
	}
	if a == b || b.Kind == Reserved || b.Kind == Opt || a.Kind == Empty {
		return true, nil
	}
	if a.Kind == Service && b.Kind == Principal || a.Kind == Nat && b.Kind == Int {
		return true, nil
	}
	if a.Kind != b.Kind || a.Kind == Future {
		return false, nil
	}
	if a.Kind.primitive() || s.assumed[pair{a, b}] {
		return true, nil
	}
	s.assumed[pair{a, b}] = true
	switch a.Kind {
	case Vec:
		return s.check(a.Elem, b.Elem)
	case Record:
		return s.record(a.Fields, b.Fields)
	case Variant:
		return s.variant(a.Fields, b.Fields)
	case FuncRef:
		return s.function(a, b)
	case Service:
		return s.service(a.Methods, b.Methods)
	}
	return false, nil
}

func (s *subtypes) record(a, b []Field) (bool, error) {
	for _, f := range b {
		for len(a) > 0 && a[0].ID < f.ID {
			a = a[1:]
		}
		if len(a) == 0 || a[0].ID != f.ID {
			if !f.Type.optional() {
				return false, nil
			}
			continue
		}
		if ok, err := s.check(a[0].Type, f.Type); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (s *subtypes) variant(a, b []Field) (bool, error) {
	for _, f := range a {
		for len(b) > 0 && b[0].ID < f.ID {
			b = b[1:]
		}
		if len(b) == 0 || b[0].ID != f.ID {
			return false, nil
		}
		if ok, err := s.check(f.Type, b[0].Type); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (s *subtypes) function(a, b *Type) (bool, error) {
	if !sameModes(a.Modes, b.Modes) {
		return false, nil
	}
	if ok, err := s.tuple(b.Args, a.Args); !ok || err != nil {
		return false, err
	}
	return s.tuple(a.Results, b.Results)
}

func sameModes(a, b []Mode) bool {
	var x, y uint8
	for _, m := range a {
		x |= 1 << m
	}
	for _, m := range b {
		y |= 1 << m
	}
	return x == y
}

func (s *subtypes) tuple(a, b []*Type) (bool, error) {
	for i, t := range b {
		if i >= len(a) {
			if !t.optional() {
				return false, nil
			}
			continue
		}
		if ok, err := s.check(a[i], t); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (s *subtypes) service(a, b []Method) (bool, error) {
	for _, m := range b {
		for len(a) > 0 && a[0].Name < m.Name {
			a = a[1:]
		}
		if len(a) == 0 || a[0].Name != m.Name {
			return false, nil
		}
		if ok, err := s.check(a[0].Func, m.Func); !ok || err != nil {
			return false, err
		}
	}
	return true, nil
}

package candid

import "fmt"

// skip passes over a value that nobody asked for. It still checks the value: a
// message is well formed whatever its reader wants of it.
func (d *decoder) skip(w *Type, depth int) error {
	if depth > d.lim.Depth {
		return errDepth
	}
	if err := d.spendSkip(1); err != nil {
		return err
	}
	switch w.Kind {
	case Empty:
		return errEmpty
	case Opt:
		tag, err := d.byte()
		if err != nil || tag == 0 {
			return err
		}
		if tag > 1 {
			return fmt.Errorf("tag of an opt is %d, not 0 or 1", tag)
		}
		return d.skip(w.Elem, depth+1)
	case Vec:
		return d.skipVector(w, depth)
	case Record:
		for _, f := range w.Fields {
			if err := d.skip(f.Type, depth+1); err != nil {
				return err
			}
		}
		return nil
	case Variant:
		f, err := d.tag(w)
		if err != nil {
			return err
		}
		return d.skip(f.Type, depth+1)
	case Future:
		return d.skipFuture()
	}
	start := d.pos
	if _, err := d.scalar(w); err != nil {
		return err
	}
	return d.spendSkip((d.pos - start) / skipUnit)
}

func (d *decoder) spendSkip(n int) error {
	if d.lim.Skip -= n; d.lim.Skip < 0 {
		return errSkip
	}
	return nil
}

func (d *decoder) skipVector(w *Type, depth int) error {
	n, err := d.uleb()
	if err != nil {
		return err
	}
	if w.isBlob() {
		if _, err := d.take(n); err != nil {
			return err
		}
		return d.spendSkip(int(n / skipUnit))
	}
	for ; n > 0; n-- {
		if err := d.skip(w.Elem, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// skipFuture passes over a value of a type made after this package: its size
// and its number of references, then the bytes.
func (d *decoder) skipFuture() error {
	n, err := d.uleb()
	if err != nil {
		return err
	}
	if _, err := d.uleb(); err != nil {
		return err
	}
	if _, err := d.take(n); err != nil {
		return err
	}
	return d.spendSkip(int(n / skipUnit))
}

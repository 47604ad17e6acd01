package api

import (
	"ashlar/replica/wire/hashtree"
)

// requestSubnet adds what a path below /subnet reveals: not all that is there.
//
//	/subnet/<id>/{public_key, type}        always
//	/subnet/<id>/canister_ranges           at v2, or of the root subnet
//	/subnet/<id>/{node, metrics}           of this node's subnet
func (p *reading) requestSubnet(path hashtree.Path) error {
	if err := p.checkSubnet(path[1:]); err != nil {
		return err
	}
	sub, status := p.state.Tree.Subtree(path)
	switch {
	case len(path) == 1 && status == hashtree.Found:
		sub.Each(func(id []byte, fields *hashtree.Tree) { p.showSubnet(id, fields) })
	case len(path) == 2 && status == hashtree.Found:
		p.showSubnet(path[1], sub)
	case len(path) >= 3 && !p.reveals(path[1], path[2]):
	default: // a field, or the proof that something is absent
		p.show = append(p.show, path)
	}
	return nil
}

func (p *reading) showSubnet(id []byte, fields *hashtree.Tree) {
	fields.Each(func(field []byte, _ *hashtree.Tree) {
		if p.reveals(id, field) {
			p.show = append(p.show, hashtree.Path{[]byte("subnet"), id, field})
		}
	})
}

// isRoot: the root subnet is the one whose key is the root key.
func (p *reading) isRoot(id []byte) bool {
	key, status := p.state.Tree.Lookup(hashtree.P("subnet", string(id), "public_key"))
	return status == hashtree.Found && string(key) == string(p.rootKey)
}

func (p *reading) reveals(id, field []byte) bool {
	switch string(field) {
	case "canister_ranges":
		return p.version == 2 || p.isRoot(id)
	case "node", "metrics":
		return string(id) == string(p.own)
	}
	return true
}

// checkSubnet checks the form of a path below /subnet.
func (p *reading) checkSubnet(rest hashtree.Path) error {
	if len(rest) <= 1 {
		return nil
	}
	id, field, more := rest[0], string(rest[1]), rest[2:]
	ok := false
	switch field {
	case "public_key", "type":
		ok = len(more) == 0
	case "canister_ranges":
		ok = len(more) == 0 && (p.version == 2 || p.isRoot(id))
	case "metrics":
		ok = len(more) == 0 && p.subnet && string(id) == string(p.url)
	case "node":
		ok = len(more) <= 1 || len(more) == 2 && string(more[1]) == "public_key"
	}
	if !ok {
		return errPath
	}
	return nil
}

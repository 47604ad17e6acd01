package main

import (
	"fmt"

	"ashlar/replica/ic"
	"ashlar/replica/node"
	"ashlar/replica/registry"
	"ashlar/replica/store"
)

// resync sets a damaged state aside, as evidence; the node's keys and its registry
// stay, and its peers bring it a state. It does not vote for a while, since it lost
// what it had voted for.
func resync(f flags, log func(string, ...any)) error {
	if !registry.Exists(f.state) {
		return fmt.Errorf("%s holds no network: there is nothing to fetch a state from\n  start without --resync", f.state)
	}
	reg, err := registry.Open(f.state, log)
	if err != nil {
		return err
	}
	defer reg.Close()
	view, err := reg.View(reg.Latest(), ic.SubnetID{})
	if err != nil {
		return err
	}
	if len(view.Nodes) < 2 {
		return fmt.Errorf("this network has one node: nobody else has its state\n  restore %s from a backup", f.state)
	}
	to, err := store.SetAside(f.state, node.WallClock{}.Now(), store.Options{})
	if err != nil {
		return err
	}
	log("what the state directory held is set aside in %s: delete that once nobody wants to look at it", to)
	return nil
}

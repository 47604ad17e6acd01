package main

import (
	"errors"
	"fmt"
	"strconv"

	"ashlar/replica/ic"
	"ashlar/replica/registry/admin"
	"ashlar/replica/wire/records"
)

func (c *call) found() error {
	at, err := c.addresses()
	if err != nil {
		return err
	}
	f := admin.Founding{Dir: c.dir, At: at, HTTP: uint16(c.http), P2P: uint16(c.p2p), Version: c.version, Interval: c.interval}
	for _, path := range list(c.from) {
		raw, err := admin.ReadRecord(path)
		if err != nil {
			return err
		}
		f.HandedIn = append(f.HandedIn, raw)
	}
	n, err := admin.Found(f)
	if err != nil {
		return err
	}
	return errors.Join(c.tell(n), n.Close())
}

// tell what scripts read: the root key, and each node with its address, those made
// here by the number of their directory.
func (c *call) tell(n *admin.Network) error {
	v, err := n.View()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "root key %x\n", v.Group.Key.DER())
	number, err := n.Numbers()
	for i, id := range v.Subnet.Members {
		if number[id] == "" {
			number[id] = "-"
		}
		fmt.Fprintf(c.out, "node %s %s %s\n", number[id], id, v.Nodes[i].HTTP)
	}
	return err
}

func (c *call) key() error {
	at, err := c.addresses()
	if err != nil {
		return err
	}
	if len(at) != 1 {
		return errors.New("a node has one address: --at ADDRESS")
	}
	id, err := admin.KeyAt(c.dir, at[0], uint16(c.p2p), uint16(c.http))
	if err == nil {
		fmt.Fprintf(c.out, "node %s\nhand in %s/%s\n", id, c.dir, admin.RecordFile)
	}
	return err
}

// change does something to a network, and sends it to the members.
func (c *call) change(do func(*admin.Network) error) error {
	n, err := admin.Open(c.dir)
	if err != nil {
		return err
	}
	if err = do(n); err == nil {
		fmt.Fprintf(c.out, "version %d\n", n.Latest())
		if !c.offline {
			err = c.sendTo(n)
		}
	}
	return errors.Join(err, n.Close())
}

func (c *call) sendTo(n *admin.Network, urls ...string) error {
	return n.Send(c.ctx, func(url string, version uint64, err error) {
		if err != nil {
			fmt.Fprintf(c.out, "%s: %v\n", url, err)
			return
		}
		fmt.Fprintf(c.out, "%s has version %d\n", url, version)
	}, urls...)
}

func (c *call) add() error {
	raw, err := admin.ReadRecord(c.args[0])
	if err != nil {
		return err
	}
	return c.change(func(n *admin.Network) error {
		id, err := n.Add(raw)
		if err == nil {
			fmt.Fprintf(c.out, "node %s is a member from the second summary on\n", id)
		}
		return err
	})
}

func (c *call) named(do func(*admin.Network, ic.NodeID) error) error {
	id, err := c.node()
	if err != nil {
		return err
	}
	return c.change(func(n *admin.Network) error { return do(n, id) })
}

func (c *call) remove() error {
	return c.named(func(n *admin.Network, id ic.NodeID) error {
		if err := n.Remove(id); err != nil {
			return err
		}
		v, err := n.View()
		if err == nil {
			left := len(v.Subnet.Members)
			fmt.Fprintf(c.out, "node %s serves until the second summary from now; %d members are left, of which %d may fail\n", id, left, (left-1)/3)
		}
		return err
	})
}

func (c *call) forget() error { return c.named((*admin.Network).Forget) }

func (c *call) rotate() error {
	return c.change(func(n *admin.Network) error {
		return n.RotateKeys(c.ctx, func(url string, id ic.NodeID, err error) {
			if err != nil {
				fmt.Fprintf(c.out, "%s: %v\n", url, err)
				return
			}
			fmt.Fprintf(c.out, "node %s has another key for dealings from the second summary on\n", id)
		}, c.args...)
	})
}

func (c *call) run() error {
	return c.change(func(n *admin.Network) error { return n.Run(c.args[0], c.sha256, list(c.url)...) })
}

func (c *call) setInterval() error {
	rounds, err := c.rounds()
	if err != nil {
		return err
	}
	return c.change(func(n *admin.Network) error { return n.Interval(rounds) })
}

func (c *call) setAdmins() error {
	var admins []ic.Principal
	for _, text := range list(c.args[0]) {
		if text == "-" {
			continue
		}
		p, err := ic.ParsePrincipal(text)
		if err != nil {
			return err
		}
		admins = append(admins, p)
	}
	return c.change(func(n *admin.Network) error { return n.Admins(admins) })
}

func (c *call) setCost() error {
	schedule, ok := map[string]records.CostSchedule{"normal": records.NormalCost, "free": records.FreeOfCost}[c.args[0]]
	if !ok {
		return fmt.Errorf("%q is not how canisters pay: it is free or normal", c.args[0])
	}
	return c.change(func(n *admin.Network) error { return n.Cost(schedule) })
}

func (c *call) setCanisters() error {
	most, err := strconv.ParseUint(c.args[0], 10, 64)
	if err != nil {
		return fmt.Errorf("%q is not a number of canisters", c.args[0])
	}
	return c.change(func(n *admin.Network) error { return n.Canisters(most) })
}

func (c *call) open(do func(*admin.Network) error) error {
	n, err := admin.Open(c.dir)
	if err != nil {
		return err
	}
	return errors.Join(do(n), n.Close())
}

func (c *call) give() error {
	return c.open(func(n *admin.Network) error { return n.Give(c.args[0]) })
}

func (c *call) send() error {
	return c.open(func(n *admin.Network) error { return c.sendTo(n, c.args...) })
}

func (c *call) show() error {
	return c.open(func(n *admin.Network) error {
		v, err := n.View()
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "version %d of the registry: subnet %s, replica %s, interval %d\n", v.Version, v.ID, v.Subnet.Version, v.Subnet.Interval)
		return c.tell(n)
	})
}

// Command network makes a network of several nodes: keys for each, and a registry
// that names them.
//
//	network new --dir DIR --at 127.0.0.1,127.0.0.2,127.0.0.3,127.0.0.4
//	DIR/1 DIR/2 DIR/3 DIR/4 ── keys, registry ──> replica --state DIR/1, ...
//
// The subnet's key is dealt by this program, which forgets it: good for networks
// on one machine.
package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"ashlar/replica/consensus"
	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/registry"
	"ashlar/replica/wire/block"
)

// Version is set by the build.
var Version = "dev"

// maxNodes: the largest subnets have 40.
const maxNodes = 40

type flags struct {
	dir       string
	at        []netip.Addr
	http, p2p uint16
}

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "network:", err)
		}
		os.Exit(1)
	}
}

func run(args []string, out, problems io.Writer) error {
	if len(args) == 0 || args[0] != "new" {
		return errors.New("want: network new --dir DIR --at ADDRESS,ADDRESS (and so on)")
	}
	f, err := parse(args[1:], problems)
	if err != nil {
		return err
	}
	root, err := f.make()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "root key %x\n", root)
	return nil
}

func parse(args []string, problems io.Writer) (f flags, err error) {
	set := flag.NewFlagSet("network new", flag.ContinueOnError)
	set.SetOutput(problems)
	set.StringVar(&f.dir, "dir", "", "directory that gets one of each node: 1, 2, ...; it must not hold a network")
	at := set.String("at", "", "the nodes' addresses, separated by commas")
	http := set.Uint("http", 4943, "port where users reach each node")
	p2p := set.Uint("p2p", 4100, "port where peers reach each node")
	if err := set.Parse(args); err != nil {
		return f, err
	}
	if f.dir == "" || *at == "" || set.NArg() > 0 {
		return f, errors.New("want: network new --dir DIR --at ADDRESS,ADDRESS (and so on)")
	}
	for _, text := range strings.Split(*at, ",") {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return f, fmt.Errorf("--at: %w", err)
		}
		f.at = append(f.at, a)
	}
	if len(f.at) > maxNodes {
		return f, fmt.Errorf("a subnet has at most %d nodes, --at names %d", maxNodes, len(f.at))
	}
	for _, p := range []uint{*http, *p2p} {
		if p < 1 || p > 65535 {
			return f, fmt.Errorf("%d is not a port: they go from 1 to 65535", p)
		}
	}
	f.http, f.p2p = uint16(*http), uint16(*p2p)
	return f, nil
}

// make writes a directory for each node. The registries are last: where there is
// one, all keys are there.
func (f flags) make() (rootKey []byte, err error) {
	if registry.Exists(filepath.Join(f.dir, "1")) {
		return nil, fmt.Errorf("%s holds a network already\n  remove it, or choose another --dir", f.dir)
	}
	n := len(f.at)
	keys, err := draw(n)
	if err != nil {
		return nil, err
	}
	now := ic.Time(time.Now().UnixNano())
	rec, err := record(keys)
	if err != nil {
		return nil, err
	}
	cup, key, err := consensus.Found(consensus.Founding{Random: rand.Reader, Record: rec, Registry: 1, Time: now})
	if err != nil {
		return nil, err
	}
	var nodes []registry.Node
	var ids []ic.NodeID
	for i, k := range keys {
		dir := f.nodeDir(i)
		if err := errors.Join(os.MkdirAll(dir, 0o700), k.Save(dir)); err != nil {
			return nil, err
		}
		nodes = append(nodes, registry.Node{PublicKey: k.NodeKey(), P2P: netip.AddrPortFrom(f.at[i], f.p2p).String(), HTTP: netip.AddrPortFrom(f.at[i], f.http).String(), Encryption: rec.Members[i].Encryption})
		ids = append(ids, k.NodeID())
		k.Erase()
	}
	group := consensus.GroupOf(key)
	reg, _, err := registry.Genesis(cup.Encode(), group, nodes, ids, Version, now)
	if err != nil {
		return nil, err
	}
	for i := n - 1; i >= 0; i-- {
		if err := reg.Save(f.nodeDir(i)); err != nil {
			return nil, err
		}
	}
	return group.Key.DER(), nil
}

func (f flags) nodeDir(i int) string { return filepath.Join(f.dir, strconv.Itoa(i+1)) }

// draw the nodes' keys in order of their names, as the registry lists them.
func draw(n int) (keys []*keystore.Keys, err error) {
	for range n {
		k, err := keystore.Generate(nil)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b *keystore.Keys) int { return bytes.Compare(a.NodeID().Bytes(), b.NodeID().Bytes()) })
	return keys, nil
}

// record of the subnet that these nodes are.
func record(keys []*keystore.Keys) (*consensus.Record, error) {
	rec := &consensus.Record{Version: Version}
	for _, k := range keys {
		e, err := k.EncryptionKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		rec.Members = append(rec.Members, block.Receiver{Member: block.Member{Node: k.NodeID(), Key: k.NodeKey()}, Encryption: e.Bytes()})
	}
	return rec, nil
}

// Command canister makes and calls canisters of a development network:
//
//	canister create                           prints the new canister's id
//	canister install ID FILE.wasm             upgrade and reinstall alike
//	canister call ID METHOD [HEX]             HEX is the argument, () without it
//	canister query ID METHOD [HEX]
//	canister status|start|stop|delete ID
//
// Answers are verified: certificates with the root key, queries with the node's
// key. For mainnet and for projects use the icp CLI; this is for a quick look and
// for tests without other tools.
package main

import (
	"context"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"os"
	"strings"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/wire/candid"
)

const usage = `usage: canister [-url URL] [-pem FILE] COMMAND
  create                        a new canister with 100 T cycles
  install|reinstall|upgrade ID FILE.wasm
  call|query ID METHOD [HEX]    HEX: the Candid argument, () without it
  status|start|stop|delete ID`

// timeout of a command: an installation of a large module takes seconds.
const timeout = 2 * time.Minute

// emptyArgs is () in Candid.
var emptyArgs = []byte("DIDL\x00\x00")

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "canister:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	set := flag.NewFlagSet("canister", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	url := set.String("url", "http://127.0.0.1:4943", "of the replica")
	pem := set.String("pem", "", "file with the caller's key; anonymous without")
	if err := set.Parse(args); err != nil || set.NArg() == 0 {
		return errors.New(usage)
	}
	o := agent.Options{}
	if *pem != "" {
		text, err := os.ReadFile(*pem)
		if err != nil {
			return err
		}
		if o.Identity, err = agent.ParsePEM(text); err != nil {
			return err
		}
	}
	a, err := agent.New(*url, o)
	if err != nil {
		return err
	}
	if _, err := a.FetchRootKey(ctx); err != nil {
		return fmt.Errorf("no replica answers at %s: %w\n  start one:  replica --dev --state DIR", *url, err)
	}
	return command(ctx, a, set.Args(), out)
}

func command(ctx context.Context, a *agent.Agent, args []string, out io.Writer) error {
	m := agent.Manage(a)
	if len(args) == 1 && args[0] == "create" {
		id, err := m.Create(ctx, ic.CanisterIDFromUint64(0), ic.NewCycles(100e12), nil)
		if err == nil {
			fmt.Fprintln(out, id)
		}
		return err
	}
	if len(args) < 2 {
		return errors.New(usage)
	}
	p, err := ic.ParsePrincipal(args[1])
	if err != nil {
		return err
	}
	id := ic.CanisterID{Principal: p}
	switch n := len(args); {
	case n == 3 && modes[args[0]] != nil:
		wasm, err := os.ReadFile(args[2])
		if err != nil {
			return err
		}
		return m.InstallCode(ctx, id, modes[args[0]](wasm), wasm, emptyArgs)
	case (n == 3 || n == 4) && (args[0] == "call" || args[0] == "query"):
		return invoke(ctx, a, id, args, out)
	case n == 2 && args[0] == "start":
		return m.Start(ctx, id)
	case n == 2 && args[0] == "stop":
		return m.Stop(ctx, id)
	case n == 2 && args[0] == "delete":
		return m.Delete(ctx, id)
	case n == 2 && args[0] == "status":
		s, err := m.StatusOf(ctx, id)
		if err == nil {
			fmt.Fprintf(out, "%s, %s cycles, %s bytes of memory\n", s.Status, s.Cycles, s.MemorySize)
		}
		return err
	}
	return errors.New(usage)
}

var modes = map[string]func(wasm []byte) agent.InstallMode{
	"install":   func([]byte) agent.InstallMode { return agent.Install() },
	"reinstall": func([]byte) agent.InstallMode { return agent.Reinstall() },
	"upgrade": func(wasm []byte) agent.InstallMode {
		if strings.Contains(string(wasm), "enhanced-orthogonal-persistence") { // such code must keep its memory
			return agent.Upgrade(agent.KeepMemory())
		}
		return agent.Upgrade(nil)
	},
}

func invoke(ctx context.Context, a *agent.Agent, id ic.CanisterID, args []string, out io.Writer) error {
	arg := emptyArgs
	if len(args) == 4 {
		var err error
		if arg, err = hex.DecodeString(args[3]); err != nil {
			return fmt.Errorf("the argument %q is not hexadecimal", args[3])
		}
	}
	send := a.Call
	if args[0] == "query" {
		send = a.Query
	}
	reply, err := send(ctx, id, args[2], arg)
	if err == nil {
		fmt.Fprintln(out, show(reply))
	}
	return err
}

// show is a reply as values, or as bytes where it is not Candid.
func show(reply []byte) string {
	types, err := candid.Types(reply)
	if err != nil {
		return hex.EncodeToString(reply)
	}
	values, err := candid.Decode(reply, types, candid.DefaultLimits(len(reply)))
	if err != nil {
		return hex.EncodeToString(reply)
	}
	words := make([]string, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case *big.Int, ic.Principal:
			words[i] = fmt.Sprint(v)
		case string:
			words[i] = fmt.Sprintf("%q", v)
		default:
			words[i] = fmt.Sprintf("%+v", v)
		}
	}
	return "(" + strings.Join(words, ", ") + ")"
}

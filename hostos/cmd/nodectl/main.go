// Command nodectl is the node provider's command: it asks a node what it runs, proves
// it, upgrades it and stops it. It runs on any laptop.
//
//	nodectl status   --url http://10.0.0.5:4944
//	nodectl attest   --url URL --bundle FILE --identity FILE
//	nodectl upgrade  --url URL --bundle FILE --key FILE
//
// It exits 0 when all is well, 1 when something is not, 2 when it was asked wrongly.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"
)

// A command is one word after nodectl.
type command struct {
	name, args, help string
	run              func(ctx context.Context, c *call) error
}

var commands []command

func init() { // in a function: help lists commands
	commands = []command{
		{"status", "--url URL [--json]", "what the node runs and how it is", status},
		{"slots", "--url URL", "the two slots, and why a release failed", slotTable},
		{"log", "--url URL", "the last lines of the node's log", logLines},
		{"attest", "--url URL --bundle FILE (--enrol FILE | --identity FILE) [--release-key FILE] [--config FILE]", "prove what the node runs", attest},
		{"upgrade", "--url URL --bundle FILE --key FILE [--release-key FILE] [--no-wait]", "install a release, and see it through its trial", upgradeNode},
		{"reboot", "--url URL --key FILE", "restart the node", order("reboot")},
		{"shutdown", "--url URL --key FILE", "power the node off", order("shutdown")},
		{"config", "check FILE | explain FILE | keys", "check a node.conf, say what it means, list the settings", configCommand},
		{"keygen", "FILE", "make an administrator's key", keygen},
	}
}

// A call is one use of nodectl.
type call struct {
	out io.Writer

	url, bundle, key, enrol, identity, releaseKey, config string
	json, noWait                                          bool
	timeout                                               time.Duration
	args                                                  []string
}

// asked is an error in how nodectl was called.
type asked struct{ error }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], plain{os.Stdout})
	if err != nil {
		fmt.Fprintf(plain{os.Stderr}, "nodectl: %v\n", err)
	}
	os.Exit(exitCode(err))
}

func exitCode(err error) int {
	var a asked
	switch {
	case err == nil:
		return 0
	case errors.As(err, &a):
		return 2
	}
	return 1
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(out)
		return nil
	}
	for _, cmd := range commands {
		if cmd.name != args[0] {
			continue
		}
		c := &call{out: out}
		if err := c.parse(cmd, args[1:]); err != nil {
			return asked{fmt.Errorf("%w\n  usage: nodectl %s %s", err, cmd.name, cmd.args)}
		}
		return cmd.run(ctx, c)
	}
	return asked{fmt.Errorf("there is no command %q\n  see: nodectl help", args[0])}
}

func (c *call) parse(cmd command, args []string) error {
	f := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	all := map[string]func(name string){
		"url":         func(n string) { f.StringVar(&c.url, n, "", "") },
		"bundle":      func(n string) { f.StringVar(&c.bundle, n, "", "") },
		"key":         func(n string) { f.StringVar(&c.key, n, "", "") },
		"enrol":       func(n string) { f.StringVar(&c.enrol, n, "", "") },
		"identity":    func(n string) { f.StringVar(&c.identity, n, "", "") },
		"release-key": func(n string) { f.StringVar(&c.releaseKey, n, "", "") },
		"config":      func(n string) { f.StringVar(&c.config, n, "", "") },
		"json":        func(n string) { f.BoolVar(&c.json, n, false, "") },
		"no-wait":     func(n string) { f.BoolVar(&c.noWait, n, false, "") },
	}
	for name, add := range all {
		if strings.Contains(cmd.args, "--"+name+" ") || strings.Contains(cmd.args, "--"+name+"]") {
			add(name)
		}
	}
	f.DurationVar(&c.timeout, "timeout", 15*time.Minute, "") // of an upgrade's trial
	if err := f.Parse(args); err != nil {
		return err
	}
	c.args = f.Args()
	if strings.HasPrefix(cmd.args, "--url") && c.url == "" {
		return errors.New("--url is missing: the node's address, such as http://10.0.0.5:4944")
	}
	for name, v := range map[string]string{"--bundle FILE ": c.bundle, "--key FILE": c.key} {
		if strings.Contains(cmd.args, " "+name) && v == "" {
			return fmt.Errorf("%s is missing", strings.Fields(name)[0])
		}
	}
	if strings.HasPrefix(cmd.args, "--url") && len(c.args) > 0 {
		return fmt.Errorf("%q is one word too many", c.args[0])
	}
	return nil
}

func usage(out io.Writer) {
	fmt.Fprintln(out, "nodectl asks a node, proves what it runs, upgrades and stops it")
	for _, c := range commands {
		fmt.Fprintf(out, "\n  nodectl %s %s\n      %s\n", c.name, c.args, c.help)
	}
}

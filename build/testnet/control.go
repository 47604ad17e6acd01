package testnet

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// commands of a running network, as people type them after mk testnet.
var commands = map[string]struct {
	about string
	wants wants
	do    func(ctx context.Context, n *Net, of given, out io.Writer) error
}{
	"status":    {"what each node does", none, status},
	"kill":      {"kill -9", some, each((*Node).Kill)},
	"stop":      {"stop in good order", some, each((*Node).Stop)},
	"start":     {"start what is down", some, each((*Node).Start)},
	"restart":   {"stop and start", some, restart},
	"wipe":      {"kill, and forget all but the keys and the registry", some, wipe},
	"partition": {"keep these from the others; users reach them still", some, partition},
	"add":       {"make a node that becomes a member, and start it; or let those that left come back", perhaps, add},
	"remove":    {"these are no members any more: they end once their peers go on without", some, remove},
	"recover":   {"too many nodes lost their disks: go on from the newest state of the others", none, recoverSubnet},
	"heal":      {"end all partitions", none, func(_ context.Context, n *Net, _ given, _ io.Writer) error { return n.Heal() }},
	"upgrade":   {"all change to a version of the replica at one height; mk builds it of this tree", version, upgrade},
}

// given is what follows a command: numbers of nodes, or a version.
type given struct {
	nodes   []*Node
	version string
}

// wants is which of it a command takes.
type wants string

const (
	none    wants = ""
	some    wants = " N..."
	perhaps wants = " [N...]"
	version wants = " VERSION"
)

func (w wants) fits(words int) bool {
	switch w {
	case none:
		return words == 0
	case some:
		return words > 0
	case version:
		return words == 1
	}
	return true
}

// Commands lists them for people.
func Commands() string {
	var b strings.Builder
	for _, name := range []string{"status", "kill", "stop", "start", "restart", "wipe", "partition", "heal", "add", "remove", "recover", "upgrade"} {
		fmt.Fprintf(&b, "  mk testnet %-16s %s\n", name+string(commands[name].wants), commands[name].about)
	}
	return b.String()
}

func each(do func(*Node) error) func(context.Context, *Net, given, io.Writer) error {
	return func(ctx context.Context, n *Net, of given, _ io.Writer) error { return toEach(do)(ctx, n, of.nodes) }
}

func restart(_ context.Context, _ *Net, of given, _ io.Writer) (err error) {
	for _, d := range of.nodes {
		err = errors.Join(err, d.Stop(), d.Start())
	}
	return err
}

func wipe(_ context.Context, _ *Net, of given, _ io.Writer) (err error) {
	for _, d := range of.nodes {
		err = errors.Join(err, d.Kill(), d.Wipe(), d.Start())
	}
	return err
}

func partition(_ context.Context, n *Net, of given, _ io.Writer) error {
	return n.Partition(numbers(of.nodes)...)
}

func add(_ context.Context, n *Net, of given, out io.Writer) error {
	nodes := of.nodes
	if len(nodes) > 0 {
		if err := n.AddAgain(nodes...); err != nil {
			return err
		}
	} else {
		d, err := n.Add()
		if err != nil {
			return err
		}
		nodes = append(nodes, d)
	}
	for _, d := range nodes {
		fmt.Fprintf(out, "node %d at %s starts; it is a member once two intervals have begun\n", d.Number, d.URL)
	}
	return nil
}

func remove(_ context.Context, n *Net, of given, out io.Writer) error {
	said, err := n.Remove(of.nodes...)
	io.WriteString(out, said)
	return err
}

func recoverSubnet(_ context.Context, n *Net, _ given, out io.Writer) error {
	said, err := n.Recover()
	io.WriteString(out, said)
	return err
}

func status(ctx context.Context, n *Net, _ given, out io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintf(t, "node\turl\tprocess\tversion\tcertified\tpeers\trefused\tlog\n")
	for _, d := range n.Nodes {
		runs, since := d.Version()
		if runs = cmp.Or(runs, "dev"); since != "" {
			runs += " since " + since
		}
		if d.PID() == 0 {
			fmt.Fprintf(t, "%d\t%s\t%s\t%s\t\t\t\t%s\n", d.Number, d.URL, d.State(), runs, d.Log)
			continue
		}
		var values [3]string
		for i, m := range []string{"certified_height", "peer_connected", "peer_refused_total"} {
			values[i] = "?"
			if v, err := d.Metric(ctx, m); err == nil {
				values[i] = strconv.FormatUint(v, 10)
			}
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.Number, d.URL, d.State(), runs, values[0], values[1], values[2], d.Log)
	}
	for _, group := range n.apart {
		fmt.Fprintf(t, "apart: %v\n", group)
	}
	return t.Flush()
}

func (n *Net) socket() string { return socketIn(n.Dir) }

func socketIn(dir string) string { return filepath.Join(dir, "control") }

const (
	maxLine = 4096
	patient = 2 * time.Minute // of a command: a restart waits for the end of a process
)

// Listen for commands, as the only one who runs the network in its directory.
func (n *Net) Listen() (net.Listener, error) {
	if c, err := net.Dial("unix", n.socket()); err == nil {
		c.Close()
		return nil, fmt.Errorf("the network in %s runs already, in another terminal", n.Dir)
	}
	os.Remove(n.socket()) // left by one that was killed
	l, err := net.Listen("unix", n.socket())
	if err != nil {
		return nil, fmt.Errorf("listen for commands: %w", err)
	}
	return l, nil
}

// Serve commands until ctx ends.
func (n *Net) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		go n.serve(ctx, c)
	}
}

// serve one command: a line, its output, and a last line "ok" or "error: ...".
func (n *Net) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patient))
	line, err := bufio.NewReader(io.LimitReader(c, maxLine)).ReadString('\n')
	if err != nil {
		return
	}
	if err := n.Do(ctx, strings.Fields(line), c); err != nil {
		fmt.Fprintf(c, "error: %v\n", err)
		return
	}
	fmt.Fprintln(c, "ok")
}

// Do one command.
func (n *Net) Do(ctx context.Context, words []string, out io.Writer) error {
	if len(words) == 0 {
		return errors.New("no command")
	}
	c, ok := commands[words[0]]
	if !ok {
		return fmt.Errorf("there is no command %q:\n%s", words[0], Commands())
	}
	if !c.wants.fits(len(words) - 1) {
		return fmt.Errorf("want one of:\n%s", Commands())
	}
	of := given{}
	for _, w := range words[1:] {
		if c.wants == version {
			of.version = w
			continue
		}
		i, err := strconv.Atoi(w)
		if err != nil {
			return fmt.Errorf("%q is not the number of a node", w)
		}
		d, err := n.Node(i)
		if err != nil {
			return err
		}
		of.nodes = append(of.nodes, d)
	}
	return c.do(ctx, n, of, out)
}

// Tell the network that runs in a directory a command, and print what it says.
func Tell(dir string, words []string, out io.Writer) error {
	c, err := net.Dial("unix", socketIn(dir))
	if err != nil {
		return fmt.Errorf("no network runs in %s\n  start it in another terminal: make testnet N=4", dir)
	}
	defer c.Close()
	if _, err := fmt.Fprintln(c, strings.Join(words, " ")); err != nil {
		return err
	}
	said, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	text, ok := strings.CutSuffix(string(said), "ok\n")
	before, problem, bad := strings.Cut(text, "error: ")
	if _, err := io.WriteString(out, before); err != nil {
		return err
	}
	switch {
	case bad:
		return errors.New(strings.TrimSpace(problem))
	case !ok:
		return errors.New("the network ended before it was done")
	}
	return nil
}

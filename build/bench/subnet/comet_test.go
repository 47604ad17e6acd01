package subnet

import (
	"encoding/gob"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

const root = "../../.."

// order and result are those of build/bench/cometbft, which shares no code with us.
type order struct {
	Rate, InFlight int
	Seconds        float64
}

type result struct {
	Error             string
	Committed, Blocks int
	Seconds           float64
	P50, P99          time.Duration
	CPU, LoaderCPU    time.Duration
	Stages            map[string]time.Duration // of a block, on the mean; ours only
}

// network is one side.
type network interface {
	load(o order) (result, error)
}

// comet is a network of CometBFT, in processes of its own.
type comet struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	enc *gob.Encoder
	dec *gob.Decoder
}

func startComet(b *testing.B, nodes int, dir string) *comet {
	program, err := filepath.Abs(filepath.Join(root, "out", "bench", "cometbft"))
	if err != nil {
		b.Fatal(err)
	}
	build(b, filepath.Join(root, "build", "bench", "cometbft"), program, ".")
	c := &comet{cmd: exec.Command(program, "-nodes", strconv.Itoa(nodes), "-dir", dir, "-signed")}
	c.cmd.Stderr = os.Stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		b.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.in.Close(); c.cmd.Wait() })
	c.enc, c.dec = gob.NewEncoder(c.in), gob.NewDecoder(out)
	return c
}

func (c *comet) load(o order) (r result, err error) {
	if err = c.enc.Encode(&o); err == nil {
		err = c.dec.Decode(&r)
	}
	if err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	return r, err
}

func build(b *testing.B, dir, program, pkg string) {
	cmd := exec.Command("go", "build", "-o", program, pkg)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
}

// Command cometbft is a network of CometBFT v1.0.1 validators with its load
// generator: the peer of the figures of a subnet.
//
//	stdin ── Order ──> load ── transactions ──> N processes, each a validator ── NewBlock ──> latency
//	stdout <── Result: committed, blocks, p50, p99, CPU of all validators               (gob)
//
//	cometbft -nodes 4 -dir DIR [-signed]
//
// It is tuned for short rounds (network.go). The application is a map in the
// validator's own process; with -signed each transaction has an Ed25519
// signature, which every validator checks once.
package main

import (
	"encoding/gob"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"
)

// Order is one measurement.
type Order struct {
	Rate     int // transactions a second; 0: as fast as InFlight lets
	InFlight int // transactions submitted and not committed, at most
	Seconds  float64
}

// Result of it.
type Result struct {
	Error             string
	Committed, Blocks int
	Seconds           float64
	P50, P99          time.Duration // from before the submission to the event of the block
	CPU, LoaderCPU    time.Duration // of all validators; of this process
}

func main() {
	nodes := flag.Int("nodes", 4, "validators")
	dir := flag.String("dir", "", "directory of the validators' homes")
	signed := flag.Bool("signed", false, "transactions carry a signature that the application checks")
	home := flag.String("node", "", "be the validator of this home")
	flag.Parse()
	var err error
	if *home != "" {
		err = validate(*home, *signed)
	} else {
		err = serve(*nodes, *dir, *signed)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cometbft:", err)
		os.Exit(1)
	}
}

func serve(nodes int, dir string, signed bool) error {
	n, err := start(nodes, dir, signed)
	if err != nil {
		return err
	}
	defer n.stop()
	dec, enc := gob.NewDecoder(os.Stdin), gob.NewEncoder(os.Stdout)
	for {
		var o Order
		if err := dec.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		r, err := n.load(o)
		if err != nil {
			r.Error = err.Error()
		}
		if err := enc.Encode(&r); err != nil {
			return err
		}
	}
}

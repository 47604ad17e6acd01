package spectest

import (
	"fmt"
	"strings"

	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
	"ashlar/replica/wire/candid"
)

// This file: what calls of the System API cost in instructions, and what
// canister_status tells of queries.

// instructions: bytes and pages cost what they cost on mainnet, seen by the canister's own counter.
func (n *net) instructions() {
	id := n.scripted(script.Options{})
	wide := n.scripted(script.Options{Wide: true})
	grown := program().Push(4).API("stable64_grow").ReplyInt()
	for _, c := range []struct {
		name string
		run  func(script.Script) ([]byte, error)
	}{{"do", func(s script.Script) ([]byte, error) { return n.do(id, s) }}, {"do wide", func(s script.Script) ([]byte, error) { return n.do(wide, s) }}} {
		if _, err := c.run(grown); err != nil {
			n.Fatal(err)
		}
		first := program() // before the measured part
		cost := func(s script.Script) uint64 {
			n.Helper()
			count := program().Push(0).API("performance_counter")
			got, err := c.run(first.Then(count).Then(s).Then(count).AppendInt().AppendInt().API("msg_reply"))
			if err != nil || len(got) < 16 {
				n.Fatalf("%s: %d bytes, %v", c.name, len(got), err)
			}
			at := len(got) - 16
			return word(got[at:]) - word(got[at+8:])
		}
		perByte := func(name string, want uint64, of func(size uint64) script.Script) {
			n.Helper()
			if got := cost(of(2000)) - cost(of(1000)); got != 1000*want {
				n.Errorf("%s of %s: 1000 bytes cost %d instructions, want %d each", name, c.name, got, want)
			}
		}
		perByte("msg_reply_data_append", 50, func(size uint64) script.Script {
			return program().Push(script.Scratch).Push(size).API("msg_reply_data_append")
		})
		first = program().Begin(script.Outgoing{To: id.Bytes(), Method: "do"})
		perByte("call_data_append", 50, func(size uint64) script.Script {
			return program().Push(script.Scratch).Push(size).API("call_data_append")
		})
		first = program()
		perByte("debug_print", 52, func(size uint64) script.Script {
			return program().Push(script.Scratch).Push(size).API("debug_print")
		})
		write := func(at, size uint64) script.Script {
			return program().Push(at).Push(script.Scratch).Push(size).API("stable64_write")
		}
		perByte("stable64_write", 1, func(size uint64) script.Script { return write(0, size) })
		perByte("stable64_read", 1, func(size uint64) script.Script {
			return program().Push(script.Scratch).Push(0).Push(size).API("stable64_read")
		})
		page := uint64(1000)
		if c.name == "do wide" {
			page = 4000
		}
		if got := cost(write(0, 8).Then(write(4096, 8))) - cost(write(0, 8).Then(write(8, 8))); got != page {
			n.Errorf("%s: a page of stable memory costs %d instructions, want %d", c.name, got, page)
		}
		if got := cost(write(4090, 8)) - cost(write(4000, 8)); got != page {
			n.Errorf("%s: a write across two pages costs %d more, want %d", c.name, got, page)
		}
	}
	// Without a byte it does not matter where.
	got, err := n.do(id, program().Push(1<<60).Push(1<<31).Push(0).API("stable64_write").Push(1<<31).Push(1<<60).Push(0).API("stable64_read").Reply([]byte("fine")))
	n.says("an empty copy beyond all memory", []byte("fine"), got, err)
}

// touching: one message may read or write so many pages of stable memory.
func (n *net) touching() {
	id := n.scripted(script.Options{})
	if _, err := n.do(id, program().Push(3<<14).API("stable64_grow").ReplyInt()); err != nil { // 3 GiB, of which nothing is stored
		n.Fatal(err)
	}
	const at, counter = 0x10, 0x18
	read := func(pages int) script.Script {
		body := program().Push(script.Scratch).Push(at).Load().Push(1).API("stable64_read").Push(at).Push(at).Load().Push(4096).Add().Store()
		return program().Push(at).Push(0).Store().Repeat(pages, counter, body).Then(replied)
	}
	const gib = 1 << 18 // in pages
	_, err := n.ask(id, read(gib))
	n.must("a query of 1 GiB", err)
	_, err = n.ask(id, read(gib+1))
	n.rejected("a query of more", err, ic.CanisterError, "IC0524")
	if err != nil && !strings.Contains(err.Error(), "Canister exceeded memory access limits: Exceeded the limit for the number of accessed pages in the stable memory in a single message execution: limit 2097152 KB for regular messages and 1048576 KB for queries..\nTry optimizing the use of stable memory") {
		n.Error(err)
	}
	_, err = n.do(id, read(gib+1))
	n.must("an update of more", err)
	_, err = n.do(id, read(2*gib+1))
	n.rejected("an update of more than 2 GiB", err, ic.CanisterError, "IC0524")
}

// queryStats: canister_status counts the queries of a canister.
func (n *net) queryStats() {
	id := n.scripted(script.Options{})
	one, err := n.ask(id, program().API("subnet_self_node_count").ReplyInt())
	if err != nil || word(one) != 1 {
		n.Skipf("nodes of a larger subnet join what they counted every ten minutes: %d nodes, %v", word(one), err)
	}
	var stats struct {
		Stats struct {
			Calls        candid.Natural `candid:"num_calls_total"`
			Instructions candid.Natural `candid:"num_instructions_total"`
			Request      candid.Natural `candid:"request_payload_bytes_total"`
			Response     candid.Natural `candid:"response_payload_bytes_total"`
		} `candid:"query_stats"`
	}
	arg := program().Reply([]byte("twelve bytes"))
	for i := range 3 {
		if _, err := n.ask(id, program().Push(uint64(i)).Drop().Then(arg)); err != nil {
			n.Fatal(err)
		}
	}
	_, _ = n.ask(id, program().Trap("ouch"))
	for range 10 { // each makes a block
		if _, err := n.do(id, replied); err != nil {
			n.Fatal(err)
		}
		if err := n.look(id, "canister_status", idArg{id}, &stats); err != nil {
			n.Fatal(err)
		}
		if small(stats.Stats.Calls) == 5 {
			break
		}
	}
	s := stats.Stats
	seen := fmt.Sprintf("%s calls of %s bytes, %s instructions, %s bytes of answers", s.Calls.Int, s.Request.Int, s.Instructions.Int, s.Response.Int)
	if small(s.Calls) != 5 || small(s.Request) < 3*uint64(len(arg)) || small(s.Instructions) == 0 || small(s.Response) <= 8+3*12 { // the rejection's text counts
		n.Errorf("five queries are counted as %s", seen)
	}
}

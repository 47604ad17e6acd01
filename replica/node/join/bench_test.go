package join

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ashlar/replica/crypto/keystore"
	"ashlar/replica/ic"
	"ashlar/replica/p2p"
	"ashlar/replica/state"
	"ashlar/replica/state/merkle"
	"ashlar/replica/state/pages"
	"ashlar/replica/store"
	"ashlar/replica/wire/block"
)

// peer is a node of the subnet as p2p wants it.
type peer struct {
	*Source
	fetch *Fetch
}

func (peer) Hear(context.Context, ic.NodeID, []byte) error { return nil }
func (peer) Offered([][]byte) []error                      { return nil }
func (p peer) Answered(from ic.NodeID, id uint64, data []byte) {
	p.fetch.Answered(from, id, data)
}

// big is a state with so many pages that no two are alike. They lie in page files of a
// store of their own, so that the state may be larger than memory.
func big(b *testing.B, n int) *state.State {
	st, err := store.Open(b.TempDir(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	d := state.New(state.Genesis{Time: 7, Subnet: state.Subnet{ID: ic.SubnetID{Principal: "subnet"}, Type: "application",
		Ranges: []ic.CanisterRange{{First: ic.CanisterIDFromUint64(0), Last: ic.CanisterIDFromUint64(1 << 20)}}}}).Draft()
	d.Head.Height = 10
	rng := rand.NewChaCha8([32]byte{1})
	const each = 1 << 16 // pages of one canister
	for i := 0; i*each < n; i++ {
		list := make([]store.StagedPage, min(each, n-i*each))
		for j := range list {
			p := new([pages.Size]byte)
			rng.Read(p[:])
			list[j] = store.StagedPage{Sum: merkle.SumPage(p), Page: p}
		}
		if err := st.Stage(list); err != nil {
			b.Fatal(err)
		}
		held := make([]pages.Held, len(list))
		for j, p := range list {
			held[j] = pages.Held{Index: uint64(j), Page: p.Page, Owner: p.Owner}
		}
		c := &state.Canister{ID: ic.CanisterIDFromUint64(uint64(i)), Memory: &state.Memory{Stable: pages.New(each*pages.Size, held)}}
		c.StableBytes = each * pages.Size
		d.Put(c)
	}
	return d.Seal()
}

// A node without a state joins a subnet over real connections on loopback, its store
// on a real disk, beside what bounds it: SHA-256 of the same pages on one processor,
// and writing as many bytes to the same disk. All nodes are this process, so what
// memory they take together is that of the joining one and of three that answer it.
func BenchmarkJoin(b *testing.B) {
	for _, mib := range []int{64, 1024, 10240} {
		b.Run(fmt.Sprintf("MiB=%d", mib), func(b *testing.B) {
			need := uint64(mib) << 22 // what is fetched, what comes, and room for both to be merged
			var disk syscall.Statfs_t
			if err := syscall.Statfs(b.TempDir(), &disk); err == nil && disk.Bavail*uint64(disk.Bsize) < need {
				b.Skipf("%d MiB of free disk are needed", need>>20)
			}
			s := big(b, mib<<20/pages.Size)
			var came, took, cpu, memory float64
			for b.Loop() {
				n, d, c, m := joinOnce(b, s)
				came, took, cpu, memory = came+n, took+d.Seconds(), cpu+c.Seconds(), max(memory, m)
			}
			b.ReportMetric(came/took/1e6, "MB/s")
			b.ReportMetric(cpu/came*1e9*1e3, "cpu-ms/GB")
			b.ReportMetric(memory, "memory-MiB")
			b.ReportMetric(shaRate(s), "sha-MB/s")
			b.ReportMetric(diskRate(b, s), "disk-MB/s")
		})
	}
}

func joinOnce(b *testing.B, s *state.State) (fetched float64, took, cpu time.Duration, memory float64) {
	var members []p2p.Peer
	var hosts []*p2p.Host
	sum := &block.Summary{Current: &block.Committee{}}
	for i := range 4 {
		keys := keystore.FromSeed([32]byte{byte(i + 1), 'j'})
		h, err := p2p.New(p2p.Config{Self: keys.NodeID(), Key: keys.NodeKey(), Sign: keys.Vote, Listen: netip.MustParseAddrPort("127.0.0.1:0")})
		if err != nil {
			b.Fatal(err)
		}
		defer h.Close()
		at, err := h.Addr()
		if err != nil {
			b.Fatal(err)
		}
		hosts, members = append(hosts, h), append(members, p2p.Peer{ID: keys.NodeID(), Key: keys.NodeKey(), Addr: at})
		sum.Current.Members = append(sum.Current.Members, block.Member{Node: keys.NodeID(), Key: keys.NodeKey()})
	}
	slices.SortFunc(sum.Current.Members, func(a, b block.Member) int { return bytes.Compare(a.Node.Bytes(), b.Node.Bytes()) })
	st, err := store.Open(b.TempDir(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	var adopted *state.State
	f := New(Config{Self: members[3].ID, Stage: st.Staging(), Ask: hosts[3].Ask, Now: func() ic.Time { return ic.Time(time.Now().UnixNano()) },
		Older: func() *state.State { return nil },
		Adopt: func(got *state.State) error { adopted = got; return st.SaveState(got, nil) },
		Saved: func() ic.Height {
			if adopted == nil {
				return 0
			}
			return adopted.Height()
		},
		Log: func(line string) { b.Log(line) }, Blame: func(p ic.NodeID, why error) { b.Errorf("%s: %v", p, why) }})
	for i, h := range hosts {
		p := peer{Source: NewSource(func(string) {})}
		if p.Keep(s); i == 3 {
			p = peer{Source: NewSource(func(string) {}), fetch: f}
		}
		h.Start(p)
		if err := h.SetMembers(members); err != nil {
			b.Fatal(err)
		}
	}
	for connected := 0; connected < 3; { // who joins is connected before the clock runs
		connected = 0
		for _, c := range hosts[3].Counters() {
			if c.Connected {
				connected++
			}
		}
		time.Sleep(time.Millisecond)
	}
	began, used := time.Now(), cpuTime()
	f.Want(&block.Artifact{Kind: block.CUP, Height: s.Height(), Other: block.Hash(s.Tree().Digest()),
		Block: &block.Block{Height: s.Height(), Sections: []block.Section{{Kind: block.SummarySection, Data: sum.Encode()}}}})
	for adopted == nil {
		if err := f.Turn(); err != nil {
			b.Fatal(err)
		}
		memory = max(memory, anonymous(b))
		if fetched = max(fetched, float64(f.Progress().Fetched)); adopted != nil {
			break
		}
		wait := time.Duration(1<<62 - 1)
		if at := f.WakeAt(); at != 0 {
			wait = max(time.Until(time.Unix(0, int64(at))), 0)
		}
		select {
		case <-f.Kick():
		case <-time.After(wait):
		}
	}
	took, cpu = time.Since(began), cpuTime()-used
	if adopted.Root() != s.Root() {
		b.Fatal("another state came")
	}
	return fetched, took, cpu, memory
}

// anonymous is the memory of the process in MiB that is not a file's.
func anonymous(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	var kib float64
	fmt.Sscanf(rest, "%f kB", &kib)
	return kib / 1024
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func eachPage(s *state.State, yield func(p pages.Page)) (bytes float64) {
	s.Canisters(func(c *state.Canister) bool {
		c.Memory.Stable.Each(func(_ uint64, p pages.Page) bool {
			yield(p)
			bytes += pages.Size
			return true
		})
		return true
	})
	return bytes
}

func shaRate(s *state.State) float64 {
	began := time.Now()
	var all uint64
	n := eachPage(s, func(p pages.Page) {
		sum := merkle.SumPage(p)
		all ^= binary.LittleEndian.Uint64(sum[:])
	})
	if all == 0 {
		return 0
	}
	return n / time.Since(began).Seconds() / 1e6
}

func diskRate(b *testing.B, s *state.State) float64 {
	f, err := os.Create(filepath.Join(b.TempDir(), "all"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 0, 1<<20)
	began := time.Now()
	n := eachPage(s, func(p pages.Page) {
		if buf = append(buf, p[:]...); len(buf) == cap(buf) {
			f.Write(buf)
			buf = buf[:0]
		}
	})
	f.Write(buf)
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return n / time.Since(began).Seconds() / 1e6
}

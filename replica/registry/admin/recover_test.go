package admin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ashlar/replica/ic"
	"ashlar/replica/registry"
	"ashlar/replica/wire/block"
)

func founded(t *testing.T, nodes int) *Network {
	t.Helper()
	f := Founding{Dir: t.TempDir(), HTTP: 80, P2P: 81, Version: "1", Interval: 50}
	for i := range nodes {
		f.At = append(f.At, netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)}))
	}
	n, err := Found(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// beginning is the package of height 0, which nobody signed.
func beginning() []byte {
	return (&block.Artifact{Kind: block.CUP, Block: &block.Block{}}).Encode()
}

func answer(url string, height ic.Height, root byte) Answer {
	return Answer{URL: url, Standing: registry.Standing{Height: height, Root: append([]byte{root}, make([]byte, 31)...), Time: ic.Time(height), Certified: height, Package: beginning()}}
}

// The newest state is chosen, and told how many nodes are left to have one.
func TestChoose(t *testing.T) {
	n := founded(t, 4)
	forgetful := Answer{URL: "d", Standing: registry.Standing{Forgot: 1000, Package: beginning()}}
	c, err := n.Choose([]Answer{answer("a", 7, 1), answer("b", 9, 2), {URL: "c", Err: http.ErrServerClosed}, forgetful})
	if err != nil {
		t.Fatal(err)
	}
	if c.From != "b" || c.Height != 9 || c.Root[0] != 2 || c.Time != 9 || c.Left != 2 || c.Members != 4 || !c.Whole() || c.NotBefore != 1001+clocksDiffer {
		t.Errorf("%+v", c)
	}
	if c, err := n.Choose([]Answer{answer("a", 7, 1)}); err != nil || c.Whole() || c.NotBefore != 0 {
		t.Errorf("one of four: %+v, %v", c, err)
	}
	signed := answer("a", 7, 1)
	signed.Package = (&block.Artifact{Kind: block.CUP, Height: 5, Block: &block.Block{Height: 5}, Signature: make([]byte, 48)}).Encode()
	garbage := answer("a", 7, 1)
	garbage.Package = []byte("garbage")
	for says, list := range map[string][]Answer{
		"different states of height 7": {answer("a", 7, 1), answer("b", 7, 2)},
		"no node has a state":          {forgetful, {URL: "a", Err: http.ErrServerClosed}},
		"is not the subnet's":          {signed},
		"shows no catch-up package":    {garbage},
	} {
		if _, err := n.Choose(list); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// What is signed too early is refused; a recovery that went wrong can be signed again.
func TestSign(t *testing.T) {
	n := founded(t, 4)
	c, err := n.Choose([]Answer{answer("a", 7, 1), answer("b", 7, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c.NotBefore = now() + ic.Time(time.Minute)
	if err := n.Sign(c); err == nil || !strings.Contains(err.Error(), "wait another") {
		t.Errorf("signed too early: %v", err)
	}
	c.NotBefore = 0
	if err := n.Sign(c); err != nil {
		t.Fatal(err)
	}
	v, err := n.View()
	if err != nil {
		t.Fatal(err)
	}
	first := v.CUP.Time
	c.Root[0] = 9
	if err := n.Sign(c); err != nil {
		t.Fatal(err)
	}
	if v, err = n.View(); err != nil || v.Version != 3 || v.CUP.StateHash[0] != 9 || v.CUP.Time <= first {
		t.Errorf("%+v, %v", v.CUP, err)
	}
	if c.Height--; n.Sign(c) == nil {
		t.Error("the registry went back")
	}
}

func TestMoved(t *testing.T) {
	was := []Answer{answer("a", 7, 1), answer("b", 0, 0), answer("c", 5, 0)}
	down := answer("c", 9, 0)
	down.Err = http.ErrServerClosed
	if url, moved := Moved(was, []Answer{answer("a", 7, 1), answer("b", 7, 1), down}); moved {
		t.Errorf("%s moved: to come as far as others is no move, nor what nobody says", url)
	}
	if url, moved := Moved(was, []Answer{answer("a", 8, 1)}); !moved || url != "a" {
		t.Errorf("%s, %v", url, moved)
	}
}

func TestSurvey(t *testing.T) {
	n := founded(t, 1)
	good := answer("", 7, 1).Standing
	short := good
	short.Root = short.Root[:5]
	for says, page := range map[string]any{"": good, "5 bytes": short, "where it is": "nowhere", "418": nil} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if page == nil {
				w.WriteHeader(http.StatusTeapot)
			}
			if r.URL.Path == registry.StandingPath {
				_ = json.NewEncoder(w).Encode(page)
			}
		}))
		got, err := n.Survey(t.Context(), s.URL)
		s.Close()
		if err != nil || len(got) != 1 || (got[0].Err == nil) != (says == "") || got[0].Err != nil && !strings.Contains(got[0].Err.Error(), says) {
			t.Errorf("%q: %+v, %v", says, got, err)
		}
		if says == "" && (got[0].Height != 7 || got[0].Root[0] != 1) {
			t.Errorf("%+v", got[0])
		}
	}
}

package spectest

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"

	"ashlar/replica/agent"
	"ashlar/replica/ic"
	"ashlar/replica/spectest/script"
	"ashlar/replica/wire/candid"
	"ashlar/replica/wire/hashtree"
)

// This file: canister-interface.md, "Canister module format"; index.md, what the
// state tree tells of a canister's age; management-canister.md, ids that are asked for.

// zipped is a module as gzip makes it.
func zipped(module []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(module)
	_ = z.Close()
	return b.Bytes()
}

// withSection is a module with a custom section more.
func withSection(module []byte, title, content string) []byte {
	body := append(name(title), content...)
	return append(append(append(bytes.Clone(module), 0), uleb(len(body))...), body...)
}

// exporting is a module whose functions have these names.
func exporting(names ...string) []byte {
	m := &module{}
	for _, e := range names {
		m.add(e, code(nil).call("msg_reply"))
	}
	return m.bytes()
}

// importing is a module that imports something else in the place of "time".
func importing(other string) []byte {
	from := append(name("ic0"), name("time")...)
	return bytes.Replace(canister(), from, append(name("ic0"), name(other)...), 1)
}

// moduleFormat: what is a canister module, and what is not.
func (n *net) moduleFormat() {
	id := n.create()
	gz := zipped(canister())
	n.must("a zipped module", n.ic.InstallCode(n.ctx, id, agent.Install(), gz, nil))
	n.replies(id, "inc", nil, number(1))
	hash := sha256.Sum256(gz)
	c, err := n.agent.ReadState(n.ctx, id, hashtree.P("canister", string(id.Principal), "module_hash"))
	if err != nil {
		n.Fatal(err)
	}
	if got, _ := c.Tree.Lookup(hashtree.P("canister", string(id.Principal), "module_hash")); !bytes.Equal(got, hash[:]) {
		n.Errorf("the hash is %x, not that of what was uploaded, %x", got, hash)
	}
	if size := small(n.status0(id).Metrics.Code); size != uint64(len(gz)) {
		n.Errorf("wasm_binary_size is %d, %d were uploaded", size, len(gz))
	}
	wide := n.scripted(script.Options{Wide: true})
	got, err := n.do(wide, program().Reply([]byte("64")))
	n.says("a module of 64 bits", []byte("64"), got, err)

	empty := n.create()
	for what, module := range map[string][]byte{
		"nothing":                         nil,
		"text":                            []byte("(module)"),
		"another version of Wasm":         []byte("\x00asm\x02\x00\x00\x00"),
		"half a module":                   canister()[:len(canister())/2],
		"gzip of text":                    zipped([]byte("(module)")),
		"half of a zipped module":         gz[:len(gz)/2],
		"gzip of gzip":                    zipped(gz),
		"an import that there is not":     importing("tide"),
		"an import of another type":       importing("trap"),
		"an update that is a query":       exporting("canister_update a", "canister_query a"),
		"an update that is composite":     exporting("canister_update a", "canister_composite_query a"),
		"an export that nobody knows":     exporting("canister_hatch"),
		"a section both public and not":   withSection(withSection(exporting("canister_update a"), "icp:public a", ""), "icp:private a", ""),
		"a section twice":                 withSection(withSection(exporting("canister_update a"), "icp:public a", ""), "icp:public a", ""),
		"a section of the IC's, unknown":  withSection(exporting("canister_update a"), "icp:secret a", ""),
		"more than a MiB of sections":     withSection(exporting("canister_update a"), "icp:public a", strings.Repeat("x", 1<<20+1)),
		"names longer than 20000 letters": exporting("canister_update " + strings.Repeat("a", 20_001)),
		"more than 1000 methods":          exporting(manyNames(1001)...),
		"more than 16 sections":           manySections(17),
	} {
		err := n.ic.InstallCode(n.ctx, empty, agent.Install(), module, nil)
		n.rejected(what, err, ic.CanisterError, "IC0505")
	}
	if s := n.status0(empty); small(s.Metrics.Code) != 0 {
		n.Errorf("what is no module left %d bytes of one", small(s.Metrics.Code))
	}
	for what, module := range map[string][]byte{
		"sections that are not the IC's":  withSection(withSection(exporting("canister_update a"), "producers", "x"), "producers", "y"),
		"an update and a query":           exporting("canister_update a", "canister_query b", "canister_composite_query c"),
		"an export that is no method":     exporting("canister_update a", "memory_of_a_kind"),
		"a name with spaces and no ascii": exporting("canister_update ein Maß"),
		"the empty name":                  exporting("canister_update "),
		"1000 methods":                    exporting(manyNames(1000)...),
		"16 sections":                     manySections(16 - 2), // two are there
	} {
		if err := n.ic.InstallCode(n.ctx, empty, agent.Reinstall(), module, nil); err != nil {
			n.Errorf("%s: %v", what, err)
		}
	}
}

func manyNames(count int) (names []string) {
	for i := range count {
		names = append(names, "canister_update "+strings.Repeat("x", i/100)+string(rune('a'+i%100)))
	}
	return names
}

func manySections(count int) []byte {
	m := exporting("canister_update a")
	for i := range count {
		m = withSection(m, "icp:public "+string(rune('a'+i)), "")
	}
	return m
}

// ages: when a canister was made, and when it got its code.
func (n *net) ages() {
	began := time.Now()
	id := n.create()
	at := func(field string) (time.Time, hashtree.Status) {
		n.Helper()
		path := hashtree.P("canister", string(id.Principal), field)
		c, err := n.agent.ReadState(n.ctx, id, path)
		if err != nil {
			n.Fatal(err)
		}
		raw, s := c.Tree.Lookup(path)
		v, _ := binary.Uvarint(raw)
		return time.Unix(0, int64(v)), s
	}
	made, s := at("canister_creation_timestamp")
	if s != hashtree.Found || made.Sub(began).Abs() > time.Minute {
		n.Errorf("it was made %v after it was asked for: %v", made.Sub(began), s)
	}
	if _, s := at("last_install_timestamp"); s != hashtree.Absent {
		n.Errorf("a canister without code was installed: %v", s)
	}
	n.must("install", n.ic.InstallCode(n.ctx, id, agent.Install(), canister(), nil))
	first, s := at("last_install_timestamp")
	if s != hashtree.Found || first.Before(made) {
		n.Errorf("installed at %v, made at %v: %v", first, made, s)
	}
	n.replies(id, "inc", nil, number(1))
	if again, _ := at("last_install_timestamp"); !again.Equal(first) {
		n.Errorf("a message changed it from %v to %v", first, again)
	}
	n.must("reinstall", n.ic.InstallCode(n.ctx, id, agent.Reinstall(), canister(), nil))
	second, _ := at("last_install_timestamp")
	if !second.After(first) {
		n.Errorf("installed again at %v, first at %v", second, first)
	}
	if again, _ := at("canister_creation_timestamp"); !again.Equal(made) {
		n.Errorf("it was made at %v, and now at %v", made, again)
	}
}

// specified: a canister of an id that was asked for.
func (n *net) specified() {
	type args struct {
		Amount    *candid.Natural `candid:"amount"`
		Specified *ic.CanisterID  `candid:"specified_id"`
		Settings  *struct{}       `candid:"settings"`
	}
	taken := n.create()
	make := func(id ic.CanisterID) (ic.CanisterID, error) {
		var out idArg
		err := n.manage(id, "provisional_create_canister_with_cycles", args{Specified: &id, Amount: nat(cycles)}, &out)
		return out.Canister, err
	}
	_, err := make(taken)
	n.rejected("an id that is taken", err, ic.SysTransient, "IC0205")
	last, _ := taken.Uint64()
	free := ic.CanisterIDFromUint64(last + 50_000 + uint64(time.Now().UnixNano()%10_000))
	got, err := make(free)
	if err != nil || got != free {
		n.Fatalf("asked for %s, got %s, %v", free, got, err)
	}
	n.must("it is like others", n.ic.InstallCode(n.ctx, got, agent.Install(), canister(), nil))
	n.replies(got, "inc", nil, number(1))
	if next := n.create(); next == free {
		n.Errorf("%s is given twice", free)
	}
}

package evidence

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func recorded(t testing.TB) (*Evidence, []byte) {
	raw, err := os.ReadFile("testdata/ovmf-2022.11/evidence.json")
	if err != nil {
		t.Fatal(err)
	}
	e, err := Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return e, raw
}

func TestRecordedLogReplays(t *testing.T) {
	e, _ := recorded(t)
	log, err := ParseLog(e.EventLog)
	if err != nil {
		t.Fatal(err)
	}
	got := log.Replay()
	for _, i := range []int{0, 1, 2, 3, 4, 5, 6, 7, 9, 11} {
		if got[i] != e.PCRs[i] {
			t.Errorf("PCR %d replays to %s, the TPM had %s", i, got[i], e.PCRs[i])
		}
	}
	v, err := log.Of(PCRKeys)[0].Variable()
	if err != nil || v.Name != "SecureBoot" || !bytes.Equal(v.Data, []byte{1}) {
		t.Errorf("the first event of PCR 7 is %+v, %v", v, err)
	}
	if !bytes.Equal(v.Encode(), log.Of(PCRKeys)[0].Data) {
		t.Error("a variable does not encode to what firmware measured")
	}
}

func TestEveryChangedDigestChangesTheReplay(t *testing.T) {
	e, _ := recorded(t)
	log, err := ParseLog(e.EventLog)
	if err != nil {
		t.Fatal(err)
	}
	for i, ev := range log.Events {
		before := log.Replay()[ev.PCR]
		log.Events[i].Digest[0] ^= 1
		if ev.Type != EventNoAction && log.Replay()[ev.PCR] == before {
			t.Errorf("event %d changed, PCR %d did not", i, ev.PCR)
		}
		log.Events[i].Digest[0] ^= 1
	}
}

func TestStartupLocality(t *testing.T) {
	e, _ := recorded(t)
	zero, _ := ParseLog(e.EventLog)
	three, _ := ParseLog(e.EventLog)
	three.locality = 3
	if zero.Replay()[0] == three.Replay()[0] || zero.Replay()[1] != three.Replay()[1] {
		t.Error("the startup locality is not the start of PCR 0, or of others too")
	}
}

func TestLogRefused(t *testing.T) {
	e, _ := recorded(t)
	log := e.EventLog
	for n := 0; n < len(log); n += 1 + n/20 {
		parsed, err := ParseLog(log[:n])
		if err == nil && parsed.Replay()[5] == e.PCRs[5] {
			t.Errorf("cut at %d of %d, and still whole", n, len(log))
		}
	}
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"old format": {append(make([]byte, 28), 0, 0, 0, 0), "crypto-agile"},
		"too long":   {make([]byte, MaxLogBytes+1), "more than"},
	} {
		if _, err := ParseLog(c.raw); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	_, raw := recorded(t)
	for name, c := range map[string]struct{ from, to, want string }{
		"later format": {`{"version":1`, `{"version":2`, "format 2"},
		"more fields":  {`{"version":1`, `{"mood":"good","version":1`, "unknown field"},
		"no quote":     {`"quote":"`, `"quote":"","x":"`, "unknown field"},
		"PCR 24":       {`"pcrs":{`, `"pcrs":{"24":"` + strings.Repeat("00", 32) + `",`, "no PCR 24"},
		"short digest": {`"pcrs":{`, `"pcrs":{"10":"00",`, "not a SHA-256"},
	} {
		bad := strings.Replace(string(raw), c.from, c.to, 1)
		if _, err := Decode(strings.NewReader(bad)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
	if _, err := Decode(bytes.NewReader(make([]byte, MaxBytes+1))); err == nil {
		t.Error("too long, and accepted")
	}
}

func TestIdentityFile(t *testing.T) {
	e, _ := recorded(t)
	raw, err := EncodeIdentity(e.Identity)
	if err != nil {
		t.Fatal(err)
	}
	id, err := DecodeIdentity(raw)
	if err != nil || !id.Equal(e.Identity) {
		t.Errorf("read back %+v, %v", id, err)
	}
	var f map[string]any
	if err := json.Unmarshal(raw, &f); err != nil {
		t.Fatal(err)
	}
	f["machine"] = strings.Repeat("00", 32)
	bad, _ := json.Marshal(f)
	if _, err := DecodeIdentity(bad); err == nil || !strings.Contains(err.Error(), "enrol the machine again") {
		t.Errorf("a name of another machine: %v", err)
	}
	if _, err := EncodeIdentity(Identity{}); err == nil {
		t.Error("an identity without keys was written")
	}
}

func FuzzParseLog(f *testing.F) {
	e, _ := recorded(f)
	f.Add(e.EventLog)
	f.Add(e.EventLog[:200])
	f.Fuzz(func(t *testing.T, raw []byte) {
		log, err := ParseLog(raw)
		if err != nil {
			return
		}
		log.Replay()
		for _, e := range log.Events {
			e.Variable()
		}
	})
}

func FuzzDecode(f *testing.F) {
	_, raw := recorded(f)
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if e, err := Decode(bytes.NewReader(raw)); err == nil {
			e.PCRList()
		}
		DecodeIdentity(raw)
	})
}

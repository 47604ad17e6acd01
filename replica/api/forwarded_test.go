package api_test

import (
	"bytes"
	"testing"

	"ashlar/replica/api"
	"ashlar/replica/api/apitest"
	"ashlar/replica/ic"
	"ashlar/replica/wire/envelope"
)

// Each call of many has its own verdict, whether what it says was read before or not.
func TestForwarded(t *testing.T) {
	n := apitest.New(true)
	check := api.Forwarded(api.NewKeys(n.RootKey()))
	claim := func(i byte, effective ic.CanisterID, spoil func(raw []byte)) envelope.Claim {
		c := message(n, envelope.Call, "echo", apitest.Canister.Principal, []byte{i})
		raw, _ := seal(t, c, newUser(i%3))
		if spoil != nil {
			spoil(raw)
		}
		e, err := envelope.Parse(raw, envelope.Call)
		if err != nil {
			t.Fatal(err)
		}
		msg := e.Ingress()
		msg.Effective = effective
		out := envelope.Claim{Msg: msg, Raw: raw}
		if i%2 == 0 {
			out.Read = e
		}
		return out
	}
	forge := func(raw []byte) { // the argument, which is signed
		at := bytes.Index(raw, []byte("echo"))
		copy(raw[at:], "ecHo")
	}
	var claims []envelope.Claim
	want := map[int]bool{}
	for i := range byte(70) {
		here, spoil := apitest.Canister, (func([]byte))(nil)
		switch i % 9 {
		case 4:
			spoil = forge
		case 7:
			here = ic.CanisterIDFromUint64(77)
		default:
			want[int(i)] = true
		}
		claims = append(claims, claim(i, here, spoil))
	}
	errs := check(claims, n.Clock)
	if len(errs) != len(claims) {
		t.Fatalf("%d verdicts on %d calls", len(errs), len(claims))
	}
	for i, err := range errs {
		if (err == nil) != want[i] {
			t.Errorf("call %d: %v", i, err)
		}
		if one := check(claims[i:i+1], n.Clock); (one[0] == nil) != want[i] {
			t.Errorf("call %d alone: %v", i, one[0])
		}
	}
	if late := check(claims[:1], n.Clock+3600e9); late[0] == nil {
		t.Error("a call that has expired was accepted")
	}
	if none := check(nil, n.Clock); len(none) != 0 {
		t.Error("verdicts on nothing")
	}
}

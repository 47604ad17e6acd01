package sysapi

import (
	"strconv"
	"unicode/utf8"

	"ashlar/replica/execution/machine"
	"ashlar/replica/ic"
)

// This file: who the canister is, the time, certified data, prices, its
// environment, and the debugging aids.

func selfSize(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = uint64(len(e.Self.Principal))
	return nil
}

func selfCopy(e *Env, c machine.Caller, a []uint64) error {
	return copyOut(c, "canister_self_copy", a, e.Self.Bytes(), "id")
}

func subnetSize(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = uint64(len(e.Subnet.ID.Principal))
	return nil
}

func subnetCopy(e *Env, c machine.Caller, a []uint64) error {
	return copyOut(c, "subnet_self_copy", a, e.Subnet.ID.Bytes(), "id")
}

func nodeCount(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = uint64(e.Subnet.Costs.Nodes)
	return nil
}

func status(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = uint64(e.Run)
	return nil
}

func version(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = e.Version
	return nil
}

func rootKeySize(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = uint64(len(e.Subnet.RootKey))
	return nil
}

func rootKeyCopy(e *Env, c machine.Caller, a []uint64) error {
	return copyOut(c, "root_key_copy", a, e.Subnet.RootKey, "bytes")
}

func certifiedSet(e *Env, c machine.Caller, a []uint64) error {
	if a[1] > maxCertifiedData {
		return userViolation("Try certifying just the hash of your data instead of the full contents.", ic.ErrorDocs+"certified_data_set-payload-too-large",
			"ic0_certified_data_set failed because the passed data must be no larger than 32 bytes. Found %d bytes.", a[1])
	}
	src, err := Slice("", c.Heap(), a[0], a[1])
	if err != nil {
		return outOfBounds("certified_data_set", "src", a[0], a[1], len(c.Heap()))
	}
	e.Certified = append([]byte{}, src...)
	return nil
}

func certificatePresent(e *Env, _ machine.Caller, a []uint64) error {
	flag(a, e.Certificate != nil)
	return nil
}

// outOfBounds is the error of functions that have their own words for it.
func outOfBounds(name, what string, at, size uint64, limit int) error {
	return violation("ic0_%s failed because %s + size is out of bounds. Found %[2]s = %d and size = %d while %[2]s + size must be <= %d", name, what, at, size, limit)
}

func (e *Env) certificate(fn string) ([]byte, error) {
	if e.Certificate == nil {
		return nil, wrongContext("ic0_"+fn, e.Context)
	}
	if !e.ReadCertificate {
		e.ReadCertificate, e.cert = true, e.Certificate()
	}
	return e.cert, nil
}

func certificateSize(e *Env, _ machine.Caller, a []uint64) error {
	cert, err := e.certificate("data_certificate_size")
	a[0] = uint64(len(cert))
	return err
}

func certificateCopy(e *Env, c machine.Caller, a []uint64) error {
	const name = "data_certificate_copy"
	cert, err := e.certificate(name)
	if err != nil {
		return err
	}
	src, err := Slice("", cert, a[1], a[2])
	if err != nil {
		return outOfBounds(name, "offset", a[1], a[2], len(cert))
	}
	dst, err := Slice("", c.Heap(), a[0], a[2])
	if err != nil {
		return outOfBounds(name, "dst", a[0], a[2], len(c.Heap()))
	}
	copy(dst, src)
	return nil
}

func timeNow(e *Env, _ machine.Caller, a []uint64) error {
	e.ReadTime = true
	a[0] = uint64(e.Now)
	return nil
}

// timerSet answers the time it replaces: Timer holds the present one.
func timerSet(e *Env, _ machine.Caller, a []uint64) error {
	next := ic.Time(a[0])
	a[0] = 0
	if e.Timer != nil {
		a[0] = uint64(*e.Timer)
	}
	e.Timer = &next
	return nil
}

func performanceCounter(e *Env, c machine.Caller, a []uint64) error {
	switch a[0] & 0xffffffff {
	case 0:
		a[0] = uint64(c.Used())
	case 1:
		a[0] = uint64(e.Earlier + c.Used())
	default:
		return userViolation("", "", "Error getting performance counter type %d", uint32(a[0]))
	}
	return nil
}

func isController(e *Env, c machine.Caller, a []uint64) error {
	src, err := heapSlice(c, "is_controller", a[0], a[1])
	if err != nil {
		return err
	}
	p, err := ic.PrincipalFromBytes(src)
	if err != nil {
		return errPrincipal
	}
	flag(a, e.Settings.Controls(p))
	return nil
}

func inReplicated(e *Env, _ machine.Caller, a []uint64) error {
	flag(a, e.Replicated)
	return nil
}

func costCall(e *Env, c machine.Caller, a []uint64) error {
	bytes := a[0] + a[1]
	if bytes < a[0] {
		bytes = 1<<64 - 1
	}
	return putCycles(c, "cost_call", a[2], e.Subnet.Costs.CallInAll(bytes, e.Memory64))
}

func costCreate(e *Env, c machine.Caller, a []uint64) error {
	return putCycles(c, "cost_create_canister", a[0], e.Subnet.Costs.Create())
}

func costOutcall(e *Env, c machine.Caller, a []uint64) error {
	return putCycles(c, "cost_http_request", a[2], e.Subnet.Costs.Outcall(a[0], a[1]))
}

// What the cost functions of threshold keys answer.
const (
	badCurve   = 1
	badKeyName = 2 // this network holds no threshold keys, so every name is unknown
)

func costKey(c machine.Caller, name string, a []uint64, curves uint64) error {
	key, err := heapSlice(c, name+" heap", a[0], a[1])
	if err != nil {
		return err
	}
	if !utf8.Valid(key) {
		return violation("Failed to decode key name %s", readable(key))
	}
	if a[2]&0xffffffff >= curves {
		a[0] = badCurve
	} else {
		a[0] = badKeyName
	}
	return nil
}

func costECDSA(_ *Env, c machine.Caller, a []uint64) error {
	return costKey(c, "cost_sign_with_ecdsa", a, 2) // secp256k1, secp256r1
}

func costSchnorr(_ *Env, c machine.Caller, a []uint64) error {
	return costKey(c, "cost_sign_with_schnorr", a, 2) // bip340secp256k1, ed25519
}

func costVetKD(_ *Env, c machine.Caller, a []uint64) error {
	return costKey(c, "cost_vetkd_derive_key", a, 1) // bls12_381_g2
}

func envCount(e *Env, _ machine.Caller, a []uint64) error {
	a[0] = uint64(len(e.Settings.Environment))
	return nil
}

func (e *Env) variable(i uint64) (string, error) {
	if i >= uint64(len(e.Settings.Environment)) {
		return "", &Violation{Text: "Environment variable index " + decimal(i) + " is out of bounds. The number of environment variables is " + decimal(uint64(len(e.Settings.Environment))) + "."}
	}
	return e.Settings.Environment[i].Name, nil
}

func envNameSize(e *Env, _ machine.Caller, a []uint64) error {
	name, err := e.variable(a[0])
	a[0] = uint64(len(name))
	return err
}

func envNameCopy(e *Env, c machine.Caller, a []uint64) error {
	name, err := e.variable(a[0])
	if err != nil {
		return err
	}
	return copyOut(c, "env_var_name_copy", a[1:], []byte(name), "name")
}

// lookup reads a variable's name from the heap and finds its value.
func (e *Env) lookup(c machine.Caller, fn string, at, size uint64) (name, value string, found bool, err error) {
	if size > maxVariableName {
		return "", "", false, userViolation("", "", "ic0.%s: Variable name is too large.", fn)
	}
	part := " heap"
	if fn == "env_var_value_copy" {
		part = " name"
	}
	src, err := heapSlice(c, fn+part, at, size)
	if err != nil {
		return "", "", false, err
	}
	if !utf8.Valid(src) {
		return "", "", false, userViolation("Provide a valid UTF-8 string for the environment variable name.", "", "ic0.%s: Variable name is not a valid UTF-8 string.", fn)
	}
	for _, v := range e.Settings.Environment {
		if v.Name == string(src) {
			return v.Name, v.Value, true, nil
		}
	}
	return string(src), "", false, nil
}

func envExists(e *Env, c machine.Caller, a []uint64) error {
	_, _, found, err := e.lookup(c, "env_var_name_exists", a[0], a[1])
	flag(a, found)
	return err
}

func (e *Env) value(c machine.Caller, fn string, a []uint64) (string, error) {
	name, value, found, err := e.lookup(c, fn, a[0], a[1])
	if err == nil && !found {
		err = &Violation{Text: "Environment variable " + name + " not found."}
	}
	return value, err
}

func envValueSize(e *Env, c machine.Caller, a []uint64) error {
	v, err := e.value(c, "env_var_value_size", a)
	a[0] = uint64(len(v))
	return err
}

func envValueCopy(e *Env, c machine.Caller, a []uint64) error {
	v, err := e.value(c, "env_var_value_copy", a)
	if err != nil {
		return err
	}
	return copyOut(c, "env_var_value_copy", a[2:], []byte(v), "value")
}

// debugPrint never traps, but for the instructions it costs.
func debugPrint(e *Env, c machine.Caller, a []uint64) error {
	if err := c.Charge(e.logPrice(a[1])); err != nil {
		return err
	}
	text := []byte("(debug_print message out of memory bounds)")
	if src, err := Slice("", c.Heap(), a[0], a[1]); err == nil {
		text = append([]byte{}, src[:min(len(src), maxLogRecord)]...)
	}
	if e.Replicated {
		e.log(text)
	}
	return nil
}

// log keeps the newest lines, no more than the canister's log can hold, and the last
// one always; of older ones it counts that they were.
func (e *Env) log(text []byte) {
	size := uint64(len(text)) + logLine
	for len(e.Log) > 0 && e.logBytes+size > e.Settings.LogLimit {
		e.logBytes -= uint64(len(e.Log[0])) + logLine
		e.Log = e.Log[1:]
		e.Unlogged++
	}
	e.Log = append(e.Log, text)
	e.logBytes += size
}

// logPrice is what a record of size bytes costs: room in the log, and the bytes that
// this run sends there, which are no more than the log can hold.
func (e *Env) logPrice(size uint64) machine.Instructions {
	limit := e.Settings.LogLimit
	return perLoggedByte*machine.Instructions(min(size, limit)) + perSentByte*machine.Instructions(min(size, limit-min(limit, e.logBytes)))
}

// logLine is what a line takes at least, in bytes: an empty one must not be free.
const logLine = 20

func trap(e *Env, c machine.Caller, a []uint64) error {
	if err := c.Charge(e.logPrice(a[1])); err != nil {
		return err
	}
	src, err := Slice("", c.Heap(), a[0], min(a[1], maxLogRecord))
	if err != nil {
		return &Trapped{"(trap message out of memory bounds)"}
	}
	return &Trapped{readable(src)}
}

// readable is bytes of a canister as text, whatever they are.
func readable(b []byte) string { return string([]rune(string(b))) }

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

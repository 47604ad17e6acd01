package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"ashlar/attestation/evidence"
	"ashlar/attestation/measure"
	"ashlar/attestation/verify"
	"ashlar/hostos/api"
	"ashlar/image/bundle"
	"ashlar/image/keys"
)

// attest asks for evidence over a fresh nonce and judges it by the bundle.
func attest(ctx context.Context, c *call) error {
	manifest, signer, err := c.readBundle()
	if err != nil {
		return err
	}
	machine, err := c.machine(ctx)
	if err != nil {
		return err
	}
	policy := verify.Policy{Nonce: make([]byte, 32), Machine: machine, Expect: measure.Expect(manifest)}
	rand.Read(policy.Nonce)
	if c.config != "" {
		conf, err := readConfig(c.config)
		if err != nil {
			return err
		}
		d := evidence.Digest(conf.Digest())
		policy.Config = &d
	}
	var raw json.RawMessage
	if err := c.ask(ctx, http.MethodPost, "/v1/attest", api.AttestRequest{Nonce: policy.Nonce}, &raw); err != nil {
		return err
	}
	e, err := evidence.Decode(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	verdict := verify.Verify(e, policy)
	fmt.Fprintf(c.out, "judged by release %s, signed by key %s\n", manifest.Version, signer)
	fmt.Fprint(c.out, verdict)
	return verdict.Err()
}

// machine is the enrolled machine: from its identity file, or enrolled now.
func (c *call) machine(ctx context.Context) (evidence.Identity, error) {
	switch {
	case c.enrol != "" && c.identity != "":
		return evidence.Identity{}, asked{errors.New("--enrol makes an identity file and --identity reads one: give one of them")}
	case c.identity != "":
		raw, err := os.ReadFile(c.identity)
		if err != nil {
			return evidence.Identity{}, fmt.Errorf("the machine's identity: %w\n  make it, standing before the machine, by nodectl attest --enrol FILE", err)
		}
		return evidence.DecodeIdentity(raw)
	case c.enrol != "":
		return c.enrolMachine(ctx)
	}
	return evidence.Identity{}, asked{errors.New("which machine? --identity FILE, or --enrol FILE the first time")}
}

// enrolMachine proves that the machine's keys are in one TPM and keeps them.
func (c *call) enrolMachine(ctx context.Context) (evidence.Identity, error) {
	if _, err := os.Stat(c.enrol); err == nil {
		return evidence.Identity{}, fmt.Errorf("%s is there already: use it with --identity, or choose another name", c.enrol)
	}
	var id evidence.Identity
	if err := c.get(ctx, "/v1/identity", &id); err != nil {
		return id, err
	}
	maker, err := verify.Certificate(id)
	if err != nil {
		return id, err
	}
	challenge, secret, err := verify.Challenge(rand.Reader, id)
	if err != nil {
		return id, err
	}
	var answer evidence.Answer
	if err := c.ask(ctx, http.MethodPost, "/v1/activate", challenge, &answer); err != nil {
		return id, err
	}
	file, err := verify.Enrol(id, secret, answer)
	if err != nil {
		return id, err
	}
	if err := create(c.enrol, file, 0o644); err != nil {
		return id, err
	}
	fmt.Fprintf(c.out, "machine %s enrolled in %s\n", id.Hash(), c.enrol)
	if maker == nil {
		fmt.Fprintln(c.out, "  its TPM carries no maker's certificate: that it is a TPM, and of this machine, is your word")
	} else {
		fmt.Fprintf(c.out, "  its TPM's certificate is issued by %s, number %x: whether you trust that maker is your word\n", maker.Issuer, maker.SerialNumber)
	}
	return id, nil
}

// readBundle checks the signature and every hash of the bundle. It returns the name of the key as well: a key that lay beside the
// bundle is worth what the place is worth that both came from.
func (c *call) readBundle() (bundle.Manifest, string, error) {
	pub, err := c.release()
	if err != nil {
		return bundle.Manifest{}, "", err
	}
	id, err := keys.KeyID(pub)
	if err != nil {
		return bundle.Manifest{}, "", err
	}
	f, err := os.Open(c.bundle)
	if err != nil {
		return bundle.Manifest{}, "", err
	}
	defer f.Close()
	r, err := bundle.Open(f, pub)
	if err == nil {
		err = r.Extract(func(bundle.Payload) (io.Writer, error) { return io.Discard, nil })
	}
	if err != nil {
		return bundle.Manifest{}, "", fmt.Errorf("%s: %w", c.bundle, err)
	}
	return r.Manifest, fmt.Sprintf("%x", id[:8]), nil
}

// releasePub is what the build calls it.
const releasePub = "release.pub"

// release is the key that signs releases: release.pub beside the bundle, if not said otherwise.
func (c *call) release() (*ecdsa.PublicKey, error) {
	path := orElse(c.releaseKey, filepath.Join(filepath.Dir(c.bundle), releasePub))
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the release's public key: %w\n  say where it is: --release-key FILE", err)
	}
	return keys.ParsePublic(raw)
}

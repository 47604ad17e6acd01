package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ashlar/build/images"
	"ashlar/build/progress"
	"ashlar/image/bundle"
)

// summary prints what the node is, each measurement beside what the build predicted, and the verdict.
func (n *node) summary(ctx context.Context) error {
	status, err := n.status(ctx)
	if err != nil {
		return err
	}
	key, err := n.rootKey(ctx)
	if err != nil {
		return err
	}
	m, file, err := n.manifest()
	if err != nil {
		return err
	}
	n.Print.Say("")
	n.Print.Say("  release      Ashlar %s", status.Version)
	n.Print.Say("  replica      %s", n.url())
	n.Print.Say("  node API     %s", n.hostURL)
	n.Print.Say("  root key     %s", key)
	if err := n.pcrs(status, m); err != nil {
		return err
	}
	if err := n.attest(ctx); err != nil {
		return err
	}
	host, guest, err := images.Sizes(file)
	if err != nil {
		return err
	}
	n.Print.Say("  updates      host %s, guest %s, compressed", progress.MB(host), progress.MB(guest))
	n.Print.Say("  host         %.0f MB outside the guest, %.0f processes; guest runs on KVM: %s", status.Memory.HostKiB*1024/1e6, status.Memory.Processes, status.KVM)
	for _, note := range status.Notes {
		n.Print.Say("  note         %s", note)
	}
	n.Print.Say("  power-on     to replica healthy: %s", progress.Seconds(n.healthy))
	n.Print.Say("")
	return nil
}

func (n *node) manifest() (bundle.Manifest, string, error) {
	var m bundle.Manifest
	file := filepath.Join(n.release.Dir, "ashlar-"+n.release.Version+".manifest.json")
	j, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(j, &m)
	}
	return m, file, err
}

// pcrs compares. PCR 4 has one value for each number of boot options that the firmware tried in vain.
func (n *node) pcrs(s Status, m bundle.Manifest) error {
	var wrong []string
	for _, p := range []struct {
		index string
		what  string
		want  []bundle.Digest
	}{
		{"4", "the host's UKI, by the firmware", m.Measurements.Host.PCR4},
		{"7", "Secure Boot's keys", []bundle.Digest{m.Measurements.Host.PCR7}},
		{"11", "kernel, initramfs, command line", []bundle.Digest{m.Measurements.Host.PCR11}},
		{"13", "the guest's UKI, by hostd", []bundle.Digest{m.Measurements.Guest.PCR13}},
	} {
		verdict := "NOT as predicted"
		for _, w := range p.want {
			if w.String() == s.PCRs[p.index] {
				verdict = "= predicted"
			}
		}
		if verdict != "= predicted" {
			wrong = append(wrong, p.index)
		}
		n.Print.Say("  PCR %-2s       %.16s... %s  (%s)", p.index, s.PCRs[p.index], verdict, p.what)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("PCR %s: measured is not predicted", strings.Join(wrong, ", "))
	}
	return nil
}

func nodectl(root string) string { return filepath.Join(root, "out", "bin", "nodectl") }

// attest enrols the node's TPM at the first time and asks it for a quote, with the tool that a node provider uses.
func (n *node) attest(ctx context.Context) error {
	known := filepath.Join(n.Dir, "identity.json")
	which := "--identity"
	if _, err := os.Stat(known); err != nil {
		which = "--enrol"
	}
	out, err := exec.CommandContext(ctx, nodectl(n.Root), "attest", "--url", n.hostURL, "--bundle", n.release.Bundle,
		"--release-key", n.release.ReleaseKey, "--config", filepath.Join(n.Dir, confFile), which, known).CombinedOutput()
	for l := range strings.Lines(strings.TrimSpace(string(out))) {
		n.Print.Say("  attestation  %s", strings.TrimRight(l, "\n"))
	}
	if err != nil {
		return fmt.Errorf("the node is not what the bundle says: nodectl attest: %w", err)
	}
	return nil
}

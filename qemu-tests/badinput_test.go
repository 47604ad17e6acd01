package qemutests

import (
	"strings"
	"testing"
)

// What an owner may have got wrong before the first boot: one clear line on the
// console, and nothing of the disk touched.
func TestABadConfigurationIsExplained(t *testing.T) {
	m := newMachine(t, current(t), "name = test-node\nipv4 = 10.0.2.15/24\nipv4_gateway = 10.0.2.2\nguest_ip = 10.0.2.16/24\n")
	m.on()
	said := m.says(`ashlar host [0-9.]+ config (.*)`)[1]
	for _, want := range []string{"failed", "guest_ip", "line 4"} {
		if !strings.Contains(said, want) {
			t.Errorf("the console says %q, which lacks %q", said, want)
		}
	}
	if m.vm.Console.Says(`ashlar host [0-9.]+ guest started`) {
		t.Error("the guest was started all the same")
	}
}

func TestAMachineWithoutATPMRunsUnattestedAndSaysSo(t *testing.T) {
	b := current(t)
	m := newMachine(t, b, nodeConf)
	m.noTPM = true
	m.on()
	m.says(`ashlar host [0-9.]+ tpm this node runs unattested: .*`)
	m.says(`ashlar host [0-9.]+ ready`)
	said, err := m.nodectl("attest", "--url", m.hostURL, "--bundle", b.bundle(), "--release-key", b.file("release.pub"), "--enrol", m.path("identity"))
	if err == nil || !strings.Contains(said, "unattested") {
		t.Errorf("nodectl attest: %v\n%s", err, said)
	}
	m.clients(false)
}

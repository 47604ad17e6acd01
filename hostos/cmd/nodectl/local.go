package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"ashlar/hostos/config"
)

// configCommand needs no node.
func configCommand(_ context.Context, c *call) error {
	usage := asked{errors.New("say what to do\n  usage: nodectl config check FILE | explain FILE | keys")}
	if len(c.args) == 1 && c.args[0] == "keys" {
		fmt.Fprint(c.out, config.Keys())
		return nil
	}
	if len(c.args) != 2 || c.args[0] != "check" && c.args[0] != "explain" {
		return usage
	}
	conf, err := readConfig(c.args[1])
	if err != nil {
		return err
	}
	if c.args[0] == "explain" {
		fmt.Fprint(c.out, conf.Explain())
		return nil
	}
	fmt.Fprintf(c.out, "%s is right: node %s\n", c.args[1], conf.Name)
	return nil
}

func readConfig(path string) (*config.Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	conf, err := config.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be used\n%w\n  all settings: nodectl config keys", path, err)
	}
	return conf, nil
}

// keygen makes a key and prints the line for node.conf.
func keygen(_ context.Context, c *call) error {
	if len(c.args) != 1 {
		return asked{errors.New("say where to write the key\n  usage: nodectl keygen FILE")}
	}
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	err = create(c.args[0], pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and a key that is lost is lost: choose another name", c.args[0])
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "the key is in %s: keep it. This line goes into node.conf:\nadmin_key = %s\n", c.args[0], config.FormatAdminKey(pub))
	return nil
}

// create writes a file that must not be there yet: whole and synced, or not at all.
func create(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(path)
	}
	return err
}

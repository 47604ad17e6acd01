package node

import (
	"fmt"
	"io"

	"ashlar/replica/consensus"
	"ashlar/replica/crypto/keystore"
)

// FileKeys are a node's secrets in a directory.
type FileKeys struct {
	*keystore.Keys
	Dir    string
	Random io.Reader
}

// Share signs with the share of a key; nil where there is none.
func (k FileKeys) Share(key [32]byte, message []byte) []byte {
	sig, err := k.Keys.SignWith(key, message)
	if err != nil {
		return nil
	}
	return sig
}

// Deal makes this node's dealing.
func (k FileKeys) Deal(s consensus.Session, dealer int, previous [32]byte) ([]byte, error) {
	return k.Keys.Deal(k.Random, s, dealer, previous)
}

// MarkUsed notes in the directory that the node signs from now on.
func (k FileKeys) MarkUsed() error { return k.Keys.MarkUsed(k.Dir) }

// Used tells whether it may have signed before.
func (k FileKeys) Used() bool { return k.Keys.Used(k.Dir) }

// Keep has the shares of these keys in the directory, and no others.
func (k FileKeys) Keep(keys []consensus.Key) (lost error, err error) {
	var list []keystore.Transcript
	for _, key := range keys {
		list = append(list, key)
	}
	bad, err := k.Keys.Keep(k.Dir, k.Random, list)
	for i, e := range bad {
		return fmt.Errorf("this node has no share of key %x, and signs nothing with it: %w", keys[i].Hash(), e), err
	}
	return nil, err
}

var _ Keys = FileKeys{}

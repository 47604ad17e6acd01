package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"

	"github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/crypto/ed25519"
)

// store is the application: it keeps each transaction's payload under its first
// eight bytes. Its hash is that of how many it has, as the work of a Merkle tree
// is not what is compared.
type store struct {
	types.BaseApplication
	signed bool

	mu     sync.Mutex
	seen   map[[32]byte]bool // checked and not yet committed
	values map[uint64][]byte
	height int64
}

const signatureBytes = ed25519.PubKeySize + ed25519.SignatureSize

func newStore(signed bool) *store {
	return &store{signed: signed, seen: map[[32]byte]bool{}, values: map[uint64][]byte{}}
}

// check a transaction, once.
func (s *store) check(tx []byte) bool {
	if !s.signed {
		return len(tx) >= 8
	}
	id := sha256.Sum256(tx)
	s.mu.Lock()
	known := s.seen[id]
	s.mu.Unlock()
	if known {
		return true
	}
	if len(tx) < signatureBytes+8 || !ed25519.PubKey(tx[:ed25519.PubKeySize]).VerifySignature(tx[signatureBytes:], tx[ed25519.PubKeySize:signatureBytes]) {
		return false
	}
	s.mu.Lock()
	s.seen[id] = true
	s.mu.Unlock()
	return true
}

func (s *store) Info(context.Context, *types.InfoRequest) (*types.InfoResponse, error) {
	return &types.InfoResponse{LastBlockHeight: s.height, LastBlockAppHash: s.hash()}, nil
}

func (s *store) CheckTx(_ context.Context, r *types.CheckTxRequest) (*types.CheckTxResponse, error) {
	if !s.check(r.Tx) {
		return &types.CheckTxResponse{Code: 1}, nil
	}
	return &types.CheckTxResponse{}, nil
}

func (s *store) ProcessProposal(_ context.Context, r *types.ProcessProposalRequest) (*types.ProcessProposalResponse, error) {
	for _, tx := range r.Txs {
		if !s.check(tx) {
			return &types.ProcessProposalResponse{Status: types.PROCESS_PROPOSAL_STATUS_REJECT}, nil
		}
	}
	return &types.ProcessProposalResponse{Status: types.PROCESS_PROPOSAL_STATUS_ACCEPT}, nil
}

func (s *store) FinalizeBlock(_ context.Context, r *types.FinalizeBlockRequest) (*types.FinalizeBlockResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	results := make([]*types.ExecTxResult, len(r.Txs))
	for i, tx := range r.Txs {
		results[i] = &types.ExecTxResult{}
		if s.signed {
			delete(s.seen, sha256.Sum256(tx))
			tx = tx[signatureBytes:]
		}
		s.values[binary.BigEndian.Uint64(tx)] = tx[8:]
	}
	s.height = r.Height
	return &types.FinalizeBlockResponse{TxResults: results, AppHash: s.hash()}, nil
}

func (s *store) hash() []byte {
	h := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(len(s.values))))
	return h[:]
}

package store

import (
	"github.com/cockroachdb/pebble/v2"

	"ashlar/replica/state/merkle"
	"ashlar/replica/state/pages"
)

// This file: pages that no saved state names yet. Who fetches a state from peers
// stages what it has checked, makes memories of it (pages.New) and saves the state
// when it has all. After a crash Staged finds what there was.

// StagedPage is a page with its sum; Owner is the file where it lies, to be
// handed on to pages.New.
type StagedPage struct {
	Sum   merkle.Sum
	Page  pages.Page
	Owner pages.Owner
}

// Stage makes pages durable and puts them where they lie now into list. The
// caller has checked the sums.
func (s *Store) Stage(list []StagedPage) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	err := s.space(len(list) * pages.Size)
	if err == nil {
		err = s.stage(list)
	}
	if err != nil {
		s.fail(err)
	}
	return s.Err()
}

func (s *Store) stage(list []StagedPage) error {
	w := &fileWriter{s: s, staged: true}
	at := make([]place, len(list))
	for i := range list {
		if err := w.put(list[i].Page, list[i].Sum, &at[i]); err != nil {
			return err
		}
	}
	if err := w.end(); err != nil {
		return err
	}
	if err := s.commitFiles(); err != nil {
		return err
	}
	for i := range list {
		list[i].Page, list[i].Owner = at[i].file.page(at[i].at), at[i].file
	}
	return nil
}

// commitFiles makes the list of files durable.
func (s *Store) commitFiles() error {
	b := s.db.NewBatch()
	defer s.release(b)
	if err := s.files.write(b); err != nil {
		return err
	}
	if err := s.apply(b, pebble.Sync); err != nil {
		return err
	}
	s.files.drop()
	return nil
}

// Staged yields what was staged, until it says false: pages whose sum is that of
// their content. A damaged one is not there.
func (s *Store) Staged(yield func(StagedPage) bool) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	for _, number := range s.files.staged() {
		f, err := s.file(number)
		if err != nil {
			return err
		}
		for i := range uint32(f.pages) {
			p := f.page(i)
			if f.intact(p) && !yield(StagedPage{f.sum(i), p, f}) {
				return nil
			}
		}
	}
	return nil
}

// Unstage forgets what was staged and is in no saved state.
func (s *Store) Unstage() error {
	s.saving.Lock()
	defer s.saving.Unlock()
	numbers := s.files.staged()
	if len(numbers) == 0 {
		return s.Err()
	}
	for _, number := range numbers {
		u := s.files.list[number]
		u.staged, u.dirty = false, true
	}
	err := s.commitFiles()
	if err == nil {
		err = s.deleteGone()
	}
	if err != nil {
		s.fail(err)
	}
	return s.Err()
}

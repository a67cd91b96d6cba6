package ratelimited

import (
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/estimate"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/statefile"
)

const (
	// The state is saved at most once per saveInterval, and only if it has changed.
	saveInterval = time.Second

	// saveMargin is the time until the next save, with a reserve. A saved state counts the usage that is possible in
	// this time as used.
	saveMargin = saveInterval + 250*time.Millisecond
)

// A stateSaver saves the used and learned values of a client to a file, for the next process: see
// [Config.StateFile]. It is safe for concurrent use. A nil stateSaver does nothing.
type stateSaver struct {
	host   string
	limits *limiter.Group
	memory memory
	logger *slog.Logger

	writing     sync.Mutex // held while the file is read or written
	file        *statefile.File
	writeFailed bool // the latest write failed

	mu     sync.Mutex
	timer  *time.Timer // of the next save; nil without one
	latest time.Time   // the latest save
	closed bool
}

// savedState is the content of the file.
type savedState struct {
	Host   string                     `json:"host"`   // scheme and authority of the API
	Limits json.RawMessage            `json:"limits"` // of [limiter.Group.Save]
	Models map[string]*estimate.Model `json:"models"` // statistics about the models' calls
}

// openStateSaver opens the file and restores limits and memory from it.
func openStateSaver(path, host string, limits *limiter.Group, memory memory, logger *slog.Logger) (*stateSaver, error) {
	if path == "" {
		return nil, nil
	}
	file, err := statefile.Open(path)
	if err != nil {
		rule := "must be a writable file: " + oneLine(err.Error())
		if errors.Is(err, statefile.ErrLocked) {
			rule = "must not be in use by another client: use one file per process, or share limits with limiter/redislimiter"
		}
		return nil, &ConfigError{Field: "StateFile", Value: path, Rule: rule, Err: err}
	}
	s := &stateSaver{host: host, limits: limits, memory: memory, logger: logger, file: file}
	if err := s.load(); err != nil {
		s.warn("the state file is ignored", errors.Join(err, file.SetAside())) // it may be another program's file
	}
	return s, nil
}

// load reads the file.
func (s *stateSaver) load() error {
	var state savedState
	switch found, err := s.file.Read(&state); {
	case err != nil || !found:
		return err
	case state.Host != s.host:
		return errors.New("it belongs to another server: " + oneLine(state.Host))
	}
	if err := s.limits.Restore(state.Limits); err != nil {
		return err
	}
	for name, model := range state.Models {
		if model != nil {
			s.memory.models.update(name, func(known **estimate.Model) { *known = model })
		}
	}
	return nil
}

// scheduleSave saves the file soon, because the state has changed.
func (s *stateSaver) scheduleSave() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.timer == nil {
		s.timer = time.AfterFunc(max(0, time.Until(s.latest.Add(saveInterval))), s.save)
	}
}

// save writes the file, unless it is closed.
func (s *stateSaver) save() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	closed := s.closed
	s.timer, s.latest = nil, time.Now()
	s.mu.Unlock()
	if !closed {
		s.write(saveMargin)
	}
}

// write writes the file for a client that may be used for the given time afterwards. It requires that s.writing
// is held.
func (s *stateSaver) write(ahead time.Duration) {
	limits, err := s.limits.Save(ahead)
	if err == nil {
		err = s.file.Write(savedState{Host: s.host, Limits: limits, Models: s.memory.models.all()})
	}
	if err != nil && !s.writeFailed {
		s.warn("the state file cannot be written", err)
	}
	s.writeFailed = err != nil
}

// close writes the file for the last time and unlocks it. After it returns, the file is unlocked in any case.
func (s *stateSaver) close() {
	if s == nil {
		return
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	if closed {
		return
	}
	s.write(0)
	if err := s.file.Close(); err != nil {
		s.warn("the state file cannot be unlocked", err)
	}
}

// warn logs a warning. It runs in a timer's goroutine too, where a panic of the logger would end the program.
func (s *stateSaver) warn(message string, err error) {
	defer func() { _ = recover() }()
	if s.logger != nil {
		s.logger.Warn("mistral: "+message, "error", oneLine(err.Error()))
	}
}

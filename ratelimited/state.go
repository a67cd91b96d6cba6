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
	// The state is written saveInterval after the latest time if anything has changed since then.
	saveInterval = time.Second

	// saveAhead is for how long a saved state provides: until it is written again.
	saveMargin = saveInterval + 250*time.Millisecond
)

// A keeper keeps what a client has used and learned in a file, for the next process: see
// [Config.StateFile]. It is safe for concurrent use. A nil keeper keeps nothing.
type stateSaver struct {
	host   string
	limits *limiter.Group
	memory memory
	logger *slog.Logger

	writing     sync.Mutex // held while the file is used
	file        *statefile.File
	writeFailed bool // to write the latest time

	mu     sync.Mutex
	timer  *time.Timer // of the next writing; nil: nothing is to be written
	latest time.Time   // when it was written
	closed bool
}

// savedState is the content of the file.
type savedState struct {
	Host   string                     `json:"host"`   // scheme and authority of the API
	Limits json.RawMessage            `json:"limits"` // of [limiter.Group.Save]
	Models map[string]*estimate.Model `json:"models"` // what is known of the models' calls
}

// openState opens the file, and has the limits and the memory go on from what is in it.
func openStateSaver(path, host string, limits *limiter.Group, memory memory, logger *slog.Logger) (*stateSaver, error) {
	if path == "" {
		return nil, nil
	}
	file, err := statefile.Open(path)
	if err != nil {
		rule := "must be a file that can be written: " + oneLine(err.Error())
		if errors.Is(err, statefile.ErrLocked) {
			rule = "must not be in use by another client: give each process a file of its own, or share limits by limiter/redislimiter"
		}
		return nil, &ConfigError{Field: "StateFile", Value: path, Rule: rule, Err: err}
	}
	k := &stateSaver{host: host, limits: limits, memory: memory, logger: logger, file: file}
	if err := k.load(); err != nil {
		k.warn("the state file is ignored", errors.Join(err, file.SetAside())) // the file may be something else
	}
	return k, nil
}

// load reads the file.
func (k *stateSaver) load() error {
	var s savedState
	switch found, err := k.file.Read(&s); {
	case err != nil || !found:
		return err
	case s.Host != k.host:
		return errors.New("it is of another server: " + oneLine(s.Host))
	}
	if err := k.limits.Restore(s.Limits); err != nil {
		return err
	}
	for name, model := range s.Models {
		if model != nil {
			k.memory.models.update(name, func(known **estimate.Model) { *known = model })
		}
	}
	return nil
}

// touch has the file written soon, because something has changed.
func (k *stateSaver) scheduleSave() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed && k.timer == nil {
		k.timer = time.AfterFunc(max(0, time.Until(k.latest.Add(saveInterval))), k.save)
	}
}

// save writes the file.
func (k *stateSaver) save() {
	k.writing.Lock()
	defer k.writing.Unlock()
	k.mu.Lock()
	closed := k.closed
	k.timer, k.latest = nil, time.Now()
	k.mu.Unlock()
	if !closed {
		k.write(saveMargin)
	}
}

// write writes the file, for a client that may be used for the given time. It requires that k.writing is held.
func (k *stateSaver) write(ahead time.Duration) {
	limits, err := k.limits.Save(ahead)
	if err == nil {
		err = k.file.Write(savedState{Host: k.host, Limits: limits, Models: k.memory.models.all()})
	}
	if err != nil && !k.writeFailed {
		k.warn("the state file cannot be written", err)
	}
	k.writeFailed = err != nil
}

// close writes the file for the last time and unlocks it. When it returns, the file is unlocked, whoever has done that.
func (k *stateSaver) close() {
	if k == nil {
		return
	}
	k.writing.Lock()
	defer k.writing.Unlock()
	k.mu.Lock()
	closed := k.closed
	k.closed = true
	if k.timer != nil {
		k.timer.Stop()
	}
	k.mu.Unlock()
	if closed {
		return
	}
	k.write(0)
	if err := k.file.Close(); err != nil {
		k.warn("the state file cannot be unlocked", err)
	}
}

func (k *stateSaver) warn(message string, err error) {
	defer func() { _ = recover() }() // of the logger: in the goroutine of a timer, nobody else could
	if k.logger != nil {
		k.logger.Warn("mistral: "+message, "error", oneLine(err.Error()))
	}
}

package state

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// agent is an agent with its versions. They are numbered from 0, as the service does, and the
// oldest is dropped first, so that the numbers are consecutive. The values in a version are
// never modified.
type agent struct {
	id       string
	versions []generated.Agent // oldest first
	numbers  []int             // theirs, as each of them shows them
	sizes    []int             // of the requests that made them, in bytes
	bytes    int               // the sum of these
	current  int
	aliases  map[string]generated.AgentAliasResponse
}

func (a *agent) size() int {
	const added = 256 // of times and the map
	size := a.bytes
	for name := range a.aliases {
		size += added + len(name)
	}
	return size
}

// add makes a version, which a request of so many bytes has, the newest and the current
// one. The oldest give way where they are too many or too large.
func (a *agent) add(version generated.Agent, bytes int) {
	if n := len(a.numbers); n > 0 {
		version.Version = a.numbers[n-1] + 1
	}
	a.versions, a.numbers = append(a.versions, version), append(a.numbers, version.Version)
	a.sizes = append(a.sizes, bytes)
	a.bytes += bytes
	a.current = version.Version
	for len(a.versions) > MaxVersions || len(a.versions) > 1 && a.bytes > MaxKeptBytes {
		a.dropOldest()
	}
}

func (a *agent) dropOldest() {
	oldest := a.numbers[0]
	a.versions[0] = generated.Agent{} // What is below the slice stays in memory for a while.
	a.bytes -= a.sizes[0]
	a.versions, a.numbers, a.sizes = a.versions[1:], a.numbers[1:], a.sizes[1:]
	maps.DeleteFunc(a.aliases, func(_ string, alias generated.AgentAliasResponse) bool { return alias.Version == oldest })
}

// version returns a version by its number; nil for none.
func (a *agent) version(number int) *generated.Agent {
	if i, ok := slices.BinarySearch(a.numbers, number); ok {
		return &a.versions[i]
	}
	return nil
}

// view returns a version as the service shows it.
func (a *agent) view(number int) generated.Agent {
	view := *a.version(number)
	view.Versions = slices.Clip(a.numbers) // They are only ever appended to.
	return view
}

// find returns the number of a version by a number or an alias; that of the current
// one by "".
func (a *agent) find(ref string) (int, bool) {
	if ref == "" {
		return a.current, true
	}
	if alias, ok := a.aliases[ref]; ok {
		return alias.Version, true
	}
	number, err := strconv.Atoi(ref)
	return number, err == nil && a.version(number) != nil
}

// SwitchVersion makes a version of an agent the current one.
func (s *Store) SwitchVersion(id string, number int) (generated.Agent, *wire.Failure) {
	return withAgent(s, id, func(a *agent) (generated.Agent, *wire.Failure) {
		version := a.version(number)
		if version == nil {
			return generated.Agent{}, wire.ErrNoVersion
		}
		version.UpdatedAt = wire.Now()
		a.current = number
		return a.view(number), nil
	})
}

// Versions returns one page of the versions of an agent, newest first.
func (s *Store) Versions(id string, page Page) ([]generated.Agent, *wire.Failure) {
	return withAgent(s, id, func(a *agent) ([]generated.Agent, *wire.Failure) {
		newest := slices.Clone(a.numbers)
		slices.Reverse(newest)
		list := paged(slices.Values(newest), page, func(int) bool { return true })
		views := make([]generated.Agent, len(list))
		for i, number := range list {
			views[i] = a.view(number)
		}
		return views, nil
	})
}

// SetAlias makes an alias of a version, or moves it there.
func (s *Store) SetAlias(id, name string, number int) (generated.AgentAliasResponse, *wire.Failure) {
	return withAgent(s, id, func(a *agent) (alias generated.AgentAliasResponse, refused *wire.Failure) {
		now := wire.Now()
		alias, ok := a.aliases[name]
		switch {
		case a.version(number) == nil:
			return alias, wire.ErrNoVersion
		case !ok && len(a.aliases) >= MaxVersions:
			return alias, wire.ValueError("agent has too many aliases", "query", "alias")
		case !ok:
			alias = generated.AgentAliasResponse{Alias: name, CreatedAt: now}
		}
		alias.Version, alias.UpdatedAt = number, now
		a.aliases[name] = alias
		s.agents.update(a.id)
		return alias, nil
	})
}

// Aliases returns the aliases of an agent in alphabetical order.
func (s *Store) Aliases(id string) ([]generated.AgentAliasResponse, *wire.Failure) {
	return withAgent(s, id, func(a *agent) ([]generated.AgentAliasResponse, *wire.Failure) {
		return append([]generated.AgentAliasResponse{}, slices.SortedFunc(maps.Values(a.aliases),
			func(a, b generated.AgentAliasResponse) int { return cmp.Compare(a.Alias, b.Alias) })...), nil
	})
}

// DeleteAlias forgets an alias.
func (s *Store) DeleteAlias(id, name string) *wire.Failure {
	_, missing := withAgent(s, id, func(a *agent) (any, *wire.Failure) {
		if _, ok := a.aliases[name]; !ok {
			return nil, wire.ErrNoAlias
		}
		delete(a.aliases, name)
		s.agents.update(a.id)
		return nil, nil
	})
	return missing
}

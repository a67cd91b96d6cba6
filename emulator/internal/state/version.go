package state

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// agent is an agent with its versions. Their numbers start at 0, as in the real API. The
// numbers are consecutive, because the oldest version is dropped first. The values in a
// version are never modified.
type agent struct {
	id       string
	versions []generated.Agent // oldest first
	numbers  []int             // the numbers of versions, in the same order
	sizes    []int             // the sizes of the requests of versions, in bytes
	bytes    int               // the sum of sizes
	current  int               // the number of the current version
	aliases  map[string]generated.AgentAliasResponse
}

func (a *agent) size() int {
	const added = 256 // bytes for the times and the map entry
	size := a.bytes
	for name := range a.aliases {
		size += added + len(name)
	}
	return size
}

// add adds a version and makes it current; bytes is the size of its request. It drops the
// oldest versions if there are too many or they are too large.
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
	a.versions[0] = generated.Agent{} // Releases the version, because the array stays in memory.
	a.bytes -= a.sizes[0]
	a.versions, a.numbers, a.sizes = a.versions[1:], a.numbers[1:], a.sizes[1:]
	maps.DeleteFunc(a.aliases, func(_ string, alias generated.AgentAliasResponse) bool { return alias.Version == oldest })
}

// version returns the version with a number, or nil.
func (a *agent) version(number int) *generated.Agent {
	if i, ok := slices.BinarySearch(a.numbers, number); ok {
		return &a.versions[i]
	}
	return nil
}

// view returns the version with a number as in a response.
func (a *agent) view(number int) generated.Agent {
	view := *a.version(number)
	view.Versions = slices.Clip(a.numbers) // Sharing is safe, because numbers are only appended.
	return view
}

// find returns the number of the version with a number or an alias. "" refers to the current
// version.
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

// SwitchVersion makes a version of an agent current.
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

// SetAlias creates an alias of a version, or moves an alias to it.
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

// DeleteAlias deletes an alias of an agent.
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

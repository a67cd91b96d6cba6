package emulator

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// agent is an agent with its versions. Versions are numbered from 0, as the service
// does, and the oldest is dropped first, so that their numbers are in a row; what is in
// a version is never modified.
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

// agentVersion returns a version of an agent.
func (e *Emulator) agentVersion(id, ref string) (generated.Agent, *failure) {
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	a, ok := e.store.agents.get(id)
	if !ok {
		return generated.Agent{}, errNoAgent
	}
	number, ok := a.find(ref)
	if !ok {
		return generated.Agent{}, errNoVersion
	}
	return a.view(number), nil
}

// change admits a call about an agent and answers with what do returns, which has the
// store to itself; nil is an empty 204.
func (e *Emulator) change(r *http.Request, id string, do func(*agent) (any, *failure)) {
	e.store.mu.Lock()
	_, ok := e.store.agents.get(id)
	e.store.mu.Unlock()
	x, ok := e.found(r, ok, errNoAgent)
	if !ok {
		return
	}
	body, refused := func() (any, *failure) {
		e.store.mu.Lock()
		defer e.store.mu.Unlock()
		a, ok := e.store.agents.get(id)
		if !ok { // It was deleted meanwhile.
			return nil, errNoAgent
		}
		return do(a)
	}()
	switch {
	case refused != nil:
		refused.write(e, x)
	case body == nil:
		e.noContent(x)
	default:
		e.ok(x, body)
	}
}

// UpdateAgentVersion switches an agent to one of its versions.
func (e api) UpdateAgentVersion(_ http.ResponseWriter, r *http.Request, id string, params generated.UpdateAgentVersionParams) {
	e.change(r, id, func(a *agent) (any, *failure) {
		version := a.version(params.Version)
		if version == nil {
			return nil, errNoVersion
		}
		version.UpdatedAt = timestamp()
		a.current = params.Version
		return a.view(a.current), nil
	})
}

// ListAgentVersions returns one page of versions, newest first.
func (e api) ListAgentVersions(_ http.ResponseWriter, r *http.Request, id string, params generated.ListAgentVersionsParams) {
	number, size, refused := paging(params.Page, params.PageSize, 20)
	if refused != nil {
		refused.write(e.Emulator, exchangeOf(r))
		return
	}
	e.change(r, id, func(a *agent) (any, *failure) {
		newest := func(yield func(int) bool) {
			for _, number := range slices.Backward(a.numbers) {
				if !yield(number) {
					return
				}
			}
		}
		list := page(newest, number, size, func(int) bool { return true })
		views := make([]generated.Agent, len(list))
		for i, number := range list {
			views[i] = a.view(number)
		}
		return views, nil
	})
}

// CreateAgentVersionAlias makes an alias of a version, or moves it there.
func (e api) CreateAgentVersionAlias(_ http.ResponseWriter, r *http.Request, id string, params generated.CreateAgentVersionAliasParams) {
	e.change(r, id, func(a *agent) (any, *failure) {
		if a.version(params.Version) == nil {
			return nil, errNoVersion
		}
		now := timestamp()
		alias, ok := a.aliases[params.Alias]
		if !ok && len(a.aliases) >= MaxVersions {
			return nil, valueError("agent has too many aliases", "query", "alias")
		}
		if !ok {
			alias = generated.AgentAliasResponse{Alias: params.Alias, CreatedAt: now}
		}
		alias.Version, alias.UpdatedAt = params.Version, now
		a.aliases[params.Alias] = alias
		e.store.agents.weigh(a.id)
		return alias, nil
	})
}

// ListAgentVersionAliases returns the aliases of an agent in alphabetical order.
func (e api) ListAgentVersionAliases(_ http.ResponseWriter, r *http.Request, id string) {
	e.change(r, id, func(a *agent) (any, *failure) {
		byName := func(a, b generated.AgentAliasResponse) int { return cmp.Compare(a.Alias, b.Alias) }
		return append([]generated.AgentAliasResponse{}, slices.SortedFunc(maps.Values(a.aliases), byName)...), nil
	})
}

// DeleteAgentVersionAlias forgets an alias.
func (e api) DeleteAgentVersionAlias(_ http.ResponseWriter, r *http.Request, id string, params generated.DeleteAgentVersionAliasParams) {
	e.change(r, id, func(a *agent) (any, *failure) {
		if _, ok := a.aliases[params.Alias]; !ok {
			return nil, errNoAlias
		}
		delete(a.aliases, params.Alias)
		e.store.agents.weigh(a.id)
		return nil, nil
	})
}

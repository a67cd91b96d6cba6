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
// does; what is in a version is never modified.
type agent struct {
	id       string
	versions map[int]generated.Agent
	current  int
	next     int
	aliases  map[string]generated.AgentAliasResponse
}

// add makes a version the newest and the current one.
func (a *agent) add(version generated.Agent) {
	if a.versions == nil {
		a.versions = map[int]generated.Agent{}
	}
	version.Version = a.next
	a.versions[a.next] = version
	a.current = a.next
	a.next++
	if len(a.versions) > MaxVersions {
		oldest := slices.Min(slices.Collect(maps.Keys(a.versions)))
		delete(a.versions, oldest)
		maps.DeleteFunc(a.aliases, func(_ string, alias generated.AgentAliasResponse) bool { return alias.Version == oldest })
	}
}

// view returns a version as the service shows it.
func (a *agent) view(number int) generated.Agent {
	version := a.versions[number]
	version.Versions = slices.Sorted(maps.Keys(a.versions))
	return version
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
	_, ok := a.versions[number]
	return number, ok && err == nil
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
		version, ok := a.versions[params.Version]
		if !ok {
			return nil, errNoVersion
		}
		version.UpdatedAt = timestamp()
		a.versions[params.Version] = version
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
		list := []generated.Agent{}
		for _, number := range slices.Backward(slices.Sorted(maps.Keys(a.versions))) {
			list = append(list, a.view(number))
		}
		return page(list, number, size), nil
	})
}

// CreateAgentVersionAlias makes an alias of a version, or moves it there.
func (e api) CreateAgentVersionAlias(_ http.ResponseWriter, r *http.Request, id string, params generated.CreateAgentVersionAliasParams) {
	e.change(r, id, func(a *agent) (any, *failure) {
		if _, ok := a.versions[params.Version]; !ok {
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
		return nil, nil
	})
}

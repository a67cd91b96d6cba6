package ratelimited

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"iter"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// defaultPageSize is the page size of All if params do not set one.
const defaultPageSize = 100

// All yields the conversations of the account that params select, starting at params.Page.
// It requests each page when the loop reaches it, and nothing after the loop has ended. A page
// that is shorter than its size, 100 if params do not set one, is the last. If a request
// fails, All yields the error with a zero Conversation and stops. If conversations are created
// or deleted during the loop, others may be yielded twice or not at all.
func (s *Conversations) All(ctx context.Context, params generated.ListConversationsParams, options ...CallOption) iter.Seq2[generated.Conversation, error] {
	return allPages(s.owner(), "/v1/conversations", params.Page, params.PageSize, func(page, size *int) ([]generated.Conversation, error) {
		params := params
		params.Page, params.PageSize = page, size
		return s.List(ctx, params, options...)
	})
}

// All yields the agents that params select, like [Conversations.All]. With a
// [generated.ListAgentPagesParams] it uses [Agents.ListPages] and starts at PageToken; with a
// [generated.ListAgentsParams] it uses [Agents.List] and starts at Page.
func (s *Agents) All(ctx context.Context, params generated.AgentsParams, options ...CallOption) iter.Seq2[generated.Agent, error] {
	switch params := params.(type) {
	case generated.ListAgentsParams:
		return allPages(s.owner(), "/v1/agents", params.Page, params.PageSize, func(page, size *int) ([]generated.Agent, error) {
			params := params
			params.Page, params.PageSize = page, size
			return s.List(ctx, params, options...)
		})
	case generated.ListAgentPagesParams:
		return s.allByToken(ctx, params, options)
	case *generated.ListAgentsParams:
		if params != nil {
			return s.All(ctx, *params, options...)
		}
	case *generated.ListAgentPagesParams:
		if params != nil {
			return s.All(ctx, *params, options...)
		}
	}
	return func(yield func(generated.Agent, error) bool) {
		yield(generated.Agent{}, &RequestError{
			Operation: "Agents.All", Field: "params", Rule: "must be a generated.ListAgentPagesParams or a generated.ListAgentsParams",
		})
	}
}

// allPages yields the items of all pages. A page shorter than the page size is the last one.
func allPages[T interface{ Raw() json.RawMessage }](c *Client, path string, first, size *int, list func(page, size *int) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		page, most, seen := 0, defaultPageSize, newSeen()
		if first != nil {
			page = *first
		}
		if size != nil {
			most = *size
		}
		for ; ; page++ {
			items, err := list(&page, &most)
			if err == nil && len(items) > 0 && !seen.add(string(items[0].Raw())) {
				err = c.repeated(path, fmt.Sprintf("page %d", page))
			}
			if err != nil {
				var zero T
				yield(zero, err)
				return
			}
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if len(items) < most {
				return
			}
		}
	}
}

// seen tells pages that were returned before, by a hash of what is theirs alone.
type seen struct {
	seed   maphash.Seed
	hashes map[uint64]bool
}

func newSeen() seen { return seen{maphash.MakeSeed(), map[uint64]bool{}} }

// add reports whether text is new.
func (s seen) add(text string) bool {
	hash := maphash.String(s.seed, text)
	known := s.hashes[hash]
	s.hashes[hash] = true
	return !known
}

func (s *Agents) allByToken(ctx context.Context, params generated.ListAgentPagesParams, options []CallOption) iter.Seq2[generated.Agent, error] {
	return func(yield func(generated.Agent, error) bool) {
		params := params
		if params.PageSize == nil {
			params.PageSize = Ptr(defaultPageSize)
		}
		tokens := newSeen()
		if params.PageToken != nil {
			tokens.add(*params.PageToken)
		}
		for {
			page, err := s.ListPages(ctx, params, options...)
			if err == nil && page.NextPageToken != "" && !tokens.add(page.NextPageToken) {
				err = s.owner().repeated("/v1/agents/pages", fmt.Sprintf("page token %q", oneLine(page.NextPageToken)))
			}
			if err != nil {
				yield(generated.Agent{}, err)
				return
			}
			for _, agent := range page.Data {
				if !yield(agent, nil) {
					return
				}
			}
			if page.NextPageToken == "" {
				return
			}
			params.PageToken = &page.NextPageToken
		}
	}
}

// repeated returns the error for a server that returns a page again: All would not end.
func (c *Client) repeated(path, page string) error {
	return &APIError{
		Method: http.MethodGet, Path: path, StatusCode: http.StatusOK, Attempts: 1,
		Message: c.secret.text("the server returned " + page + " a second time"),
	}
}

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

// defaultPageSize is the page size of All if params does not set one.
const defaultPageSize = 100

// All returns an iterator over the account's conversations that params select, from params.Page on. It
// calls [Conversations.List] for each page when the loop reaches it. The last page is the first one
// with fewer items than the page size, which is 100 by default. If a request fails, All yields the
// error with a zero Conversation and stops. If conversations are created or deleted during the loop,
// All may yield others twice or not at all.
func (s *Conversations) All(ctx context.Context, params generated.ListConversationsParams, options ...CallOption) iter.Seq2[generated.Conversation, error] {
	return allPages(s.owner(), "/v1/conversations", params.Page, params.PageSize, func(page, size *int) ([]generated.Conversation, error) {
		params := params
		params.Page, params.PageSize = page, size
		return s.List(ctx, params, options...)
	})
}

// All returns an iterator over the agents that params select, like [Conversations.All]. With a
// [generated.ListAgentPagesParams] it calls [Agents.ListPages] and starts at PageToken. With a
// [generated.ListAgentsParams] it calls [Agents.List] and starts at Page.
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

// allPages yields the items of all pages. The last page is the first one with fewer items than the page size.
func allPages[T interface{ Raw() json.RawMessage }](c *Client, path string, first, size *int, list func(page, size *int) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		page, pageSize, seen := 0, defaultPageSize, newSeenPages()
		if first != nil {
			page = *first
		}
		if size != nil {
			pageSize = *size
		}
		for ; ; page++ {
			items, err := list(&page, &pageSize)
			if err == nil && len(items) > 0 && !seen.add(string(items[0].Raw())) {
				err = c.repeatedPage(path, fmt.Sprintf("page %d", page))
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
			if len(items) < pageSize {
				return
			}
		}
	}
}

// seenPages recognizes pages that were returned before, by hashes.
type seenPages struct {
	seed   maphash.Seed
	hashes map[uint64]bool
}

func newSeenPages() seenPages { return seenPages{maphash.MakeSeed(), map[uint64]bool{}} }

// add adds a text and reports whether it is new.
func (s seenPages) add(text string) bool {
	hash := maphash.String(s.seed, text)
	known := s.hashes[hash]
	s.hashes[hash] = true
	return !known
}

// allByToken implements [Agents.All] with [Agents.ListPages].
func (s *Agents) allByToken(ctx context.Context, params generated.ListAgentPagesParams, options []CallOption) iter.Seq2[generated.Agent, error] {
	return func(yield func(generated.Agent, error) bool) {
		params := params
		if params.PageSize == nil {
			params.PageSize = Ptr(defaultPageSize)
		}
		tokens := newSeenPages()
		if params.PageToken != nil {
			tokens.add(*params.PageToken)
		}
		for {
			page, err := s.ListPages(ctx, params, options...)
			if err == nil && page.NextPageToken != "" && !tokens.add(page.NextPageToken) {
				err = s.owner().repeatedPage("/v1/agents/pages", fmt.Sprintf("page token %q", oneLine(page.NextPageToken)))
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

// repeatedPage returns the error for a page that the server returns again: All would never end.
func (c *Client) repeatedPage(path, page string) error {
	return &APIError{
		Method: http.MethodGet, Path: path, StatusCode: http.StatusOK, Attempts: 1,
		Message: c.secret.redactText("the server returned " + page + " a second time"),
	}
}

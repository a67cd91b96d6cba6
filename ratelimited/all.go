package ratelimited

import (
	"context"
	"fmt"
	"iter"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// defaultPageSize is how many items a page of All has if params do not say.
const defaultPageSize = 100

// All yields the account's conversations that params select, page by page from
// params.Page on. It sends a request for each page, when the loop comes to it, and none
// after the loop has ended. An error comes last, with a zero Conversation. Items that are
// created or deleted meanwhile may move others to another page: these are yielded twice
// or not at all.
func (s *Conversations) All(ctx context.Context, params generated.ListConversationsParams, options ...CallOption) iter.Seq2[generated.Conversation, error] {
	id := func(c generated.Conversation) string { return c.ID }
	return allPages("/v1/conversations", params.Page, params.PageSize, id, func(page, size *int) ([]generated.Conversation, error) {
		params := params
		params.Page, params.PageSize = page, size
		return s.List(ctx, params, options...)
	})
}

// All yields the agents that params select, as [Conversations.All] does: those of
// [Agents.ListPages] from params.PageToken on, or those of [Agents.List] from params.Page
// on.
func (s *Agents) All(ctx context.Context, params generated.AgentsParams, options ...CallOption) iter.Seq2[generated.Agent, error] {
	switch params := params.(type) {
	case generated.ListAgentsParams:
		id := func(a generated.Agent) string { return a.ID }
		return allPages("/v1/agents", params.Page, params.PageSize, id, func(page, size *int) ([]generated.Agent, error) {
			params := params
			params.Page, params.PageSize = page, size
			return s.List(ctx, params, options...)
		})
	case generated.ListAgentPagesParams:
		return s.allByToken(ctx, params, options)
	}
	return func(yield func(generated.Agent, error) bool) {
		yield(generated.Agent{}, &RequestError{
			Operation: "Agents.All", Field: "params", Rule: "must be a generated.ListAgentPagesParams or a generated.ListAgentsParams",
		})
	}
}

// allPages yields the items of all pages. A page with fewer items than it may have is
// the last one.
func allPages[T any](path string, first, size *int, id func(T) string, list func(page, size *int) ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		page, most := 0, defaultPageSize
		if first != nil {
			page = *first
		}
		if size != nil {
			most = *size
		}
		for before := ""; ; page++ {
			items, err := list(&page, &most)
			if err == nil && len(items) > 0 && id(items[0]) == before {
				err = repeated(path, fmt.Sprintf("page %d", page))
			}
			if err != nil {
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
			before = id(items[0])
		}
	}
}

func (s *Agents) allByToken(ctx context.Context, params generated.ListAgentPagesParams, options []CallOption) iter.Seq2[generated.Agent, error] {
	return func(yield func(generated.Agent, error) bool) {
		params := params
		if params.PageSize == nil {
			params.PageSize = Ptr(defaultPageSize)
		}
		for {
			page, err := s.ListPages(ctx, params, options...)
			if err == nil && params.PageToken != nil && page.NextPageToken == *params.PageToken {
				err = repeated("/v1/agents/pages", fmt.Sprintf("page token %q", oneLine(page.NextPageToken)))
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

// repeated is the error of a server that returns a page again, and would do so for ever.
func repeated(path, page string) error {
	return &APIError{Method: http.MethodGet, Path: path, StatusCode: http.StatusOK, Attempts: 1, Message: "the server returned " + page + " a second time"}
}

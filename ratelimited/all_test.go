package ratelimited_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// listServer serves numbered items in pages, by page number or by page token.
type listServer struct {
	items    int
	requests []string // the queries of the requests
}

// serve responds with one page of items.
func (l *listServer) serve(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	l.requests = append(l.requests, r.URL.RawQuery)
	size, _ := strconv.Atoi(query.Get("page_size"))
	first, _ := strconv.Atoi(query.Get("page_token"))
	if page := query.Get("page"); page != "" {
		number, _ := strconv.Atoi(page)
		first = number * size
	}
	var items []string
	for i := first; i < min(first+size, l.items); i++ {
		items = append(items, fmt.Sprintf(`{"id":"x_%d"}`, i))
	}
	list := "[" + strings.Join(items, ",") + "]"
	if strings.HasSuffix(r.URL.Path, "/pages") {
		next := ""
		if first+size < l.items {
			next = fmt.Sprintf(`,"next_page_token":"%d"`, first+size)
		}
		list = `{"data":` + list + next + `}`
	}
	writeJSON(w, 200, list)
}

// All yields each item once. It sends one request for each page that the loop needs.
func TestAll(t *testing.T) {
	for _, test := range []struct{ items, size, stop, byPage, byToken int }{
		{0, 10, -1, 1, 1}, {1, 10, -1, 1, 1}, {9, 10, -1, 1, 1}, {10, 10, -1, 2, 1}, {25, 10, -1, 3, 3}, {25, 10, 5, 1, 1}, {25, 10, 10, 1, 1}, {25, 10, 11, 2, 2}, {250, 0, -1, 3, 3},
	} {
		t.Run(fmt.Sprint(test), func(t *testing.T) {
			l := &listServer{items: test.items}
			runWithHandler(t, fast, l.serve, func(t *testing.T, client *ratelimited.Client) {
				var size *int
				if test.size > 0 {
					size = &test.size
				}
				collected := map[string][]string{}
				requests := map[string]int{}
				take := func(name, id string, err error) bool {
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					collected[name] = append(collected[name], id)
					return len(collected[name]) != test.stop
				}
				for c, err := range client.Beta.Conversations.All(t.Context(), generated.ListConversationsParams{PageSize: size}) {
					if !take("conversations", c.ID, err) {
						break
					}
				}
				requests["conversations"] = len(l.requests)
				l.requests = nil
				for a, err := range client.Beta.Agents.All(t.Context(), generated.ListAgentsParams{PageSize: size}) {
					if !take("agents", a.ID, err) {
						break
					}
				}
				requests["agents"] = len(l.requests)
				l.requests = nil
				for a, err := range client.Beta.Agents.All(t.Context(), generated.ListAgentPagesParams{PageSize: size}) {
					if !take("pages", a.ID, err) {
						break
					}
				}
				requests["pages"] = len(l.requests)
				var want []string
				for i := range test.items {
					if i != test.stop || test.stop < 0 {
						want = append(want, fmt.Sprintf("x_%d", i))
					}
				}
				if test.stop > 0 {
					want = want[:test.stop]
				}
				for name, got := range map[string][]string{"conversations": collected["conversations"], "agents": collected["agents"], "pages": collected["pages"]} {
					if !slices.Equal(got, want) {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				if requests["conversations"] != test.byPage || requests["agents"] != test.byPage || requests["pages"] != test.byToken {
					t.Errorf("requests are %v, want %d by page and %d by token", requests, test.byPage, test.byToken)
				}
			})
		})
	}
}

// All starts at the page in its params and applies their filters. A program can range over its
// result twice.
func TestAllFromAPage(t *testing.T) {
	l := &listServer{items: 25}
	runWithHandler(t, fast, l.serve, func(t *testing.T, client *ratelimited.Client) {
		params := generated.ListAgentsParams{Page: ratelimited.Ptr(2), PageSize: ratelimited.Ptr(10), Name: ratelimited.Ptr("n"), Sources: &[]generated.RequestSource{}}
		all := client.Beta.Agents.All(t.Context(), params)
		for range 2 {
			count := 0
			for _, err := range all {
				if err == nil {
					count++
				}
			}
			if count != 5 || *params.Page != 2 {
				t.Errorf("%d agents from page %d, want 5 from page 2", count, *params.Page)
			}
		}
		if want := []string{"page=2&page_size=10&name=n", "page=2&page_size=10&name=n"}; !slices.Equal(l.requests, want) {
			t.Errorf("requests are %q, want %q", l.requests, want)
		}
		l.requests = nil
		tokens := generated.ListAgentPagesParams{PageToken: ratelimited.Ptr("20"), PageSize: ratelimited.Ptr(10), Sources: &[]generated.RequestSource{"api"}}
		for _, err := range client.Beta.Agents.All(t.Context(), tokens) {
			if err != nil {
				t.Error(err)
			}
		}
		if want := []string{"page_size=10&sources=api&page_token=20"}; !slices.Equal(l.requests, want) {
			t.Errorf("requests are %q, want %q", l.requests, want)
		}
	})
}

// All yields items that do not have a valid ID.
func TestAllYieldsItemsWithoutID(t *testing.T) {
	for _, list := range []string{`[{"id":""}]`, `[null]`, `[{"name":"x"},{"id":"b"}]`, `[{"id":1},{"id":"b"}]`} {
		runWithHandler(t, fast, status(200, list), func(t *testing.T, client *ratelimited.Client) {
			count := 0
			for _, err := range client.Beta.Conversations.All(t.Context(), generated.ListConversationsParams{}) {
				if err != nil {
					t.Errorf("%s: %v", list, err)
				}
				count++
			}
			if want := strings.Count(list, ",") + 1; count != want {
				t.Errorf("%s: %d items, want %d", list, count, want)
			}
		})
	}
}

// All yields an error last. It stops if the server returns the same page again.
func TestAllFails(t *testing.T) {
	same := status(200, `[{"id":"x_1"},{"id":"x_2"}]`)
	sameToken := status(200, `{"data":[{"id":"x_1"}],"next_page_token":"t"}`)
	two := ratelimited.Ptr(2)
	alternating := handlersInOrder(status(200, `{"data":[{"id":"x_1"}],"next_page_token":"a"}`), status(200, `{"data":[{"id":"x_2"}],"next_page_token":"b"}`), status(200, `{"data":[{"id":"x_3"}],"next_page_token":"a"}`))
	keyToken := status(200, `{"data":[{"id":"x_1"}],"next_page_token":"`+secretKey+`"}`)
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		params  generated.AgentsParams
		want    string
		items   int
	}{
		"an error":                      {handlersInOrder(same, status(404, `{"message":"gone"}`)), generated.ListAgentsParams{PageSize: two}, "gone", 2},
		"repeated page":                 {same, generated.ListAgentsParams{PageSize: two}, "returned page 1 a second time", 2},
		"alternating pages":             {handlersInOrder(same, status(200, `[{"id":"x_3"},{"id":"x_4"}]`), same), generated.ListAgentsParams{PageSize: two}, "returned page 2 a second time", 4},
		"alternating tokens":            {alternating, generated.ListAgentPagesParams{}, `returned page token "a" a second time`, 2},
		"token with the key":            {keyToken, generated.ListAgentPagesParams{}, `returned page token "REDACTED" a second time`, 1},
		"repeated token":                {sameToken, generated.ListAgentPagesParams{}, `returned page token "t" a second time`, 1},
		"invalid page size":             {same, generated.ListAgentsParams{PageSize: ratelimited.Ptr(0)}, "page_size is 0", 0},
		"invalid page size with tokens": {same, generated.ListAgentPagesParams{PageSize: ratelimited.Ptr(1001)}, "page_size is 1001", 0},
		"nil params":                    {same, nil, "params must be", 0},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, fast, test.handler, func(t *testing.T, client *ratelimited.Client) {
				items, failures := 0, []error(nil)
				for agent, err := range client.Beta.Agents.All(t.Context(), test.params) {
					if err != nil {
						failures = append(failures, err)
						continue
					}
					if agent.ID != "" {
						items++
					}
				}
				if len(failures) != 1 || !strings.Contains(failures[0].Error(), test.want) || items != test.items {
					t.Errorf("%d items and %v, want %d and %s", items, failures, test.items, test.want)
				}
				var packageError ratelimited.Error
				if !errors.As(failures[0], &packageError) {
					t.Errorf("%T does not implement ratelimited.Error", failures[0])
				}
			})
		})
	}
}

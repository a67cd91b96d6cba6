package emulator_test

import (
	"context"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

func TestStartAndAppend(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{TokensPerMinute: 10_000})
	first := a.start("What is 2+2?")
	if got := textOf(first.Outputs); got != "4" {
		t.Errorf("text is %q, want 4", got)
	}
	u := first.Usage
	if u.PromptTokens == 0 || u.CompletionTokens != 1 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
		t.Errorf("usage is %+v", u)
	}
	second := read[generated.ConversationResponse](a.post("/v1/conversations/"+first.ConversationID, generated.AppendConversationRequest{
		Inputs: generated.NewTextInputs("Multiply that by 3"),
	}))
	if got := textOf(second.Outputs); got != "12" {
		t.Errorf("text is %q, want 12", got)
	}
	if second.ConversationID != first.ConversationID {
		t.Errorf("append returned conversation %q, want %q", second.ConversationID, first.ConversationID)
	}
	if second.Usage.PromptTokens <= first.Usage.TotalTokens {
		t.Errorf("prompt of append has %d tokens, want more than %d: it includes the history", second.Usage.PromptTokens, first.Usage.TotalTokens)
	}
	if got := a.Stats().Models[model].Tokens; got != u.TotalTokens+second.Usage.TotalTokens {
		t.Errorf("the limits charged %d tokens, want %d as reported", got, u.TotalTokens+second.Usage.TotalTokens)
	}
}

var idRule = regexp.MustCompile(`^(conv|msg)_[0-9a-f]{32}$`)

func TestHistory(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	began := time.Now().Truncate(time.Microsecond)
	c := a.start("Say one")
	path := "/v1/conversations/" + c.ConversationID
	a.post(path, generated.AppendConversationRequest{Inputs: generated.NewEntryInputs([]generated.Entry{
		generated.NewEntry(generated.MessageInputEntry{Role: generated.MessageRoleUser, Content: generated.NewTextContent("Say two")}),
	})}).want(http.StatusOK)

	history := read[generated.ConversationHistory](a.do(http.MethodGet, path+"/history", ""))
	messages := read[generated.ConversationMessages](a.do(http.MethodGet, path+"/messages", ""))
	if len(history.Entries) != 4 || len(messages.Messages) != 4 {
		t.Fatalf("got %d entries and %d messages, want 4 of both", len(history.Entries), len(messages.Messages))
	}
	var texts []string
	seen := map[string]bool{}
	for _, entry := range history.Entries {
		var id string
		var created, completed generated.Timestamp
		switch v := entry.Value().(type) {
		case generated.MessageInputEntry:
			id, created, completed = v.ID, v.CreatedAt, v.CompletedAt
			texts = append(texts, "user: "+v.Content.Text())
		case generated.MessageOutputEntry:
			id, created, completed = v.ID, v.CreatedAt, v.CompletedAt
			texts = append(texts, "model: "+v.Content.Text())
		}
		if !idRule.MatchString(id) || seen[id] {
			t.Errorf("id %q is malformed or not unique", id)
		}
		seen[id] = true
		if _, offset := created.Zone(); offset != 0 || created.Before(began) || completed.Before(created.Time) {
			t.Errorf("times are %s and %s", created, completed)
		}
	}
	if got, want := strings.Join(texts, "; "), "user: Say one; model: one; user: Say two; model: two"; got != want {
		t.Errorf("history is %s, want %s", got, want)
	}
	got := read[generated.Conversation](a.do(http.MethodGet, path, ""))
	if got.ID != c.ConversationID || got.Model != model || got.UpdatedAt.Before(got.CreatedAt.Time) {
		t.Errorf("conversation is %+v", got)
	}
}

func TestRestart(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	c := a.start("What is 2+2?")
	path := "/v1/conversations/" + c.ConversationID
	a.post(path, generated.AppendConversationRequest{Inputs: generated.NewTextInputs("Add 100")}).want(http.StatusOK)
	from := c.Outputs[0].Value().(generated.MessageOutputEntry).ID
	restarted := read[generated.ConversationResponse](a.post(path+"/restart", generated.RestartConversationRequest{
		FromEntryID: from, Inputs: generated.NewTextInputs("Multiply by 5"), Metadata: map[string]any{"branch": "b"},
	}))
	if restarted.ConversationID == c.ConversationID {
		t.Error("restart continued the old conversation, want a new one")
	}
	if got := textOf(restarted.Outputs); got != "20" {
		t.Errorf("text is %q, want 20: the prompt includes the history up to the entry", got)
	}
	for id, want := range map[string]int{c.ConversationID: 4, restarted.ConversationID: 4} {
		history := read[generated.ConversationHistory](a.do(http.MethodGet, "/v1/conversations/"+id+"/history", ""))
		if len(history.Entries) != want {
			t.Errorf("%s has %d entries, want %d", id, len(history.Entries), want)
		}
	}
	a.post(path+"/restart", generated.RestartConversationRequest{FromEntryID: "msg_0"}).want(http.StatusNotFound)
}

func TestListAndDelete(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	if got := a.do(http.MethodGet, "/v1/conversations", "").body; got != "[]" {
		t.Errorf("empty list is %s", got)
	}
	var ids []string
	for _, color := range []string{"red", "blue", "red"} {
		request := textRequest("Hello")
		request.Metadata = map[string]any{"color": color, "n": 1}
		ids = append(ids, read[generated.ConversationResponse](a.post("/v1/conversations", request)).ConversationID)
	}
	list := func(query string) string {
		var names []string
		for _, c := range read[[]generated.Conversation](a.do(http.MethodGet, "/v1/conversations"+query, "")) {
			for i, id := range ids {
				if c.ID == id {
					names = append(names, string(rune('a'+i)))
				}
			}
		}
		return strings.Join(names, "")
	}
	for query, want := range map[string]string{
		"":                      "cba",
		"?page_size=2":          "cb",
		"?page=1&page_size=2":   "a",
		"?page=2&page_size=2":   "",
		"?page=999999999999999": "",
		"?metadata=" + url.QueryEscape(`{"color":"red"}`):          "ca",
		"?metadata=" + url.QueryEscape(`{"color":"red","n":2}`):    "",
		"?metadata=" + url.QueryEscape(`{"n":1}`) + "&page_size=1": "c",
	} {
		if got := list(query); got != want {
			t.Errorf("list%s is %q, want %q", query, got, want)
		}
	}
	deleted := a.do(http.MethodDelete, "/v1/conversations/"+ids[1], "").want(http.StatusNoContent)
	if deleted.body != "" || deleted.header.Get("Content-Type") != "" {
		t.Errorf("response to delete is %q %q, want neither content nor Content-Type", deleted.header, deleted.body)
	}
	a.do(http.MethodDelete, "/v1/conversations/"+ids[1], "").want(http.StatusNotFound)
	if got := list(""); got != "ca" {
		t.Errorf("list is %q, want ca", got)
	}
}

func TestStoreFalse(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	request := textRequest("Say it")
	request.Store = ptr(false)
	c := read[generated.ConversationResponse](a.post("/v1/conversations", request))
	if c.ConversationID == "" || textOf(c.Outputs) != "it" {
		t.Errorf("response is %+v", c)
	}
	a.do(http.MethodGet, "/v1/conversations/"+c.ConversationID, "").want(http.StatusNotFound)

	stored := a.start("Say that")
	path := "/v1/conversations/" + stored.ConversationID
	a.post(path, generated.AppendConversationRequest{Inputs: generated.NewTextInputs("Say more"), Store: ptr(false)}).want(http.StatusOK)
	if history := read[generated.ConversationHistory](a.do(http.MethodGet, path+"/history", "")); len(history.Entries) != 2 {
		t.Errorf("history has %d entries, want the 2 of the start", len(history.Entries))
	}
}

func TestEntriesWithoutType(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	c := read[generated.ConversationResponse](a.do(http.MethodPost, "/v1/conversations",
		`{"model":"m","stream":null,"inputs":[{"role":"user","content":"My name is Ada"},{"content":"Noted."},{"role":"user","content":"What is my name?"}]}`))
	if got := textOf(c.Outputs); got != "Your name is Ada." {
		t.Errorf("text is %q", got)
	}
	history := read[generated.ConversationHistory](a.do(http.MethodGet, "/v1/conversations/"+c.ConversationID+"/history", ""))
	if _, ok := history.Entries[1].Value().(generated.MessageOutputEntry); !ok {
		t.Errorf("second entry is %T", history.Entries[1].Value())
	}
}

// TestListsAreInOrderOfCreation ends two calls in the reverse order of their start.
func TestListsAreInOrderOfCreation(t *testing.T) {
	t.Parallel()
	begun, proceed := make(chan struct{}), make(chan struct{})
	a := start(t, emulator.Config{Model: func(_ context.Context, p emulator.Prompt) emulator.Reply {
		if p.Text() == "first" {
			close(begun)
			<-proceed
		}
		return emulator.Reply{Text: "ok"}
	}})
	first := make(chan string)
	go func() { first <- a.start("first").ConversationID }()
	<-begun
	second := a.start("second").ConversationID
	close(proceed)
	want := []string{second, <-first}
	list := read[[]generated.Conversation](a.do(http.MethodGet, "/v1/conversations", ""))
	if len(list) != 2 || list[0].ID != want[0] || list[1].ID != want[1] {
		t.Errorf("list is %v, want %v", list, want)
	}
}

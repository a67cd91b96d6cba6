package engine

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/model"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// checked returns a valid reply unchanged. For an invalid one it returns an error reply with
// status 500 and the reason. Entries of unknown types are valid, so that tests can emulate a
// later API.
func checked(reply model.Reply) model.Reply {
	if err := check(reply); err != nil {
		return model.Reply{Err: fmt.Errorf("emulator: model: %w", err)}
	}
	return reply
}

func check(reply model.Reply) error {
	for i, entry := range reply.Entries {
		switch v := entry.Value().(type) {
		case nil, generated.MessageInputEntry, generated.FunctionResultEntry:
			return fmt.Errorf("reply.Entries[%d]: must be an output, got %T", i, v)
		}
		if _, err := json.Marshal(entry); err != nil {
			return fmt.Errorf("reply.Entries[%d]: must be JSON: %s", i, wire.Short(err.Error()))
		}
	}
	if u := reply.Usage; u != nil && (u.PromptTokens < 0 || u.CompletionTokens < 0 || u.TotalTokens < 0 || u.ConnectorTokens < 0) {
		return fmt.Errorf("reply.Usage: must be 0 or more tokens, got %+v", *u)
	}
	modelErr := (*model.Error)(nil)
	switch {
	case !errors.As(reply.Err, &modelErr):
	case modelErr == nil:
		return errors.New("reply.Err: must not be a nil *Error")
	case modelErr.Status < 200 || modelErr.Status > 599:
		return fmt.Errorf("reply.Err: Status: must be from 200 to 599, got %d", modelErr.Status)
	}
	return nil
}

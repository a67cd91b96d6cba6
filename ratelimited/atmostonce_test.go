package ratelimited_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// With AtMostOnce, the client does not retry a call that the server may have processed. It
// retries all other failures.
func TestAtMostOnce(t *testing.T) {
	t.Parallel()
	for kind, unconfirmed := range map[emulator.FaultKind]bool{
		emulator.FaultLostReply: true, emulator.FaultClose: true, emulator.FaultReset: true, emulator.FaultResetAfterHeaders: true,
		emulator.FaultBadGateway: true, emulator.FaultGatewayTimeout: true, emulator.FaultTruncated: true, emulator.FaultContentType: true,
		emulator.FaultRateLimit: false, emulator.FaultTokenLimit: false, emulator.FaultUnavailable: false, emulator.FaultInternal: false, emulator.FaultRefuse: true,
	} {
		for _, streamed := range []bool{false, true} {
			if streamed && kind == emulator.FaultTruncated || !streamed && kind == emulator.FaultContentType {
				continue
			}
			emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
				conversations := client.Beta.Conversations
				started, err := conversations.Start(t.Context(), generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Say hi")})
				if err != nil {
					t.Fatal(err)
				}
				if err := server.SetFaults(emulator.Fault{Kind: kind, Times: 1, Delay: 3 * time.Second}); err != nil {
					t.Fatal(err)
				}
				more := generated.AppendConversationRequest{Inputs: ratelimited.Text("Say more")}
				if streamed {
					stream, openErr := conversations.AppendStream(t.Context(), started.ConversationID, more, ratelimited.AtMostOnce())
					if err = openErr; err == nil {
						for _, failed := range stream.Events() {
							err = errors.Join(err, failed)
						}
					}
				} else {
					_, err = conversations.Append(t.Context(), started.ConversationID, more, ratelimited.AtMostOnce())
				}
				if errors.Is(err, ratelimited.ErrUnconfirmed) != unconfirmed || (err != nil) != unconfirmed {
					t.Errorf("%s, streamed %v: %v", kind, streamed, err)
				}
				history, err := conversations.GetHistory(t.Context(), started.ConversationID)
				if err != nil || len(history.Entries) > 4 {
					t.Errorf("%s, streamed %v: %d entries, %v", kind, streamed, len(history.Entries), err)
				}
			}, emulatortest.Unchecked())
		}
	}
	// If the connection is refused, the server has not received the request.
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, server *emulator.Server) {
		if err := server.SetFaults(emulator.Fault{Kind: emulator.FaultRefuse, Times: 1, Delay: 3 * time.Second}); err != nil {
			t.Fatal(err)
		}
		request := generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Say hi")}
		if _, err := client.Beta.Conversations.Start(t.Context(), request, ratelimited.AtMostOnce()); !errors.Is(err, ratelimited.ErrUnconfirmed) {
			t.Errorf("error is %v, want ErrUnconfirmed", err)
		}
		if response, err := client.Beta.Conversations.Start(t.Context(), request, ratelimited.AtMostOnce()); err != nil || response.OutputText() != "hi" {
			t.Errorf("%v, %v", response, err)
		}
	})
}

// An append without entries continues after a handoff. Otherwise the server rejects it.
func TestEmptyAppend(t *testing.T) {
	t.Parallel()
	emulatortest.Run(t, func(t *testing.T, client *ratelimited.Client, _ *emulator.Server) {
		second, err := client.Beta.Agents.Create(t.Context(), generated.CreateAgentRequest{Model: "m", Name: "second"})
		if err != nil {
			t.Fatal(err)
		}
		first, err := client.Beta.Agents.Create(t.Context(), generated.CreateAgentRequest{Model: "m", Name: "first", Handoffs: []string{second.ID}})
		if err != nil {
			t.Fatal(err)
		}
		started, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{
			AgentID: first.ID, Inputs: ratelimited.Text("Hello"), HandoffExecution: generated.HandoffExecutionClient,
		})
		if err != nil {
			t.Fatal(err)
		}
		request := generated.AppendConversationRequest{Inputs: ratelimited.Entries(), HandoffExecution: generated.HandoffExecutionClient}
		response, err := client.Beta.Conversations.Append(t.Context(), started.ConversationID, request)
		if err != nil || response.OutputText() != "done" {
			t.Errorf("%v, %v", response, err)
		}
		if _, err := client.Beta.Conversations.Append(t.Context(), started.ConversationID, request); !errors.Is(err, ratelimited.ErrInvalid) {
			t.Errorf("error is %v, want ErrInvalid", err)
		}
	}, emulatortest.WithScript(emulator.Step{Handoff: "second"}, emulator.Say("done")))
}

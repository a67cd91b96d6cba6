package generated_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Printed values are short and contain neither byte lists nor secrets.
func TestPrinting(t *testing.T) {
	t.Parallel()
	var response *generated.ConversationResponse
	long := strings.Repeat("long ", 100_000)
	body := `{"conversation_id":"c","outputs":[{"type":"tool.execution","name":"f","arguments":"","info":{"a":[1]}},{"type":"future.type","x":[1]},` +
		`{"type":"message.output","content":[{"type":"text","text":"Hi"},{"type":"hologram","x":{}},{"type":"text","text":"` + long + `"}]}],` + receivedUsage + `}`
	if err := generated.DecodeResponse([]byte(body), &response); err != nil {
		t.Fatal(err)
	}
	connector := generated.NewTool(generated.CustomConnector{ConnectorID: "crm", Authorization: generated.NewConnectorAuth(generated.APIKeyAuth{Value: "TOPSECRET"})})
	var decodedTool generated.Tool
	if err := json.Unmarshal([]byte(`{"type":"connector","connector_id":"crm","authorization":{"type":"oauth2-token","value":"TOPSECRET"},"more":"TOPSECRET"}`), &decodedTool); err != nil {
		t.Fatal(err)
	}
	var unknownAuth generated.ConnectorAuth
	if err := json.Unmarshal([]byte(`{"type":"future.type","password":"TOPSECRET"}`), &unknownAuth); err != nil {
		t.Fatal(err)
	}
	var agent *generated.Agent
	if err := generated.DecodeResponse([]byte(`{"id":"ag_1","tools":[{"type":"connector_v2","authorization":{"type":"api-key","value":"TOPSECRET"}},`+
		`{"type":7,"authorization":"TOPSECRET"},{"type":"connector","connector_id":"c","authorization":"TOPSECRET"}]}`), &agent); err != nil {
		t.Fatal(err)
	}
	event, err := generated.DecodeStreamEvent("tool.execution.done", []byte(`{"id":"t","info":{"a":[1]}}`))
	if err != nil {
		t.Fatal(err)
	}
	for want, value := range map[string]any{
		`"conversation_id":"c"`: response, `"text":"Hi"`: response.Outputs[2], `"info":{"a":[1]}`: *response, `future.type`: response.Outputs[1].Value(),
		`hologram`: response.Outputs[2].Value(), `{"a":[1]}`: event, `crm`: connector, `"connector_id":"crm"`: decodedTool, `api-key`: generated.APIKeyAuth{Type: "api-key", Value: "TOPSECRET"},
		`connector_v2`: agent, `"/tools/2/authorization": [redacted]`: agent.Mismatches(),
		`"type":"future.type"`: unknownAuth, `"model":"m"`: generated.StartConversationRequest{Model: "m", Metadata: map[string]any{"a": 1}, Inputs: generated.NewTextInputs(long)},
		`"user"`: []generated.Entry{generated.NewEntry(generated.MessageInputEntry{Role: "user"})}, `"/a": 7`: generated.Mismatch{Pointer: "/a", Text: "7"},
	} {
		for _, verb := range []string{"%v", "%+v", "%s"} {
			text := fmt.Sprintf(verb, value)
			if !strings.Contains(text, want) || len(text) > 4000 || strings.Contains(text, "TOPSECRET") || strings.Contains(text, "[123 ") || strings.Contains(text, "0x") {
				t.Errorf("%T is printed as %.300s (%d bytes), want at most 4,000 bytes with %s and without secrets or byte lists", value, text, len(text), want)
			}
		}
	}
	sent, err := json.Marshal(connector)
	if err != nil || !strings.Contains(string(sent), "TOPSECRET") {
		t.Errorf("the tool is encoded as %s, error %v, want the secret in it", sent, err)
	}
}

package setup

import (
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func TestConnectStartsEmulatorWithoutKey(t *testing.T) {
	t.Setenv("MISTRAL_API_KEY", "")
	config := ratelimited.Config{RequestsPerSecond: 1.2}
	stop, err := Connect(&config, emulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := ratelimited.New(config)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Beta.Agents.List(t.Context(), generated.ListAgentsParams{}); err != nil {
		t.Error(err)
	}
	stop()
}

func TestConnectKeepsConfigWithKey(t *testing.T) {
	t.Setenv("MISTRAL_API_KEY", "key")
	var config ratelimited.Config
	stop, err := Connect(&config, emulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if config.BaseURL != "" || config.APIKey != "" {
		t.Errorf("config is %+v, want it unchanged", config)
	}
}

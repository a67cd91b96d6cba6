package ratelimited_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// New rejects invalid fields with an error that contains the field, its value, and the rule.
func TestConfigIsValidated(t *testing.T) {
	for name, test := range map[string]struct {
		config ratelimited.Config
		want   string
	}{
		"key with a line end":      {ratelimited.Config{APIKey: "sk\n1"}, `mistral: APIKey is not valid (hidden, may be secret): must be printable ASCII without spaces`},
		"negative rate":            {ratelimited.Config{RequestsPerSecond: -1}, `mistral: RequestsPerSecond is -1: must be above 0 and at most 1000000`},
		"rate is not a number":     {ratelimited.Config{RequestsPerSecond: math.NaN()}, `mistral: RequestsPerSecond is NaN: must be above 0 and at most 1000000`},
		"infinite rate":            {ratelimited.Config{RequestsPerSecond: math.Inf(1)}, `mistral: RequestsPerSecond is +Inf: must be above 0 and at most 1000000`},
		"rate too high":            {ratelimited.Config{RequestsPerSecond: 1e9}, `mistral: RequestsPerSecond is 1e+09: must be`},
		"negative tokens":          {ratelimited.Config{TokensPerMinute: -5}, `mistral: TokensPerMinute is -5: must be at least 1`},
		"too many retries":         {ratelimited.Config{MaxRetries: 101}, `mistral: MaxRetries is 101: must be 1 to 100, or NoRetries`},
		"negative retries":         {ratelimited.Config{MaxRetries: -2}, `mistral: MaxRetries is -2: must be 1 to 100, or NoRetries`},
		"negative base delay":      {ratelimited.Config{BaseDelay: -1}, `mistral: BaseDelay is -1ns: must be at least 1ms`},
		"base delay above the max": {ratelimited.Config{BaseDelay: time.Minute}, `mistral: BaseDelay is 1m0s: must be at most MaxDelay (32s)`},
		"negative max delay":       {ratelimited.Config{MaxDelay: -1}, `mistral: MaxDelay is -1ns: must be at least 1ms`},
		"negative timeout":         {ratelimited.Config{Timeout: -1}, `mistral: Timeout is -1ns: must be at least 1ms`},
		"a timeout in seconds":     {ratelimited.Config{Timeout: 60}, `mistral: Timeout is 60ns: must be at least 1ms (for seconds, write 60*time.Second)`},
		"an idle time in seconds":  {ratelimited.Config{StreamIdleTimeout: 60}, `mistral: StreamIdleTimeout is 60ns: must be at least 1ms`},
		"an outage in seconds":     {ratelimited.Config{MaxOutage: 300}, `mistral: MaxOutage is 300ns: must be at least 1ms, or negative to hold no calls (for seconds, write 300*time.Second)`},
		"relative URL":             {ratelimited.Config{BaseURL: "/v1"}, `mistral: BaseURL is "/v1": must be an absolute URL`},
		"other scheme":             {ratelimited.Config{BaseURL: "ftp://x"}, `mistral: BaseURL is "ftp://x": must be an absolute URL`},
		"control character":        {ratelimited.Config{BaseURL: "https://x\r\n"}, `mistral: BaseURL is "https://x\r\n": must be an absolute URL`},
		"plain http":               {ratelimited.Config{BaseURL: "http://api.mistral.ai"}, `mistral: BaseURL is "http://api.mistral.ai": must be https, because http sends the API key unencrypted`},
		"with user":                {ratelimited.Config{BaseURL: "https://u:geheim@x"}, `mistral: BaseURL is "https://x": must not have a user (before an @), query (?) or fragment (#)`},
		"with query":               {ratelimited.Config{BaseURL: "https://x?a=b"}, `must not have a user (before an @), query (?) or fragment (#)`},
		"with version":             {ratelimited.Config{BaseURL: "https://api.mistral.ai/v1/"}, `must not include /v1 or a path after it: the client adds them`},
		"with endpoint":            {ratelimited.Config{BaseURL: "https://x/v1/chat/completions"}, `must not include /v1 or a path after it: the client adds them`},
		"with empty query":         {ratelimited.Config{BaseURL: "https://x/gateway?"}, `must not have a user (before an @), query (?) or fragment (#)`},
		"with empty fragment":      {ratelimited.Config{BaseURL: "https://x/gateway#"}, `must not have a user (before an @), query (?) or fragment (#)`},
		"without host":             {ratelimited.Config{BaseURL: "https://:443"}, `must be an absolute URL`},
		"colons in a host":         {ratelimited.Config{BaseURL: "https://a:b:1"}, `an IPv6 address in brackets`},
		"no such port":             {ratelimited.Config{BaseURL: "https://x:99999"}, `must have a port of 1 to 65535`},
		"opaque URL":               {ratelimited.Config{BaseURL: "https:u:geheim@x"}, `mistral: BaseURL is not valid (hidden, may be secret): must be`},
		"negative jitter":          {ratelimited.Config{Jitter: -1}, `mistral: Jitter is -1ns: must be above 0 and at most 1m`},
		"too much jitter":          {ratelimited.Config{Jitter: time.Hour}, `mistral: Jitter is 1h0m0s: must be above 0 and at most 1m`},
		"a model's limit": {ratelimited.Config{Limits: map[string]limiter.Limit{"m": {RequestsPerSecond: 1, TokensPerMinute: -1}}},
			`mistral: Limits["m"].TokensPerMinute is -1: must be`},
		"a limit without a model": {ratelimited.Config{Limits: map[string]limiter.Limit{"": {RequestsPerSecond: 1, TokensPerMinute: 1}}}, `mistral: Limits[""] is {1 1 0 0}: must have a model name`},
	} {
		t.Run(name, func(t *testing.T) {
			if test.config.APIKey == "" {
				test.config.APIKey = secretKey
			}
			_, err := ratelimited.New(test.config)
			var config *ratelimited.ConfigError
			if !errors.As(err, &config) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v (%T), want %s", err, err, test.want)
			}
		})
	}
}

// The client does not send a key that is too short to be redacted, except to a loopback address.
func TestShortKeys(t *testing.T) {
	for base, key := range map[string]string{
		"": "1234567", "https://api.example": "any", "http://10.0.0.1:8585": "1234567", "http://localhost.example": "any", "https://127.0.0.1.example": "any",
	} {
		var invalid *ratelimited.ConfigError
		_, err := ratelimited.New(ratelimited.Config{APIKey: key, BaseURL: base, AllowHTTP: true})
		if !errors.As(err, &invalid) || invalid.Field != "APIKey" || strings.Contains(err.Error(), key) {
			t.Errorf("New with key %q and base URL %q returns %v", key, base, err)
		}
		if _, err := ratelimited.New(ratelimited.Config{APIKey: key + "12345", BaseURL: base, AllowHTTP: true}); err != nil {
			t.Errorf("New with a longer key and base URL %q returns %v", base, err)
		}
	}
	for _, base := range []string{"http://localhost:8585", "http://127.0.0.1", "https://127.1.2.3", "http://[::1]:80"} {
		client := newClient(t, ratelimited.Config{APIKey: "any", BaseURL: base, HTTPClient: stubClient})
		if _, err := start(t.Context(), client); err != nil {
			t.Errorf("%s: %v", base, err)
		}
		var invalid *ratelimited.ConfigError
		if _, err := start(t.Context(), client, ratelimited.WithBaseURL("https://api.mistral.ai")); !errors.As(err, &invalid) || invalid.Field != "APIKey" {
			t.Errorf("a call with a short key to another server returns %v", err)
		}
	}
}

// Plain HTTP to a remote host requires AllowHTTP.
func TestAllowHTTP(t *testing.T) {
	const remote = "http://emulator.internal:8585"
	for _, allowed := range []bool{false, true} {
		config := ratelimited.Config{APIKey: secretKey, AllowHTTP: allowed, HTTPClient: stubClient}
		_, called := start(t.Context(), newClient(t, config), ratelimited.WithBaseURL(remote), ratelimited.WithMaxRetries(0))
		config.BaseURL = remote
		_, created := ratelimited.New(config)
		for name, err := range map[string]error{"New": created, "WithBaseURL": called} {
			if rejected := errors.As(err, new(*ratelimited.ConfigError)); rejected == allowed {
				t.Errorf("%s with AllowHTTP %v: %v", name, allowed, err)
			}
		}
	}
}

// Without an APIKey, New reads the key from MISTRAL_API_KEY.
func TestKeyFromTheEnvironment(t *testing.T) {
	t.Setenv("MISTRAL_API_KEY", "")
	_, err := ratelimited.New(ratelimited.Config{})
	const want = `mistral: no API key: set Config.APIKey or MISTRAL_API_KEY`
	if err == nil || err.Error() != want {
		t.Errorf("without a key: %v, want %s", err, want)
	}
	t.Setenv("MISTRAL_API_KEY", " "+secretKey+"\n")
	if _, err := ratelimited.New(ratelimited.Config{}); err != nil {
		t.Errorf("with a key in the environment: %v", err)
	}
}

// Without limits, a client uses the default limits.
func TestDefaults(t *testing.T) {
	client := newClient(t, ratelimited.Config{APIKey: secretKey})
	limit := snapshot(client).Limit
	if limit.RequestsPerSecond != 1 || limit.TokensPerMinute != 500_000 || limit.RequestBurst != 1 || limit.TokenBurst != 500_000 {
		t.Errorf("default limit is %+v", limit)
	}
}

// Printing, encoding, or logging a Config or a Client does not show the key.
func TestKeyIsNotPrinted(t *testing.T) {
	config := ratelimited.Config{APIKey: secretKey, TokensPerMinute: 77}
	client := newClient(t, config)
	_, invalid := ratelimited.New(ratelimited.Config{APIKey: secretKey + "\n"})
	var b strings.Builder
	for _, value := range []any{config, &config, client, client.Beta, invalid, []any{config}, map[string]any{"c": config}, struct{ C ratelimited.Config }{config}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&b, verb+"\n", value)
		}
		text, err := json.Marshal(value)
		fmt.Fprintln(&b, string(text), err)
		for _, handler := range []slog.Handler{slog.NewTextHandler(&b, nil), slog.NewJSONHandler(&b, nil)} {
			slog.New(handler).Info("m", "value", value, slog.Group("g", "value", value))
		}
	}
	out := b.String()
	for _, form := range []string{secretKey, fmt.Sprintf("%x", secretKey), "SECRET"} {
		if i := strings.Index(out, form); i >= 0 {
			t.Errorf("the output contains the key: …%s…", out[max(0, i-200):min(len(out), i+60)])
		}
	}
	if !strings.Contains(out, "REDACTED") || !strings.Contains(out, "77") {
		t.Error("a printed Config does not show its other fields")
	}
}

// Errors, snapshots, and log records do not contain the key. The log does not contain the prompt.
func TestKeyIsInNoErrorAndNoLog(t *testing.T) {
	var log strings.Builder
	config := fast
	config.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	runWithHandler(t, config, handlersInOrder(status(429, rateLimitBody, "Retry-After", "1"), reset, status(403, `{"message":"no"}`), status(200, "<html>")), func(t *testing.T, client *ratelimited.Client) {
		var out strings.Builder
		for range 2 {
			_, err := start(t.Context(), client)
			for e := err; e != nil; e = errors.Unwrap(e) {
				fmt.Fprintf(&out, "%v %+v %#v\n", e, e, e)
			}
		}
		fmt.Fprintf(&out, "%+v", client.Snapshot())
		_, _ = io.WriteString(&out, log.String())
		if strings.Contains(out.String(), "SECRET") {
			t.Errorf("the output contains the key:\n%s", out.String())
		}
		for _, record := range []string{"mistral: acquired", "mistral: response", "mistral: retry", fmt.Sprint("tokens=", 8+defaultResponseEstimate), "status=429"} {
			if !strings.Contains(log.String(), record) {
				t.Errorf("the log does not contain %q:\n%s", record, log.String())
			}
		}
		if strings.Contains(log.String(), "Hello") {
			t.Error("the log contains the prompt")
		}
	})
}

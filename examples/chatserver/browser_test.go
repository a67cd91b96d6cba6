package main

import (
	"context"
	_ "embed"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/nodetest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

var (
	//go:embed package.json
	manifest []byte
	//go:embed package-lock.json
	lock []byte
	//go:embed browser.mjs
	script []byte
)

// wantLines are the expected lines of browser.mjs.
var wantLines = []*regexp.Regexp{
	regexp.MustCompile(`^waits: You are number [0-9]+, (about [0-9]+ s|less than a second) to go\.$`),
	regexp.MustCompile(`^reads: You said "Hello from a browser!", and this is the emulator's answer to that\.$`),
	regexp.MustCompile(`^reads: You said "And again\.", and this is the emulator's answer to that\.$`),
	regexp.MustCompile(`^stopped: 2 answers$`),
	regexp.MustCompile(`^disconnected$`),
}

// A person chats in a real browser while other people wait, and cancels twice: with Stop and by closing the browser.
func TestBrowser(t *testing.T) {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is not on the PATH: install it to test the page in a browser")
	}
	node := nodetest.Node(t, 20)
	dir := nodetest.Install(t, "chatserver", manifest, lock)

	client, _ := emulatortest.New(t, emulatortest.WithServer(emulator.Config{RequestsPerSecond: 4, Latency: 50 * time.Millisecond}),
		emulatortest.WithClient(func(c *ratelimited.Config) { c.RequestsPerSecond = 4 }))
	server := httptest.NewServer(newHandler(client))
	defer server.Close()

	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	for range 8 {
		others.Go(func() { // keeps some calls waiting
			for ctx.Err() == nil {
				_, _ = client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("Hi.")})
			}
		})
	}
	out, err := nodetest.Run(t, dir, 2*time.Minute, script, node, "--input-type=module", "-", server.URL, chromium, os.Getenv("PICTURE"))
	cancel()
	others.Wait()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for i, want := range wantLines {
		if i >= len(lines) || !want.MatchString(lines[i]) {
			t.Fatalf("line %d is not %s:\n%s", i+1, want, out)
		}
	}
	if len(lines) > len(wantLines) {
		t.Errorf("unexpected lines: %q", lines[len(wantLines):])
	}
	server.Close() // waits for its requests
	for name, s := range client.Snapshot() {
		if s.Waiting+s.InFlight > 0 || s.Abandoned < 2 {
			t.Errorf("limiter %q: %v, %d abandoned calls, want at least 2", name, s, s.Abandoned)
		}
	}
}

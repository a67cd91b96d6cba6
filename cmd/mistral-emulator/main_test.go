package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestServesUntilInterrupted(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(t.Context())
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-addr", "127.0.0.1:0", "-key", "k", "-rps", "100", "-mode", "sliding-window"}, stdout, io.Discard)
		_ = stdout.Close()
	}()
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(first), "Listening on ")
	if err != nil || !found {
		t.Fatalf("it says %q, %v", first, err)
	}
	rest := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(lines)
		rest <- string(text)
	}()

	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/conversations", strings.NewReader(`{"model":"m","inputs":"Count to 3"}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer k")
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), "1 2 3") {
		t.Errorf("reply is %d %s, %v", response.StatusCode, body, err)
	}

	interrupt()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	if text := <-rest; !strings.Contains(text, "curl "+url) || !strings.Contains(text, "Stopping") {
		t.Errorf("it says %q", text)
	}
}

func TestBadFlags(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		args []string
		err  error
		says string
	}{
		{[]string{"-help"}, flag.ErrHelp, "-token-delay"},
		{[]string{"-nonsense"}, errUsage, "flag provided but not defined"},
		{[]string{"-mode", "guess"}, errUsage, "guess"},
		{[]string{"extra"}, nil, `want flags only, have "extra"`},
		{[]string{"-rps", "-1"}, nil, "RequestsPerSecond is -1"},
		{[]string{"-addr", "nowhere:at:all"}, nil, "address"},
	} {
		var stderr strings.Builder
		err := run(t.Context(), test.args, io.Discard, &stderr)
		if err == nil || test.err != nil && !errors.Is(err, test.err) || !strings.Contains(stderr.String()+err.Error(), test.says) {
			t.Errorf("%v: %v, %q; want %q", test.args, err, stderr.String(), test.says)
		}
	}
}

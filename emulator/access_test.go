package emulator_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// sendRaw sends a request with these lines over a new connection. It returns the status and
// the body of the response.
func sendRaw(t *testing.T, server *emulator.Server, lines ...string) (int, string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(server.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(strings.Join(lines, "\r\n") + "\r\nAuthorization: Bearer key\r\nConnection: close\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", lines, err)
	}
	got := readResponse(t, response)
	return got.status, got.body
}

func TestHostMustBeLoopback(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Control: true, AllowedHosts: []string{"Emulator.", "192.0.2.7"}})
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8585": 200, "LocalHost.": 200, "localhost.:1": 200, "api.localhost:1": 200, "127.0.0.1": 200,
		"127.9.8.7:80": 200, "[::1]": 200, "[::1]:8585": 200, "[::ffff:127.0.0.1]:1": 200, "emulator:8585": 200, "emulator.": 200, "192.0.2.7": 200,

		"evil.example": 403, "evil.example:8585": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example:80": 403, "evillocalhost": 403,
		"emulator.evil.example": 403, "xemulator": 403, "192.0.2.8": 403, "0.0.0.0": 403, "[::]:1": 403, "[::2]:80": 403, "example.com": 403,
		"localhost:evil.example": 403, "2130706433": 403, "": 403,
	} {
		for _, line := range []string{"GET /_emulator/requests", "GET /v1/conversations", "GET /v1/nothing"} {
			wanted := want
			if line == "GET /v1/nothing" && want == 200 {
				wanted = 404
			}
			status, body := sendRaw(t, a.Server, line+" HTTP/1.1", "Host: "+host)
			if status != wanted || want == 403 && !strings.Contains(body, "AllowedHosts") {
				t.Errorf("%s with Host %q: %d %s, want %d", line, host, status, body, wanted)
			}
		}
	}
	if status, _ := sendRaw(t, a.Server, "GET /v1/agents HTTP/1.0"); status != http.StatusForbidden {
		t.Errorf("without Host: status is %d, want 403", status)
	}
	if status, _ := sendRaw(t, a.Server, "GET http://evil.example/v1/agents HTTP/1.1", "Host: localhost"); status != http.StatusForbidden {
		t.Errorf("with an absolute URL of another host: status is %d, want 403", status)
	}
}

func TestCrossSiteRequestsAreRejected(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Control: true, AllowedOrigins: []string{"http://localhost:3000"}})
	a.start("Say a")
	host := strings.TrimPrefix(a.URL(), "http://")
	for header, allowed := range map[string]bool{
		"X: no origin":                                                  true,
		"Origin: " + a.URL():                                            true,
		"Origin: http://localhost:3000":                                 true,
		"Sec-Fetch-Site: same-origin":                                   true,
		"Sec-Fetch-Site: none":                                          true,
		"Origin: https://evil.example":                                  false,
		"Origin: null":                                                  false,
		"Origin: http://localhost:3001":                                 false,
		"Origin: http://localhost:30000":                                false,
		"Origin: " + a.URL() + ".evil.test":                             false,
		"Origin: http://evil.test@" + host:                              false,
		"Sec-Fetch-Site: cross-site":                                    false,
		"Sec-Fetch-Site: same-site":                                     false,
		"Origin: http://localhost:3000, " + a.URL():                     false,
		"Origin: http://localhost:3000\r\nSec-Fetch-Site: cross-site":   true,
		"Origin: http://localhost:3000\r\nOrigin: https://evil.example": false,
		"Origin: https://evil.example\r\nSec-Fetch-Site: same-origin":   false,
		"Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site":            false,
		"Content-Type: text/plain\r\nOrigin: " + a.URL() + "\r\nSec-Fetch-Site: cross-site": false,
	} {
		for line, success := range map[string]int{"GET /_emulator/requests": 200, "GET /v1/conversations": 200, "DELETE /_emulator/faults": 204} {
			want := success
			if !allowed {
				want = http.StatusForbidden
			}
			if status, body := sendRaw(t, a.Server, line+" HTTP/1.1", "Host: "+host, header); status != want {
				t.Errorf("%s with %q: %d %s, want %d", line, header, status, body, want)
			}
		}
	}
	before := a.Stats()
	for _, header := range []string{"Origin: https://evil.example", "Sec-Fetch-Site: cross-site"} {
		if status, _ := sendRaw(t, a.Server, "POST /_emulator/reset HTTP/1.1", "Host: "+host, "Content-Type: text/plain", header, "Content-Length: 0"); status != http.StatusForbidden {
			t.Errorf("reset with %s: status is %d, want 403", header, status)
		}
	}
	if after := a.Stats(); after.Requests != before.Requests || after.Requests == 0 {
		t.Errorf("Requests is %d before the rejected resets and %d after them", before.Requests, after.Requests)
	}
}

// TestHandlerAccess calls the handler without a server, as the tests of other programs do.
func TestHandlerAccess(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]int{"example.com": 401, "": 401, "localhost": 401, "emulator": 401, "evil.example": 403, "192.0.2.1": 403} {
		request := httptest.NewRequest(http.MethodGet, "/v1/agents", nil)
		request.Host = host
		w := httptest.NewRecorder()
		emulator.New(emulator.Config{}).ServeHTTP(w, request)
		if w.Code != want {
			t.Errorf("Host %q: %d, want %d", host, w.Code, want)
		}
	}
}

// A server accepts the host of its listen address.
func TestListenAllowsItsAddress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		address, host string
		allowed       []string
		want          int
	}{
		{"127.0.0.1:0", "evil.example", nil, 403},
		{"0.0.0.0:0", "0.0.0.0", nil, 403},
		{"0.0.0.0:0", "emulator:1", []string{"*"}, 401},
		{":0", "", nil, 403},
	} {
		server, err := emulator.Listen(test.address, emulator.Config{AllowedHosts: test.allowed, APIKey: "other"})
		if err != nil {
			t.Fatal(err)
		}
		if status, body := sendRaw(t, server, "GET /v1/agents HTTP/1.1", "Host: "+test.host); status != test.want {
			t.Errorf("on %s with Host %q: %d %s", test.address, test.host, status, body)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestUnauthorized(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		key, header, body string
		status            int
	}{
		"any key":      {"", "Bearer x", "[]", http.StatusOK},
		"no header":    {"", "", `{"detail":"Unauthorized"}`, http.StatusUnauthorized},
		"empty key":    {"", "Bearer ", `{"detail":"Unauthorized"}`, http.StatusUnauthorized},
		"other scheme": {"k", "Basic k", `{"detail":"Unauthorized"}`, http.StatusUnauthorized},
		"right key":    {"k", "bearer k", "[]", http.StatusOK},
		"wrong key":    {"k", "Bearer K", "{\"detail\":\"Invalid API Key\"}\n", http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, emulator.Config{APIKey: test.key, RequestsPerSecond: 1})
			request := newRequest(t, http.MethodGet, a.URL()+"/v1/agents", "")
			request.Header.Set("Authorization", test.header)
			response, err := a.client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != test.status || string(body) != test.body {
				t.Errorf("response is %d %q, %v", response.StatusCode, body, err)
			}
			if got, counted := a.Stats().Total().Requests, test.status == http.StatusOK; (got == 1) != counted {
				t.Errorf("the limits counted %d requests, want the request counted: %t", got, counted)
			}
		})
	}
}

package redislimiter_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
)

// server is a redis-server process that a test starts.
type server struct {
	addr    string
	args    []string
	command *exec.Cmd
}

// binary is the path of the server program; empty if it is not installed.
var binary = func() string {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}()

// startServer starts a server on a free port, without persistence.
func startServer(args ...string) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	s := &server{addr: addr, args: append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", os.TempDir()}, args...)}
	return s, s.start()
}

// startSentinel starts a Sentinel with a configuration file, which the Sentinel rewrites.
func startSentinel(file string) (*server, error) {
	s, err := startServer()
	if err != nil {
		return nil, err
	}
	s.kill() // the Sentinel uses its port
	_, port, _ := net.SplitHostPort(s.addr)
	s.args = []string{file, "--sentinel", "--port", port, "--bind", "127.0.0.1"}
	return s, s.start()
}

func (s *server) start() error {
	var output bytes.Buffer
	s.command = exec.Command(binary, s.args...)
	s.command.Stdout = &output
	if err := s.command.Start(); err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: s.addr})
	defer func() { _ = client.Close() }()
	for range 500 {
		if client.Ping(context.Background()).Err() == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.kill()
	return fmt.Errorf("%s does not respond:\n%s", binary, output.String())
}

// kill ends the server at once; start starts it again.
func (s *server) kill() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait() // returns an error because it was killed
}

// shared is the URL of the server for tests that do not disturb other users of it.
var shared string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		switch url := os.Getenv("REDIS_URL"); {
		case url != "":
			shared = url
		case binary != "":
			s, err := startServer()
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
			defer s.kill()
			shared = "redis://" + s.addr
		}
		if binary == "" {
			fmt.Fprintln(os.Stderr, noBinary())
		}
		return m.Run()
	}())
}

// noBinary returns a note on the tests that are skipped without a server program. REDIS_URL does
// not replace the program: the tests stop and flush only servers that they have started.
func noBinary() string {
	const skipped = "NOT TESTED: a Redis that hangs, restarts, fails over or is a Cluster, a killed process, and the number of commands: " +
		"redis-server or valkey-server is not on the PATH (apt-get install redis-server, or brew install redis). "
	if shared != "" {
		return skipped + "All other tests use REDIS_URL."
	}
	return skipped + "REDIS_URL is not set, so all other tests use miniredis."
}

// needServer starts a server for one test. It skips the test if no server program is installed.
func needServer(t *testing.T, args ...string) *server {
	t.Helper()
	if binary == "" {
		t.Skip("needs a redis-server or valkey-server on the PATH: apt-get install redis-server, or brew install redis")
	}
	s, err := startServer(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.kill() })
	return s
}

func (s *server) client(t *testing.T) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.addr})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// newClient returns a client of the shared server, or of miniredis.
func newClient(t testing.TB) redis.UniversalClient {
	t.Helper()
	options := &redis.Options{}
	if shared == "" {
		options.Addr = miniredis.RunT(t).Addr()
	} else {
		var err error
		if options, err = redis.ParseURL(shared); err != nil {
			t.Fatal(err)
		}
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

var prefixes struct {
	sync.Mutex
	n int
}

// newPrefix returns a prefix that is unique across tests and runs.
func newPrefix() string {
	prefixes.Lock()
	defer prefixes.Unlock()
	prefixes.n++
	return "test-" + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(time.Now().UnixNano(), 36) + "-" + strconv.Itoa(prefixes.n)
}

func openStore(t testing.TB, client redis.UniversalClient, config redislimiter.Config) *redislimiter.Store {
	t.Helper()
	if config.Prefix == "" {
		config.Prefix = newPrefix()
	}
	store, err := redislimiter.Open(context.Background(), client, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

func newLimiter(t testing.TB, store *redislimiter.Store, limit limiter.Limit) limiter.Backend {
	t.Helper()
	l, err := store.Limiter("m", limit)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// commands returns how often Redis has run scripts.
func commands(t testing.TB, client redis.UniversalClient) (n int) {
	t.Helper()
	info, err := client.Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(info, "\n") {
		if !strings.HasPrefix(line, "cmdstat_evalsha:") && !strings.HasPrefix(line, "cmdstat_eval:") {
			continue
		}
		_, calls, _ := strings.Cut(line, "calls=")
		calls, _, _ = strings.Cut(calls, ",")
		count, err := strconv.Atoi(calls)
		if err != nil {
			t.Fatal(err)
		}
		n += count
	}
	return n
}

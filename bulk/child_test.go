//go:build unix

package bulk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The environment variables of a child process.
const (
	childServer = "BULK_TEST_SERVER"
	childOutput = "BULK_TEST_OUTPUT"
	childLimit  = "BULK_TEST_LIMIT" // maximum size of files, in bytes
)

func TestMain(m *testing.M) {
	if server := os.Getenv(childServer); server != "" {
		if err := child(server, os.Getenv(childOutput)); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const childRows, maxInFlight = 300, 8

// child runs the job of a child process.
func child(server, path string) error {
	if text := os.Getenv(childLimit); text != "" {
		var bytes uint64
		if _, err := fmt.Sscan(text, &bytes); err != nil {
			return err
		}
		signal.Ignore(syscall.SIGXFSZ) // makes a write beyond the limit fail, as on a full disk
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: bytes}); err != nil {
			return err
		}
	}
	client, err := ratelimited.New(ratelimited.Config{APIKey: "a-key-of-the-test", BaseURL: server, RequestsPerSecond: 1000, MaxInFlight: maxInFlight})
	if err != nil {
		return err
	}
	j, err := bulk.OpenJournal(path)
	if err != nil {
		return err
	}
	summary, err := bulk.Run(context.Background(), client, prompts(childRows), j, options)
	if err != nil {
		return fmt.Errorf("%w; %d done, %d left, %d lines", err, summary.Done, summary.Left, j.Done())
	}
	return j.Close()
}

// startChild starts a process that runs the job.
func startChild(t *testing.T, server, path string, environment ...string) (*exec.Cmd, *strings.Builder) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program)
	command.Env = append(os.Environ(), append(environment, childServer+"="+server, childOutput+"="+path)...)
	var text strings.Builder
	command.Stdout, command.Stderr = &text, &text
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command, &text
}

// A job that is killed twenty times executes each row exactly once. It repeats only calls that were
// in flight at a kill.
func TestKill(t *testing.T) {
	const kills = 20
	called := make(chan struct{}, 10*childRows)
	_, server := emulatortest.New(t, emulatortest.WithServer(emulator.Config{
		Latency: 5 * time.Millisecond, LatencySpread: 4 * time.Millisecond,
		Model: func(ctx context.Context, p emulator.Prompt) emulator.Reply {
			called <- struct{}{}
			return emulator.DefaultModel(ctx, p)
		},
	}))
	path := output(t)
	r := rand.New(rand.NewPCG(21, 21))
	repeated := 0
	for kill := 0; ; kill++ {
		command, text := startChild(t, server.URL(), path)
		if kill < kills {
			// Kill the process after a random number of calls, at a random moment of a call.
			for range 1 + r.IntN(2*childRows/kills-10) {
				<-called
			}
			<-time.After(time.Duration(r.IntN(3000)) * time.Microsecond)
			if err := command.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		err := command.Wait()
		if kill == kills {
			if err != nil {
				t.Fatalf("the last run: %v\n%s", err, text)
			}
			break
		}
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != -1 {
			t.Fatalf("run %d was not killed: %v\n%s", kill, err, text)
		}
		lines := map[string]bool{}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for text := range strings.Lines(string(whole)) {
			if id, _, _ := strings.Cut(strings.TrimPrefix(text, `{"custom_id":"`), `"`); strings.HasSuffix(text, "\n") {
				if lines[id] {
					t.Errorf("after kill %d the output has %s twice", kill, id)
				}
				lines[id] = true
			}
		}
		for server.Stats().InFlight > 0 { // the server has not noticed the kill yet
			runtime.Gosched()
		}
		for len(called) > 0 {
			<-called
		}
		unwritten := server.Stats().Requests - len(lines) - repeated
		if unwritten > 2*maxInFlight { // some responses may have arrived that were not written yet
			t.Errorf("after kill %d, %d calls have no line; at most %d were in flight", kill, unwritten, maxInFlight)
		}
		repeated += unwritten
	}
	lines := byID(t, path)
	if len(lines) != childRows {
		t.Errorf("the output has %d rows, want %d", len(lines), childRows)
	}
	calls := map[string]int{}
	for _, request := range emulatortest.Requests[generated.StartConversationRequest](t, server) {
		text, _ := request.Inputs.Text()
		calls[text]++
	}
	if len(calls) != childRows {
		t.Errorf("%d rows were sent, want %d", len(calls), childRows)
	}
	t.Logf("%d kills: %d calls for %d rows, %d of them repeated", kills, server.Stats().Requests, childRows, repeated)
	if repeated > kills*maxInFlight {
		t.Errorf("%d calls were repeated, want at most %d", repeated, kills*maxInFlight)
	}
	if n := server.Stats().Requests; n != childRows+repeated {
		t.Errorf("%d calls were made, want %d and %d repeated", n, childRows, repeated)
	}
}

// A full disk stops the job with an error. The written lines stay intact, and the next run
// continues.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	client, server := emulatortest.New(t)
	path := output(t)
	const size = 20_000
	command, text := startChild(t, server.URL(), path, fmt.Sprintf("%s=%d", childLimit, size))
	err := command.Wait()
	if want := "write " + path + ": file too large"; err == nil || !strings.Contains(text.String(), want) || !strings.Contains(text.String(), "results, whose rows will be sent again: ") {
		t.Fatalf("%v, %s; want %s", err, text, want)
	}
	written := read(t, path) // fails if a line is incomplete
	info, err := os.Stat(path)
	if err != nil || info.Size() > size || info.Size() < size/2 || len(written) < 10 {
		t.Errorf("%d lines in %v, %v", len(written), info, err)
	}
	summary := mustRun(t, client, path, prompts(childRows), options)
	wantSummary(t, summary, bulk.Summary{Rows: childRows, Done: childRows - len(written), Already: len(written)})
	byID(t, path)
}

// OpenJournal rejects an output that is not writable, so nothing is sent.
func TestReadOnlyOutput(t *testing.T) {
	t.Parallel()
	const path = "/proc/version"
	if _, err := os.Stat(path); err != nil {
		t.Skip("this system does not have a file that is read-only for root, too: ", err)
	}
	if _, err := bulk.OpenJournal(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}

//go:build unix

package bulk_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// stub responds to every request with the same response, as fast as possible.
type stub struct{}

const stubResponse = `{"object":"conversation.response","conversation_id":"conv_0199a1b2c3d4","outputs":[{"object":"entry",` +
	`"type":"message.output","created_at":"2026-01-02T03:04:05.678901Z","completed_at":"2026-01-02T03:04:06.789012Z",` +
	`"id":"msg_0199a1b2c3d5","model":"mistral-small-latest","role":"assistant","content":"Hello!"}],` +
	`"usage":{"prompt_tokens":12,"completion_tokens":2,"total_tokens":14}}`

func (stub) RoundTrip(request *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(bytes.NewReader([]byte(stubResponse))), ContentLength: int64(len(stubResponse)), Request: request,
	}, nil
}

func stubClient(t testing.TB) *ratelimited.Client {
	t.Helper()
	client, err := ratelimited.New(ratelimited.Config{
		APIKey: "a-key-of-the-test", HTTPClient: &http.Client{Transport: stub{}}, RequestsPerSecond: 1_000_000, TokensPerMinute: 1_000_000_000_000,
	})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// tinyRows is a JSONL file of n rows, generated while it is read.
type tinyRows struct {
	n, next int
	buffer  []byte
}

func (r *tinyRows) Read(p []byte) (int, error) {
	for len(r.buffer) == 0 {
		if r.next == r.n {
			return 0, io.EOF
		}
		r.next++
		r.buffer = append(strconv.AppendInt(append(strconv.AppendInt(append(r.buffer, `{"id":"row-`...), int64(r.next), 10), `","prompt":"Say `...), int64(r.next), 10), "\"}\n"...)
	}
	n := copy(p, r.buffer)
	r.buffer = append(r.buffer[:0], r.buffer[n:]...)
	return n, nil
}

// A usage is the peak memory of the process, in MB.
type usage struct{ total, live float64 }

// watch returns options that record the used memory.
func (u *usage) watch() bulk.Options {
	o := options
	o.Progress = func(bulk.Progress) {
		samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/gc/heap/live:bytes"}}
		metrics.Read(samples)
		u.total = max(u.total, float64(samples[0].Value.Uint64()-samples[1].Value.Uint64())/1e6)
		u.live = max(u.live, float64(samples[2].Value.Uint64())/1e6)
	}
	return o
}

// processorTime returns the CPU time of the process, in seconds.
func processorTime(b *testing.B) float64 {
	b.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return float64(used.Utime.Sec+used.Stime.Sec) + float64(used.Utime.Usec+used.Stime.Usec)/1e6
}

// Rows that are done use a few bytes each. Rows that were only read use none.
func TestMemoryOfManyRows(t *testing.T) {
	const rows = 10_000
	client := stubClient(t)
	path := output(t)
	summary := mustRun(t, client, path, bulk.JSONL(&tinyRows{n: rows}), options)
	wantSummary(t, summary, bulk.Summary{Rows: rows, Done: rows})
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	j := open(t, path)
	if perRow := float64(live()-before) / rows; perRow > 45 {
		t.Errorf("a finished row uses %.0f bytes, want at most 45", perRow)
	}
	if j.Done() != rows {
		t.Errorf("%d rows are done", j.Done())
	}
	runtime.KeepAlive(j)
}

// BenchmarkMillion sends a million rows, and resumes after 900,000 of them. Run it with -benchtime
// 1x.
func BenchmarkMillion(b *testing.B) { benchmarkRows(b, 1_000_000) }

func BenchmarkHundredThousand(b *testing.B) { benchmarkRows(b, 100_000) }

// benchmarkRows reports the rows per second, which depend on the load of the machine, and the CPU
// time per row, which does not.
func benchmarkRows(b *testing.B, rows int) {
	for b.Loop() {
		client := stubClient(b)
		path := output(b)
		var used usage
		first := used.watch()
		first.MaxRows = rows / 10 * 9
		before := processorTime(b)
		summary := mustRun(b, client, path, bulk.JSONL(&tinyRows{n: rows}), first)
		b.ReportMetric(float64(summary.Done)/summary.Duration.Seconds(), "rows/s")
		b.ReportMetric(1e6*(processorTime(b)-before)/float64(summary.Done), "µs-cpu/row")
		began := time.Now()
		j := open(b, path)
		b.ReportMetric(time.Since(began).Seconds(), "s-open")
		resumed, err := bulk.Run(b.Context(), client, bulk.JSONL(&tinyRows{n: rows}), j, used.watch())
		if err != nil || resumed.Done != rows/10 || resumed.Already != rows/10*9 {
			b.Fatal(fmt.Sprintf("%+v", resumed), err)
		}
		b.ReportMetric(resumed.Duration.Seconds(), "s-resume")
		b.ReportMetric(used.total, "MB")
		b.ReportMetric(used.live, "MB-live")
		_ = j.Close()
	}
}

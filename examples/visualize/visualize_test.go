package main

import (
	"bytes"
	"encoding/xml"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// recorded returns a recording in virtual time.
func recorded(t *testing.T) *recording {
	t.Helper()
	r, err := newRecording()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		if err := r.record(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	return r
}

// At 1.2 requests a second the buckets admit at 0, 0.667, 1.5 s and so on; from the
// seventh call on, tokens are what is short.
func TestTimes(t *testing.T) {
	t.Parallel()
	r := recorded(t)
	want := []struct {
		admitted int // µs
		waited   string
	}{
		{0, ""},
		{666_667, "a request"},
		{1_500_000, "a request"},
		{2_333_333, "a request"},
		{3_166_667, "a request"},
		{4_000_000, "a request"},
		{5_000_000, "tokens"}, // 6,667 were there at 4.333 s, and 500 come back a second
		{6_000_000, "tokens"}, // the sixth call gives 4,000 back
		{8_000_000, "tokens"}, // the eighth gives 4,500 back
	}
	if len(r.calls) != len(want) {
		t.Fatalf("%d calls, want %d", len(r.calls), len(want))
	}
	for i, c := range r.calls {
		if got := c.admitted.Round(time.Microsecond).Microseconds(); got != int64(want[i].admitted) {
			t.Errorf("call %d starts at %d µs, want %d", i+1, got, want[i].admitted)
		}
		if c.settled != c.admitted+duration {
			t.Errorf("call %d ends at %v, want %v after its start", i+1, c.settled, duration)
		}
		if got := r.waitedFor(c); i > 0 && got != want[i].waited {
			t.Errorf("call %d waits for %q, want %q", i+1, got, want[i].waited)
		}
	}
	if s := r.limiter.Snapshot(); s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 || s.Settled != int64(len(want)) {
		t.Errorf("the limiter is left with %+v", s)
	}
}

// What is drawn as levels is what two buckets hold by arithmetic.
func TestLevels(t *testing.T) {
	t.Parallel()
	r := recorded(t)
	if s := r.samples[0]; s != (sample{0, 1.2, 30_000}) {
		t.Errorf("the first sample is %+v, want full buckets", s)
	}
	if n, end := len(r.samples), r.samples[len(r.samples)-1].at; n < 1900 || end < 9990*time.Millisecond {
		t.Errorf("%d samples until %v, want one each 5 ms for ten seconds", n, end)
	}
	for _, s := range r.samples[1:] {
		requests, tokens := 1.2, 30_000.0
		last := time.Duration(0)
		refill := func(at time.Duration) {
			requests = min(1.2, requests+1.2*(at-last).Seconds())
			tokens = min(30_000, tokens+500*(at-last).Seconds())
			last = at
		}
		for at := range events(r) {
			if at > s.at {
				break
			}
			refill(at)
			for _, c := range r.calls {
				if c.settled == at {
					tokens += float64(estimate - c.used)
				}
				if c.admitted == at {
					requests--
					tokens -= estimate
				}
			}
		}
		refill(s.at)
		if math.Abs(s.requests-requests) > 1e-5 || math.Abs(s.tokens-tokens) > 0.01 {
			t.Fatalf("at %v there are %v requests and %v tokens, want %v and %v", s.at, s.requests, s.tokens, requests, tokens)
		}
	}
}

// events yields the instants at which calls start or end, in order.
func events(r *recording) func(yield func(time.Duration) bool) {
	var times []time.Duration
	for _, c := range r.calls {
		times = append(times, c.admitted, c.settled)
	}
	slices.Sort(times)
	return func(yield func(time.Duration) bool) {
		for _, at := range slices.Compact(times) {
			if !yield(at) {
				return
			}
		}
	}
}

func TestSVG(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bucket.svg")
	if err := recorded(t).draw(file); err != nil {
		t.Fatal(err)
	}
	data := readFile(t, file)
	var picture struct {
		XMLName     xml.Name `xml:"http://www.w3.org/2000/svg svg"`
		Title       string   `xml:"title"`
		Description string   `xml:"desc"`
		Texts       []string `xml:"text"`
	}
	if err := xml.Unmarshal(data, &picture); err != nil {
		t.Fatal(err)
	}
	if picture.Title == "" || picture.Description == "" {
		t.Error("the title or the description is missing")
	}
	for _, want := range []string{
		"Requests in the bucket; when calls start, in seconds", "seconds since the calls arrived", "it waits", // axes and legend
		"0.000", "0.667", "1.500", "2.333", "3.167", "4.000", "5.000", "6.000", "8.000", // starts
		"+5,000", "+4,000", "+4,500", "+3,000", "−1,000", // settlements
	} {
		if !slices.Contains(picture.Texts, want) {
			t.Errorf("no text %q", want)
		}
	}
	if runtime.GOARCH != "amd64" {
		return // others may add and multiply in one step, and round in another way
	}
	if !bytes.Equal(data, readFile(t, filepath.Join("..", "..", "docs", "bucket.svg"))) {
		t.Error("docs/bucket.svg is not what the program draws: run make pictures")
	}
}

func TestTerminal(t *testing.T) {
	t.Parallel()
	r := recorded(t)
	file := filepath.Join(t.TempDir(), "terminal.svg")
	if err := r.animate(file); err != nil {
		t.Fatal(err)
	}
	var picture struct {
		Lines []struct {
			Display string `xml:"display,attr"`
			Animate *struct {
				Values   string `xml:"values,attr"`
				KeyTimes string `xml:"keyTimes,attr"`
			} `xml:"animate"`
			Spans []string `xml:"tspan"`
		} `xml:"text"`
	}
	data := readFile(t, file)
	if err := xml.Unmarshal(data, &picture); err != nil {
		t.Fatal(err)
	}
	// At the end, the lines of the last frame are visible, and no others.
	var visible []string
	for _, line := range picture.Lines {
		if line.Display == "inline" {
			visible = append(visible, strings.Join(line.Spans, ""))
		}
		if line.Animate != nil && strings.Count(line.Animate.Values, ";") != strings.Count(line.Animate.KeyTimes, ";") {
			t.Errorf("values %q have the times %q", line.Animate.Values, line.Animate.KeyTimes)
		}
	}
	slices.Sort(visible)
	want := slices.DeleteFunc(strings.Split(r.frame(), "\n"), func(s string) bool { return s == "" })
	want = append(want, "$ go run ./examples/visualize")
	slices.Sort(want)
	if !slices.Equal(visible, want) {
		t.Errorf("at the end\n%s\nis visible, want\n%s", strings.Join(visible, "\n"), strings.Join(want, "\n"))
	}
	if runtime.GOARCH == "amd64" && !bytes.Equal(data, readFile(t, filepath.Join("..", "..", "docs", "terminal.svg"))) {
		t.Error("docs/terminal.svg is not what the program draws: run make pictures")
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestOtherFormats(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bucket.gif")
	if err := recorded(t).draw(file); err == nil || !strings.Contains(err.Error(), ".svg") {
		t.Errorf("error %v, want one that names the format", err)
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	r, err := newRecording()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		if err := r.live(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
	})
	frames := strings.Split(out.String(), "\x1b[15A")
	if len(frames) < 200 {
		t.Errorf("%d frames, want one each 50 ms for ten seconds", len(frames))
	}
	if got := strings.ReplaceAll(frames[len(frames)-1], "\x1b[K", ""); got != r.frame() {
		t.Errorf("the last frame is\n%s\nwant\n%s", got, r.frame())
	}
	// After three seconds the fourth call is on its way and the fifth waits.
	lines := strings.Split(frames[60], "\x1b[K\n")
	for i, want := range map[int]string{9: "   4  ············███ ", 10: "   5  ··············· "} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("after 3 s line %d is %q, want %q", i+1, lines[i], want)
		}
	}
	for _, line := range strings.Split(r.frame(), "\n") {
		if n := len([]rune(line)); n >= 80 {
			t.Errorf("a line of %d characters breaks in two: %q", n, line)
		}
	}
}

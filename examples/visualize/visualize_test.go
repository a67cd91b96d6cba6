package main

import (
	"bytes"
	"encoding/xml"
	"image"
	"image/png"
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

// At 1.2 requests/s, the buckets admit calls at 0, 0.667, 1.5 s and so on. From the seventh call
// on, calls wait for tokens.
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
		{5_000_000, "tokens"}, // the level is 6,667 at 4.333 s and rises by 500 per second
		{6_000_000, "tokens"}, // the sixth call returns 4,000
		{8_000_000, "tokens"}, // the eighth call returns 4,500
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
		t.Errorf("the final state of the limiter is %+v", s)
	}
}

// The recorded levels equal the calculated levels of two token buckets.
func TestLevels(t *testing.T) {
	t.Parallel()
	r := recorded(t)
	if s := r.samples[0]; s != (sample{0, 1.2, 30_000}) {
		t.Errorf("the first sample is %+v, want full buckets", s)
	}
	if n, end := len(r.samples), r.samples[len(r.samples)-1].at; n < 1900 || end < 9990*time.Millisecond {
		t.Errorf("%d samples until %v, want one every 5 ms for ten seconds", n, end)
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
			t.Fatalf("at %v the levels are %v requests and %v tokens, want %v and %v", s.at, s.requests, s.tokens, requests, tokens)
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
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var picture struct {
		XMLName xml.Name `xml:"http://www.w3.org/2000/svg svg"`
		Texts   []string `xml:"text"`
	}
	if err := xml.Unmarshal(data, &picture); err != nil {
		t.Fatalf("invalid SVG: %v", err)
	}
	for _, want := range []string{
		"Requests in the bucket, and start times of the calls (s)", "seconds since the calls arrived", "waiting", // axes and legend
		"0.000", "0.667", "1.500", "2.333", "3.167", "4.000", "5.000", "6.000", "8.000", // starts
		"+5,000", "+4,000", "+4,500", "+3,000", "−1,000", // settlements
	} {
		if !slices.Contains(picture.Texts, want) {
			t.Errorf("the texts do not contain %q", want)
		}
	}
	if runtime.GOARCH != "amd64" {
		return // other architectures may fuse multiplication and addition, with another rounding
	}
	committed, err := os.ReadFile(filepath.Join("..", "..", "docs", "bucket.svg"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, committed) {
		t.Error("docs/bucket.svg is out of date: run make pictures")
	}
}

func TestPNG(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bucket.png")
	if err := recorded(t).draw(file); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := picture.Bounds(), image.Rect(0, 0, scale*width, scale*height); got != want {
		t.Fatalf("the size is %v, want %v", got, want)
	}
	// After 100 ms, the first call is in flight and the last call waits. The last call waits
	// until 8 s.
	for _, probe := range []struct {
		at   time.Duration
		row  float64
		want image.Image
	}{
		{100 * time.Millisecond, 0, image.NewUniform(blue)},
		{100 * time.Millisecond, 8, image.NewUniform(wait)},
		{7980 * time.Millisecond, 8, image.NewUniform(wait)},
		{8020 * time.Millisecond, 8, image.NewUniform(blue)},
		{9900 * time.Millisecond, 0, image.NewUniform(white)},
	} {
		y := 440 + 18*probe.row + 2
		got := picture.At(int(scale*x(probe.at)), int(scale*y))
		r, g, b, _ := got.RGBA()
		wantR, wantG, wantB, _ := probe.want.At(0, 0).RGBA()
		if r != wantR || g != wantG || b != wantB {
			t.Errorf("at %v, row %v: the color is %v, want %v", probe.at, probe.row+1, got, probe.want.At(0, 0))
		}
	}
}

func TestDrawRejectsOtherFormats(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bucket.gif")
	if err := recorded(t).draw(file); err == nil || !strings.Contains(err.Error(), ".svg or .png") {
		t.Errorf("error %v, want one that names the formats", err)
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
		t.Errorf("%d frames, want one every 50 ms for ten seconds", len(frames))
	}
	if got := strings.ReplaceAll(frames[len(frames)-1], "\x1b[K", ""); got != r.frame() {
		t.Errorf("the last frame is\n%s\nwant\n%s", got, r.frame())
	}
	// After three seconds, the fourth call is in flight and the fifth call waits.
	lines := strings.Split(frames[60], "\x1b[K\n")
	for i, want := range map[int]string{9: "   4  ············███ ", 10: "   5  ··············· "} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("after 3 s line %d is %q, want %q", i+1, lines[i], want)
		}
	}
	for _, line := range strings.Split(r.frame(), "\n") {
		if n := len([]rune(line)); n >= 80 {
			t.Errorf("a line has %d characters, want fewer than 80: %q", n, line)
		}
	}
}

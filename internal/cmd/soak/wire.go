package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/faultproxy"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

// wirePhase is the part of the wire phase that uses one version of HTTP.
type wirePhase struct {
	name  string
	http2 bool
	calls int
}

var wirePhases = []wirePhase{{"HTTP/1.1", false, 1400}, {"HTTP/2", true, 600}}

const (
	wireWorkers = 32 // the number of workers of a wirePhase

	// wireKey must not occur in an error or in the log.
	wireKey = "wire-secret-4f1d9c0a7b"

	// wireTimeout bounds an attempt and the idle time of a stream. Few faults cause a timeout.
	wireTimeout = 3 * time.Second

	// endTimeout bounds the time from the return of the last call to the end of all calls,
	// goroutines and descriptors.
	endTimeout = 20 * time.Second

	// shutdownShare is the reciprocal of the share of calls after the start of Shutdown.
	shutdownShare = 16

	// hangTimeout bounds a wirePhase, which takes some seconds.
	hangTimeout = 2 * time.Minute
)

// wire is a client whose connections go through a fault proxy to an emulator, and its calls.
type wire struct {
	wirePhase
	*account  // Without server and transport.
	proxy     *faultproxy.Proxy
	server    *http.Server
	transport *http.Transport
	made      []*wireCall // By number, from 0. Each worker writes its own elements.
	shut      atomic.Bool // Shutdown has returned.
}

// soakWire makes the calls through the fault proxy over both versions of HTTP. It checks each call,
// the limiter's counters, goroutines and descriptors.
func soakWire(seed uint64) (findings []string, err error) {
	if err := warmUp(); err != nil {
		return nil, err
	}
	goroutines, descriptors := runtime.NumGoroutine(), countDescriptors()
	for i, wirePhase := range wirePhases {
		w, err := openWire(wirePhase, seed+uint64(i))
		if err != nil {
			return nil, err
		}
		// net/http logs data that a server sends without a request.
		log.SetOutput(keyDetector{w.reconciler})
		begin := time.Now()
		w.run(seed)
		w.end()
		log.SetOutput(os.Stderr)
		if _, err := fmt.Printf("wire phase, %s: %v\n%s", wirePhase.name, time.Since(begin).Round(time.Millisecond), w.report()); err != nil {
			return nil, err
		}
		findings = append(findings, w.findings()...)
		if n, stacks := awaitGoroutines(goroutines, endTimeout); stacks != "" {
			findings = append(findings, fmt.Sprintf("wire phase, %s: %d goroutines run after the phase, want at most %d:\n%s", wirePhase.name, n, goroutines, stacks))
		}
		if n := awaitDescriptors(descriptors, endTimeout); n > descriptors {
			findings = append(findings, fmt.Sprintf("wire phase, %s: %d descriptors are open after the phase, want at most %d", wirePhase.name, n, descriptors))
		}
	}
	return findings, nil
}

// openWire starts an emulator, a proxy in front of it and a client of the proxy.
func openWire(wirePhase wirePhase, seed uint64) (*wire, error) {
	w := &wire{wirePhase: wirePhase, made: make([]*wireCall, wirePhase.calls)}
	w.account = &account{plan: plan{name: "wire phase, " + wirePhase.name, estimate: 400}, reconciler: newReconciler(wireTimeout), pool: newPool()}
	var err error
	if w.counter, err = tokens.NewCounter(tokens.DefaultEncoding); err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!wirePhase.http2)
	protocols.SetUnencryptedHTTP2(wirePhase.http2)
	const unlimited = 1_000_000_000
	w.server = &http.Server{
		Handler:   emulator.New(emulator.Config{RequestsPerSecond: unlimited, TokensPerMinute: unlimited, TokenDelay: time.Millisecond, Seed: seed}),
		Protocols: protocols, ReadHeaderTimeout: wireTimeout, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
	}
	go func() { _ = w.server.Serve(listener) }() // It always returns ErrServerClosed.
	if w.proxy, err = faultproxy.Start(faultproxy.Config{Backend: listener.Addr().String(), Seed: seed}); err != nil {
		_ = w.server.Close() // The first error matters.
		return nil, err
	}
	w.transport = &http.Transport{
		Protocols: protocols, MaxIdleConnsPerHost: wireWorkers, MaxResponseHeaderBytes: 256 << 10,
		HTTP2: &http.HTTP2Config{MaxEncoderHeaderTableSize: 1}, // lets the proxy find the calls' identifiers
	}
	w.client, err = ratelimited.New(ratelimited.Config{
		APIKey: wireKey, BaseURL: w.proxy.URL(), HTTPClient: &http.Client{Transport: w.transport},
		Logger: slog.New(slog.NewTextHandler(keyDetector{w.reconciler}, &slog.HandlerOptions{Level: slog.LevelDebug})), Observer: w.observe,
		RequestsPerSecond: 2000, TokensPerMinute: unlimited,
		BaseDelay: 2 * time.Millisecond, MaxDelay: 20 * time.Millisecond, Timeout: wireTimeout, StreamIdleTimeout: wireTimeout, MaxOutage: wireTimeout,
	})
	if err != nil {
		w.proxy.Close()
		_ = w.server.Close() // The first error matters.
		return nil, err
	}
	w.beta = w.client.Beta
	return w, nil
}

// run makes the calls.
func (w *wire) run(seed uint64) {
	hung := time.AfterFunc(hangTimeout, func() { panic("soak: the wire phase hangs") })
	defer hung.Stop()
	var next atomic.Int64
	var all sync.WaitGroup
	for i := range wireWorkers {
		worker := &worker{account: w.account, number: i, random: rand.New(rand.NewPCG(seed, uint64(i)))}
		all.Go(func() {
			for n := int(next.Add(1)) - 1; n < w.calls; n = int(next.Add(1)) - 1 {
				if n == w.calls-w.calls/shutdownShare {
					all.Go(w.shutDown)
				}
				w.made[n] = w.call(worker, n)
			}
		})
	}
	all.Wait()
}

// shutDown shuts down the client while workers make the last calls.
func (w *wire) shutDown() {
	ctx, cancel := context.WithTimeout(context.Background(), wireMaxCallWait)
	defer cancel()
	if err := w.client.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		w.reconciler.find("Shutdown: %v", err)
	}
	w.shut.Store(true)
}

// end closes the proxy and the server, and checks all counters.
func (w *wire) end() {
	w.awaitEnds()
	w.transport.CloseIdleConnections()
	w.proxy.Close()
	if err := w.server.Close(); err != nil {
		w.reconciler.find("closing the server: %v", err)
	}
	w.check(w.proxy.Requests())
}

// awaitEnds waits until all calls have ended. The garbage collector ends dropped streams.
func (w *wire) awaitEnds() {
	for end := time.Now().Add(endTimeout); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		runtime.GC()
		open := 0
		for _, c := range w.made {
			if c.events().ended == 0 {
				open++
			}
		}
		if open == 0 {
			return
		}
	}
}

// keyDetector is a log writer that reports the API key in the log.
type keyDetector struct{ reconciler *reconciler }

// Write implements [io.Writer].
func (k keyDetector) Write(p []byte) (int, error) {
	k.reconciler.findKey("the log", string(p))
	return len(p), nil
}

// warmUp uses the network once, so that the runtime opens its permanent descriptors.
func warmUp() error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", listener.Addr().String())
	if err == nil {
		err = conn.Close()
	}
	if closed := listener.Close(); err == nil {
		err = closed
	}
	return err
}

// countDescriptors returns the number of open file descriptors; 0 if the system does not list
// them.
func countDescriptors() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// awaitDescriptors waits, at most for the timeout, until no more descriptors than before are open. It
// returns their number. Package net keeps the pipes of splice, which copies between connections,
// until the garbage collector has run twice.
func awaitDescriptors(before int, timeout time.Duration) (n int) {
	for end := time.Now().Add(timeout); ; time.Sleep(10 * time.Millisecond) {
		runtime.GC()
		if n = countDescriptors(); n <= before || time.Now().After(end) {
			return n
		}
	}
}

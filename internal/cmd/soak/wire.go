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

// A leg is the part of the wire phase that uses one version of HTTP.
type leg struct {
	name  string
	http2 bool
	calls int
}

var legs = []leg{{"HTTP/1.1", false, 1400}, {"HTTP/2", true, 600}}

const (
	wireWorkers = 32 // of a leg

	// wireKey must not occur in an error or in a log.
	wireKey = "wire-secret-4f1d9c0a7b"

	// wireTimeout bounds an attempt and the silence of a stream. Few faults end by it.
	wireTimeout = 3 * time.Second

	// endTimeout bounds how long calls, goroutines and descriptors may take to end after
	// the last call has returned.
	endTimeout = 20 * time.Second

	// One of so many calls is made after the shutdown of the client has begun.
	lastCalls = 16

	// hangTimeout is how long a leg may take. It takes some seconds.
	hangTimeout = 2 * time.Minute
)

// A wire is a client whose connections go through a fault proxy to an emulator, and its
// calls.
type wire struct {
	leg
	*account  // What the operations use: client, beta, pool, reconciler and counter.
	proxy     *faultproxy.Proxy
	server    *http.Server
	transport *http.Transport
	made      []*wireCall // By number, from 0. Each worker writes its own elements.
	shut      atomic.Bool // Shutdown has returned
}

// soakWire has the client make its calls through the fault proxy, over both versions of
// HTTP, and checks each call, the limiter's accounting, goroutines and descriptors.
func soakWire(seed uint64) (findings []string, err error) {
	if err := warmUp(); err != nil {
		return nil, err
	}
	goroutines, descriptors := runtime.NumGoroutine(), countDescriptors()
	for i, leg := range legs {
		w, err := openWire(leg, seed+uint64(i))
		if err != nil {
			return nil, err
		}
		// net/http logs what a server sends without having been asked.
		log.SetOutput(keyFinder{w.reconciler})
		begin := time.Now()
		w.run(seed)
		w.end()
		log.SetOutput(os.Stderr)
		if _, err := fmt.Printf("wire phase, %s: %v\n%s", leg.name, time.Since(begin).Round(time.Millisecond), w.report()); err != nil {
			return nil, err
		}
		findings = append(findings, w.findings()...)
		if n, stacks := settleDown(goroutines, endTimeout); stacks != "" {
			findings = append(findings, fmt.Sprintf("wire phase, %s: %d goroutines are left, there were %d before:\n%s", leg.name, n, goroutines, stacks))
		}
		if n := settleDescriptors(descriptors, endTimeout); n > descriptors {
			findings = append(findings, fmt.Sprintf("wire phase, %s: %d descriptors are open, there were %d before", leg.name, n, descriptors))
		}
	}
	return findings, nil
}

// openWire starts an emulator, a proxy in front of it and a client of the proxy.
func openWire(leg leg, seed uint64) (*wire, error) {
	w := &wire{leg: leg, made: make([]*wireCall, leg.calls)}
	w.account = &account{plan: plan{name: "wire phase, " + leg.name, given: 400}, reconciler: newReconciler(wireTimeout), pool: newPool()}
	var err error
	if w.counter, err = tokens.NewCounter(tokens.DefaultEncoding); err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!leg.http2)
	protocols.SetUnencryptedHTTP2(leg.http2)
	const unlimited = 1_000_000_000
	w.server = &http.Server{
		Handler:   emulator.New(emulator.Config{RequestsPerSecond: unlimited, TokensPerMinute: unlimited, TokenDelay: time.Millisecond, Seed: seed}),
		Protocols: protocols, ReadHeaderTimeout: wireTimeout, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
	}
	go func() { _ = w.server.Serve(listener) }() // It always ends with the error that it was closed.
	if w.proxy, err = faultproxy.Start(faultproxy.Config{Backend: listener.Addr().String(), Seed: seed}); err != nil {
		_ = w.server.Close() // The other error is the one that matters.
		return nil, err
	}
	w.transport = &http.Transport{
		Protocols: protocols, MaxIdleConnsPerHost: wireWorkers, MaxResponseHeaderBytes: 256 << 10,
		HTTP2: &http.HTTP2Config{MaxEncoderHeaderTableSize: 1}, // so that the proxy finds the calls' identifiers
	}
	w.client, err = ratelimited.New(ratelimited.Config{
		APIKey: wireKey, BaseURL: w.proxy.URL(), HTTPClient: &http.Client{Transport: w.transport},
		Logger: slog.New(slog.NewTextHandler(keyFinder{w.reconciler}, &slog.HandlerOptions{Level: slog.LevelDebug})), Observer: w.observe,
		RequestsPerSecond: 2000, TokensPerMinute: unlimited,
		BaseDelay: 2 * time.Millisecond, MaxDelay: 20 * time.Millisecond, Timeout: wireTimeout, StreamIdleTimeout: wireTimeout, MaxOutage: wireTimeout,
	})
	if err != nil {
		w.proxy.Close()
		_ = w.server.Close() // The other error is the one that matters.
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
				if n == w.calls-w.calls/lastCalls {
					all.Go(w.shutDown)
				}
				w.made[n] = w.call(worker, n)
			}
		})
	}
	all.Wait()
}

// shutDown shuts the client down while the last calls are made.
func (w *wire) shutDown() {
	ctx, cancel := context.WithTimeout(context.Background(), wirePatience)
	defer cancel()
	if err := w.client.Shutdown(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		w.reconciler.find("Shutdown: %v", err)
	}
	w.shut.Store(true)
}

// end ends the client, the proxy and the server, and checks what they counted.
func (w *wire) end() {
	w.awaitEnds()
	w.transport.CloseIdleConnections()
	w.proxy.Close()
	if err := w.server.Close(); err != nil {
		w.reconciler.find("closing the server: %v", err)
	}
	w.check(w.proxy.Requests())
}

// awaitEnds waits until all calls have ended. The garbage collector ends the streams that
// were dropped.
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

// A keyFinder is a log that must not hold the key.
type keyFinder struct{ reconciler *reconciler }

// Write implements [io.Writer].
func (k keyFinder) Write(p []byte) (int, error) {
	k.reconciler.findKey("the log", string(p))
	return len(p), nil
}

// warmUp opens what the runtime keeps open once the process has used the network.
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

// countDescriptors returns how many file descriptors are open; 0 where the system does not
// list them.
func countDescriptors() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// settleDescriptors waits until there are no more descriptors than before, but not longer
// than the given time, and returns how many there are. Package net keeps the pipes with
// which it copies from one connection to another (splice) until the garbage collector has
// run twice.
func settleDescriptors(before int, most time.Duration) (n int) {
	for end := time.Now().Add(most); ; time.Sleep(10 * time.Millisecond) {
		runtime.GC()
		if n = countDescriptors(); n <= before || time.Now().After(end) {
			return n
		}
	}
}

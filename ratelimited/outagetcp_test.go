package ratelimited_test

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// socketServer is an HTTP server that can stop and start listening at one TCP address.
type socketServer struct {
	*testing.T
	address string
	handler http.Handler
	http    *http.Server
	serving sync.WaitGroup
}

// up starts the server.
func (s *socketServer) up() {
	s.Helper()
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		s.Fatal(err)
	}
	s.address = listener.Addr().String()
	server := &http.Server{Handler: s.handler}
	s.http = server
	s.serving.Go(func() { _ = server.Serve(listener) }) // returns when down closes the server
}

// down stops the server and closes its connections.
func (s *socketServer) down() {
	_ = s.http.Close()
	s.serving.Wait()
}

// Waiting calls also survive an outage over TCP connections.
func TestQueuedCallsSurviveAnOutageOverTCP(t *testing.T) {
	const length = time.Second
	failing := func(kind emulator.FaultKind) func(*socketServer, *emulator.Emulator) {
		return func(s *socketServer, e *emulator.Emulator) {
			if err := e.SetFaults(emulator.Fault{Kind: kind}); err != nil {
				s.Error(err)
			}
			<-time.After(length)
			if err := e.SetFaults(); err != nil {
				s.Error(err)
			}
		}
	}
	for name, outage := range map[string]func(*socketServer, *emulator.Emulator){
		"port closed": func(s *socketServer, _ *emulator.Emulator) {
			s.down()
			<-time.After(length)
			s.up()
		},
		"503":   failing(emulator.FaultUnavailable),
		"reset": failing(emulator.FaultReset),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := emulator.New(emulator.Config{RequestsPerSecond: 1000, TokensPerMinute: 1e9})
			server := &socketServer{T: t, address: "127.0.0.1:0", handler: checked(t, api.ServeHTTP)}
			server.up()
			defer func() { server.down() }()
			client := newClient(t, ratelimited.Config{APIKey: secretKey, BaseURL: "http://" + server.address, RequestsPerSecond: outageRPS, TokensPerMinute: 1e9})
			defer client.Close()
			if _, err := start(t.Context(), client); err != nil {
				t.Fatal(err)
			}
			var ongoing sync.WaitGroup
			time.AfterFunc(length/2, func() { ongoing.Go(func() { outage(server, api) }) })
			ongoing.Add(1)
			time.AfterFunc(length, ongoing.Done) // the outage has begun by then
			for i, result := range ratelimited.Gather(t.Context(), make([]int, 60), func(ctx context.Context, _ int) (int, error) {
				_, err := start(ctx, client)
				return 0, err
			}) {
				if result.Err != nil {
					t.Errorf("call %d: %v", i, result.Err)
				}
			}
			ongoing.Wait()
			s := snapshot(client)
			if charged := int64(api.Stats().Total().Tokens); s.TokensSettled < charged {
				t.Errorf("%d tokens settled, but the server counted %d", s.TokensSettled, charged)
			}
			if sent := s.Admitted + s.Retried - s.ReturnedRequests; name != "port closed" && sent != int64(api.Stats().Requests) {
				t.Errorf("the limiter counts %d sent requests, but %d arrived", sent, api.Stats().Requests)
			}
			wantNoPermits(t, client)
		})
	}
}

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A redisServer is the server at REDIS_URL, or a server that this program started.
type redisServer struct {
	url     string
	path    string
	command *exec.Cmd // nil for the server at REDIS_URL
}

var errNoRedis = errors.New("cannot find Redis: set REDIS_URL, or install redis-server or valkey-server " +
	"(apt-get install redis-server, or brew install redis)")

func startRedis(ctx context.Context) (*redisServer, error) {
	if url := os.Getenv("REDIS_URL"); url != "" {
		return &redisServer{url: url}, nil
	}
	s := &redisServer{}
	for _, name := range []string{"valkey-server", "redis-server"} {
		if path, err := exec.LookPath(name); err == nil {
			s.path = path
		}
	}
	if s.path == "" {
		return nil, errNoRedis
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.url = "redis://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	return s, s.start()
}

// start starts the server program without persistence and waits until the server is ready.
func (s *redisServer) start() error {
	_, port, _ := strings.Cut(strings.TrimPrefix(s.url, "redis://"), ":")
	s.command = exec.Command(s.path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no") //nolint:gosec,noctx // the path is from LookPath; stop ends the process
	if err := s.command.Start(); err != nil {
		return err
	}
	var err error
	for range 100 {
		if _, err = s.commands(context.Background()); err == nil {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.stop()
	return fmt.Errorf("%s does not respond: %w", s.path, err)
}

func (s *redisServer) stop() {
	if s.command != nil {
		_ = s.command.Process.Kill()
		_ = s.command.Wait() // returns an error, because the process was killed
	}
}

// restart kills the server with its data, and starts it again one second later.
func (s *redisServer) restart() error {
	if s.command == nil {
		return errors.New("cannot restart the Redis at REDIS_URL: REDIS_URL must not be set")
	}
	s.stop()
	time.Sleep(time.Second)
	return s.start()
}

// commands returns how often the server has run scripts.
func (s *redisServer) commands(ctx context.Context) (n int, err error) {
	options, err := redis.ParseURL(s.url)
	if err != nil {
		return 0, err
	}
	client := redis.NewClient(options)
	defer client.Close()
	info, err := client.Info(ctx, "commandstats").Result()
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(info, "\n") {
		name, figures, _ := strings.Cut(line, ":calls=")
		if name == "cmdstat_evalsha" || name == "cmdstat_eval" {
			calls, _, _ := strings.Cut(figures, ",")
			count, err := strconv.Atoi(calls)
			if err != nil {
				return 0, err
			}
			n += count
		}
	}
	return n, nil
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// demo simulates twelve people who write at the same time. The fifth one disconnects after a second.
func demo(ctx context.Context, url string) error {
	const people, impatient = 12, 5
	var all sync.WaitGroup
	failures := make([]error, people)
	for i := range people {
		all.Go(func() {
			ctx := ctx
			if i+1 == impatient {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Second)
				defer cancel()
			}
			err := write(ctx, url, i+1)
			if i+1 == impatient {
				fmt.Printf("person %2d has disconnected\n", i+1)
				return
			}
			failures[i] = err
		})
		time.Sleep(20 * time.Millisecond) // fixes the order of the calls
	}
	all.Wait()
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}

// write sends a message and prints the first position in the queue and the response.
func write(ctx context.Context, url string, person int) error {
	body := fmt.Sprintf(`{"message":"I am person %d."}`, person)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/chat", strings.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %s", response.Status)
	}
	text, place := "", ""
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var e event
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return err
		}
		switch e.Type {
		case "queue":
			if place == "" {
				place = fmt.Sprintf(" (was number %d, about %.0f s)", e.Position, e.Seconds)
			}
		case "text":
			text += e.Text
		case "error":
			return fmt.Errorf("person %d: %s", person, e.Message)
		case "done":
			fmt.Printf("person %2d reads %q%s\n", person, text, place)
		}
	}
	return lines.Err()
}

package sse_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

func ExampleDecoder() {
	body := strings.NewReader(`event: message.output.delta
data: {"type":"message.output.delta","content":"Hello"}

: a comment keeps the connection open

event: conversation.response.done
data: {"type":"conversation.response.done"}

`)
	for frame, err := range sse.NewDecoder(body).Frames() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s\n", frame.Event, frame.Data)
	}
	// Output:
	// message.output.delta {"type":"message.output.delta","content":"Hello"}
	// conversation.response.done {"type":"conversation.response.done"}
}

// Decode returns an event of an unknown type as a generated.UnknownStreamEvent.
func ExampleDecode() {
	body := strings.NewReader(`event: message.output.delta
data: {"type":"message.output.delta","id":"msg_1","model":"m","content":"Hello"}

event: conversation.novelty
data: {"type":"conversation.novelty","size":3}

`)
	for frame, err := range sse.NewDecoder(body).Frames() {
		if err != nil {
			log.Fatal(err)
		}
		event, err := sse.Decode(frame)
		if err != nil {
			log.Fatal(err)
		}
		switch e := event.(type) {
		case generated.MessageOutputEvent:
			fmt.Println("text:", e.Content.Text())
		case generated.UnknownStreamEvent:
			fmt.Printf("%s: %s\n", e.Type, e.Raw)
		}
	}
	// Output:
	// text: Hello
	// conversation.novelty: {"type":"conversation.novelty","size":3}
}

func ExampleDecoder_maxFrameSize() {
	body := strings.NewReader("data: short\n\ndata: a much longer line\n\n")
	decoder := sse.NewDecoder(body)
	decoder.MaxFrameSize = 16
	for frame, err := range decoder.Frames() {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Printf("%s\n", frame.Data)
	}
	// Output:
	// short
	// sse: frame is larger than 16 bytes
}

package contract_test

import (
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// BenchmarkExchange checks a StartConversation request and its response.
func BenchmarkExchange(b *testing.B) {
	c := contract.Default()
	x := exchanges[0]
	r := x.httpRequest(b)
	request, response := []byte(x.request), []byte(x.response)
	b.ReportAllocs()
	for b.Loop() {
		op, found := c.CheckRequest(r, request)
		if found != nil || op.CheckResponse(x.status, jsonHeader, response) != nil {
			b.Fatal("violations")
		}
	}
}

func BenchmarkEvent(b *testing.B) {
	c := contract.Default()
	data := []byte(events["message.output.delta"])
	b.ReportAllocs()
	for b.Loop() {
		if c.CheckEvent("message.output.delta", data) != nil {
			b.Fatal("violations")
		}
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if _, err := contract.New(contract.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

package tokens_test

import (
	"fmt"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

func ExampleCounter_Text() {
	var counter tokens.Counter // cl100k_base
	fmt.Println(counter.Text("hello world"))
	fmt.Println(counter.Text("tiktoken is great!"))
	// Output:
	// 2
	// 6
}

// A message has 4 tokens in addition to its text, and the response has 2.
func ExampleCounter_Messages() {
	var counter tokens.Counter
	fmt.Println(counter.Messages([]generated.Entry{
		generated.NewEntry(generated.MessageInputEntry{Role: generated.MessageRoleUser, Content: generated.NewTextContent("hello world")}),
	}))
	// Output: 8
}

// The model reads the declarations of its tools with every call.
func ExampleCounter_Tools() {
	var counter tokens.Counter
	search := generated.NewTool(generated.WebSearchTool{})
	fmt.Println(counter.Tools(nil), counter.Tools([]generated.Tool{search}))
	// Output: 0 6
}

func ExampleNewCounter() {
	counter, err := tokens.NewCounter("o200k_base")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(counter.Text("お誕生日おめでとう"))

	_, err = tokens.NewCounter("mistral")
	fmt.Println(err)
	// Output:
	// 8
	// tokens: encoding: must be one of cl100k_base, o200k_base, p50k_base, r50k_base, got "mistral"
}

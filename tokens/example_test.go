package tokens_test

import (
	"fmt"

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
	// tokens: encoding "mistral" is not supported, use one of: cl100k_base, o200k_base, p50k_base, r50k_base
}

module github.com/mistral-ratelimit/mistral-ratelimit-go/simulation

go 1.25.0

require github.com/mistral-ratelimit/mistral-ratelimit-go v0.0.0

require golang.org/x/time v0.15.0

replace github.com/mistral-ratelimit/mistral-ratelimit-go => ../

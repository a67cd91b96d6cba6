module github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter

go 1.25.0

require (
	github.com/alicebob/miniredis/v2 v2.40.0
	github.com/mistral-ratelimit/mistral-ratelimit-go v0.0.0
	github.com/redis/go-redis/v9 v9.21.0
	pgregory.net/rapid v1.3.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/stretchr/testify v1.8.0 // indirect
	github.com/yuin/gopher-lua v1.1.1 // indirect
	go.uber.org/atomic v1.11.0 // indirect
	golang.org/x/time v0.15.0 // indirect
)

replace github.com/mistral-ratelimit/mistral-ratelimit-go => ../../

module github.com/mistral-ratelimit/mistral-ratelimit-go/examples/shared

go 1.25.0

require (
	github.com/mistral-ratelimit/mistral-ratelimit-go v0.0.0
	github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter v0.0.0
	github.com/redis/go-redis/v9 v9.21.0
)

require (
	github.com/apapsch/go-jsonmerge/v2 v2.0.0 // indirect
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dlclark/regexp2 v1.11.4 // indirect
	github.com/gofrs/flock v0.13.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/oapi-codegen/runtime v1.8.0 // indirect
	github.com/pkoukk/tiktoken-go v0.1.8 // indirect
	github.com/pkoukk/tiktoken-go-loader v0.0.2 // indirect
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.3 // indirect
	go.uber.org/atomic v1.11.0 // indirect
	go.yaml.in/yaml/v4 v4.0.0 // indirect
	golang.org/x/net v0.57.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
	golang.org/x/text v0.40.0 // indirect
	golang.org/x/time v0.15.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)

replace (
	github.com/mistral-ratelimit/mistral-ratelimit-go => ../../
	github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter => ../../limiter/redislimiter
)

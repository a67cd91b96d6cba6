module github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/specdiff

go 1.25.0

require (
	github.com/mistral-ratelimit/mistral-ratelimit-go v0.0.0
	github.com/speakeasy-api/openapi v1.24.0
	gopkg.in/yaml.v3 v3.0.1
)

require (
	github.com/dprotaso/go-yit v0.0.0-20220510233725-9ba8df137936 // indirect
	github.com/speakeasy-api/jsonpath v0.6.3 // indirect
	github.com/vmware-labs/yaml-jsonpath v0.3.2 // indirect
)

replace github.com/mistral-ratelimit/mistral-ratelimit-go => ../..

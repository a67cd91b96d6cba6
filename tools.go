//go:build tools

// This file pins the generator: `make generate` runs the version of
// oapi-codegen that go.mod requires because of this import. The build tag keeps
// it out of every build.

package mistral

import _ "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"

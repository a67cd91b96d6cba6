//go:build tools

// This file pins the version of the code generator. Because of its import, go.mod
// requires oapi-codegen, and `make generate` runs that version. The build tag
// excludes the file from all builds.

package mistral

import _ "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"

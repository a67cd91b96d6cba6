// Package openapi holds the OpenAPI 3.1 document of Mistral's beta Conversations
// and Agents API. The client is generated from it, tests and the emulator
// validate with it, and it is the reference of every operation and field.
//
// Command openapi/trim generates openapi.yaml from the vendor's full document and
// overlay.yaml. Run it with make openapi.
package openapi

import _ "embed"

//go:embed openapi.yaml
var document []byte

// Document returns the document as YAML. The caller owns the result.
func Document() []byte { return append([]byte(nil), document...) }

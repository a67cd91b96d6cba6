// Package openapi holds the OpenAPI 3.1 document of Mistral's beta Conversations
// and Agents API: what the client is generated from, what tests and the emulator
// validate against, and the reference of every operation and field.
//
// openapi.yaml is made by openapi/trim from the vendor's full document and
// overlay.yaml; see the Makefile's openapi target.
package openapi

import _ "embed"

//go:embed openapi.yaml
var document []byte

// Document returns the document as YAML. The caller may keep and modify it.
func Document() []byte { return append([]byte(nil), document...) }

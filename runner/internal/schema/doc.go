// Package schema makes JSON Schemas of Go types and checks JSON text against schemas.
//
// [Of] makes the schema of a type, as text whose properties have the order of the fields.
// [Compile] reads a schema, its own or a caller's. [Schema.Decode] checks JSON text, reports
// every value that does not fit by its JSON pointer (RFC 6901), and decodes text that fits.
// Numbers are compared exactly.
//
// Keywords are those of JSON Schema draft 2020-12. Not checked are contains, dependentSchemas,
// unevaluatedItems, unevaluatedProperties and $dynamicRef, formats other than those of
// [Compile], and keywords that the draft does not have.
package schema

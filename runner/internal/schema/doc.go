// Package schema derives JSON Schemas from Go types and validates JSON text.
//
// [Of] returns the schema of a type. Its text has the properties in the order of the fields.
// [Compile] reads a schema from JSON text. [Schema.Decode] validates a JSON value and decodes it if
// it is valid. Otherwise it reports each invalid part with its JSON pointer (RFC 6901). Numbers are
// compared exactly.
//
// The keywords are those of JSON Schema draft 2020-12. The package ignores contains,
// dependentSchemas, unevaluatedItems, unevaluatedProperties, $dynamicRef, formats not listed at
// [Compile], and unknown keywords.
package schema

// Package contract checks requests, responses and server-sent events against the
// OpenAPI document in package openapi.
//
// It knows nothing of our client and shares no code with it: it is the judge, and
// the document is the law. Every test sends its traffic through [Client] or
// [Transport], and the emulator answers 422 with what CheckRequest finds.
//
// A strict contract ([Default]) also refuses what the document is silent about:
// properties beside those a schema names, query parameters and bodies that an
// operation does not have, and duplicate keys. Free-form maps (metadata, info, JSON
// schemas) stay free. A lenient one ([Lenient]) holds to the document as it is.
//
// Two things are left to others: whether a request is authorised (the emulator
// answers 401 to that, not 422), and what the bodies of undescribed error statuses
// look like (see [UndescribedStatuses]).
package contract

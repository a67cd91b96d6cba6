// Package contract checks requests, responses and server-sent events against the
// OpenAPI document in package openapi.
//
// It is for tests, of this module and of yours, whatever client they use. Give the
// client that is tested an HTTP client that checks what passes through it:
//
//	server, err := emulator.Start(emulator.Config{})
//	if err != nil {
//		t.Fatal(err)
//	}
//	defer server.Close()
//	client, err := ratelimited.New(ratelimited.Config{
//		APIKey: "any", BaseURL: server.URL(), HTTPClient: contract.Client(t, nil),
//	})
//
// Each violation is an error of the test, as this one:
//
//	contract: StartConversation: body /completion_args/temperature: type: want number or null, have "hot"
//
// [Transport] is the same for programs that are not tests. Nothing is altered, held
// back or retried on the way. The document is compiled once; an exchange then takes a
// third of a millisecond, an event a sixth of that.
//
// The package is independent of the client that it validates: they share no code.
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

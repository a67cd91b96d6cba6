// Package contract checks HTTP requests, HTTP responses and server-sent events
// against the OpenAPI document in package openapi.
//
// Use it in tests, with any client. Give the client under test an HTTP client that
// checks its traffic:
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
// Each violation fails the test with an error like this one:
//
//	contract: StartConversation: body /completion_args/temperature: type: must be number or null, got "hot"
//
// [Transport] does the same for programs that are not tests. It does not change,
// delay or retry anything. The package compiles the document once. Checking an
// exchange then takes about 0.3 ms, and checking an event about 0.05 ms.
//
// The package is independent of the client that it validates: the two share no code.
//
// A strict contract ([Default]) also rejects input that the document does not
// mention: unlisted properties, undeclared query parameters, bodies where the
// operation declares none, and duplicate keys. It does not restrict free-form maps,
// such as metadata, info and JSON schemas. A lenient contract ([Lenient]) enforces
// only the document itself.
//
// The package does not check authorization; the emulator reports a missing key with
// 401, not with 422. For error statuses that the document does not describe, it
// checks little: see [UndescribedStatuses].
package contract

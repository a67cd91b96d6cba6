package contract

import (
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi"
)

// Options configures a [Contract].
type Options struct {
	// Document is an OpenAPI 3.1 document in YAML or JSON. The default is
	// openapi.Document().
	Document []byte
	// Lenient disables the checks that a strict contract adds to the document. The
	// package comment lists them.
	Lenient bool
	// Undescribed lists the statuses that any operation may return although the
	// document does not declare them. If it is nil, [UndescribedStatuses] applies. An
	// empty list allows declared statuses only.
	Undescribed []int
}

// UndescribedStatuses returns the error statuses that the API returns but its document
// does not describe. The document declares only 200, 204 and 422. The content of an
// undescribed status must be valid JSON if its Content-Type says so; it is not checked
// further.
func UndescribedStatuses() []int {
	return []int{
		http.StatusBadRequest,
		http.StatusUnauthorized,
		http.StatusPaymentRequired,
		http.StatusForbidden,
		http.StatusNotFound,
		http.StatusMethodNotAllowed,
		http.StatusRequestEntityTooLarge,
		http.StatusTooManyRequests,
		http.StatusInternalServerError,
		http.StatusBadGateway,
		http.StatusServiceUnavailable,
		http.StatusGatewayTimeout,
	}
}

// Contract is a compiled document. It is safe for concurrent use.
type Contract struct {
	strict      bool
	operations  []*Operation
	undescribed map[int]bool
	events      *jsonschema.Schema
}

// New compiles a document. It returns an error if the package cannot check a part of
// the document, rather than skip that part silently.
func New(opts Options) (*Contract, error) {
	raw := opts.Document
	if raw == nil {
		raw = openapi.Document()
	}
	doc, err := parseDocument(raw)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	undescribed := opts.Undescribed
	if undescribed == nil {
		undescribed = UndescribedStatuses()
	}
	c := &Contract{strict: !opts.Lenient, undescribed: make(map[int]bool, len(undescribed))}
	for _, status := range undescribed {
		c.undescribed[status] = true
	}
	if c.strict {
		if err := doc.close(); err != nil {
			return nil, fmt.Errorf("contract: %w", err)
		}
	}
	compiler, err := newSchemas(doc)
	if err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	b := builder{contract: c, doc: doc, schemas: compiler}
	if err := b.build(); err != nil {
		return nil, fmt.Errorf("contract: %w", err)
	}
	return c, nil
}

// Default returns the strict contract of openapi.Document(), compiled once.
func Default() *Contract { return defaultContract() }

// Lenient returns the lenient contract of openapi.Document(), compiled once.
func Lenient() *Contract { return lenientContract() }

var (
	defaultContract = sync.OnceValue(func() *Contract { return must(New(Options{})) })
	lenientContract = sync.OnceValue(func() *Contract { return must(New(Options{Lenient: true})) })
)

// must panics if the embedded document does not compile. That is a build defect: no
// input can cause it.
func must(c *Contract, err error) *Contract {
	if err != nil {
		panic(err)
	}
	return c
}

// Operations returns the operations, sorted by path and method.
func (c *Contract) Operations() []*Operation { return slices.Clone(c.operations) }

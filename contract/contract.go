package contract

import (
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi"
)

// Options say what a [Contract] is made of.
type Options struct {
	// Document is an OpenAPI 3.1 document, YAML or JSON; nil means
	// openapi.Document().
	Document []byte
	// Lenient makes a contract that holds to the document as it is and adds nothing;
	// see the package comment.
	Lenient bool
	// Undescribed lists the statuses that any operation may answer though the
	// document does not declare them; nil means [UndescribedStatuses], empty none.
	Undescribed []int
}

// UndescribedStatuses returns the error statuses that the API answers and its
// document, which has 200, 204 and 422 only, does not describe. A body with such a
// status is only required to be what its Content-Type says it is.
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

// New compiles a document. It fails on whatever part of it the package would not
// check, rather than leave that part unchecked in silence.
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

// must panics where the document in the binary does not compile: a fault in the
// build, which no input can bring about.
func must(c *Contract, err error) *Contract {
	if err != nil {
		panic(err)
	}
	return c
}

// Operations returns the operations in the order of their paths and methods.
func (c *Contract) Operations() []*Operation { return slices.Clone(c.operations) }

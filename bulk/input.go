package bulk

import (
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// A job is a row with its request and the digests that identify both.
type job struct {
	mark               mark
	id                 string
	key, requestDigest digest
	request            generated.StartConversationRequest
	weight             int64 // bytes of the request
	err                error // the reason why the row cannot be sent
	tokens             int   // the estimated usage
	isRetry            bool  // whether the row failed before and is sent again

	numbered bool // whether the ID is the line number
}

// customID returns the ID for the output, or nil.
func (j *job) customID() *string {
	if j.id == "" {
		return nil
	}
	return &j.id
}

// newJob returns the job of a row.
func newJob(row *Row, o *Options) *job {
	j := &job{id: row.ID, numbered: row.numbered, mark: mark{Version: version, Line: row.Line}}
	if row.Err != nil {
		return j.invalid(row.sum, row.Err)
	}
	hasFormat := row.Request.CompletionArgs.ResponseFormat.Type != ""
	j.request = row.Request
	setDefaults(&j.request, &o.Defaults)
	text, err := j.request.MarshalJSON()
	if err == nil && hasFormat && !generated.IsUnset(o.Schema) {
		err = errors.New("the row has a response format: must not be set together with Options.Schema")
	}
	if err != nil {
		return j.invalid(sumOf([]byte(err.Error())), err)
	}
	j.weight, j.key, j.requestDigest = int64(len(text)), idKey(j.id), sumOf(text)
	j.mark.Request = j.requestDigest.String()
	return j
}

// invalid returns the job of a row that cannot be sent. Its key is the line number, because the ID
// may be missing or a duplicate.
func (j *job) invalid(sum digest, err error) *job {
	j.err = fmt.Errorf("line %d: %w", j.mark.Line, err)
	j.key, j.requestDigest = lineKey(j.mark.Line), sum
	j.mark.Request, j.mark.Row = "", sum.String()
	return j
}

// jobs yields a job for each row of the source, with its state in the output. A row with a
// duplicate ID is invalid.
func (j *Journal) jobs(source Source, o *Options) iter.Seq2[todo, error] {
	return func(yield func(todo, error) bool) {
		if !j.begin() {
			yield(todo{}, errInUse)
			return
		}
		defer j.end()
		for next, err := range j.matchingJobs(source, o) {
			if err != nil {
				yield(todo{}, err)
				return
			}
			c := j.claim(next.key, next.requestDigest, next.mark.Line)
			if c.duplicateOf != 0 {
				next = next.invalid(next.requestDigest, fmt.Errorf("custom_id %s is the same as in line %d: must be unique", shortened([]byte(strconv.Quote(next.id))), c.duplicateOf))
				c = j.claim(next.key, next.requestDigest, next.mark.Line)
			}
			if !yield(todo{next, c}, nil) {
				return
			}
		}
	}
}

// A todo is a job and the state of its row in the output.
type todo struct {
	*job
	claim claim
}

// maxAhead and maxAheadBytes bound the rows that are read ahead to find out whether the output
// belongs to the input.
const maxAhead, maxAheadBytes = 1000, 32 << 20

// matchingJobs yields the jobs of a source. If the journal belongs to another input, it yields only an
// error.
func (j *Journal) matchingJobs(source Source, o *Options) iter.Seq2[*job, error] {
	return func(yield func(*job, error) bool) {
		var ahead []*job
		var bytes int64
		isMatching := j.Done() == 0 // an output without responses may be used for any input
		flush := func() bool {
			for _, a := range ahead {
				if !yield(a, nil) {
					return false
				}
			}
			ahead = nil
			return true
		}
		for row, err := range source {
			if err != nil {
				yield(nil, err)
				return
			}
			next := newJob(&row, o)
			if isMatching = isMatching || j.has(next); isMatching {
				if !flush() || !yield(next, nil) {
					return
				}
				continue
			}
			ahead = append(ahead, next)
			if bytes += next.weight; len(ahead) >= maxAhead || bytes > maxAheadBytes {
				break
			}
		}
		if isMatching || len(ahead) == 0 {
			return
		}
		// An input of one row with a changed request is still the same input.
		if len(ahead) == 1 && !ahead[0].numbered && j.hasID(ahead[0].key) {
			flush()
			return
		}
		yield(nil, fmt.Errorf("%w: %s has responses (%d), but none of the first rows of the input (%d): use another output",
			ErrOtherInput, j.path, j.Done(), len(ahead)))
	}
}

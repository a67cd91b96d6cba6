package bulk

import (
	"errors"
	"fmt"
	"iter"
	"strconv"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// A job is a row with its request, and what identifies both.
type job struct {
	mark       mark
	id         string
	key, asked digest
	request    generated.StartConversationRequest
	weight     int64 // bytes of the request
	err        error // why the row cannot be sent
	tokens     int   // that it is expected to use
	last       bool  // it was sent before, and has failed

	numbered bool // the id is the number of the line
}

// customID returns the id for the output; nil if there is none.
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
		err = errors.New("the row has a response format: must not be beside Options.Schema")
	}
	if err != nil {
		return j.invalid(sumOf([]byte(err.Error())), err)
	}
	j.weight, j.key, j.asked = int64(len(text)), idKey(j.id), sumOf(text)
	j.mark.Request = j.asked.String()
	return j
}

// invalid returns the job of a row that cannot be sent. It is identified by its line, because its id
// may be missing, or that of another row.
func (j *job) invalid(sum digest, err error) *job {
	j.err = fmt.Errorf("line %d: %w", j.mark.Line, err)
	j.key, j.asked = lineKey(j.mark.Line), sum
	j.mark.Request, j.mark.Row = "", sum.String()
	return j
}

// jobs yields a job for each row of the source, and what the output has of it. A row with the id of
// another one is invalid.
func (j *Journal) jobs(source Source, o *Options) iter.Seq2[todo, error] {
	return func(yield func(todo, error) bool) {
		if !j.begin() {
			yield(todo{}, errInUse)
			return
		}
		defer j.end()
		for next, err := range j.own(source, o) {
			if err != nil {
				yield(todo{}, err)
				return
			}
			c := j.claim(next.key, next.asked, next.mark.Line)
			if c.twice != 0 {
				next = next.invalid(next.asked, fmt.Errorf("custom_id %s is that of line %d, too: must be unique", shortened([]byte(strconv.Quote(next.id))), c.twice))
				c = j.claim(next.key, next.asked, next.mark.Line)
			}
			if !yield(todo{next, c}, nil) {
				return
			}
		}
	}
}

// A todo is a job, and what the output has of it.
type todo struct {
	*job
	claim claim
}

// Rows that are read ahead to find out whether the output is that of the input, and their bytes.
const maxAhead, maxAheadBytes = 1000, 32 << 20

// own yields the jobs of a source whose output the journal is, or else an error before the first.
func (j *Journal) own(source Source, o *Options) iter.Seq2[*job, error] {
	return func(yield func(*job, error) bool) {
		var ahead []*job
		var bytes int64
		isOwn := j.Done() == 0 // nothing is lost if the output has no response
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
			if isOwn = isOwn || j.has(next); isOwn {
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
		if isOwn || len(ahead) == 0 {
			return
		}
		// A single row that has changed is still the same input.
		if len(ahead) == 1 && !ahead[0].numbered && j.hasID(ahead[0].key) {
			flush()
			return
		}
		yield(nil, fmt.Errorf("%w: %s has %d responses, and the first %d rows of the input are not in it as they are: must be another output",
			ErrOtherInput, j.path, j.Done(), len(ahead)))
	}
}

package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

const (
	// maxInFlight bounds the bytes of all requests in flight and of those that wait for the
	// limiter. Each request counts as at least minWeight bytes, so there are at most 512.
	maxInFlight = 64 << 20
	minWeight   = maxInFlight / 512

	// maxRetryBytes bounds the bytes of the requests that are kept for the end of the job. Each request
	// counts as at least minRetrySize bytes. If the space is used up, a row that failed temporarily
	// becomes an error row at once.
	maxRetryBytes, minRetrySize = 32 << 20, 4 << 10

	// holdPause is the pause before a row is sent again in an outage. The client itself detects the
	// end of the outage.
	holdPause = 5 * time.Second

	// maxRejected is the number of rejected rows that ends a run without a success. Then the
	// settings are probably wrong.
	maxRejected = 20
)

// The reasons why Run stopped before the end of its input, as causes of a context.
var (
	errStopped  = errors.New("bulk: stopped")
	errDeadline = errors.New("bulk: deadline")
)

// A run is one call of Run.
type run struct {
	client  *ratelimited.Client
	journal *Journal
	options Options
	runner  *runner.Runner
	format  []runner.FormatOption // nil without a schema

	ctx           context.Context // its end cancels the calls in flight
	stop          context.Context // its end stops new calls; calls in flight are finished
	halt          context.CancelCauseFunc
	inFlightBytes *semaphore.Weighted
	jobs          sync.WaitGroup
	reached       atomic.Bool // whether the server has responded
	sent          int         // rows sent; used only by feed
	atEnd         bool        // whether feed has read the whole input
	budget        *budget

	active, held atomic.Int64 // rows with an active goroutine; those of them that pause in an outage

	throughput throughput

	mu         sync.Mutex
	summary    Summary
	retries    []*job // to be sent again at the end
	retryBytes int64
	unwritten  []*resultLine // results that could not be written
	rejected   int           // rows that the API rejected
}

// Run sends the rows of an input that are not done in the journal, and writes their results to the
// journal. It reads the input as needed. It returns when all rows are done, when Options stop it,
// or when no other row could succeed. Its calls have the class [ratelimited.Batch].
//
// The error is nil if Run reached the end of the input, even if rows failed, and if Options stopped
// it: see [Summary.Stopped]. Otherwise it wraps the failure that ended the job: an error of the
// API, of reading, of writing, or of ctx. If results could not be written, the error contains their
// number. The summary is nil only for invalid arguments.
func Run(ctx context.Context, client *ratelimited.Client, source Source, journal *Journal, options Options) (*Summary, error) {
	r, err := newRun(client, source, journal, options)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	r.ctx = ratelimited.WithClass(ctx, ratelimited.Batch)
	r.stop, r.halt = context.WithCancelCause(ctx)
	defer r.halt(nil)
	if !options.Deadline.IsZero() {
		var cancel context.CancelFunc
		r.stop, cancel = context.WithDeadlineCause(r.stop, options.Deadline, errDeadline)
		defer cancel()
	}
	if r.format != nil {
		if r.runner, err = runner.New(client, runner.Config{Options: []ratelimited.CallOption{ratelimited.WithStop(r.stop)}}); err != nil {
			return nil, err
		}
	}
	r.throughput.began = began
	finished, ticked := make(chan struct{}), make(chan struct{})
	go r.tick(finished, ticked)

	err = r.feed(source)
	r.jobs.Wait()
	r.sendRetries()
	r.jobs.Wait()
	close(finished)
	<-ticked

	err = r.end(err)
	if r.summary.Duration = time.Since(began); options.Progress != nil {
		options.Progress(r.progress())
	}
	summary := r.summary
	return &summary, err
}

func newRun(client *ratelimited.Client, source Source, journal *Journal, options Options) (*run, error) {
	if err := options.check(client); err != nil {
		return nil, err
	}
	switch {
	case source == nil:
		return nil, errNoSource
	case journal == nil || !journal.isOpen():
		return nil, errClosed
	}
	format, err := options.prepare()
	if err != nil {
		return nil, err
	}
	return &run{
		client: client, journal: journal, options: options, format: format,
		inFlightBytes: semaphore.NewWeighted(maxInFlight), budget: newBudget(options.TokenBudget),
	}, nil
}

// feed sends every row of the source that is not done. It returns when all rows are sent, when the
// run stops, or with the error of the source.
func (r *run) feed(source Source) error {
	for next, err := range r.journal.jobs(source, &r.options) {
		if r.isStopped() { // the caller may have closed the source to stop the run, so ignore its error
			return nil
		}
		if err != nil {
			return err
		}
		r.summarize(func(s *Summary) { s.Rows++ })
		switch {
		case next.claim.status == statusDone:
			r.summarize(func(s *Summary) { s.Already++ })
		case next.claim.status == statusFailed:
			r.summarize(func(s *Summary) { s.AlreadyFailed++ })
		case next.err != nil:
			r.record(failedLine(next.customID(), next.mark, next.err, false), statusFailed)
		case !r.send(next.job):
			r.summarize(func(s *Summary) { s.Left++ })
			return nil
		}
	}
	r.atEnd = true
	return nil
}

// isStopped reports whether the run must not send further rows.
func (r *run) isStopped() bool {
	select {
	case <-r.options.Stop:
		r.halt(errStopped)
	default:
		if at := r.options.Deadline; !at.IsZero() && !time.Now().Before(at) {
			r.halt(errDeadline)
		}
	}
	return r.stop.Err() != nil
}

// summarize changes the summary while it holds r.mu.
func (r *run) summarize(change func(*Summary)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.summary)
}

// send starts a job as soon as the bounds allow it. It reports false if the run stops first.
func (r *run) send(j *job) bool {
	if n := r.options.MaxRows; n > 0 && !j.isRetry && r.sent >= n {
		r.summarize(func(s *Summary) { s.Stopped = StoppedMaxRows })
		return false
	}
	estimate, err := r.client.Estimate(j.request)
	if err != nil { // the call would fail in the same way
		return r.finish(j, nil, err)
	}
	j.mark.Counted, j.tokens = estimate.Counted, estimate.Prompt+estimate.Reply
	if !r.budget.reserve(r.stop, j.tokens) {
		if r.stop.Err() == nil {
			r.summarize(func(s *Summary) { s.Stopped = StoppedBudget })
		}
		return false
	}
	weight := min(max(j.weight, minWeight), maxInFlight)
	if r.inFlightBytes.Acquire(r.stop, weight) != nil {
		return false
	}
	r.sent++
	r.active.Add(1)
	r.jobs.Go(func() {
		defer r.inFlightBytes.Release(weight)
		defer r.active.Add(-1)
		for {
			result, err := r.call(&j.request)
			if r.finish(j, result, err) {
				break
			}
			r.pause()
		}
	})
	return true
}

// sendRetries sends the rows again that failed temporarily.
func (r *run) sendRetries() {
	for i, j := range r.retries {
		if j.isRetry = true; r.stop.Err() != nil || !r.send(j) {
			r.summarize(func(s *Summary) { s.Left += len(r.retries) - i })
			return
		}
	}
}

// A result is the body for the output and the usage of a response.
type result struct {
	body  json.RawMessage
	usage generated.ConversationUsageInfo
}

// call makes the calls of a row. It makes several calls if an answer does not match the schema.
func (r *run) call(request *generated.StartConversationRequest) (*result, error) {
	if r.format == nil {
		response, err := r.client.Beta.Conversations.Start(r.ctx, *request, ratelimited.WithStop(r.stop))
		if err != nil {
			return nil, err
		}
		if r.options.Output == OutputText {
			return &result{quoted(response.OutputText()), response.Usage}, nil
		}
		return &result{response.Raw(), response.Usage}, nil
	}
	plain := *request
	plain.CompletionArgs.ResponseFormat = generated.ResponseFormat{} // StartAs sets the same format
	object, run, err := runner.StartAs[answer](r.ctx, r.runner, plain, r.format...)
	if err != nil {
		return nil, err
	}
	switch r.options.Output {
	case OutputObject:
		return &result{object.RawMessage, run.Usage}, nil
	case OutputText:
		return &result{quoted(run.OutputText()), run.Usage}, nil
	default:
		return &result{run.Turns[len(run.Turns)-1].Response.Raw(), run.Usage}, nil
	}
}

// finish records the result of a job. It reports false if the job has to be sent again after a
// pause.
func (r *run) finish(j *job, done *result, err error) bool {
	next, used := r.classify(err), 0
	if err == nil {
		used = tokensOf(done.usage)
	} else if run := runner.ResultOf(err); run != nil { // its answers were billed
		used = tokensOf(run.Usage)
	}
	if next == actionHold {
		r.budget.settle(0, used)
		return false
	}
	r.budget.settle(j.tokens, used)
	switch next {
	case actionDone:
		j.mark.Prompt, j.mark.Completion = done.usage.PromptTokens, used-done.usage.PromptTokens
		r.record(&resultLine{CustomID: &j.id, Mark: &j.mark, Response: &response{StatusCode: 200, Body: done.body}}, statusDone)
	case actionFail:
		r.record(failedLine(&j.id, j.mark, err, false), statusFailed)
		r.haltIfAllRejected(err)
	case actionRetryLater:
		if !r.keepForRetry(j) {
			r.record(failedLine(&j.id, j.mark, err, true), statusRetry)
		}
		r.haltIfAllRejected(err)
	case actionStop:
		r.halt(fmt.Errorf("bulk: line %d: all other rows would fail, too: %w", j.mark.Line, err))
		fallthrough
	default:
		r.summarize(func(s *Summary) { s.Left++ })
	}
	return true
}

func tokensOf(usage generated.ConversationUsageInfo) int {
	return max(usage.TotalTokens, usage.PromptTokens+usage.CompletionTokens)
}

// keepForRetry keeps a job for the end of the run. It reports false if the job was already sent again or if
// the space is used up.
func (r *run) keepForRetry(j *job) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := max(j.weight, minRetrySize)
	if j.isRetry || r.retryBytes+size > maxRetryBytes {
		return false
	}
	r.retries = append(r.retries, j)
	r.retryBytes += size
	return true
}

// haltIfAllRejected ends the run if the API rejected many rows before the first success, because the
// settings are probably wrong.
func (r *run) haltIfAllRejected(err error) {
	done := r.journal.Done()
	isRefusal := errors.As(err, new(*ratelimited.APIError)) || errors.Is(err, ratelimited.ErrInvalid)
	if !isRefusal || errors.Is(err, ratelimited.ErrTooLarge) || errors.Is(err, ratelimited.ErrRetryable) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rejected++; done == 0 && r.rejected >= maxRejected {
		r.halt(fmt.Errorf("bulk: the first %d rows were rejected: check the settings: %w", maxRejected, err))
	}
}

// pause waits before a row is sent again in an outage.
func (r *run) pause() {
	r.held.Add(1)
	defer r.held.Add(-1)
	select {
	case <-r.stop.Done():
	case <-time.After(holdPause):
	}
}

// record writes a line. If this fails, it stops the run, and the line is written again at the end.
func (r *run) record(l *resultLine, s status) {
	err := r.journal.write(l)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.unwritten = append(r.unwritten, l)
		r.halt(err)
		return
	}
	r.written(l, s)
}

// written counts a line. The caller holds r.mu.
func (r *run) written(l *resultLine, s status) {
	if s == statusDone {
		r.summary.Done++
	} else {
		r.summary.Failed++
	}
	r.summary.PromptTokens += l.Mark.Prompt
	r.summary.CompletionTokens += l.Mark.Completion
	r.throughput.add(l.Mark, s == statusDone)
}

// end writes the lines that could not be written before, syncs the journal, and returns the error
// of the run.
func (r *run) end(err error) error {
	var lost error
	for i, l := range r.unwritten {
		if lost = r.journal.write(l); lost != nil {
			lost = fmt.Errorf("bulk: cannot write %d results, whose rows will be sent again: %w", len(r.unwritten)-i, lost)
			r.summary.Left += len(r.unwritten) - i
			break
		}
		_, _, s, _ := l.row()
		r.written(l, s)
	}
	cause := context.Cause(r.stop)
	isClean := errors.Is(cause, errDeadline) || errors.Is(cause, errStopped)
	switch {
	case cause == nil && err == nil, isClean && r.atEnd && r.summary.Left == 0:
	case errors.Is(cause, errDeadline):
		r.summary.Stopped = StoppedDeadline
	case isClean:
		r.summary.Stopped = StoppedByCaller
	default:
		r.summary.Stopped = StoppedByError
		err = errors.Join(err, cause)
	}
	return errors.Join(err, lost, r.journal.sync())
}

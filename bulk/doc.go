// Package bulk sends many requests through a small quota: it says beforehand how long that takes,
// sends them at the pace that the limits allow, shows how far it is, and loses nothing if it is
// stopped, however that happens.
//
//	journal, err := bulk.OpenJournal("out.jsonl")
//	defer journal.Close()
//	summary, err := bulk.Run(ctx, client, bulk.JSONL(file), journal, bulk.Options{
//		Defaults: generated.StartConversationRequest{Model: "mistral-small-latest"},
//	})
//
// # Input and output
//
// [JSONL] reads the vendor's batch files and files of prompts, [Lines] plain text, and [Rows] takes
// rows from the program. The output has a line for each row, in the order in which they end, as batch
// results have it:
//
//	{"custom_id":"a","bulk":{…},"response":{"status_code":200,"body":{…}},"error":null}
//
// The property "bulk" identifies the row and what was sent for it: do not remove it. A row that failed
// has an error with a message, and the API's response if there was one.
//
// # The output is the journal
//
// Each line is written in one piece when its row is done, and the system saves the file each second.
// Run a job again with the same input and output, after a crash or a deadline, and it goes on: rows
// that have a response, and rows that failed for good, are not sent again. Rows whose request has changed are, and
// rows whose failure may pass; then the output has two lines of the same custom_id, of which
// the last one counts. A killed process has lost the responses of the calls in flight alone. Those are made
// again, because the API has no idempotency key.
//
// # Failures
//
// A row whose failure may pass is sent again at the end of the job, and becomes an error row if it
// fails again. A failure that all rows would share, such as an invalid key, ends the job. During an
// outage the job waits, for as long as it lasts.
//
// Memory does not grow with the rows that wait: at most 64 MiB of requests are in flight or wait for
// the limiter, and a million rows that are done take about 40 MB.
package bulk

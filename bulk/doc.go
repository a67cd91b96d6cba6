// Package bulk sends many requests through a small quota. It estimates the duration of a job, sends
// the requests at the pace that the limits allow, and reports progress. After an interruption, a
// job continues where it stopped.
//
//	journal, err := bulk.OpenJournal("out.jsonl")
//	defer journal.Close()
//	summary, err := bulk.Run(ctx, client, bulk.JSONL(file), journal, bulk.Options{
//		Defaults: generated.StartConversationRequest{Model: "mistral-small-latest"},
//	})
//
// # Input and output
//
// [JSONL] reads the vendor's batch files and files of prompts. [Lines] reads plain text. [Rows]
// takes rows from the program. The output has one line per row, in the order of completion and in
// the format of batch results:
//
//	{"custom_id":"a","bulk":{…},"response":{"status_code":200,"body":{…}},"error":null}
//
// The property "bulk" identifies the row and its request. Do not remove it. A failed row has an
// error with a message, and the API's response if the API sent one.
//
// # The output is the journal
//
// [Run] writes each line when its row is done, in a single write, and syncs the file to disk every
// second. To continue a job after a crash or a deadline, run it again with the same input and
// output. Rows with a response and rows that failed permanently are not sent again. Rows that
// failed temporarily and rows with a changed request are sent again. The output then has two lines
// with the same custom_id, and the last one is valid.
//
// If the process is killed, only the responses of the calls in flight are lost. These calls are
// made again, because the API does not support idempotency keys.
//
// # Failures
//
// A row that fails temporarily is sent again at the end of the job. If it fails again, it becomes
// an error row. A failure that affects all rows, such as an invalid key, ends the job. During an
// outage the job waits until the outage ends.
//
// Memory use does not depend on the number of remaining rows. At most 64 MiB of requests are in
// flight or wait for the limiter. A million finished rows need about 40 MB.
package bulk

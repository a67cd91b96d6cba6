// Package examples_test runs each example against the emulator, as a user does, and checks its
// output.
package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	// These imports make a cached test result stale when a package of the examples changes.
	_ "github.com/mistral-ratelimit/mistral-ratelimit-go/bulk"
	_ "github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	_ "github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	_ "github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// wantLines holds the expected output of each example: regular expressions that match lines in
// this order. Other lines may be between them.
var wantLines = map[string][]string{
	"agent": {
		`^user: +A day in Lyon`,
		`^turn 1: weather …$`, `^turn 1: trains …$`,
		`^turn 1: (weather: sunny, 24 °C in Lyon|trains: \["TGV 6607","TGV 6611"\])$`,
		`^turn 2: price: The arguments are not valid:$`, `^- /class: must be one of 1, 2, got 3$`,
		`^turn 3: price: {"euros":45,"train":"TGV 6607"}$`,
		`^It will be sunny, 24 °C\. TGV 6607 has seats for 45 euros\.$`,
		`^4 turns, 4 function calls, [1-9][0-9]* tokens$`,
	},
	"agents": {
		`^created Greeter, version 0$`,
		`^updated Greeter, version 1$`,
		`^stable +\(Greet in English, in at most five words\.\) I am Ada\.$`,
		`^1 +\(Greet in French, in at most five words\.\) I am Ada\.$`,
		`^stable is now version 1$`,
		`^stable +\(Greet in French, in at most five words\.\) I am Ada\.$`,
		`^the agent has 2 versions and 1 alias$`,
		`^deleted$`,
	},
	"approve": {
		`^\$ approve -ask trip\.json$`, `^to approve: book\({"train":"TGV 6607"}\)$`,
		`^\$ approve -allow trip\.json$`, `^booked: TGV 6607$`, `^model: Done: seat 12 in TGV 6607\.$`,
		`^3 turns, 2 function calls, [1-9][0-9]* tokens in both processes$`,
	},
	"async": {
		`^10 of 50 calls have ended$`, `^20 of `, `^30 of `, `^40 of `, `^50 of 50 calls have ended$`, // a bar, in a terminal
		`^Gather: +50 of 50 answers are right$`,
		`^Async: +12 \* 12 is 144$`,
		`^errgroup: 3 \+ 4 is 7, 3 \* 4 is 12$`,
		`^limiter: +53 calls admitted, `,
	},
	"bulk": {
		`^Plan: 8 rows to send, 0 done; [1-9][0-9]* prompt tokens; limited by requests; about `,
		`^Run: 8 done, 0 failed, 0 done before, stopped: "max rows"$`,
		`^Plan: 12 rows to send, 8 done; [1-9][0-9]* prompt tokens; limited by requests; about `,
		`^Run: 12 done, 0 failed, 8 done before, stopped: ""$`,
		`^The output has 20 lines\. The first one is$`, `^{"custom_id":"[0-9]+","bulk":{.*"body":{"mood":"(good|bad|mixed)"}},"error":null}$`,
	},
	"chatserver": {
		`^Serving the chat at http://127\.0\.0\.1:[0-9]+$`,
		`^person +5 has disconnected$`,
		`^person +9 reads "You said \\"I am person 9\.\\", and this is the emulator's answer to that\." \(was number [5-9], about [2-6] s\)$`,
		`^Shutting down\.$`,
	},
	"comprehensive": {
		`^ +prompt +completion +total$`,
		`^basic +PASS +[1-9][0-9]* +1 +[1-9][0-9]*$`,
		`^instructions +PASS( +[1-9][0-9]*){3}$`,
		`^completion_args +PASS +[1-9][0-9]* +12 +[1-9][0-9]*$`,
		`^multi-turn +PASS( +[1-9][0-9]*){3}$`,
		`^web_search +PASS( +[1-9][0-9]*){3}$`,
		`^all +5 of 5( +[1-9][0-9]*){3}$`,
	},
	"extract": {
		`^B-1042 +Bäckerei Morgenrot +2026-03-14 +2 items +16\.60 EUR +2 responses$`,
		`^CW-77 +Cloudworks +2026-04-01 +2 items +30\.50 USD +1 responses$`,
		`^T-9 +Taxi Zentral Zürich +2026-05-02 +2 items +65\.00 CHF +1 responses$`,
	},
	"quickstart": {
		`^> What is 2\+2\?$`, `^4$`, `^  \[[1-9][0-9]* prompt \+ 1 completion = [1-9][0-9]* tokens\]$`,
		`^> Count to 5\.$`, `^1 2 3 4 5$`, `^  \[[1-9][0-9]* prompt \+ 5 completion = [1-9][0-9]* tokens\]$`,
		`^> Now count to 20\. \(streamed\)$`, `^1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20$`, ` \+ 20 completion = `,
		`^  calls admitted +3 `,
	},
	"ratelimiting": {
		`^The limit is 1\.2 requests/s, one call every 883ms\.$`,
		`^ call +called +start +end +gap +wait +expected gap$`, `^ +1 `, `^ +2 `, `^ +3 `, `^ +4 `, `^ +5 `, `^ +6 `, `^ +7 `, `^ +8 `,
		`^0 of 8 calls started too early, 0 requests got status 429, `,
		`^PASS: the calls used the limit and did not exceed it\.$`,
	},
	"streaming": {
		`^> Search the web`,
		`^  conversation\.response\.started +conv_…$`,
		`^  conversation\.response\.unheard_of +unknown: [0-9]+ bytes of JSON$`,
		`^  tool\.execution\.started +web_search$`,
		`^  tool\.execution\.delta +arguments of web_search: {"query":"weather Paris"}$`,
		`^  tool\.execution\.done +result of web_search: sunny$`,
		`^  function\.call\.delta +arguments of thermometer: ""$`,
		`^  agent\.handoff\.started +from Searcher$`,
		`^  agent\.handoff\.done +to Writer$`,
		`^  message\.output\.delta +"It"$`,
		`^  conversation\.response\.done +[1-9][0-9]* tokens$`,
		`^Complete text: It is sunny in Paris\.$`,
		`^> Fail\.$`,
		`^  conversation\.response\.error +code 500: the model has failed$`,
		`^Complete text: I was about to$`,
		`^Received 11 types of events, 1 of them unknown to this version\.$`,
	},
	"sync": {
		`^started: +42 \([1-9][0-9]* tokens\)$`,
		`^continued: +420 \([1-9][0-9]* tokens, 200 OK\)$`,
		`^message 1: user: What is 6 \* 7\?`,
		`^message 2: model: 42$`,
		`^message 3: user: Multiply that by 10\.`,
		`^message 4: model: 420$`,
		`^deleted$`,
		`^not found: +status 404 after 1 attempt: Conversation not found$`,
	},
}

func TestExamples(t *testing.T) {
	t.Parallel()
	for name, want := range wantLines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := run(t, name)
			t.Log("\n" + text)
			lines := strings.Split(text, "\n")
			if lines[0] != "Using the embedded emulator: MISTRAL_API_KEY is not set." {
				t.Errorf("the first line is %q, want the use of the emulator", lines[0])
			}
			for _, pattern := range want {
				at := slices.IndexFunc(lines, regexp.MustCompile(pattern).MatchString)
				if at < 0 {
					t.Fatalf("no line after the previous match matches %s", pattern)
				}
				lines = lines[at+1:]
			}
		})
	}
}

// Every example documents its command, and either TestExamples runs it or it has its own tests.
func TestEveryExampleIsTested(t *testing.T) {
	t.Parallel()
	programs, err := filepath.Glob("*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, program := range programs {
		folder := filepath.Dir(program)
		source, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if command := "//\tgo run ./examples/" + folder; !strings.Contains(string(source), command) && wantLines[folder] != nil {
			t.Errorf("the comment of %s does not contain %q", program, command)
		}
		tests, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		if wantLines[folder] == nil && tests == nil {
			t.Errorf("the example %s does not have a test", folder)
		}
	}
}

// run runs an example without a key and returns its output. It uses the race detector if this
// test does. It uses "go run" because the go command caches the linked program.
func run(t *testing.T, name string) string {
	t.Helper()
	args := []string{"run"}
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	command := exec.CommandContext(t.Context(), "go", append(args, "./examples/"+name)...)
	command.Dir = ".."
	command.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MISTRAL_API_KEY=") })
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v\n%s%s", err, out, stderr.String())
	}
	return string(out)
}

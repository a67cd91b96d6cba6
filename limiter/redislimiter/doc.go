// Package redislimiter enforces the limits of one account across many processes. The
// processes share the limiter's state in a Redis or Valkey server. The client of package
// ratelimited uses it as a [limiter.Backend]:
//
//	store, err := redislimiter.Open(ctx, redis.NewClient(&redis.Options{Addr: "localhost:6379"}), redislimiter.Config{})
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	client, err := ratelimited.New(ratelimited.Config{RequestsPerSecond: 5, Limiter: store.Limiter})
//
// # Why not an existing limiter
//
// The existing distributed limiters for Go enforce one rate. go-redis/redis_rate uses GCRA,
// whose state is one timestamp: it cannot take requests and tokens together, and it cannot
// return tokens. mennanov/limiters has buckets and windows, but it locks around reads and
// writes and uses the clocks of the clients. Neither tracks calls in flight, debts, queues,
// or the windows by which some servers count.
//
// # How it works
//
// The shared state of a model is eight keys of one hash slot. Only one Lua script changes it
// (state.lua and operations.lua). The state is that of a guarded limiter in the process, see
// [limiter.Guarded]: two buckets, the windows, the tokens held for calls in flight, the
// results of learning, pauses, and the external usage that the server reported. All processes
// therefore use what one process learns. The held share is one half, because other processes
// learn later that a call has ended. The clock is that of Redis.
//
// The limiter learns limits from the requests of all processes together, by the rules of a
// guarded limiter in the process. The script appends events to a list in the order in which
// Redis receives them: requests sent, settled and throttled, and rate limit headers. It hands
// the list to one process at a time, in the response to any command of that process. It does
// this at once after a throttled request or a new limit in a header, otherwise once a second
// or every 500 events. That process computes the rates (see [limiter.Learner]) and sends them
// with its next command, together with the state of the learner. From then on the rates apply
// to all processes. The script rejects them if another process has learned from the same
// events: throttled requests in several processes at the same moment lower a rate once. A
// process that starts adopts the learned rates if its configured limit equals the shared
// configured limit. A different limit, or SetLimit, discards what was learned. Estimates of
// calls and call durations are not shared: each client learns them.
//
// A process has one command in flight for each model. The command first reports the updates
// since the previous one, in order, and then asks to admit the next call. A call therefore
// costs two commands in an idle process, and fewer in a busy one. Settle does not wait for
// Redis. Updates are numbered, and the script stores how many it has applied for each
// process. A command that is sent twice because its response was lost counts once. A command
// that arrives after its sender gave up on it admits no call.
//
// Calls wait in their process, first come, first served. Only the first of them is sent to
// Redis, which stores a ticket for it and returns when to ask again. That is when the call is
// expected to fit, but at most 250 ms later, so that the process notices refunds by other
// processes. Waiting calls therefore cost at most 4 commands a second for each process and
// model, besides the commands of calls that start and end. The limiter needs no messages
// between processes. Among processes the oldest ticket comes first. A younger ticket may pass
// only if it fits beside the older ones. Each process with waiting calls therefore starts as
// many calls as every other, and large calls are not starved. A process that could not ask for
// a while catches up by at most 16 calls. No call passes a larger one that came before it,
// even where it would not delay it.
//
// The limiter rejects a call whose deadline leaves too little time (see
// [limiter.Call.Duration]) before it asks Redis. Each process decides this alone. When the
// call arrives, the process counts the requests of its own calls ahead of it. At the head of
// the queue, the limiter rejects the call once less than its duration is left, and continues
// with the next call. While Redis is unreachable, the limiter rejects waiting calls too, up to
// [Config.Timeout] later. The fallback decides for the calls that it admits, at the rates of
// its share.
//
// # Failures
//
//   - A process dies: within [Config.Lease] Redis stops holding its calls in flight. They may
//     have been carried out, so they count as used at the time of the process's last command,
//     for a minute. Its ticket reserves tokens for half a second. If the process was only cut
//     off for longer than a lease, its calls in flight count twice for a minute.
//   - Redis is unreachable at the start: Open fails, and so does Limiter.
//   - Redis becomes unreachable, or slower than [Config.Timeout]: calls wait for up to
//     [Config.Patience] and then fail with an [*UnavailableError]. With [Config.Fallback] they
//     continue within a share of the limit instead. The fallback starts with its share of the
//     tokens left at the last response, at most a third of [Config.Lease] ago. When Redis is
//     reachable again, the process first reports what happened meanwhile: settlements,
//     throttled requests, and the calls that the fallback admitted. If Patience is shorter
//     than the request bucket takes to fill, some extra requests may be sent when Redis is
//     lost. The fallback does not count the tokens that earlier calls use beyond their
//     estimates. Its share is a share of the limit in force, learned or configured. It lowers
//     its rates as any guarded limiter does, and raises them up to that share. When Redis is
//     reachable again, the previous rates apply again. The process does not report requests
//     that were throttled in the fallback. It reports headers with the next response.
//   - Redis lost all or part of the state (a restart without persistence, an old snapshot, a
//     replica that lagged, an evicted key): a process notices that its own commands were lost
//     and starts a new epoch. For 0.4 leases no call starts. Meanwhile every process that used
//     tokens in the last minute restores its usage, which counts for another minute, its calls
//     in flight, its pause, its debt and its limit with the learned rates. The learning events
//     and the learned jitter are lost. Calls may therefore start later than necessary, but not
//     too early. Two cases are exceptions: a process restores its state too late, or a new
//     process comes before any old one. The new process cannot know of the loss, and may start
//     calls until an old process sends a command, at most a third of a lease later.
//   - The clock of Redis runs backward, as it may when a replica takes over: for up to ten
//     seconds time stands still. A larger step starts a new epoch, as above. If the clock
//     jumps ahead, usage expires that much too early: synchronize the servers by NTP.
//   - Redis forgot the script: go-redis sends it again.
//   - Processes of an older version run beside those of this one: they use the rates that the
//     others learn, with a longer window for tokens. The limiter does not learn from their
//     requests. An older process that starts sets its limit, which changes nothing if it
//     equals the configured one.
//
// go-redis logs failures to standard error; redis.SetLogger changes that.
//
// Use a Redis that does not evict keys: maxmemory-policy noeviction, with enough memory. The
// state of a model takes some tens of kilobytes, at most 100 including the learning events. It
// expires an hour after its last use, together with the learned rates. A process that has not
// used it for half an hour discards the learned rates too.
//
// # Cost
//
// On one machine with 2 cores, an undelayed call takes two commands and 0.25 ms, the time of
// two PINGs. With 10,000 callers waiting for 20 calls a second, the limiter sends 30–35
// commands a second. With 8 processes of 50 callers it used 95.8% of the requests and
// 99.2–99.6% of the tokens in two minutes, without a 429. No process was farther than 2.3%
// from the mean. In the repository, go test -bench . and make shared measure this.
//
// Tested with Redis 7.0: a single server, a Cluster of one node, and a Sentinel failover.
package redislimiter

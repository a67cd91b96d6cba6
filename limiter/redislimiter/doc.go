// Package redislimiter keeps the limits of one account for many processes, with
// its books in a Redis or Valkey that they share. A [limiter.Backend] of it is for
// the client of package ratelimited:
//
//	store, err := redislimiter.Open(ctx, redis.NewClient(&redis.Options{Addr: "localhost:6379"}), redislimiter.Config{})
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	client, err := ratelimited.New(ratelimited.Config{RequestsPerSecond: 5, Limiter: store.Limiter})
//
// # Why another one
//
// What there is for Go keeps one rate: go-redis/redis_rate admits by GCRA, whose
// state is one time, so it can neither take requests and tokens together nor give
// tokens back; mennanov/limiters has buckets and windows, with a lock around reads
// and writes and the clocks of the clients. Neither knows calls in flight, debts,
// queues, or what a server that counts by windows needs.
//
// # How it works
//
// The books of a model are eight keys of one hash slot, changed only by one Lua
// script (books.lua and operations.lua). They are those of a guarded limiter in the
// process, see [limiter.Guarded]: two buckets, the windows, the share of what is in
// flight (half, since others hear later that a call has ended), what was learned from
// refusals, pauses, and the server's word on what others use; so what one process
// learns all know. Time is that of Redis.
//
// Limits are learned from the requests of all processes together, by the rules of a
// guarded limiter in the process. The script keeps a list of what happened to requests, in
// the order in which Redis was told: what was sent, settled and refused, and what headers
// say. It hands the list to one process at a time, in the reply to whatever that has asked:
// at once after a refusal or a new limit in a header, else once a second or for 500
// entries. That process works out the rates (see [limiter.Learner]) and tells them with its
// next command, together with the state of the learner. They are in force for all
// processes from then on, and count only if nobody else has learned from the same entries:
// so refusals in several processes in the same moment lower a rate once. A process that
// begins adopts what is learned if its configured limit is the one that the books have;
// another limit, or SetLimit, begins anew. Not shared are estimates of calls, and how long
// calls take: each client learns those.
//
// A process has one command under way for each model. It tells what has happened since
// the last, in order, and then asks for the call that is to start next: so a call costs
// two commands where nothing else is going on, and fewer where it is. Who settles a call
// does not wait for Redis to hear of it. What is told is numbered, and the script knows
// how much it has heard from each process: a command that is sent again, because the
// reply was lost, counts once, and one that arrives after it was given up starts no
// call.
//
// Calls wait in their process, first come, first served; only the first of them
// talks to Redis, which keeps a ticket of it and says when to ask again: when it
// will fit, by what is known, but within 250 ms, so that a refund in another
// process is noticed. That makes no more than 4 commands a second for each process
// and model where calls wait, however many, beside those of the calls that start and
// end: no message has to be sent to anybody. Among processes the oldest ticket comes
// first, and a younger one may pass only with what the older ones leave: so each
// process that has calls waiting gets as many in as every other (one that could not
// ask for a while has at most 16 before the others go on), and a large call gets its
// turn. No call passes a larger one that came before, even if that would
// not delay it.
//
// A call whose deadline leaves too little time (see [limiter.Call.Duration]) gives way before
// Redis is asked for it. Each process decides that by itself. When the call comes, the process
// counts the requests of its own calls that are ahead. At the head of its queue the call gives way
// when less than its duration is left, and its turn goes to the next call, whatever that needs.
// While Redis is away, calls that wait give way too, up to [Config.Timeout] later; the
// fallback decides for those that it admits, at the rates of its share.
//
// # When something breaks
//
//   - A process dies: within [Config.Lease] its calls in flight are no longer held;
//     they count as used when it was last heard of, as they may have been carried
//     out, and so are back a minute after that. A ticket of it keeps its tokens
//     reserved for half a second. One that was only cut off for longer than that
//     counts twice, for a minute, what it had in flight.
//   - Redis cannot be reached at the start: Open fails, and so does Limiter.
//   - It is lost later, or slower than [Config.Timeout]: calls wait for it as long as
//     [Config.Patience] says and then fail with an [*UnavailableError]; or, with
//     [Config.Fallback], go on within a share of the limit, beginning with that share
//     of what was left when Redis was last heard of, a third of [Config.Lease] ago at
//     most. What has happened is told when it is back, before another call starts:
//     settlements, refusals, and the calls that were admitted without it. With a
//     Patience shorter than the bucket of requests takes to fill, some more requests may
//     go out when it is lost. The fallback does not hear of what the calls that Redis
//     admitted used beyond their estimates. Its share is one of the limit in force, learned
//     or configured. It lowers its rates as any guarded limiter does, and raises them up to
//     that share. When Redis is back, the rates that were in force before are in force
//     again: refusals that the fallback met with are not told, headers are with the next
//     response.
//   - It lost the books, or some of them (a restart without persistence, an old
//     snapshot, a replica that lagged, an evicted key): a process notices that its own
//     commands were lost, and begins a new epoch. For 0.4 leases nobody starts, while
//     every process that has used something in the last minute brings that, which
//     counts for another minute, its calls in flight, pause, debt and limit, with the rates
//     that were learned. What these were learned from is lost, and so is the jitter that
//     refusals have shown. So calls may start later than need be for that
//     long, and none too early, unless a process brings its books later than that; or
//     a new process comes before any old one: it cannot know, and may start calls until
//     an old one speaks up, in a third of a lease at most.
//   - Its clock runs back, as it may when a replica takes over: for up to ten seconds
//     time stands still; after more there is a new epoch, as above. If it jumps ahead,
//     what was used is forgotten so much too early: let the servers keep time by NTP.
//   - It forgot the script: go-redis sends it again.
//   - Processes of an older version are beside those of this one: they keep to the rates
//     that the others learn, with a longer window for tokens. Their requests are not learned
//     from. One that begins sets its limit, which changes nothing if it is the configured one.
//
// go-redis logs to standard error what fails meanwhile; redis.SetLogger changes that.
//
// Give the limits a Redis that does not evict: maxmemory-policy noeviction, with memory
// to spare. The books of a model take some tens of kilobytes, 100 at most for what is to be
// learned among them. They are gone an hour after their last use, and what was learned with
// them: a process that has not used them for half an hour has forgotten that too.
//
// # What it costs
//
// On one machine with 2 cores: 0.25 ms a call that nobody delays, two commands, which is
// what two PINGs take; 30 to 35 commands a second with 10,000 callers waiting for 20
// calls a second; with 8 processes of 50 callers, 95.8% of the requests and 99.2 to
// 99.6% of the tokens in two minutes, without a 429, no process farther from the mean
// than 2.3%. go test -bench . and make shared in the repository measure that.
//
// Tested with Redis 7.0: alone, as a Cluster of one, and with a Sentinel that replaces it.
package redislimiter

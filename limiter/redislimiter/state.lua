-- The shared state of one model's limits. Every change is one run of this script, which Redis
-- executes atomically. Times are those of the Redis clock, in microseconds. Time stands still
-- while that clock has run backward by a little.
--
-- KEYS, all of one hash slot:
--   1 state    a hash of numbers: all state except the following
--   2 tokens   a list: the log of the tokens used in the last minute, oldest first:
--              "<time> <units>", with times rounded up so that it has at most 600 entries
--   3 requests a list: the same log for requests, in their much shorter window
--   4 permits  a hash of the calls in flight: "<tokens> <large> <sent> <attempt> <before>";
--              sent and before are the times of the latest request and of the previous one,
--              0 if not sent
--   5 leases   a sorted set of the calls in flight, by the end of their lease
--   6 tickets  a hash of the waiting call at the head of each process's queue:
--              "<order> <number> <tokens> <backlog> <deadline>"
--   7 processes a hash of the processes: the number of the latest command, the count of applied
--              updates, the joined epoch, and the time: "<number> <updates> <epoch> <time>"
--   8 lessons  a list: the state of the learner (limiter.Learner, JSON), then the events since
--              that state, oldest first: see record_event
-- ARGV: the operation; the epoch that the caller knows; the number of the caller's latest
--   command with a response; jitter; lease; the process; the number of this command; the count
--   of updates before this command; the count of updates in it; these updates; and the
--   arguments of the operation.
--
-- Invariants after each run: tu and ru are the sums of the two logs, tn and rn their lengths, pn
-- the number of permits and of leases, cn the number of processes, and small + large the tokens
-- of the permits. Each run compares the lengths first, to notice an evicted key. It also notices
-- a clock that has run far backward, and a missing command to which Redis has responded: then
-- Redis lost later data. A new epoch follows, which every process joins with its part of the
-- state.
--
-- The state has a version. A state without a version is of version 1, whose processes record no events: the
-- script adds the missing fields. Its rates and bursts (rps, tpm, rburst, tburst) are those in
-- force, so that processes of version 1 use the rates that the others learn. The configured
-- limit is stored separately (crps and so on) and belongs to the limit set at base_at. A later
-- version must keep these meanings or use other keys. The script keeps fields that it does not
-- know.

local STATE, TOKENS, REQUESTS, PERMITS, LEASES, TICKETS, PROCESSES, LESSONS = unpack(KEYS)
local op, epoch, last_response = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local jitter, lease = tonumber(ARGV[4]), tonumber(ARGV[5])
local name, number, updates_before, update_count = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

-- Chosen by simulation for the limiter in the process: see limiter/guard.go. The held share is
-- one half instead of a fifth, because processes report the end of their calls later.
local HELD_SHARE, HEADROOM, LARGE_SHARE, LARGE_ERROR, SIZE_WEIGHT = 0.5, 3.5, 1 / 8, 1 / 4, 1 / 64
local RESERVED_STEP, RESERVED_DECAY, MAX_JITTER_FACTOR, JITTER_DECAY = 1 / 4, 1800e6, 5, 600e6
-- The maximum number of calls by which a process may lag behind the others and catch up. The
-- others must not wait long for a process that could not ask for a while.
local MAX_LAG = 16
-- JOIN_PAUSE: how long no call starts in a new epoch, in leases, so that all processes can join.
-- EXPIRY: how long an unused state is kept. MAX_STEP_BACK: the tolerated backward step of the
-- clock. MAX_SPAN: the longest time in calculations, in effect forever.
local JOIN_PAUSE, EXPIRY, MAX_STEP_BACK, MAX_SPAN = 0.4, 3600e6, 10e6, 1e15
-- MAX_EVENTS: the capacity of the event list. BATCH_EVENTS and BATCH_AGE: the number of events,
-- and the age of the first, at which a process gets them. LEARNING_LEASE: how long no other
-- process gets them then.
local MAX_EVENTS, BATCH_EVENTS, BATCH_AGE, LEARNING_LEASE = 2000, 500, 1e6, 1e6
local VERSION, MAX_TOKENS = 2, 1e12

local s, stored = {}, {} -- the state, and its copy in Redis
local read = redis.call('HGETALL', STATE)
for i = 1, #read, 2 do
  s[read[i]] = tonumber(read[i + 1])
  stored[read[i]] = s[read[i]]
end
local clock = redis.call('TIME')
local now = clock[1] * 1e6 + clock[2]
local intact = s.epoch and now > s.at - MAX_STEP_BACK
  and redis.call('LLEN', TOKENS) == s.tn and redis.call('LLEN', REQUESTS) == s.rn
  and redis.call('HLEN', PERMITS) == s.pn and redis.call('ZCARD', LEASES) == s.pn
  and redis.call('HLEN', PROCESSES) == s.cn

local last_command, applied, joined_epoch =
  string.match(intact and redis.call('HGET', PROCESSES, name) or '', '^(%S+) (%S+) (%S+)')
local is_new_process = not last_command
last_command, applied, joined_epoch = tonumber(last_command or 0), tonumber(applied or 0), tonumber(joined_epoch or 0)
if number < last_command then return { 'late' } end -- the caller gave up on this command and sent another
local lost = not intact or s.epoch == epoch and last_command < last_response
if op ~= 'join' and (lost or s.epoch ~= epoch) then return { 'join' } end
local clock_lag = intact and math.max(0, s.at - now) or 0 -- how long time stands still
now = now + clock_lag

-- Like tostring, but without rounding. Most numbers are integers, which %d formats faster.
local function text(n) return string.format(n % 1 == 0 and math.abs(n) < 9e15 and '%d' or '%.17g', n) end

-- The windows T of tokens and R of requests. R allows the requests of a full bucket in the time
-- in which the bucket refills, plus the configured and the learned jitter. T allows a minute's
-- tokens in a minute.
local T, R
local function learned_jitter() return s.extra * math.max(0, s.extra_at + JITTER_DECAY - now) / JITTER_DECAY end
local function update_windows()
  local requests, tokens = math.floor(s.rburst), math.min(MAX_TOKENS, math.floor(s.tpm * s.minutes + 0.5))
  T = { key = TOKENS, count = 'tn', used = 'tu', limit = tokens, span = math.min(MAX_SPAN, math.ceil(60e6 * s.minutes)) }
  R = { key = REQUESTS, count = 'rn', used = 'ru', limit = requests,
    span = math.min(MAX_SPAN, math.ceil(1e6 * requests / s.rps + jitter + learned_jitter())) }
end

local function entry(w, i)
  local at, n = string.match(redis.call('LINDEX', w.key, i), '^(%S+) (%S+)$')
  return tonumber(at), tonumber(n)
end

-- Returns the time of the log entry for the current time.
local function slot(w)
  local width = w.limit > 600 and math.ceil(w.span / 600) or 1
  return math.ceil(now / width) * width
end

-- Logs n units in the oldest entry at or after the given time, or in a new entry. The units may
-- leave the window late, but never early. Returns the entry's time.
local function log_units(w, at, n)
  local i, found, found_at, found_n = -1, nil, nil, nil
  while -i <= s[w.count] do
    local e, m = entry(w, i)
    if e < at then break end
    found, found_at, found_n = i, e, m
    i = i - 1
  end
  if found then
    at = found_at
    redis.call('LSET', w.key, found, text(at) .. ' ' .. text(found_n + n))
  else
    redis.call('RPUSH', w.key, text(at) .. ' ' .. text(n))
    s[w.count] = s[w.count] + 1
  end
  s[w.used] = s[w.used] + n
  return at
end

local function expire(w)
  while s[w.count] > 0 do
    local at, n = entry(w, 0)
    if at + w.span > now then return end
    redis.call('LPOP', w.key)
    s[w.count], s[w.used] = s[w.count] - 1, s[w.used] - n
  end
end

-- Returns how long it takes until n more units fit, at most the horizon.
local function window_wait(w, n, horizon)
  local free, i, d = w.limit - n - s[w.used], 0, 0
  while free < 0 and i < s[w.count] and d < horizon do
    local at, units = entry(w, i)
    free, d, i = free + units, at + w.span - now, i + 1
  end
  return free < 0 and horizon or d
end

local function bucket_wait(level, n, per_second)
  local missing = n - level
  return missing > 1e-6 and math.ceil(missing / per_second * 1e6) or 0
end

-- Returns the share of the unheld estimates that the server charges in advance, as learned. The
-- state field is caution.
local function reserved_share()
  return math.max(0, s.caution - RESERVED_STEP * math.floor((now - s.caution_at) / RESERVED_DECAY))
end

-- Returns the tokens that other clients of the account use. The amount is constant for half a
-- span and then decays. The state field is foreign.
local function external_usage()
  return math.ceil(s.foreign * math.max(0, math.min(1, 2 * (s.foreign_at + T.span - now) / T.span)))
end

-- Returns the tokens that must stay free for the calls in flight.
local function held()
  if s.small + s.large <= 0 then return 0 end
  local n = (HELD_SHARE + (1 - HELD_SHARE) * reserved_share()) * s.small + (1 + LARGE_ERROR) * s.large
  return math.ceil(s.small > 0 and n + HEADROOM * math.sqrt(s.square) or n)
end

-- Returns how long it takes until the requests and tokens fit into the buckets and windows after
-- any pause, at most the horizon.
local function wait(requests, tokens, horizon)
  local d = math.max(0, s.paused - now)
  if s.spacing > 0 then d = math.max(d, s.latest + requests * s.spacing - now) end
  d = math.max(d, bucket_wait(s.r, requests, s.rps), window_wait(R, math.min(requests, R.limit), horizon))
  if tokens > 0 then
    d = math.max(d, bucket_wait(s.t, tokens, s.tpm / 60),
      window_wait(T, math.min(tokens, T.limit) + held() + external_usage(), horizon))
  end
  return math.min(math.max(d, d > 0 and clock_lag or 0), horizon)
end

local function charge(tokens)
  s.t = s.t - tokens
  if tokens > 0 then log_units(T, slot(T), tokens) end
end

local function read_permit(id)
  local tokens, large, sent, attempt, before =
    string.match(redis.call('HGET', PERMITS, id) or '', '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  return tokens and { tokens = tonumber(tokens), large = tonumber(large), sent = tonumber(sent),
    attempt = tonumber(attempt), before = tonumber(before) }
end

local function write_permit(id, p)
  redis.call('HSET', PERMITS, id,
    table.concat({ text(p.tokens), text(p.large), text(p.sent), text(p.attempt), text(p.before) }, ' '))
  redis.call('ZADD', LEASES, text(now + lease), id)
end

local function add_permit(id, tokens, sent, attempt)
  local large = tokens > LARGE_SHARE * T.limit
  if large then s.large = s.large + tokens else s.small = s.small + tokens end
  if not large and tokens > 0 and s.square == 0 then s.square = tokens * tokens end
  s.pn = s.pn + 1
  write_permit(id, { tokens = tokens, large = large and 1 or 0, sent = sent, attempt = attempt, before = 0 })
end

-- Renews the leases of calls, given as ids and tokens. It adds a call that is missing: its lease
-- has expired, or its process restores it in a new epoch.
local function renew(...)
  local calls = { ... }
  for i = 1, #calls, 2 do
    if redis.call('HEXISTS', PERMITS, calls[i]) == 1 then
      redis.call('ZADD', LEASES, text(now + lease), calls[i])
    else
      s.t = s.t - calls[i + 1]
      add_permit(calls[i], calls[i + 1], 0, 1)
    end
  end
end

local function remove_permit(id, p)
  if p.large == 1 then s.large = s.large - p.tokens else s.small = s.small - p.tokens end
  s.pn = s.pn - 1
  redis.call('HDEL', PERMITS, id)
  redis.call('ZREM', LEASES, id)
end

-- Appends a learning event: its kind, then times and numbers.
--   s <time>                 a request was sent
--   m <time> <before>        the request of the time before was sent only now
--   n <sent>                 a request was not sent
--   u <time> <tokens>        a call has ended
--   h <time> <limit>         a header named the token limit
--   o <time> <used> <others> a header showed usage by others
--   r <time> <sent> <resumed> <retry after> <requests> <tokens> <used>  a request was throttled
--   f                        the learned rates must be put in force again
-- It drops events beyond the capacity, which is reached only if no process learns.
local function record_event(event, urgent)
  if s.ln > MAX_EVENTS then return end
  if s.ln == 0 then
    redis.call('RPUSH', LESSONS, '')
    s.ln = 1
  end
  if s.ln == 1 then s.lesson_at = now end
  redis.call('RPUSH', LESSONS, event)
  s.ln = s.ln + 1
  if urgent then s.urgent = s.lesson + s.ln - 1 end
end

-- Deletes the events. Their numbers continue, so that the script can reject rates that a process
-- has learned from deleted events.
local function reset_events()
  redis.call('DEL', LESSONS)
  s.lesson = math.max(now, (s.lesson or 0) + MAX_EVENTS + 1)
  s.ln, s.lesson_at, s.urgent, s.taught, s.lesson_epoch = 0, 0, 0, 0, s.epoch
end

-- Returns the permit's latest request, once, if it is still in its window.
local function return_request(p)
  if p.sent == 0 then return end
  s.r = s.r + 1
  if p.sent + R.span > now then log_units(R, p.sent, -1) end
  if s.latest == p.sent then s.latest = s.latest - s.spacing end
  record_event('n ' .. text(p.sent))
  p.sent = 0
end

-- Records that the permit's latest request was sent only now. The request moves in the window; its
-- bucket has counted it.
local function move_request(id, p)
  if p.sent == 0 then return end
  if p.sent + R.span > now then log_units(R, p.sent, -1) end
  local before = p.sent
  p.sent = log_units(R, slot(R), 1)
  s.latest = p.sent
  record_event('m ' .. text(p.sent) .. ' ' .. text(before))
  write_permit(id, p)
end

-- Calls f with each valid ticket and deletes expired ones, whose process has died or hangs. A
-- process that comes back gets its old place.
local function each_ticket(f)
  local list = redis.call('HGETALL', TICKETS)
  for i = 1, #list, 2 do
    local order, ticket_number, tokens, backlog, deadline = string.match(list[i + 1], '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
    if tonumber(deadline) < now then
      redis.call('HDEL', TICKETS, list[i])
    else
      f(list[i], { order = tonumber(order), number = tonumber(ticket_number), tokens = tonumber(tokens), backlog = tonumber(backlog) })
    end
  end
end

-- Puts rates in force, and the minimum time between two requests.
local function set_rates(rps, tpm, rburst, tburst, spacing)
  s.rps, s.tpm, s.rburst, s.tburst, s.spacing = rps, tpm, rburst, tburst, spacing
  s.r, s.t = math.min(s.r, rburst), math.min(s.t, tburst)
  update_windows()
  s.square = math.min(s.square, (LARGE_SHARE * T.limit) ^ 2)
end

-- Puts a limit in force that was configured at the given time, and discards the learned rates.
local function set_limit(at, rps, tpm, rburst, tburst, climbs)
  s.limit_at, s.base_at, s.since = at, at, now
  s.crps, s.ctpm, s.crburst, s.ctburst, s.climbs = rps, tpm, rburst, tburst, climbs
  s.minutes = math.max(1, tburst / tpm)
  s.rfrom, s.tfrom, s.alone = 0, 0, 0
  reset_events()
  set_rates(rps, tpm, rburst, tburst, 0)
end

local function is_configured(rps, tpm, rburst, tburst)
  return s.crps == rps and s.ctpm == tpm and s.crburst == rburst and s.ctburst == tburst
end

-- Handles the changes of a process of version 1, which does not know learned rates. Such a process
-- may have created the state or its epoch, or set the limit. If that limit equals the configured
-- one, the next process to learn puts the learned rates in force again.
local function upgrade()
  if not s.version then s.version, s.latest, s.resumed = VERSION, 0, s.resume end
  if s.base_at == s.limit_at then
    if s.lesson_epoch ~= s.epoch or redis.call('LLEN', LESSONS) ~= s.ln then reset_events() end
  elseif s.base_at and is_configured(s.rps, s.tpm, s.rburst, s.tburst) and s.lesson_epoch == s.epoch then
    s.limit_at = s.base_at
    record_event('f', true)
  else
    set_limit(s.limit_at, s.rps, s.tpm, s.rburst, s.tburst, s.climbs or 0)
  end
end

-- Applies the remaining requests and tokens and the tokens per minute that the server reported;
-- a number below 0 means not reported.
local function observe(requests, tokens, limit)
  if requests >= 0 then s.r = math.min(s.r, requests) end
  if tokens < 0 then return end
  local tpm = limit > 0 and math.min(limit, s.tpm) or s.tpm
  s.foreign, s.foreign_at = math.max(0, tpm - tokens - s.tu), now
end

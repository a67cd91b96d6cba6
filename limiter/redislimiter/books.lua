-- The books of one model's limits, for all processes that share them. Every change
-- is one call of this script, which Redis runs by itself: nothing happens between
-- its lines. Time is Redis's own, in microseconds; it stands still while Redis's clock
-- has run back a little.
--
-- KEYS, all of one hash slot:
--   1 state    a hash of numbers, everything but what follows
--   2 tokens   a list, the log of the tokens used in the last minute, oldest first:
--              "<time> <units>", times rounded up so that it has 600 entries at most
--   3 requests the same of the requests sent in their (much shorter) window
--   4 permits  a hash of the calls in flight: "<tokens> <large> <sent> <attempt> <before>",
--              when its latest request was sent and the one before, 0 if it was not
--   5 leases   a sorted set of the same, by when their lease runs out
--   6 tickets  a hash of the first in line of each process that has to wait:
--              "<order> <number> <tokens> <backlog> <deadline>"
--   7 processes a hash of the number of each process's latest command, how much news it
--              has told, which epoch it has joined, and the time: "<number> <taken> <epoch>
--              <time>"
--   8 lessons  a list: the state of the learner (limiter.Learner, JSON), and what has
--              happened since that it has to learn from, oldest first: see teach
-- ARGV: the operation; the epoch of the books that the caller knows, and the number of
--   its latest command that was answered; jitter, lease, the process, the number of this
--   command, how much news it has told before and how much it tells now, that news; and
--   the operation's own.
--
-- What holds after each call: tu and ru are the sums of the two logs, tn and rn their
-- lengths, pn that of permits and of leases, cn that of processes, small + large the
-- tokens of permits. The lengths are compared at the beginning of each call, so that a
-- key that was evicted is noticed. So is a clock that has run far back, and that Redis
-- does not know of a command that it has answered: it has lost what came after. Then
-- there is a new epoch, which every process has to join with its books.
--
-- The state has a version. Books without one are of version 1, which knows no lessons: a
-- script that finds such books adds what they lack. Its rates and bursts (rps, tpm,
-- rburst, tburst) are those in force, so that processes of version 1 keep to what the
-- others learn; what is configured is beside them (crps and so on), and belongs to the
-- limit of the time base_at. A later version must leave the meaning of all that as it is, or
-- use other keys; a script leaves what it does not know as it is.

local STATE, TOKENS, REQUESTS, PERMITS, LEASES, TICKETS, PROCESSES, LESSONS = unpack(KEYS)
local op, epoch, answered = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local jitter, lease = tonumber(ARGV[4]), tonumber(ARGV[5])
local name, number, told, telling = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

-- Chosen by simulation for the limiter in the process: see limiter/guard.go. But that
-- half of what is in flight is held, and not a fifth: what other processes know of the
-- end of their calls takes longer to get here.
local HELD, SURPRISE, LARGE, LARGE_ERROR, LEARNING = 0.5, 3.5, 1 / 8, 1 / 4, 1 / 64
local CAUTION_STEP, CAUTION_WEAR, MOST_JITTER, JITTER_WEAR = 1 / 4, 1800e6, 5, 600e6
-- By how many calls a process may be behind the others, and has them before the others
-- go on: one that could not ask for long should not keep them all waiting.
local FORGIVEN = 16
-- How long, in leases, nobody starts in a new epoch, so that all can join it before;
-- how long books are kept that nobody uses; how far the clock may run back; and the
-- longest time that is reckoned with, which is for ever.
local JOINING, IDLE, BACK, LONGEST = 0.4, 3600e6, 10e6, 1e15
-- How many lessons there are at most; how many, and how old, the first of them is when a
-- process is to learn from them; and for how long no other process is given them then.
local MOST_LESSONS, MANY_LESSONS, OLD_LESSON, LEARNING_LEASE = 2000, 500, 1e6, 1e6
local VERSION, MAX_TOKENS = 2, 1e12

local s, stored = {}, {} -- the state, and as Redis has it
local read = redis.call('HGETALL', STATE)
for i = 1, #read, 2 do
  s[read[i]] = tonumber(read[i + 1])
  stored[read[i]] = s[read[i]]
end
local clock = redis.call('TIME')
local now = clock[1] * 1e6 + clock[2]
local whole = s.epoch and now > s.at - BACK
  and redis.call('LLEN', TOKENS) == s.tn and redis.call('LLEN', REQUESTS) == s.rn
  and redis.call('HLEN', PERMITS) == s.pn and redis.call('ZCARD', LEASES) == s.pn
  and redis.call('HLEN', PROCESSES) == s.cn

local latest, taken, joined = string.match(whole and redis.call('HGET', PROCESSES, name) or '', '^(%S+) (%S+) (%S+)')
local stranger = not latest
latest, taken, joined = tonumber(latest or 0), tonumber(taken or 0), tonumber(joined or 0)
if number < latest then return { 'late' } end -- the caller has given it up, and gone on without it
local lost = not whole or s.epoch == epoch and latest < answered
if op ~= 'join' and (lost or s.epoch ~= epoch) then return { 'join' } end
local behind = whole and math.max(0, s.at - now) or 0 -- for how long time stands still
now = now + behind

-- As tostring, which would round. Most numbers are whole, and much quicker written so.
local function text(n) return string.format(n % 1 == 0 and math.abs(n) < 9e15 and '%d' or '%.17g', n) end

-- The windows: so many requests as the bucket holds in the time that they take and
-- the jitter, learned jitter included; so many tokens as a minute allows in a minute.
local T, R
local function extra() return s.extra * math.max(0, s.extra_at + JITTER_WEAR - now) / JITTER_WEAR end
local function measure()
  local requests, tokens = math.floor(s.rburst), math.min(MAX_TOKENS, math.floor(s.tpm * s.minutes + 0.5))
  T = { key = TOKENS, count = 'tn', used = 'tu', limit = tokens, span = math.min(LONGEST, math.ceil(60e6 * s.minutes)) }
  R = { key = REQUESTS, count = 'rn', used = 'ru', limit = requests,
    span = math.min(LONGEST, math.ceil(1e6 * requests / s.rps + jitter + extra())) }
end

local function entry(w, i)
  local at, n = string.match(redis.call('LINDEX', w.key, i), '^(%S+) (%S+)$')
  return tonumber(at), tonumber(n)
end

local function slot(w)
  local width = w.limit > 600 and math.ceil(w.span / 600) or 1
  return math.ceil(now / width) * width
end

-- Logs n units: in the oldest entry that is not before the given time, else in a new
-- one. So they may leave the window late, and never early. Returns the entry's time.
local function put(w, at, n)
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

-- How long until n more units fit, as far as the horizon.
local function window_wait(w, n, horizon)
  local room, i, d = w.limit - n - s[w.used], 0, 0
  while room < 0 and i < s[w.count] and d < horizon do
    local at, units = entry(w, i)
    room, d, i = room + units, at + w.span - now, i + 1
  end
  return room < 0 and horizon or d
end

local function bucket_wait(level, n, per_second)
  local missing = n - level
  return missing > 1e-6 and math.ceil(missing / per_second * 1e6) or 0
end

local function caution()
  return math.max(0, s.caution - CAUTION_STEP * math.floor((now - s.caution_at) / CAUTION_WEAR))
end

-- What others use of the account: it stays for half a span, and then wears off.
local function foreign()
  return math.ceil(s.foreign * math.max(0, math.min(1, 2 * (s.foreign_at + T.span - now) / T.span)))
end

-- What must be kept free for the calls in flight.
local function held()
  if s.small + s.large <= 0 then return 0 end
  local n = (HELD + (1 - HELD) * caution()) * s.small + (1 + LARGE_ERROR) * s.large
  return math.ceil(s.small > 0 and n + SURPRISE * math.sqrt(s.square) or n)
end

-- How long until that much fits all of it: pause, buckets and windows.
local function wait(requests, tokens, horizon)
  local d = math.max(0, s.paused - now)
  if s.spacing > 0 then d = math.max(d, s.latest + requests * s.spacing - now) end
  d = math.max(d, bucket_wait(s.r, requests, s.rps), window_wait(R, math.min(requests, R.limit), horizon))
  if tokens > 0 then
    d = math.max(d, bucket_wait(s.t, tokens, s.tpm / 60),
      window_wait(T, math.min(tokens, T.limit) + held() + foreign(), horizon))
  end
  return math.min(math.max(d, d > 0 and behind or 0), horizon)
end

local function use(tokens)
  s.t = s.t - tokens
  if tokens > 0 then put(T, slot(T), tokens) end
end

local function permit(id)
  local tokens, large, sent, attempt, before =
    string.match(redis.call('HGET', PERMITS, id) or '', '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
  return tokens and { tokens = tonumber(tokens), large = tonumber(large), sent = tonumber(sent),
    attempt = tonumber(attempt), before = tonumber(before) }
end

local function keep(id, p)
  redis.call('HSET', PERMITS, id,
    table.concat({ text(p.tokens), text(p.large), text(p.sent), text(p.attempt), text(p.before) }, ' '))
  redis.call('ZADD', LEASES, text(now + lease), id)
end

local function hold(id, tokens, sent, attempt)
  local large = tokens > LARGE * T.limit
  if large then s.large = s.large + tokens else s.small = s.small + tokens end
  if not large and tokens > 0 and s.square == 0 then s.square = tokens * tokens end
  s.pn = s.pn + 1
  keep(id, { tokens = tokens, large = large and 1 or 0, sent = sent, attempt = attempt, before = 0 })
end

-- Renews the leases of calls, each with its tokens; whoever renews one that is not here
-- has not been heard of for too long, or brings it to new books.
local function renew(...)
  local calls = { ... }
  for i = 1, #calls, 2 do
    if redis.call('HEXISTS', PERMITS, calls[i]) == 1 then
      redis.call('ZADD', LEASES, text(now + lease), calls[i])
    else
      s.t = s.t - calls[i + 1]
      hold(calls[i], calls[i + 1], 0, 1)
    end
  end
end

local function release(id, p)
  if p.large == 1 then s.large = s.large - p.tokens else s.small = s.small - p.tokens end
  s.pn = s.pn - 1
  redis.call('HDEL', PERMITS, id)
  redis.call('ZREM', LEASES, id)
end

-- Adds a lesson: its kind, and its times and numbers.
--   s <time>                 a request was sent
--   m <time> <before>        it left only now
--   n <sent>                 it was not sent
--   u <time> <tokens>        a call has ended
--   h <time> <limit>         a header names the limit of tokens
--   o <time> <used> <others> a header shows what others have used
--   r <time> <sent> <resumed> <retry after> <requests> <tokens> <used>  refused
--   f                        the rates have to be put in force again
-- If nobody learns, there is no room for more: then what comes is not learned from.
local function teach(lesson, urgent)
  if s.ln > MOST_LESSONS then return end
  if s.ln == 0 then
    redis.call('RPUSH', LESSONS, '')
    s.ln = 1
  end
  if s.ln == 1 then s.lesson_at = now end
  redis.call('RPUSH', LESSONS, lesson)
  s.ln = s.ln + 1
  if urgent then s.urgent = s.lesson + s.ln - 1 end
end

-- Forgets what the rates in force were learned from. Lessons are counted on, so that what
-- somebody has learned from those before is known to be of before.
local function relearn()
  redis.call('DEL', LESSONS)
  s.lesson = math.max(now, (s.lesson or 0) + MOST_LESSONS + 1)
  s.ln, s.lesson_at, s.urgent, s.taught, s.lesson_epoch = 0, 0, 0, 0, s.epoch
end

-- Takes back the permit's latest request, once, if it is in its window still.
local function unsend(p)
  if p.sent == 0 then return end
  s.r = s.r + 1
  if p.sent + R.span > now then put(R, p.sent, -1) end
  if s.latest == p.sent then s.latest = s.latest - s.spacing end
  teach('n ' .. text(p.sent))
  p.sent = 0
end

-- The permit's latest request left only now. Its bucket has counted it; its window moves.
local function resend(id, p)
  if p.sent == 0 then return end
  if p.sent + R.span > now then put(R, p.sent, -1) end
  local before = p.sent
  p.sent = put(R, slot(R), 1)
  s.latest = p.sent
  teach('m ' .. text(p.sent) .. ' ' .. text(before))
  keep(id, p)
end

-- Calls f with each ticket that is good. One that was not renewed is of a process that
-- has died, or stands still: it keeps nobody, and has its old place if it comes back.
local function each_ticket(f)
  local list = redis.call('HGETALL', TICKETS)
  for i = 1, #list, 2 do
    local order, number, tokens, backlog, deadline = string.match(list[i + 1], '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
    if tonumber(deadline) < now then
      redis.call('HDEL', TICKETS, list[i])
    else
      f(list[i], { order = tonumber(order), number = tonumber(number), tokens = tonumber(tokens), backlog = tonumber(backlog) })
    end
  end
end

-- Puts rates in force, and the time between two requests.
local function set_rates(rps, tpm, rburst, tburst, spacing)
  s.rps, s.tpm, s.rburst, s.tburst, s.spacing = rps, tpm, rburst, tburst, spacing
  s.r, s.t = math.min(s.r, rburst), math.min(s.t, tburst)
  measure()
  s.square = math.min(s.square, (LARGE * T.limit) ^ 2)
end

-- Puts a limit in force that was configured at the given time, and forgets what was learned.
local function set_limit(at, rps, tpm, rburst, tburst, climbs)
  s.limit_at, s.base_at, s.since = at, at, now
  s.crps, s.ctpm, s.crburst, s.ctburst, s.climbs = rps, tpm, rburst, tburst, climbs
  s.minutes = math.max(1, tburst / tpm)
  s.rfrom, s.tfrom, s.alone = 0, 0, 0
  relearn()
  set_rates(rps, tpm, rburst, tburst, 0)
end

local function is_configured(rps, tpm, rburst, tburst)
  return s.crps == rps and s.ctpm == tpm and s.crburst == rburst and s.ctburst == tburst
end

-- Sees to what a process of version 1 has done, which knows of nothing that was learned: it
-- has made the books, or this epoch of them, or has set the limit. If that is the one that was
-- configured already, the next process to learn puts back in force what was learned.
local function upgrade()
  if not s.version then s.version, s.latest, s.resumed = VERSION, 0, s.resume end
  if s.base_at == s.limit_at then
    if s.lesson_epoch ~= s.epoch or redis.call('LLEN', LESSONS) ~= s.ln then relearn() end
  elseif s.base_at and is_configured(s.rps, s.tpm, s.rburst, s.tburst) and s.lesson_epoch == s.epoch then
    s.limit_at = s.base_at
    teach('f', true)
  else
    set_limit(s.limit_at, s.rps, s.tpm, s.rburst, s.tburst, s.climbs or 0)
  end
end

-- What the server said is left, and how many tokens it allows in a minute; less than 0 if it
-- said nothing.
local function observe(requests, tokens, limit)
  if requests >= 0 then s.r = math.min(s.r, requests) end
  if tokens < 0 then return end
  local tpm = limit > 0 and math.min(limit, s.tpm) or s.tpm
  s.foreign, s.foreign_at = math.max(0, tpm - tokens - s.tu), now
end

-- The script of version 1. Its code is unchanged, except for two local names; its comments are left out.

local STATE, TOKENS, REQUESTS, PERMITS, LEASES, TICKETS, PROCESSES = unpack(KEYS)
local op, epoch, answered = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local jitter, lease = tonumber(ARGV[4]), tonumber(ARGV[5])
local name, number, told, telling = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

local HELD, HEADROOM, LARGE, LARGE_ERROR, LEARNING = 0.5, 3.5, 1 / 8, 1 / 4, 1 / 64
local CAUTION_STEP, CAUTION_WEAR, MOST_JITTER, JITTER_WEAR = 1 / 4, 1800e6, 5, 600e6
local FORGIVEN = 16
local JOINING, IDLE, BACK, LONGEST = 0.4, 3600e6, 10e6, 1e15

local s, stored = {}, {}
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
if number < latest then return { 'late' } end
local lost = not whole or s.epoch == epoch and latest < answered
if op ~= 'join' and (lost or s.epoch ~= epoch) then return { 'join' } end
local behind = whole and math.max(0, s.at - now) or 0
now = now + behind

local function text(n) return string.format(n % 1 == 0 and math.abs(n) < 9e15 and '%d' or '%.17g', n) end

local T, R
local function extra() return s.extra * math.max(0, s.extra_at + JITTER_WEAR - now) / JITTER_WEAR end
local function measure()
  local requests, tokens = math.floor(s.rburst), math.max(s.tpm, s.tburst)
  T = { key = TOKENS, count = 'tn', used = 'tu', limit = tokens, span = math.min(LONGEST, math.ceil(60e6 * tokens / s.tpm)) }
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

local function foreign()
  return math.ceil(s.foreign * math.max(0, math.min(1, 2 * (s.foreign_at + T.span - now) / T.span)))
end

local function held()
  if s.small + s.large <= 0 then return 0 end
  local n = (HELD + (1 - HELD) * caution()) * s.small + (1 + LARGE_ERROR) * s.large
  return math.ceil(s.small > 0 and n + HEADROOM * math.sqrt(s.square) or n)
end

local function wait(requests, tokens, horizon)
  local d = math.max(0, s.paused - now)
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

local function return_request(p)
  if p.sent == 0 then return end
  s.r = s.r + 1
  if p.sent + R.span > now then put(R, p.sent, -1) end
  p.sent = 0
end

local function resend(id, p)
  if p.sent == 0 then return end
  if p.sent + R.span > now then put(R, p.sent, -1) end
  p.sent = put(R, slot(R), 1)
  keep(id, p)
end

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

local function set_limit(at, rps, tpm, rburst, tburst)
  s.limit_at, s.rps, s.tpm, s.rburst, s.tburst = at, rps, tpm, rburst, tburst
  s.r, s.t = math.min(s.r, rburst), math.min(s.t, tburst)
  measure()
  s.square = math.min(s.square, (LARGE * T.limit) ^ 2)
end

local function observe(requests, tokens)
  if requests >= 0 then s.r = math.min(s.r, requests) end
  if tokens >= 0 then s.foreign, s.foreign_at = math.max(0, s.tpm - tokens - s.tu), now end
end

local ops = {}

function ops.join(used, paused, left, limit_at, rps, tpm, rburst, tburst, ...)
  local incident = epoch > 0 and (lost or s.young == 1) or lost and s.epoch
  if not whole then
    redis.call('DEL', TOKENS, REQUESTS, PERMITS, LEASES, TICKETS, PROCESSES)
    s = { at = now, r = rburst, t = tburst, order = 1, number = 0, pn = 0, cn = 0, tn = 0, tu = 0, rn = 0, ru = 0,
      small = 0, large = 0, square = 0, caution = 0, caution_at = 0, extra = 0, extra_at = 0, extended = 0,
      foreign = 0, foreign_at = 0, paused = 0, resume = 0, refusals = 0, young = 1, limit_at = 0 }
    set_limit(limit_at, rps, tpm, rburst, tburst)
  elseif limit_at > s.limit_at then
    set_limit(limit_at, rps, tpm, rburst, tburst)
  end
  if lost then s.epoch = math.max(now, epoch + 1, (stored.epoch or 0) + 1) end
  if incident then
    s.young = 0
    s.paused = math.max(s.paused, now + JOINING * lease)
    s.r = 0
    put(R, slot(R), R.limit)
  end
  if epoch > 0 and joined ~= s.epoch then
    use(used)
    s.paused = math.max(s.paused, now + paused)
    if left < 0 then s.t = math.min(s.t, left) end
  end
  renew(...)
end

function ops.adopt(id, tokens)
  local p = permit(id)
  if not p then return renew(id, tokens) end
  p.sent, p.before = 0, 0
  keep(id, p)
end

function ops.limit(...) set_limit(now, ...) end

function ops.acquire(id, order, tokens, attempt, backlog, horizon, grace)
  local p = permit(id)
  if p then tokens = 0 end
  if p and p.attempt >= attempt then
    return_request(p)
    p.sent, p.attempt = p.before, attempt - 1
    keep(id, p)
  end
  if tokens > s.tburst then return 'large', s.tburst, order end
  local others, number, least = {}, s.number + 1, math.huge
  each_ticket(function(other, t)
    if other == id then number = t.number else others[#others + 1] = t end
    least = math.min(least, t.order)
  end)
  if order == 0 then order = least < math.huge and least or s.order end
  order = math.max(s.order - FORGIVEN, math.min(order, s.order + 1))
  local requests, all = 1, tokens
  for _, t in ipairs(others) do
    local due = math.min(t.backlog, order - t.order)
    if due == 0 and t.number < number then due = 1 end
    if due > 0 then requests, all = requests + due, all + t.tokens + (due - 1) * math.sqrt(s.square) end
  end
  local d = wait(requests, tokens > 0 and all or 0, horizon)
  if d > 0 then
    s.number = math.max(s.number, number)
    redis.call('HSET', TICKETS, id, table.concat(
      { text(order), text(number), text(tokens), text(backlog), text(now + d + grace) }, ' '))
    return 'wait', d, order
  end
  s.order = math.max(s.order, order)
  redis.call('HDEL', TICKETS, id)
  s.r, s.t = s.r - 1, s.t - tokens
  local sent = put(R, slot(R), 1)
  if p then
    p.sent, p.attempt, p.before = sent, attempt, p.sent
    keep(id, p)
  else
    hold(id, tokens, sent, attempt)
  end
  return 'ok', 0, order
end

function ops.settle(id, actual, estimate)
  local p = permit(id)
  if not p then return use(math.max(0, actual - estimate)) end
  release(id, p)
  s.t = s.t + p.tokens
  use(actual)
  if p.tokens > 0 and p.large == 0 and actual <= LARGE * T.limit then
    s.square = s.square + LEARNING * (actual * actual - s.square)
  end
  if p.sent >= s.resume then s.refusals = 0 end
end

function ops.cancel(id)
  redis.call('HDEL', TICKETS, id)
  local p = permit(id)
  if not p then return end
  release(id, p)
  return_request(p)
  s.t = s.t + p.tokens
end

function ops.withdraw(id, attempts)
  if attempts == 0 then return ops.cancel(id) end
  redis.call('HDEL', TICKETS, id)
  local p = permit(id)
  if p and p.attempt > attempts then
    return_request(p)
    p.sent, p.attempt = p.before, attempts
    keep(id, p)
  end
end

function ops.unsent(id)
  local p = permit(id)
  if p then
    return_request(p)
    keep(id, p)
  end
end

function ops.sent(id)
  local p = permit(id)
  if p then resend(id, p) end
end

function ops.refused(id, requests, tokens, shortest, longest, draw, retry_after)
  if requests == 1 then s.extra, s.extra_at = math.min((MOST_JITTER - 1) * jitter, extra() + jitter), now end
  if tokens == 1 then
    if s.tu + foreign() < T.limit then s.caution, s.caution_at = math.min(1, caution() + CAUTION_STEP), now end
    observe(-1, 0)
  end
  local p = permit(id)
  if retry_after > 0 then
    s.paused = math.max(s.paused, now + retry_after)
  elseif not p or p.sent >= s.resume then
    s.refusals = s.refusals + 1
    local ceiling = math.max(shortest, math.min(longest, shortest * 2 ^ math.min(s.refusals, 30)))
    s.paused = math.max(s.paused, now + math.ceil(shortest + draw * (ceiling - shortest)))
  end
  s.resume = s.paused
end

function ops.pause(d) s.paused = math.max(s.paused, now + d) end
function ops.observe(requests, tokens) observe(requests, tokens) end

function ops.charge(requests, tokens)
  use(tokens)
  s.r = s.r - requests
  if requests > 0 then put(R, slot(R), math.min(requests, R.limit)) end
end

function ops.renew(...) renew(...) end

function ops.wait(tokens, requests, ahead, own)
  requests, ahead = requests + 1, ahead + tokens
  each_ticket(function(id, t)
    if id ~= own then requests, ahead = requests + t.backlog, ahead + t.tokens + (t.backlog - 1) * math.sqrt(s.square) end
  end)
  local windows = math.max(0, math.ceil(requests / R.limit) - 1)
  local minutes = math.max(0, math.ceil(ahead / T.limit) - 1)
  return 'ok', math.max(windows * R.span, minutes * T.span)
    + wait(requests - windows * R.limit, tokens > 0 and ahead - minutes * T.limit or 0, 10 * T.span + R.span)
end

function ops.state() end

local function value_of(word) return tonumber(word) or word end

if whole then
  measure()
  local d = now - s.at
  s.r, s.t = math.min(s.rburst, s.r + d * s.rps / 1e6), math.min(s.tburst, s.t + d * s.tpm / 60e6)
  s.at = now
  expire(T)
  expire(R)
  if d > lease / 2 then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', text(now + JOINING * lease))) do
      if tonumber(redis.call('ZSCORE', LEASES, id)) ~= s.extended then
        redis.call('ZADD', LEASES, text(now + JOINING * lease), id)
      end
    end
    s.extended = now + JOINING * lease
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', text(now), 'LIMIT', 0, 100)) do
    local p, heard = permit(id), tonumber(redis.call('ZSCORE', LEASES, id)) - lease
    release(id, p)
    if p.tokens > 0 and heard + T.span > now then put(T, heard, p.tokens) end
  end
end
for i = math.max(1, taken - told + 1), telling do
  local words = {}
  for word in string.gmatch(ARGV[9 + i], '%S+') do words[#words + 1] = value_of(word) end
  ops[words[1]](unpack(words, 2))
end
local args = {}
for i = 10 + telling, #ARGV do args[#args + 1] = value_of(ARGV[i]) end
local status, value, order = ops[op](unpack(args))

if stranger then
  local list = redis.call('HGETALL', PROCESSES)
  for i = 1, #list, 2 do
    if tonumber(string.match(list[i + 1], '%S+$')) < now - IDLE then
      redis.call('HDEL', PROCESSES, list[i])
      s.cn = s.cn - 1
    end
  end
  s.cn = s.cn + 1
end
redis.call('HSET', PROCESSES, name, table.concat(
  { text(number), text(math.max(taken, told + telling)), text(s.epoch), text(now) }, ' '))

local write = {}
for field, n in pairs(s) do
  if n ~= stored[field] then
    write[#write + 1] = field
    write[#write + 1] = text(n)
  end
end
if #write > 0 then redis.call('HSET', STATE, unpack(write)) end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, text(math.ceil((IDLE + T.span + R.span) / 1e3))) end

return { status or 'ok', text(value or 0), text(order or 0), text(s.epoch), text(s.limit_at),
  text(s.rps), text(s.tpm), text(s.rburst), text(s.tburst), text(s.tu), text(s.foreign), text(math.max(0, s.paused - now)),
  text(math.min(s.r, R.limit - s.ru)), text(math.min(s.t, T.limit - s.tu - held() - foreign())) }

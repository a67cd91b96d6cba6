-- The operations on the shared state. Updates report changes; each command ends with one further
-- operation. Operations change the state s and the keys beside it; the end of this file writes
-- s. The last operation of a command returns a status, a value and an order.

local ops = {}

-- Registers a process, and creates the state if it does not exist. A process that knew another
-- epoch restores its usage of the last minute, counted as used now, and its calls in flight, pause
-- and debt. Of the configured limits that the processes know, the one that was set last applies,
-- with the learned rates if a process knows them. No call starts until the other processes have
-- had time to join.
function ops.join(used, paused, left, limit_at, rps, tpm, rburst, tburst, climbs, lrps, ltpm, lrburst, ltburst, spacing, rfrom, tfrom, ...)
  local incident = epoch > 0 and (lost or s.young == 1) or lost and s.epoch
  if not intact then
    redis.call('DEL', TOKENS, REQUESTS, PERMITS, LEASES, TICKETS, PROCESSES)
    s = { at = now, r = rburst, t = tburst, order = 1, number = 0, pn = 0, cn = 0, tn = 0, tu = 0, rn = 0, ru = 0,
      small = 0, large = 0, square = 0, caution = 0, caution_at = 0, extra = 0, extra_at = 0, extended = 0,
      foreign = 0, foreign_at = 0, paused = 0, resume = 0, refusals = 0, young = 1, limit_at = 0,
      version = math.max(VERSION, stored.version or 0), latest = 0, resumed = 0, lesson = stored.lesson or 0 }
  end
  if lost then s.epoch = math.max(now, epoch + 1, (stored.epoch or 0) + 1) end
  if not intact or limit_at > s.limit_at then
    set_limit(limit_at, rps, tpm, rburst, tburst, climbs)
  end
  if s.rfrom + s.tfrom == 0 and rfrom + tfrom > 0 and is_configured(rps, tpm, rburst, tburst) then
    reset_events()
    s.rfrom, s.tfrom = rfrom, tfrom
    set_rates(lrps, ltpm, lrburst, ltburst, spacing)
  end
  if incident then
    s.young = 0
    s.paused = math.max(s.paused, now + JOIN_PAUSE * lease)
    s.r = 0
    log_units(R, slot(R), R.limit)
  end
  if epoch > 0 and joined_epoch ~= s.epoch then
    charge(used)
    s.paused = math.max(s.paused, now + paused)
    if left < 0 then s.t = math.min(s.t, left) end
  end
  renew(...)
end

-- Adds a call in flight whose latest request a fallback admitted.
function ops.adopt(id, tokens)
  local p = read_permit(id)
  if not p then return renew(id, tokens) end
  p.sent, p.before = 0, 0
  write_permit(id, p)
end

function ops.limit(...) set_limit(now, ...) end

-- Sets the limit of a process that starts. The learned rates stay if it is the configured limit.
function ops.configure(rps, tpm, rburst, tburst, climbs)
  if s.climbs ~= climbs or not is_configured(rps, tpm, rburst, tburst) then ops.limit(rps, tpm, rburst, tburst, climbs) end
end

-- Applies the rates and the learner's state that a process computed from event_count events, from
-- the given number on. It ignores them if another process has learned from these events before.
function ops.learned(first_event, event_count, rps, tpm, rburst, tburst, spacing, rfrom, tfrom, alone, explained, learner)
  if first_event ~= s.lesson then return end
  redis.call('LTRIM', LESSONS, event_count + 1, -1)
  redis.call('LPUSH', LESSONS, learner)
  s.lesson, s.ln, s.taught = s.lesson + event_count, math.max(1, s.ln - event_count), 0
  s.rfrom, s.tfrom = rfrom, tfrom
  if alone > 0 and s.paused > now then s.alone = alone end
  if explained == 1 then s.extra = 0 end -- the rate explains the throttled requests
  set_rates(rps, tpm, rburst, math.max(tburst, s.tburst), spacing) -- no waiting call becomes too large
end

-- Admits one request with the tokens if they fit beside everything due to other processes before.
-- Otherwise it stores a ticket and returns when to ask again. The permit exists already, with its
-- tokens, in two cases: this is a further attempt, or the response to the same command was lost.
-- In the second case no request was sent, and the permit must fit again now.
--
-- The order makes processes with waiting calls take turns (start-time fair queueing, P. Goyal,
-- H. Vin and H. Cheng, 1996): the n-th call of one comes before the n+1-th of any other. A process
-- with waiting calls counts its own order. A process without waiting calls gets the current order
-- (order 0). Due to another process are all its waiting calls that come before in this order.
-- Redis knows the tokens of the first of them only. Of two tickets of the same order the older
-- one, with the lower number, comes first.
function ops.acquire(id, order, tokens, attempt, backlog, horizon, grace)
  local p = read_permit(id)
  if p then tokens = 0 end
  if p and p.attempt >= attempt then
    return_request(p)
    p.sent, p.attempt = p.before, attempt - 1
    write_permit(id, p)
  end
  if tokens > s.tburst then return 'large', s.tburst, order end
  local others, ticket_number, min_order = {}, s.number + 1, math.huge
  each_ticket(function(other, t)
    if other == id then ticket_number = t.number else others[#others + 1] = t end
    min_order = math.min(min_order, t.order)
  end)
  if order == 0 then order = min_order < math.huge and min_order or s.order end
  order = math.max(s.order - MAX_LAG, math.min(order, s.order + 1)) -- it may be outdated or from another epoch
  local requests, all = 1, tokens
  for _, t in ipairs(others) do
    local due = math.min(t.backlog, order - t.order)
    if due == 0 and t.number < ticket_number then due = 1 end
    if due > 0 then requests, all = requests + due, all + t.tokens + (due - 1) * math.sqrt(s.square) end
  end
  local d = wait(requests, tokens > 0 and all or 0, horizon)
  if d > 0 then
    s.number = math.max(s.number, ticket_number)
    redis.call('HSET', TICKETS, id, table.concat(
      { text(order), text(ticket_number), text(tokens), text(backlog), text(now + d + grace) }, ' '))
    return 'wait', d, order
  end
  s.order = math.max(s.order, order)
  redis.call('HDEL', TICKETS, id)
  s.r, s.t = s.r - 1, s.t - tokens
  local sent = log_units(R, slot(R), 1)
  s.latest = sent
  record_event('s ' .. text(sent))
  if s.alone > 0 then -- the first request after a pause goes alone: it shows whether the pause was long enough
    s.paused, s.alone = math.max(s.paused, now + s.alone), 0
  end
  if p then
    p.sent, p.attempt, p.before = sent, attempt, p.sent
    write_permit(id, p)
  else
    add_permit(id, tokens, sent, attempt)
  end
  return 'ok', 0, order
end

-- Ends a call. If its lease has expired, its estimate counts already.
function ops.settle(id, actual, estimate)
  if actual > 0 then record_event('u ' .. text(now) .. ' ' .. text(actual)) end
  local p = read_permit(id)
  if not p then return charge(math.max(0, actual - estimate)) end
  remove_permit(id, p)
  s.t = s.t + p.tokens
  charge(actual)
  if p.tokens > 0 and p.large == 0 and actual <= LARGE_SHARE * T.limit then
    s.square = s.square + SIZE_WEIGHT * (actual * actual - s.square)
  end
  if p.sent >= s.resumed then s.refusals = 0 end
end

-- Removes a call and returns its request and tokens.
function ops.cancel(id)
  redis.call('HDEL', TICKETS, id)
  local p = read_permit(id)
  if not p then return end
  remove_permit(id, p)
  return_request(p)
  s.t = s.t + p.tokens
end

-- Ends the wait of a call after the given number of attempts. The script may have admitted the next
-- attempt in a response that was lost.
function ops.withdraw(id, attempts)
  if attempts == 0 then return ops.cancel(id) end
  redis.call('HDEL', TICKETS, id)
  local p = read_permit(id)
  if p and p.attempt > attempts then
    return_request(p)
    p.sent, p.attempt = p.before, attempts
    write_permit(id, p)
  end
end

function ops.return_request(id)
  local p = read_permit(id)
  if p then
    return_request(p)
    write_permit(id, p)
  end
end

function ops.sent(id)
  local p = read_permit(id)
  if p then move_request(id, p) end
end

function ops.throttled(id, requests, tokens, min_delay, max_delay, random, retry_after)
  if requests == 1 then s.extra, s.extra_at = math.min((MAX_JITTER_FACTOR - 1) * jitter, learned_jitter() + jitter), now end
  if tokens == 1 then
    if s.tu + external_usage() < T.limit then s.caution, s.caution_at = math.min(1, reserved_share() + RESERVED_STEP), now end
    observe(-1, 0, -1)
  end
  local p = read_permit(id)
  if p and p.sent > 0 then
    record_event(table.concat({ 'r', text(now), text(p.sent), text(s.resume), text(retry_after), requests, tokens, text(s.tu) }, ' '), true)
  end
  if retry_after > 0 then
    s.paused = math.max(s.paused, now + retry_after)
  elseif not p or p.sent >= s.resume then
    s.refusals = s.refusals + 1
    local ceiling = math.max(min_delay, math.min(max_delay, min_delay * 2 ^ math.min(s.refusals, 30)))
    s.paused = math.max(s.paused, now + math.ceil(min_delay + random * (ceiling - min_delay)))
  end
  -- A success of a call that was sent after the previous pause resets the backoff. With responses that take
  -- seconds, the next throttled request comes before any call ends that was sent after this pause.
  if not p or p.sent >= s.resume then s.resumed = s.refusals > 1 and s.resume or s.paused end
  s.resume = s.paused
end

function ops.pause(d) s.paused = math.max(s.paused, now + d) end

-- Applies what the server reported in headers; a number below 0 means not reported. The token limit
-- is a learning event if it is new.
function ops.observe(requests, tokens, limit, is_new)
  if is_new == 1 then record_event('h ' .. text(now) .. ' ' .. text(limit), true) end
  observe(requests, tokens, limit)
  if tokens >= 0 and s.foreign > 0 then record_event(table.concat({ 'o', text(now), text(s.tu), text(s.foreign) }, ' ')) end
end

-- Charges what a fallback used.
function ops.charge(requests, tokens)
  charge(tokens)
  s.r = s.r - requests
  if requests > 0 then log_units(R, slot(R), math.min(requests, R.limit)) end
end

function ops.renew(...) renew(...) end

-- Returns how long a call would wait behind the waiting requests and tokens of its process, and
-- behind the tickets of others. What exceeds one window takes further windows.
function ops.wait(tokens, requests, ahead, own_ticket)
  requests, ahead = requests + 1, ahead + tokens
  each_ticket(function(id, t)
    if id ~= own_ticket then requests, ahead = requests + t.backlog, ahead + t.tokens + (t.backlog - 1) * math.sqrt(s.square) end
  end)
  local windows = math.max(0, math.ceil(requests / R.limit) - 1)
  local minutes = math.max(0, math.ceil(ahead / T.limit) - 1)
  return 'ok', math.max(windows * R.span, minutes * T.span)
    + wait(requests - windows * R.limit, tokens > 0 and ahead - minutes * T.limit or 0, 10 * T.span + R.span)
end

function ops.state() end

local function value_of(word) return tonumber(word) or word end

if intact then
  upgrade()
  update_windows()
  local d = now - s.at -- the buckets drop returned units beyond their capacity here
  s.r, s.t = math.min(s.rburst, s.r + d * s.rps / 1e6), math.min(s.tburst, s.t + d * s.tpm / 60e6)
  s.at = now
  expire(T)
  expire(R)
  -- If no command came for longer than a process takes to renew its leases, Redis was unreachable.
  -- Extend the leases once, so that the processes have time to renew them.
  if d > lease / 2 then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', text(now + JOIN_PAUSE * lease))) do
      if tonumber(redis.call('ZSCORE', LEASES, id)) ~= s.extended then
        redis.call('ZADD', LEASES, text(now + JOIN_PAUSE * lease), id)
      end
    end
    s.extended = now + JOIN_PAUSE * lease
  end
  -- The process of a call with an expired lease has died. The call may have been carried out, so it
  -- counts as used at the time of the process's last renewal.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', text(now), 'LIMIT', 0, 100)) do
    local p, renewed = read_permit(id), tonumber(redis.call('ZSCORE', LEASES, id)) - lease
    remove_permit(id, p)
    if p.tokens > 0 and renewed + T.span > now then log_units(T, renewed, p.tokens) end
  end
end
for i = math.max(1, applied - updates_before + 1), update_count do -- earlier ones were applied; the response was lost
  local words = {}
  for word in string.gmatch(ARGV[9 + i], '%S+') do words[#words + 1] = value_of(word) end
  ops[words[1]](unpack(words, 2))
end
local args = {}
for i = 10 + update_count, #ARGV do args[#args + 1] = value_of(ARGV[i]) end
local status, value, order = ops[op](unpack(args))

if is_new_process then -- remove processes that have been idle for long
  local list = redis.call('HGETALL', PROCESSES)
  for i = 1, #list, 2 do
    if tonumber(string.match(list[i + 1], '%S+$')) < now - EXPIRY then
      redis.call('HDEL', PROCESSES, list[i])
      s.cn = s.cn - 1
    end
  end
  s.cn = s.cn + 1
end
redis.call('HSET', PROCESSES, name, table.concat(
  { text(number), text(math.max(applied, updates_before + update_count)), text(s.epoch), text(now) }, ' '))

-- Hand the learning events to one process at a time, in the response to any command: at once if one
-- is urgent, otherwise when there are enough events or the first is old enough.
local batch, event_count = {}, s.ln - 1
if s.version == VERSION and now >= s.taught
  and (s.urgent > s.lesson or event_count >= BATCH_EVENTS or event_count > 0 and now >= s.lesson_at + BATCH_AGE) then
  s.taught = now + LEARNING_LEASE
  batch = redis.call('LRANGE', LESSONS, 0, -1)
end

local write = {}
for field, n in pairs(s) do
  if n ~= stored[field] then
    write[#write + 1] = field
    write[#write + 1] = text(n)
  end
end
if #write > 0 then redis.call('HSET', STATE, unpack(write)) end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, text(math.ceil((EXPIRY + T.span + R.span) / 1e3))) end

local response = { status or 'ok', text(value or 0), text(order or 0), text(s.epoch), text(s.limit_at),
  text(s.rps), text(s.tpm), text(s.rburst), text(s.tburst), text(s.tu), text(s.foreign), text(math.max(0, s.paused - now)),
  text(math.min(s.r, R.limit - s.ru)), text(math.min(s.t, T.limit - s.tu - held() - external_usage())),
  text(s.crps), text(s.ctpm), text(s.crburst), text(s.ctburst), text(s.climbs), text(s.spacing), text(s.rfrom), text(s.tfrom),
  text(s.since), text(s.lesson), text(math.ceil(learned_jitter())) }
for _, event in ipairs(batch) do response[#response + 1] = event end
return response

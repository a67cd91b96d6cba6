-- The operations on the books: news, which says what has happened, and questions. Each
-- changes the state s and the keys beside it, which the end of this file writes; a
-- question returns a status, a value and an order.

local ops = {}

-- Registers a process in the books, and makes them if there are none. One that knew
-- another epoch brings what it used in the last minute, counted as used now, its calls in
-- flight, its pause and its debt: nobody knows more of what was lost. Of the limits that
-- processes know the one that was set last is in force, at the rates that were learned if
-- somebody knows them. Nobody starts while the others have the time to bring theirs.
function ops.join(used, paused, left, limit_at, rps, tpm, rburst, tburst, climbs, lrps, ltpm, lrburst, ltburst, spacing, rfrom, tfrom, ...)
  local incident = epoch > 0 and (lost or s.young == 1) or lost and s.epoch
  if not whole then
    redis.call('DEL', TOKENS, REQUESTS, PERMITS, LEASES, TICKETS, PROCESSES)
    s = { at = now, r = rburst, t = tburst, order = 1, number = 0, pn = 0, cn = 0, tn = 0, tu = 0, rn = 0, ru = 0,
      small = 0, large = 0, square = 0, caution = 0, caution_at = 0, extra = 0, extra_at = 0, extended = 0,
      foreign = 0, foreign_at = 0, paused = 0, resume = 0, refusals = 0, young = 1, limit_at = 0,
      version = math.max(VERSION, stored.version or 0), latest = 0, resumed = 0, lesson = stored.lesson or 0 }
  end
  if lost then s.epoch = math.max(now, epoch + 1, (stored.epoch or 0) + 1) end
  if not whole or limit_at > s.limit_at then
    set_limit(limit_at, rps, tpm, rburst, tburst, climbs)
  end
  if s.rfrom + s.tfrom == 0 and rfrom + tfrom > 0 and is_configured(rps, tpm, rburst, tburst) then
    relearn()
    s.rfrom, s.tfrom = rfrom, tfrom
    set_rates(lrps, ltpm, lrburst, ltburst, spacing)
  end
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

-- A call is in flight that these books did not admit, or not its latest request.
function ops.adopt(id, tokens)
  local p = permit(id)
  if not p then return renew(id, tokens) end
  p.sent, p.before = 0, 0
  keep(id, p)
end

function ops.limit(...) set_limit(now, ...) end

-- A process begins: what was learned stays if the limit is the one that is configured.
function ops.configure(rps, tpm, rburst, tburst, climbs)
  if s.climbs ~= climbs or not is_configured(rps, tpm, rburst, tburst) then ops.limit(rps, tpm, rburst, tburst, climbs) end
end

-- What a process has learned from so many lessons after the given one: rates, and the state
-- of the learner. It counts if nobody has learned from the same lessons before.
function ops.learned(lesson, lessons, rps, tpm, rburst, tburst, spacing, rfrom, tfrom, alone, explained, learner)
  if lesson ~= s.lesson then return end
  redis.call('LTRIM', LESSONS, lessons + 1, -1)
  redis.call('LPUSH', LESSONS, learner)
  s.lesson, s.ln, s.taught = s.lesson + lessons, math.max(1, s.ln - lessons), 0
  s.rfrom, s.tfrom = rfrom, tfrom
  if alone > 0 and s.paused > now then s.alone = alone end
  if explained == 1 then s.extra = 0 end -- the rate explains the refusals
  set_rates(rps, tpm, rburst, math.max(tburst, s.tburst), spacing) -- no call that waits becomes too large
end

-- Grants one request and the tokens if they fit beside all that is due to others
-- before; otherwise keeps a ticket, and says when to ask again. The permit exists
-- already, with its tokens, if this is a further attempt, or if the reply to the same
-- question was lost: then nothing was sent, and what was granted has to fit again now.
--
-- Order makes processes that have calls waiting take turns (start-time fair queueing,
-- P. Goyal, H. Vin and H. Cheng, 1996): the n-th call of one comes before the n+1-th of
-- any other. A process counts its own on, while it has some waiting, and starts where
-- the others are when it has none (order 0). What is due to another process is all that
-- comes before in that order of what it has waiting: of that, only the first call's
-- tokens are known. Among equals the older ticket, of the lower number, comes first.
function ops.acquire(id, order, tokens, attempt, backlog, horizon, grace)
  local p = permit(id)
  if p then tokens = 0 end
  if p and p.attempt >= attempt then
    unsend(p)
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
  order = math.max(s.order - FORGIVEN, math.min(order, s.order + 1)) -- it may be of another epoch, or long ago
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
  s.latest = sent
  teach('s ' .. text(sent))
  if s.alone > 0 then -- it is the first after a pause: others follow when it is known whether that was long enough
    s.paused, s.alone = math.max(s.paused, now + s.alone), 0
  end
  if p then
    p.sent, p.attempt, p.before = sent, attempt, p.sent
    keep(id, p)
  else
    hold(id, tokens, sent, attempt)
  end
  return 'ok', 0, order
end

-- Ends a call. One whose lease had run out counts with its estimate already.
function ops.settle(id, actual, estimate)
  if actual > 0 then teach('u ' .. text(now) .. ' ' .. text(actual)) end
  local p = permit(id)
  if not p then return use(math.max(0, actual - estimate)) end
  release(id, p)
  s.t = s.t + p.tokens
  use(actual)
  if p.tokens > 0 and p.large == 0 and actual <= LARGE * T.limit then
    s.square = s.square + LEARNING * (actual * actual - s.square)
  end
  if p.sent >= s.resumed then s.refusals = 0 end
end

-- Ends a call as if it had never been.
function ops.cancel(id)
  redis.call('HDEL', TICKETS, id)
  local p = permit(id)
  if not p then return end
  release(id, p)
  unsend(p)
  s.t = s.t + p.tokens
end

-- A call that has had so many attempts does not wait for another any more. It may have
-- been admitted without hearing of it.
function ops.withdraw(id, attempts)
  if attempts == 0 then return ops.cancel(id) end
  redis.call('HDEL', TICKETS, id)
  local p = permit(id)
  if p and p.attempt > attempts then
    unsend(p)
    p.sent, p.attempt = p.before, attempts
    keep(id, p)
  end
end

function ops.unsent(id)
  local p = permit(id)
  if p then
    unsend(p)
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
    observe(-1, 0, -1)
  end
  local p = permit(id)
  if p and p.sent > 0 then
    teach(table.concat({ 'r', text(now), text(p.sent), text(s.resume), text(retry_after), requests, tokens, text(s.tu) }, ' '), true)
  end
  if retry_after > 0 then
    s.paused = math.max(s.paused, now + retry_after)
  elseif not p or p.sent >= s.resume then
    s.refusals = s.refusals + 1
    local ceiling = math.max(shortest, math.min(longest, shortest * 2 ^ math.min(s.refusals, 30)))
    s.paused = math.max(s.paused, now + math.ceil(shortest + draw * (ceiling - shortest)))
  end
  -- Calls that were sent after the pause before this one end the row of refusals: with
  -- replies of seconds, the next refusal comes before any call ends that was sent after this one.
  if not p or p.sent >= s.resume then s.resumed = s.refusals > 1 and s.resume or s.paused end
  s.resume = s.paused
end

function ops.pause(d) s.paused = math.max(s.paused, now + d) end

-- What the server said in headers; less than 0 if nothing. The limit is taught if it is news.
function ops.observe(requests, tokens, limit, news)
  if news == 1 then teach('h ' .. text(now) .. ' ' .. text(limit), true) end
  observe(requests, tokens, limit)
  if tokens >= 0 and s.foreign > 0 then teach(table.concat({ 'o', text(now), text(s.tu), text(s.foreign) }, ' ')) end
end

-- What was used without these books.
function ops.charge(requests, tokens)
  use(tokens)
  s.r = s.r - requests
  if requests > 0 then put(R, slot(R), math.min(requests, R.limit)) end
end

function ops.renew(...) renew(...) end

-- How long a call would wait behind so many others, of this process and of those that
-- have tickets. More than fills a window takes as many windows.
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
  upgrade()
  measure()
  local d = now - s.at -- what was given back beyond what a bucket holds is lost here
  s.r, s.t = math.min(s.rburst, s.r + d * s.rps / 1e6), math.min(s.tburst, s.t + d * s.tpm / 60e6)
  s.at = now
  expire(T)
  expire(R)
  -- Where nobody has been here for longer than it takes any process to renew its leases,
  -- they were kept from it: now they have the time, once.
  if d > lease / 2 then
    for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', text(now + JOINING * lease))) do
      if tonumber(redis.call('ZSCORE', LEASES, id)) ~= s.extended then
        redis.call('ZADD', LEASES, text(now + JOINING * lease), id)
      end
    end
    s.extended = now + JOINING * lease
  end
  -- A call whose lease has run out was of a process that is gone. It may have been
  -- carried out: so it counts as used when its process was last heard of.
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASES, '-inf', text(now), 'LIMIT', 0, 100)) do
    local p, heard = permit(id), tonumber(redis.call('ZSCORE', LEASES, id)) - lease
    release(id, p)
    if p.tokens > 0 and heard + T.span > now then put(T, heard, p.tokens) end
  end
end
for i = math.max(1, taken - told + 1), telling do -- what is before that was told, and the reply lost
  local words = {}
  for word in string.gmatch(ARGV[9 + i], '%S+') do words[#words + 1] = value_of(word) end
  ops[words[1]](unpack(words, 2))
end
local args = {}
for i = 10 + telling, #ARGV do args[#args + 1] = value_of(ARGV[i]) end
local status, value, order = ops[op](unpack(args))

if stranger then -- the first of its words: a time to forget those who are long gone
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

-- What there is to learn goes to one process at a time, with whatever it has asked: at once if
-- it is urgent, else when there is enough of it.
local lessons, pending = {}, s.ln - 1
if s.version == VERSION and now >= s.taught
  and (s.urgent > s.lesson or pending >= MANY_LESSONS or pending > 0 and now >= s.lesson_at + OLD_LESSON) then
  s.taught = now + LEARNING_LEASE
  lessons = redis.call('LRANGE', LESSONS, 0, -1)
end

local write = {}
for field, n in pairs(s) do
  if n ~= stored[field] then
    write[#write + 1] = field
    write[#write + 1] = text(n)
  end
end
if #write > 0 then redis.call('HSET', STATE, unpack(write)) end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, text(math.ceil((IDLE + T.span + R.span) / 1e3))) end

local answer = { status or 'ok', text(value or 0), text(order or 0), text(s.epoch), text(s.limit_at),
  text(s.rps), text(s.tpm), text(s.rburst), text(s.tburst), text(s.tu), text(s.foreign), text(math.max(0, s.paused - now)),
  text(math.min(s.r, R.limit - s.ru)), text(math.min(s.t, T.limit - s.tu - held() - foreign())),
  text(s.crps), text(s.ctpm), text(s.crburst), text(s.ctburst), text(s.climbs), text(s.spacing), text(s.rfrom), text(s.tfrom),
  text(s.since), text(s.lesson), text(math.ceil(extra())) }
for _, lesson in ipairs(lessons) do answer[#answer + 1] = lesson end
return answer

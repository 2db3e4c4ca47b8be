"""Lua scripts of the outbox. Each step is one script, so it is atomic.

A webhook's score in `ml:webhooks:due` is the time at which its next event is due. While a sender has its
lease, the score is the time at which the lease ends. So one look finds the webhooks that have work, and those
whose sender died. A sender is known by its token. Without the token of the last sender it changes nothing,
except that what it delivered is delivered.
"""

from __future__ import annotations

from typing import Final

START: Final = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
local id = ARGV[1]
local function key(part) return 'ml:webhook:' .. id .. ':' .. part end
local function count(name, number) redis.call('HINCRBY', key('counts'), name, number) end
local function forget(event)
  for _, part in ipairs({'due', 'added', 'parked'}) do redis.call('ZREM', key(part), event) end
  for _, part in ipairs({'tries', 'errors', 'reached'}) do redis.call('HDEL', key(part), event) end
  return redis.call('HDEL', key('events'), event)
end
local function paused_until()
  return tonumber(redis.call('HGET', key('health'), 'paused_until') or 0)
end
local function plan()
  local first = redis.call('ZRANGE', key('due'), 0, 0, 'WITHSCORES')
  if not first[1] then
    redis.call('ZREM', 'ml:webhooks:due', id)
  else
    redis.call('ZADD', 'ml:webhooks:due', math.max(now, paused_until(), tonumber(first[2])), id)
  end
end
"""

# Push a ready message of a task to the senders' queue. A few wait there at most: each finds all that is due.
WAKE: Final = """
local function wake(queue, message)
  if redis.call('LLEN', queue) < 4 then redis.call('LPUSH', queue, message) end
end
"""

# Make room for one more event: in a full outbox the oldest parked one is dropped. Then add the event.
STORE: Final = """
local function is_known(event)
  return redis.call('ZSCORE', key('known'), event) or redis.call('HEXISTS', key('events'), event) == 1
end
local function has_room(most)
  if redis.call('HLEN', key('events')) < most then return true end
  local oldest = redis.call('ZRANGE', key('parked'), 0, 0)[1]
  if oldest then
    forget(oldest)
    count('dropped', 1)
  end
  return redis.call('HLEN', key('events')) < most
end
local function store(event, body)
  redis.call('HSET', key('events'), event, body)
  for _, part in ipairs({'due', 'added', 'known'}) do redis.call('ZADD', key(part), now, event) end
end
local function announce(queue, message)
  if redis.call('HEXISTS', 'ml:webhooks:senders', id) == 0 then
    plan()
    if paused_until() <= now then wake(queue, message) end
  end
end
"""

# Add events to a webhook that exists and is active. A known event is not added again. In a full outbox the
# oldest parked event makes room, and without one the new event is dropped. Returns the number added.
# KEYS: the senders' queue. ARGV: webhook, most events, seconds for which an event is known, message of a
# task, then id and stored event alternately.
ADD: Final = (
    START
    + WAKE
    + STORE
    + """
if redis.call('HEXISTS', 'ml:webhooks', id) == 0 then return 0 end
if redis.call('HEXISTS', 'ml:webhooks:disabled', id) == 1 then return 0 end
local added = 0
for i = 5, #ARGV, 2 do
  local event = ARGV[i]
  if not is_known(event) then
    if has_room(tonumber(ARGV[2])) then
      store(event, ARGV[i + 1])
      added = added + 1
    else
      count('dropped', 1)
    end
  end
end
redis.call('ZREMRANGEBYSCORE', key('known'), '-inf', now - ARGV[3])
if added > 0 then announce(KEYS[1], ARGV[4]) end
return added
"""
)

# Give a sender the lease of the webhook that has been due longest. Returns the webhook's id, record and
# secret, then its due events: id, stored event and number of tries, alternately. Empty if none is due.
# ARGV: token, seconds of the lease, most events.
TAKE: Final = (
    START.replace("local id = ARGV[1]", "local id")
    + """
for _, each in ipairs(redis.call('ZRANGEBYSCORE', 'ml:webhooks:due', '-inf', now, 'LIMIT', 0, 64)) do
  id = each
  local record = redis.call('HGET', 'ml:webhooks', id)
  local secret = redis.call('HGET', 'ml:webhooks:secrets', id)
  local events = redis.call('ZRANGEBYSCORE', key('due'), '-inf', now, 'LIMIT', 0, ARGV[3])
  if record and secret and #events > 0 then
    redis.call('ZADD', 'ml:webhooks:due', now + ARGV[2], id)
    redis.call('HSET', 'ml:webhooks:senders', id, ARGV[1])
    local taken = {id, record, secret}
    for _, event in ipairs(events) do
      table.insert(taken, event)
      table.insert(taken, redis.call('HGET', key('events'), event) or '')
      table.insert(taken, tonumber(redis.call('HGET', key('tries'), event) or 0))
    end
    return taken
  end
  redis.call('HDEL', 'ml:webhooks:senders', id)
  if record and secret then plan() else redis.call('ZREM', 'ml:webhooks:due', id) end
end
return {}
"""
)

# Note the result of one attempt, and renew the lease. Returns 1 if the sender may go on, otherwise 0.
# ARGV: webhook, token, seconds of the lease, event, result (delivered, retry, park, disable), error,
# seconds until the next try, failures in a row after which the webhook pauses, longest pause, seconds after
# which events are parked when an attempt fails.
SETTLE: Final = (
    START
    + """
local event, result = ARGV[4], ARGV[5]
local function park(event)
  redis.call('ZREM', key('due'), event)
  redis.call('ZREM', key('added'), event)
  redis.call('ZADD', key('parked'), now, event)
  count('parked', 1)
end
local is_sender = redis.call('HGET', 'ml:webhooks:senders', id) == ARGV[2]
if result == 'delivered' then
  if forget(event) == 1 then count('delivered', 1) end
  redis.call('DEL', key('health'))
elseif is_sender and redis.call('HEXISTS', key('events'), event) == 1 then
  count('failed', 1)
  redis.call('HINCRBY', key('tries'), event, 1)
  redis.call('HSET', key('errors'), event, ARGV[6])
  local failures = redis.call('HINCRBY', key('health'), 'failures', 1)
  local over = failures - tonumber(ARGV[8])
  if over >= 0 then
    local pause = math.min(tonumber(ARGV[9]), 2 ^ math.min(over, 10))
    redis.call('HSET', key('health'), 'paused_until', now + pause)
  end
  if result == 'retry' then
    redis.call('ZADD', key('due'), 'XX', now + ARGV[7], event)
  elseif result == 'park' then
    park(event)
  else
    redis.call('HSET', 'ml:webhooks:disabled', id, ARGV[6])
    count('parked', redis.call('ZCARD', key('due')))
    redis.call('ZUNIONSTORE', key('parked'), 2, key('parked'), key('due'), 'AGGREGATE', 'MAX')
    redis.call('DEL', key('due'), key('added'))
  end
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', key('added'), '-inf', now - ARGV[10], 'LIMIT', 0, 256)) do
    park(old)
  end
end
if not is_sender or result == 'disable' or paused_until() > now then return 0 end
redis.call('ZADD', 'ml:webhooks:due', now + ARGV[3], id)
return 1
"""
)

# Give the lease back. The webhook is due again with its next event, behind the others that are due now.
# ARGV: webhook, token.
RELEASE: Final = (
    START
    + """
if redis.call('HGET', 'ml:webhooks:senders', id) ~= ARGV[2] then return 0 end
redis.call('HDEL', 'ml:webhooks:senders', id)
plan()
return 1
"""
)

# Send parked events again, and enable the webhook. Returns the number of events.
# KEYS: the senders' queue. ARGV: webhook, message of a task, event or nothing for all.
REPLAY: Final = (
    START
    + WAKE
    + """
if redis.call('HEXISTS', 'ml:webhooks', id) == 0 then return 0 end
local events = ARGV[3] == '' and redis.call('ZRANGE', key('parked'), 0, -1) or {ARGV[3]}
local replayed = 0
for _, event in ipairs(events) do
  if redis.call('ZREM', key('parked'), event) == 1 then
    redis.call('ZADD', key('due'), now, event)
    redis.call('ZADD', key('added'), now, event)
    redis.call('HDEL', key('tries'), event)
    replayed = replayed + 1
  end
end
redis.call('HDEL', 'ml:webhooks:disabled', id)
redis.call('DEL', key('health'))
if redis.call('HEXISTS', 'ml:webhooks:senders', id) == 0 then plan() end
wake(KEYS[1], ARGV[2])
return replayed
"""
)

# Remove events, as if they had never been there. Returns their number. ARGV: webhook, events.
FORGET: Final = (
    START
    + """
local removed = 0
for i = 2, #ARGV do
  removed = removed + forget(ARGV[i])
  redis.call('ZREM', key('known'), ARGV[i])
end
return removed
"""
)

# Drop a few of the events that were parked too long ago. Returns their number. ARGV: webhook, seconds.
EXPIRE: Final = (
    START
    + """
local old = redis.call('ZRANGEBYSCORE', key('parked'), '-inf', now - ARGV[2], 'LIMIT', 0, 64)
for _, event in ipairs(old) do forget(event) end
if #old > 0 then count('dropped', #old) end
return #old
"""
)

# Push a message of a task if any webhook is due. KEYS: the senders' queue. ARGV: the message.
SWEEP: Final = (
    "local clock = redis.call('TIME')\nlocal now = clock[1] + clock[2] / 1e6\n"
    + WAKE
    + """
if redis.call('ZCOUNT', 'ml:webhooks:due', '-inf', now) == 0 then return 0 end
if redis.call('LLEN', KEYS[1]) == 0 then wake(KEYS[1], ARGV[1]) end
return 1
"""
)

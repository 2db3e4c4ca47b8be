"""The Lua scripts of alert records (`alert_records.py`, `alert_store.py`)."""

from __future__ import annotations

from typing import Final

STORY_EVENTS: Final = 50

# One call handles several changes. The keys of a change are its tenant's prefix and its partition's set.
# Names of records are made here from ids in the indexes: this service does not use Redis Cluster.
WRITE: Final = """
local call = redis.call
local retention, longer = tonumber(ARGV[1]), ARGV[2]
local most_open, most_closed, most_of_charger = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local most_events = tonumber(ARGV[6])
local clock = call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
local expired = now - retention * 1000
local replies, removed = {}, 0
local function forget(prefix, id)
  local charger = call('HGET', prefix .. 'record:' .. id, 'charger_id')
  call('DEL', prefix .. 'record:' .. id, prefix .. 'story:' .. id)
  for _, index in ipairs({'open', 'closed', 'all'}) do call('ZREM', prefix .. index, id) end
  if charger then call('ZREM', prefix .. 'charger:' .. charger, id) end
end
for i = 0, #KEYS / 2 - 1 do
  local prefix, held, first = KEYS[2 * i + 1], KEYS[2 * i + 2], 11 * i + 7
  local what, id, member, partition = ARGV[first], ARGV[first + 1], ARGV[first + 2], ARGV[first + 3]
  local kind, charger, opened = ARGV[first + 4], ARGV[first + 5], ARGV[first + 6]
  local opening, closing = ARGV[first + 7], ARGV[first + 8]
  local opening_event, closing_event = ARGV[first + 9], ARGV[first + 10]
  local record, story = prefix .. 'record:' .. id, prefix .. 'story:' .. id
  local found = call('HMGET', record, 'state', 'lapsed')
  local state, lapsed, reply = found[1], found[2], ''
  local function index(name)
    call('ZADD', prefix .. 'all', opened, id)
    call('ZADD', prefix .. 'charger:' .. charger, opened, id)
    for _, key in ipairs({record, story, prefix .. name, prefix .. 'all', prefix .. 'charger:' .. charger}) do
      call('EXPIRE', key, longer)
    end
  end
  local function tell(event)
    call('RPUSH', story, event)
    call('LTRIM', story, -most_events, -1)
  end
  if what == 'open' then
    if not state and call('ZCARD', prefix .. 'open') >= most_open then
      reply = 'full'
    elseif not state or lapsed then
      call('HSET', record, 'state', 'open', 'kind', kind, 'charger_id', charger, 'partition', partition,
        'opened', opened, 'opening', opening)
      call('HDEL', record, 'closing', 'lapsed')
      call('ZREM', prefix .. 'closed', id)
      call('ZADD', prefix .. 'open', opened, id)
      tell(opening_event)
      index('open')
      reply = 'opened'
    elseif state == 'open' and call('TTL', record) <= retention then
      call('ZADD', prefix .. 'open', opened, id)
      index('open')
    end
    if reply == 'opened' or state == 'open' then
      call('ZADD', held, now, member)
      call('EXPIRE', held, longer)
    end
  else
    call('ZREM', held, member)
    if state == 'open' or (what == 'close' and not state) then
      if not state then
        call('HSET', record, 'kind', kind, 'charger_id', charger, 'partition', partition, 'opened', opened,
          'opening', opening)
        tell(opening_event)
      end
      call('HSET', record, 'state', 'closed', 'closing', closing)
      if what == 'lapse' then call('HSET', record, 'lapsed', 1) end
      call('ZREM', prefix .. 'open', id)
      call('ZADD', prefix .. 'closed', now, id)
      tell(closing_event)
      index('closed')
      reply = 'closed'
      for _, old in ipairs(call('ZRANGE', prefix .. 'closed', 0, 3)) do
        local at = call('ZSCORE', prefix .. 'closed', old)
        local is_expired = at and tonumber(at) <= expired
        if at and (is_expired or call('ZCARD', prefix .. 'closed') > most_closed) then
          if not is_expired then removed = removed + 1 end
          forget(prefix, old)
        end
      end
      local chargers = prefix .. 'charger:' .. charger
      for _, old in ipairs(call('ZRANGE', chargers, 0, 3)) do
        local its_state = call('HGET', prefix .. 'record:' .. old, 'state')
        if not its_state then
          call('ZREM', chargers, old)
          for _, name in ipairs({'open', 'closed', 'all'}) do call('ZREM', prefix .. name, old) end
        elseif its_state == 'closed' and old ~= id and call('ZCARD', chargers) > most_of_charger then
          removed = removed + 1
          forget(prefix, old)
        end
      end
    elseif what == 'close' and lapsed then
      call('HSET', record, 'closing', closing)
      call('HDEL', record, 'lapsed')
    end
  end
  replies[i + 1] = reply
end
replies[#replies + 1] = removed
return replies
"""

# The ids of a page after a cursor, highest score first. A member that has left the set is found by its place:
# it is put in for the time of the call.
PAGE: Final = """
local call = redis.call
local from = 0
if ARGV[2] ~= '' then
  local rank = call('ZREVRANK', KEYS[1], ARGV[2])
  if rank and tonumber(call('ZSCORE', KEYS[1], ARGV[2])) == tonumber(ARGV[1]) then
    from = rank + 1
  else
    local ghost = ARGV[2] .. '!'
    call('ZADD', KEYS[1], ARGV[1], ghost)
    from = call('ZREVRANK', KEYS[1], ghost)
    call('ZREM', KEYS[1], ghost)
  end
end
return call('ZREVRANGE', KEYS[1], from, from + ARGV[3] - 1, 'WITHSCORES')
"""

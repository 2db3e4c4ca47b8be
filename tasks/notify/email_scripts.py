"""Lua scripts of e-mail. They put news into the outbox of the target `email`, beside the webhooks.

News that is urgent is an event of its own, which is due at once. The rest waits in the parts `urgent` and
`later` until it becomes one event, the digest. Each step is one script, so no news is lost between the two.
The hash `digest` has these fields:

    since     time of the first news that waits
    hurry     time at which a digest is made for urgent news, whatever its interval
    left_out  number of news without room
    window    time at which the present window of mails at once ends
    sent      number of mails at once in it
"""

from __future__ import annotations

from typing import Final

from tasks.notify.outbox_scripts import START, STORE, WAKE

# Add news. A known one is not added again. Urgent news is due at once, unless its charger was told of lately,
# or too many mails were sent in the window: then a digest comes soon. Returns the number of mails at once.
# KEYS: the senders' queue. ARGV: target, most events, seconds for which an event is known, message of a task,
# most mails at once in a window, seconds of the window, seconds until a digest in a hurry, seconds for which
# a charger is told of, most news of each part of a digest, then kind, event, stored event and charger by
# turns. Kinds: urgent, later, closed.
ADD_NEWS: Final = (
    START
    + WAKE
    + STORE
    + """
if redis.call('HEXISTS', 'ml:webhooks', id) == 0 then return 0 end
local digest, told, mails = key('digest'), key('told'), 0
local function may_mail()
  if now >= tonumber(redis.call('HGET', digest, 'window') or 0) then
    redis.call('HSET', digest, 'window', now + ARGV[6], 'sent', 0)
  end
  return tonumber(redis.call('HGET', digest, 'sent')) < tonumber(ARGV[5]) and has_room(tonumber(ARGV[2]))
end
redis.call('ZREMRANGEBYSCORE', told, '-inf', now - ARGV[8])
for i = 10, #ARGV, 4 do
  local kind, event, body, charger = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if not is_known(event) then
    local is_mailed = false
    if kind == 'closed' then redis.call('ZREM', told, charger) end
    if kind == 'urgent' and redis.call('ZADD', told, 'NX', now, charger) == 1 then
      is_mailed = may_mail()
      if not is_mailed then redis.call('HSETNX', digest, 'hurry', now + ARGV[7]) end
    end
    if is_mailed then
      store(event, body)
      redis.call('HINCRBY', digest, 'sent', 1)
      mails = mails + 1
    else
      local part = key(kind == 'urgent' and 'urgent' or 'later')
      redis.call('ZADD', key('known'), now, event)
      redis.call('HSETNX', digest, 'since', now)
      if redis.call('HLEN', part) < tonumber(ARGV[9]) then
        redis.call('HSET', part, event, body)
      else
        redis.call('HINCRBY', digest, 'left_out', 1)
        count('dropped', 1)
      end
    end
  end
end
redis.call('ZREMRANGEBYSCORE', key('known'), '-inf', now - ARGV[3])
if mails > 0 then announce(KEYS[1], ARGV[4]) end
return mails
"""
)

# Make the digest of all news that waits, if it is time. Returns 1 if one was made. In a full outbox the news
# waits on. KEYS: the senders' queue. ARGV: target, most events, seconds between digests, message of a task,
# id of the digest.
COMPOSE: Final = (
    START
    + WAKE
    + STORE
    + """
if redis.call('HEXISTS', 'ml:webhooks', id) == 0 then return 0 end
local since, hurry, left_out = unpack(redis.call('HMGET', key('digest'), 'since', 'hurry', 'left_out'))
if not since then return 0 end
local due = math.min(since + ARGV[3], tonumber(hurry) or math.huge)
if now < due or not has_room(tonumber(ARGV[2])) then return 0 end
local news = {}
for _, part in ipairs({'urgent', 'later'}) do
  local events = redis.call('HKEYS', key(part))
  table.sort(events)
  for _, event in ipairs(events) do table.insert(news, redis.call('HGET', key(part), event)) end
end
local head = '{"tenant":null,"charger":null,"type":"digest","at":%.3f,"since":%.3f,"left_out":%d,"news":['
store(ARGV[5], string.format(head, now, since, left_out or 0) .. table.concat(news, ',') .. ']}')
redis.call('DEL', key('urgent'), key('later'))
redis.call('HDEL', key('digest'), 'since', 'hurry', 'left_out')
announce(KEYS[1], ARGV[4])
return 1
"""
)

# Replace a digest that is still in the outbox, or remove it. ARGV: target, event, stored event or nothing.
REPLACE: Final = (
    START
    + """
if redis.call('HEXISTS', key('events'), ARGV[2]) == 0 then return 0 end
if ARGV[3] == '' then forget(ARGV[2]) else redis.call('HSET', key('events'), ARGV[2], ARGV[3]) end
return 1
"""
)

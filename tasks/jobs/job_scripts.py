"""Lua scripts for jobs and chunks. Each step is one script, so it is atomic."""

from __future__ import annotations

from typing import Final

_NOW = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1e6
"""

# Note a job whose end webhooks may want to know of.
_ANNOUNCE = """
local function announce(id)
  if redis.call('EXISTS', 'ml:webhooks') == 1 then redis.call('SADD', 'ml:jobs:ended', id) end
end
"""

# Cancel a running job and delete its working keys. 1 if it was cancelled.
CANCEL: Final = (
    _ANNOUNCE
    + """
local status = redis.call('HGET', KEYS[1], 'status')
if status == 'PENDING' or status == 'RUNNING' then
  redis.call('HSET', KEYS[1], 'status', 'CANCELLED', 'finished_at', ARGV[1])
  redis.call('UNLINK', KEYS[2], KEYS[3], KEYS[4], KEYS[5])
  redis.call('SREM', KEYS[6], ARGV[2])
  redis.call('PUBLISH', KEYS[7], '')
  announce(ARGV[2])
  return 1
end
return 0
"""
)

# Take the next chunks to send of the tenants of the given jobs. A tenant's jobs take turns, chunk by chunk,
# until enough chunks of the tenant are sent or leased. Large jobs take turns of their own, because fewer of
# their chunks may be. Returns job ids and chunks alternately.
#
# Each tenant has three keys. `turns` and `turns:large` are sorted sets of jobs that have chunks to send; the
# next job has the lowest score. `active` is the set of jobs with chunks that are sent or leased.
#
# A given job that has chunks to send is added. So a job of another release, or one whose turn was lost in a
# crash of Redis, goes on when one of its chunks ends, or when recovery finds it.
#
# ARGV: enough, enough of large jobs, most rows of a job that is not large, seconds after which a sent chunk
# may be lost, retention, job ids.
FEED: Final = (
    _NOW
    + """
local enough, enough_of_large, large_rows = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local function read(id)
  local found = redis.pcall('HMGET', 'ml:job:' .. id, 'status', 'next', 'chunks', 'total', 'tenant')
  if found['err'] then return {} end
  local job = {following = tonumber(found[2]), chunks = tonumber(found[3]), tenant = found[5]}
  local is_open = (found[1] == 'PENDING' or found[1] == 'RUNNING') and job.following and job.chunks
  job.is_waiting = is_open and job.following < job.chunks
  job.size = (tonumber(found[4]) or 0) > large_rows and 2 or 1
  return job
end
local function keys_of(tenant)
  local prefix = tenant == '' and 'ml:' or 'ml:tenant:' .. tenant .. ':'
  return {prefix .. 'jobs:turns', prefix .. 'jobs:turns:large', prefix .. 'jobs:active'}
end
local function last_turn(keys)
  local last = 0
  for i = 1, 2 do
    local found = redis.call('ZRANGE', keys[i], -1, -1, 'WITHSCORES')
    last = math.max(last, tonumber(found[2]) or 0)
  end
  return last
end
local tenants, seen = {}, {}
for i = 6, #ARGV do
  local job = read(ARGV[i])
  if job.tenant then
    local keys = keys_of(job.tenant)
    if job.is_waiting then redis.call('ZADD', keys[job.size], 'NX', last_turn(keys) + 1, ARGV[i]) end
    redis.call('SADD', keys[3], ARGV[i])
    if not seen[job.tenant] then table.insert(tenants, keys) end
    seen[job.tenant] = true
  end
end
local taken = {}
for _, keys in ipairs(tenants) do
  local out = {0, 0}
  for _, id in ipairs(redis.call('SMEMBERS', keys[3])) do
    local job = 'ml:job:' .. id
    local count = redis.call('ZCARD', job .. ':sent') + redis.call('ZCARD', job .. ':held')
    if count == 0 then
      redis.call('SREM', keys[3], id)
    else
      local size = read(id).size or 1
      out[size] = out[size] + count
    end
  end
  while out[1] + out[2] < enough do
    local id, size, turn
    for i = 1, out[2] < enough_of_large and 2 or 1 do
      local head = redis.call('ZRANGE', keys[i], 0, 0, 'WITHSCORES')
      if head[1] and not (turn and turn <= tonumber(head[2])) then
        id, size, turn = head[1], i, tonumber(head[2])
      end
    end
    if not id then break end
    local job = read(id)
    if job.is_waiting then
      redis.call('ZADD', 'ml:job:' .. id .. ':sent', now + ARGV[4], job.following)
      redis.call('EXPIRE', 'ml:job:' .. id .. ':sent', ARGV[5])
      redis.call('HSET', 'ml:job:' .. id, 'next', job.following + 1)
      redis.call('SADD', keys[3], id)
      table.insert(taken, id)
      table.insert(taken, job.following)
      out[size] = out[size] + 1
    end
    if job.is_waiting and job.following + 1 < job.chunks then
      redis.call('ZADD', keys[size], last_turn(keys) + 1, id)
    else
      redis.call('ZREM', keys[size], id)
    end
  end
  for _, key in ipairs(keys) do redis.call('EXPIRE', key, 2 * ARGV[5]) end
end
return taken
"""
)

# Take the chunks that were sent or leased too long ago, to be sent again.
LOST: Final = (
    _NOW
    + """
local late = now
if redis.call('LLEN', KEYS[3]) == 0 then late = now + ARGV[1] - ARGV[3] end
local lost = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', late)
for _, chunk in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do
  redis.call('ZREM', KEYS[2], chunk)
  table.insert(lost, chunk)
end
for _, chunk in ipairs(lost) do redis.call('ZADD', KEYS[1], now + ARGV[1], chunk) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return lost
"""
)

# Start a chunk: count the attempt and return its number. 0 if the chunk is done, not wanted, or leased to
# another worker. A repeated call with the same token has missed the first reply, and gets it again. If the
# broker redelivers a task, its first worker is dead. A lease taken for another task of the chunk stays valid.
BEGIN: Final = (
    _NOW
    + """
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'PENDING' and status ~= 'RUNNING' then return 0 end
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
local lease = redis.call('ZSCORE', KEYS[4], ARGV[1])
local holder = ARGV[1] .. ':holder'
if lease and tonumber(lease) > now then
  local held = redis.call('HGET', KEYS[5], holder) or ''
  if held == ARGV[4] then return tonumber(redis.call('HGET', KEYS[5], ARGV[1])) end
  if ARGV[3] == '' or string.sub(held, 1, #ARGV[3]) ~= ARGV[3] then return 0 end
end
if status == 'PENDING' then redis.call('HSET', KEYS[1], 'status', 'RUNNING', 'started_at', now) end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('ZADD', KEYS[4], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[5], holder, ARGV[4])
local attempt = redis.call('HINCRBY', KEYS[5], ARGV[1], 1)
for i = 4, 5 do redis.call('EXPIRE', KEYS[i], ARGV[5]) end
return attempt
"""
)

RENEW: Final = (
    _NOW
    + """
redis.call('ZADD', KEYS[1], 'XX', now + ARGV[2], ARGV[1])
"""
)

# Uncount an attempt, unless its job has ended or expired.
RETURN: Final = """
local attempts = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0')
if attempts > 0 then redis.call('HINCRBY', KEYS[1], ARGV[1], -1) end
"""

# Store a chunk's results and count them, once. The last chunk ends the job.
FINISH: Final = (
    _NOW
    + _ANNOUNCE
    + """
local chunk, retention = ARGV[1], ARGV[5]
redis.call('ZREM', KEYS[4], chunk)
redis.call('ZREM', KEYS[5], chunk)
local status = redis.call('HGET', KEYS[1], 'status')
if status ~= 'PENDING' and status ~= 'RUNNING' then return 0 end
if redis.call('HSETNX', KEYS[2], chunk, ARGV[2]) == 0 then return 0 end
redis.call('HDEL', KEYS[3], chunk)
redis.call('HINCRBY', KEYS[1], 'result_bytes', #ARGV[2])
local done = redis.call('HINCRBY', KEYS[1], 'done', ARGV[3])
local failed = redis.call('HINCRBY', KEYS[1], 'failed', ARGV[4])
for i = 8, #ARGV do
  if redis.call('LLEN', KEYS[7]) < tonumber(ARGV[7]) then redis.call('RPUSH', KEYS[7], ARGV[i]) end
end
for i = 1, 7 do redis.call('EXPIRE', KEYS[i], retention) end
local total = tonumber(redis.call('HGET', KEYS[1], 'total'))
if done < total then
  -- The recent pace: a number of rows and the seconds that they took. The seconds are limited to 10, so
  -- older rows count less and less. After a long pause, such as an outage, the pace stays the same.
  local pace = redis.call('HMGET', KEYS[1], 'pace_rows', 'pace_s', 'pace_at', 'started_at')
  local rows, seconds, last = tonumber(pace[1]), tonumber(pace[2]), tonumber(pace[3])
  if last then
    local took, usual = now - last, ARGV[3] * seconds / rows
    if took > math.max(5, 5 * usual) then took = usual end
    rows, seconds = rows + ARGV[3], seconds + took
  else
    rows, seconds = done, now - (tonumber(pace[4]) or now)
  end
  if seconds > 10 then rows, seconds = rows * 10 / seconds, 10 end
  redis.call('HSET', KEYS[1], 'pace_rows', rows, 'pace_s', seconds, 'pace_at', now)
  return 1
end
redis.call('HSET', KEYS[1], 'finished_at', now, 'status', failed >= total and 'FAILED' or 'SUCCEEDED')
redis.call('UNLINK', KEYS[4], KEYS[5], KEYS[6])
redis.call('SREM', KEYS[8], ARGV[6])
redis.call('PUBLISH', KEYS[9], '')
announce(ARGV[6])
return 2
"""
)

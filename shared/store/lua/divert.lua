-- Diverts a job that a worker cannot serve: ends the worker's lease, records the refusal, and gives the job's messages
-- a queue of their own. Returns 'diverted', 'alone' if no other worker may serve the job, or why not.
-- KEYS: job, leases, holders, refusals, diverted
-- ARGV: uid, batch, holder, worker, reason, milliseconds until the worker may try again (0: never), name, queue,
--       whether another worker must be left ('1'), the other workers, ...
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'refusal_ms')
if job[1] ~= ARGV[1] then return 'unknown' end
if job[2] ~= 'enqueuing' and job[2] ~= 'sealed' then return job[2] end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local again = tonumber(ARGV[6])
-- A refusal that ends later than any can is of a time before the server's clock was set back, and counts as over.
local longest = math.max(tonumber(job[3]) or 0, again)
if ARGV[9] == '1' then
  local left = false
  for k = 10, #ARGV do
    local note = redis.call('HGET', KEYS[4], ARGV[k])
    local until_ms = note and tonumber(string.match(note, '^%d+')) or now
    if until_ms > 0 and (until_ms <= now or until_ms > now + 2 * longest) then left = true end
  end
  if not left then return 'alone' end
end
redis.call('HDEL', KEYS[4], ARGV[4])  -- first: a server out of memory then accepts the other writes
if redis.call('HGET', KEYS[3], ARGV[2]) == ARGV[3] then
  redis.call('ZREM', KEYS[2], ARGV[2])
  redis.call('HDEL', KEYS[3], ARGV[2])
end
redis.call('HSET', KEYS[4], ARGV[4], (again > 0 and now + again or 0) .. ' ' .. ARGV[5])
redis.call('HSET', KEYS[1], 'diverted', ARGV[1], 'refusal', ARGV[5], 'refusal_ms', longest)
redis.call('HSET', KEYS[5], ARGV[8], ARGV[7])
return 'diverted'

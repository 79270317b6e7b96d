-- Stores a batch's block and marks the batch done, once. Returns 'stored', 'last' (batch of a sealed job), or why not.
-- A repeated call with the same bytes is a commit whose answer was lost: it changes nothing and gets the same answer.
-- KEYS: job, open, leases, holders, batches, attempts, block, stored, losses, the batch's images, their sizes,
--       totals over all jobs
-- ARGV: uid, batch, block, the number of following arguments that are the job's counters, counter, amount, ...;
--       then counters and amounts of the totals
local job = redis.call('HMGET', KEYS[1], 'uid', 'state')
if job[1] ~= ARGV[1] then return 'unknown' end
if job[2] == 'cancelled' then return 'cancelled' end
local function stored_or_last()
  if job[2] == 'sealed' and redis.call('ZCARD', KEYS[2]) == 0 then return 'last' end
  return 'stored'
end
if not redis.call('ZSCORE', KEYS[2], ARGV[2]) then
  if redis.call('GET', KEYS[7]) ~= ARGV[3] then return 'done' end
  return stored_or_last()
end
-- The first write: a server out of memory refuses it, and so the whole commit, never half of it.
redis.call('SET', KEYS[7], ARGV[3])
redis.call('ZADD', KEYS[8], ARGV[2], ARGV[2])
redis.call('HINCRBY', KEYS[1], 'block_bytes', #ARGV[3])
redis.call('ZREM', KEYS[2], ARGV[2])
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
redis.call('HDEL', KEYS[5], ARGV[2])
redis.call('HDEL', KEYS[6], ARGV[2])
redis.call('HDEL', KEYS[9], ARGV[2])
local inline = redis.call('HGET', KEYS[11], ARGV[2])
if inline then
  redis.call('UNLINK', KEYS[10])
  redis.call('HDEL', KEYS[11], ARGV[2])
  redis.call('HINCRBY', KEYS[1], 'inline_bytes', -inline)
end
redis.call('HDEL', KEYS[1], 'refusal')
local totals = 5 + ARGV[4]
for k = 5, totals - 1, 2 do redis.call('HINCRBY', KEYS[1], ARGV[k], ARGV[k + 1]) end
-- pcall: the batch is committed even if the totals are damaged.
for k = totals, #ARGV, 2 do redis.pcall('HINCRBY', KEYS[#KEYS], ARGV[k], ARGV[k + 1]) end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'updated_ms', now, 'committed_ms', now)
return stored_or_last()

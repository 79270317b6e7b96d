-- Records one more batch, whose images are known: it is done at once, with a block that names them.
-- Returns 'stored', or why it was refused.
-- KEYS: job, block, stored.  ARGV: uid, producer, batch, block, cursor, counter, amount, ...
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'producer', 'batches', 'cursor')
if job[1] ~= ARGV[1] then return 'unknown' end
if job[2] ~= 'enqueuing' then return job[2] end
if job[3] ~= ARGV[2] then return 'fenced' end
-- A repeated call, because the first answer was lost. The block may have been moved to the spill file since.
if tonumber(job[4]) == ARGV[3] + 1 and job[5] == ARGV[5] then return 'stored' end
if job[4] ~= ARGV[3] then return 'fenced' end
-- The first write: a server out of memory refuses it, and so the whole batch, never half of it.
redis.call('SET', KEYS[2], ARGV[4])
redis.call('ZADD', KEYS[3], ARGV[3], ARGV[3])
redis.call('HINCRBY', KEYS[1], 'block_bytes', #ARGV[4])
for k = 6, #ARGV, 2 do redis.call('HINCRBY', KEYS[1], ARGV[k], ARGV[k + 1]) end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', KEYS[1], 'batches', ARGV[3] + 1, 'cursor', ARGV[5], 'updated_ms', now, 'committed_ms', now)
return 'stored'

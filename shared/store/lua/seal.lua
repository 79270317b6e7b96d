-- Seals a job: no more batches will be added. Returns 'complete' if all are done already, 'sealed', or why not.
-- KEYS: job, open.  ARGV: uid, producer
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'producer')
if job[1] ~= ARGV[1] then return 'unknown' end
if job[3] ~= ARGV[2] then return job[2] == 'enqueuing' and 'fenced' or job[2] end
if job[2] == 'finished' then return 'sealed' end  -- a repeated call, because the first answer was lost
if job[2] ~= 'enqueuing' then return job[2] end
redis.call('HDEL', KEYS[1], 'producer_until_ms')  -- first: a server out of memory then accepts the other writes
redis.call('HSET', KEYS[1], 'state', 'sealed')
if redis.call('ZCARD', KEYS[2]) == 0 then return 'complete' end
return 'sealed'

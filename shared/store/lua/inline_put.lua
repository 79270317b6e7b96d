-- Stores the bytes of one image of a batch. Returns 1, or 0 if another producer has taken over or the job is gone.
-- KEYS: job, the batch's bytes, sizes.  ARGV: uid, producer, batch, path, value
local job = redis.call('HMGET', KEYS[1], 'uid', 'state', 'producer')
if job[1] ~= ARGV[1] or job[2] ~= 'enqueuing' or job[3] ~= ARGV[2] then return 0 end
local before = redis.call('HSTRLEN', KEYS[2], ARGV[4])
-- The first write: a server out of memory refuses it, and the producer waits.
redis.call('HSET', KEYS[2], ARGV[4], ARGV[5])
redis.call('HINCRBY', KEYS[3], ARGV[3], #ARGV[5] - before)
redis.call('HINCRBY', KEYS[1], 'inline_bytes', #ARGV[5] - before)
return 1

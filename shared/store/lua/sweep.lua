-- Removes the blocks and inline images of some batches of a job that needs none any more. Returns 1, or 0 if it does.
-- KEYS: job, stored, inline, block or images of a batch, ...  ARGV: uid, batch, ...
local job = redis.call('HMGET', KEYS[1], 'uid', 'state')
if (job[1] or '') ~= ARGV[1] then return 0 end
if job[2] and job[2] ~= 'cancelled' and job[2] ~= 'finished' then return 0 end
redis.call('UNLINK', unpack(KEYS, 4))
redis.call('ZREM', KEYS[2], unpack(ARGV, 2))
redis.call('HDEL', KEYS[3], unpack(ARGV, 2))
return 1

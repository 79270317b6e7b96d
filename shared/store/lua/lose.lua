-- Counts a crash of a batch's process whose worker survived. Gives up an image that has crashed enough processes in
-- isolation, and records its outcome.
-- Returns {new send number, paths}, or {} if the holder has already lost the lease.
-- KEYS: job, open, leases, holders, batches, losses, alone, deaths, verdicts
-- ARGV: uid, batch, holder, outcome and reason, number of crashes in isolation after which an image is given up
local job = redis.call('HMGET', KEYS[1], 'uid', 'state')
if job[1] ~= ARGV[1] or job[2] == 'cancelled' then return {} end
if redis.call('HGET', KEYS[4], ARGV[2]) ~= ARGV[3] then return {} end
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('HDEL', KEYS[4], ARGV[2])
redis.call('HINCRBY', KEYS[6], ARGV[2], 1)
local index = redis.call('HGET', KEYS[7], ARGV[2])
if index then
  redis.call('HDEL', KEYS[7], ARGV[2])
  local image = ARGV[2] .. ':' .. index
  if redis.call('HINCRBY', KEYS[8], image, 1) >= tonumber(ARGV[5]) then redis.call('HSET', KEYS[9], image, ARGV[4]) end
end
local send = redis.call('HINCRBY', KEYS[1], 'sends', 1)
redis.call('ZADD', KEYS[2], send, ARGV[2])
return {send, redis.call('HGET', KEYS[5], ARGV[2])}

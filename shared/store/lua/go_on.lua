-- Restarts a job's stall timer, and allows a failed aggregation, or tiles that were given up, to be tried again. Returns
-- 1, or 0 if the uid differs.
-- KEYS: job, losses.  ARGV: uid
local job = redis.call('HMGET', KEYS[1], 'uid', 'stage')
if job[1] ~= ARGV[1] then return 0 end
local t = redis.call('TIME')
-- First: a server out of memory then accepts the other write.
redis.call('HDEL', KEYS[1], 'problem', 'lost_aggregations', 'published_ms')
if job[2] then redis.call('UNLINK', KEYS[2]) end  -- those of tiles: all batches of images are done
redis.call('HSET', KEYS[1], 'updated_ms', t[1] * 1000 + math.floor(t[2] / 1000))
return 1

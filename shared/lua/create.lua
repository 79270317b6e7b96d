-- Creates a job, unless one of that name is there. Returns the uid of the job that is there now.
-- KEYS: job, registry, every part of a record, ...  ARGV: name, uid, field, value, ...
local present = redis.call('HGET', KEYS[1], 'uid')
if present and redis.call('HGET', KEYS[1], 'state') ~= 'cancelled' then return present end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
-- Also what a cancelling that died has left. The first write, so that a full server takes the rest too: batches wait, not jobs.
redis.call('DEL', KEYS[1], unpack(KEYS, 3))
redis.call('HSET', KEYS[1], 'uid', ARGV[2], 'created_ms', now, 'updated_ms', now, unpack(ARGV, 3))
redis.call('ZADD', KEYS[2], now, ARGV[1])
return ARGV[2]

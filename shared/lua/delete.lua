-- Removes a job's record, or leaves of it only the word that it was cancelled, for a while. Returns how many batches it had.
-- KEYS: job, registry, every part of a record, ...  ARGV: name, seconds to keep the word
local batches = tonumber(redis.call('HGET', KEYS[1], 'batches') or '0')
redis.call('UNLINK', unpack(KEYS, 3))
redis.call('ZREM', KEYS[2], ARGV[1])
if tonumber(ARGV[2]) > 0 then
  redis.call('HSET', KEYS[1], 'state', 'cancelled')
  redis.call('EXPIRE', KEYS[1], ARGV[2])
else
  redis.call('DEL', KEYS[1])
end
return batches

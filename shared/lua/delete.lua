-- Removes all of a job, or leaves of it only the word that it was cancelled, for a while.
-- KEYS: job, registry, every part of a record, ...  ARGV: name, seconds to keep the word
local batches = tonumber(redis.call('HGET', KEYS[1], 'batches') or '') or 0
-- Of a batch that was not recorded any more perhaps the images are here.
for n = 0, batches do redis.call('UNLINK', KEYS[1] .. ':block:' .. n, KEYS[1] .. ':bytes:' .. n) end
redis.call('UNLINK', unpack(KEYS, 3))
redis.call('ZREM', KEYS[2], ARGV[1])
if tonumber(ARGV[2]) > 0 then
  redis.call('HSET', KEYS[1], 'state', 'cancelled')
  redis.call('EXPIRE', KEYS[1], ARGV[2])
else
  redis.call('DEL', KEYS[1])
end

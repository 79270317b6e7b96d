-- Stores results of images until the cache is full, and removes expired entries from its index.
-- KEYS: index, bytes, entry, ...  ARGV: time to live in s, maximum bytes, value, ...
local now = tonumber(redis.call('TIME')[1])
local total = tonumber(redis.call('GET', KEYS[2]) or '0')
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1000)) do
  total = total - tonumber(string.match(member, '^%d+'))
  redis.call('ZREM', KEYS[1], member)
end
local kept = 0
for k = 3, #KEYS do
  local size = #ARGV[k] + 2 * #KEYS[k] + 100  -- about what Redis keeps in addition to the value
  if total + size <= tonumber(ARGV[2]) and redis.call('SET', KEYS[k], ARGV[k], 'NX', 'EX', ARGV[1]) then
    -- An entry that expired but is still in the index is counted already.
    total = total + size * redis.call('ZADD', KEYS[1], now + ARGV[1], size .. ':' .. KEYS[k])
    kept = kept + 1
  end
end
redis.call('SET', KEYS[2], total)
return kept

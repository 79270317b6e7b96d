-- Finds batches that have been sent and are neither done nor leased, by send number.
-- Returns {the send number to continue after, or '' at the end, batch, send number, batch, send number, ...}
-- KEYS: open, leases, job.  ARGV: the send number to start after, the maximum number of batches to read
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local open = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local longest = tonumber(redis.call('HGET', KEYS[3], 'lease_ms')) or 0
local found = {#open == 2 * ARGV[2] and open[#open] or ''}
for k = 1, #open, 2 do
  local left = tonumber(redis.call('ZSCORE', KEYS[2], open[k]) or '0') - now
  -- More time than any lease has: the server's clock was set back (`take`).
  if left <= 0 or left > 2 * longest then
    found[#found + 1] = open[k]
    found[#found + 1] = open[k + 1]
  end
end
return found

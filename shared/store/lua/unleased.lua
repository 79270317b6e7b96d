-- Some batches that are neither done nor leased, by send number. Returns {the send number to go on after, or '' at the end,
-- batch, send number, batch, send number, ...}
-- KEYS: open, leases.  ARGV: the send number to begin after, most batches to look at
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local open = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local found = {#open == 2 * ARGV[2] and open[#open] or ''}
for k = 1, #open, 2 do
  local deadline = redis.call('ZSCORE', KEYS[2], open[k])
  if not deadline or tonumber(deadline) <= now then
    found[#found + 1] = open[k]
    found[#found + 1] = open[k + 1]
  end
end
return found

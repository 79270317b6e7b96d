-- Batches that are neither done nor leased. Returns batch, send number, batch, send number, ...
-- KEYS: open, leases
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local found = {}
local open = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
for k = 1, #open, 2 do
  local deadline = redis.call('ZSCORE', KEYS[2], open[k])
  if not deadline or tonumber(deadline) <= now then
    found[#found + 1] = open[k]
    found[#found + 1] = open[k + 1]
  end
end
return found

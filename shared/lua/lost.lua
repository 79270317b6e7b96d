-- Batches that are neither done nor leased although later-sent ones were taken, or although the queue is empty.
-- Returns batch, send number, batch, send number, ...
-- KEYS: job, open, leases, queue.  ARGV: most
local upto = '+inf'
if redis.call('LLEN', KEYS[4]) > 0 then upto = redis.call('HGET', KEYS[1], 'taken') or '0' end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local found = {}
local open = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', upto, 'WITHSCORES', 'LIMIT', 0, ARGV[1])
for k = 1, #open, 2 do
  local deadline = redis.call('ZSCORE', KEYS[3], open[k])
  if not deadline or tonumber(deadline) <= now then
    found[#found + 1] = open[k]
    found[#found + 1] = open[k + 1]
  end
end
return found

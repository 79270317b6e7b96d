-- Counts the leased batches of some jobs.
-- KEYS: leases, ...
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local in_flight = 0
for k = 1, #KEYS do in_flight = in_flight + redis.call('ZCOUNT', KEYS[k], '(' .. now, '+inf') end
return in_flight

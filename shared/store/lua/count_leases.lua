-- Counts the leased batches of some jobs.
-- KEYS: leases, ...
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local in_flight = 0
for k = 1, #KEYS do
  -- pcall: a key of another type must not stop the rest.
  local leased = redis.pcall('ZCOUNT', KEYS[k], '(' .. now, '+inf')
  if type(leased) == 'number' then in_flight = in_flight + leased end
end
return in_flight

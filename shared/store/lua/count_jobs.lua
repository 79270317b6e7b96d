-- Counts some jobs by state. Returns {enqueuing jobs, sealed jobs, index of a started job, ...}; indices start at 0.
-- KEYS: job, ...
local found = {0, 0}
for k = 1, #KEYS do
  -- pcall: a key of another type must not stop the rest.
  local job = redis.pcall('HMGET', KEYS[k], 'state', 'started_ms')
  if job[1] == 'enqueuing' then found[1] = found[1] + 1 end
  if job[1] == 'sealed' then found[2] = found[2] + 1 end
  if job[2] then found[#found + 1] = k - 1 end
end
return found

-- Counts some jobs. Returns {batches in the hands of workers, {queue prefix of unfinished ones, ...}, state, jobs, state, jobs, ...}
-- KEYS: job, leases, job, leases, ...
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local in_flight, of_state, seen, prefixes = 0, {}, {}, {}
for k = 1, #KEYS, 2 do
  local job = redis.call('HMGET', KEYS[k], 'state', 'queue_prefix')
  local state, prefix = job[1], job[2] or ''
  if state then of_state[state] = (of_state[state] or 0) + 1 end
  if state == 'enqueuing' or state == 'sealed' then
    if not seen[prefix] then prefixes[#prefixes + 1] = prefix end
    seen[prefix] = true
    in_flight = in_flight + redis.call('ZCOUNT', KEYS[k + 1], '(' .. now, '+inf')
  end
end
local found = {in_flight, prefixes}
for state, jobs in pairs(of_state) do
  found[#found + 1] = state
  found[#found + 1] = jobs
end
return found

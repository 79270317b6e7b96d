-- Makes the index of unfinished jobs agree with the records of some names, and removes names without a record.
-- Returns the names of jobs whose removal or finishing was interrupted.
-- KEYS: registry, unfinished jobs, job, ...  ARGV: name, ...
local left = {}
redis.call('ZREM', KEYS[2], '')  -- first: a server out of memory then accepts the other writes
for k = 3, #KEYS do
  local name = ARGV[k - 2]
  -- pcall: a key of another type must not stop the rest.
  local job = redis.pcall('HMGET', KEYS[k], 'state', 'queue_prefix')
  local entry = (job[2] or '') .. ':' .. name
  if redis.call('EXISTS', KEYS[k]) == 0 then
    redis.call('ZREM', KEYS[1], name)
  elseif job[1] == 'enqueuing' or job[1] == 'sealed' then
    redis.call('ZADD', KEYS[2], 0, entry)
  elseif not job.err and (job[1] == 'cancelled' or redis.call('ZSCORE', KEYS[2], entry)) then
    left[#left + 1] = name
  end
end
return left

-- Makes the index of unfinished jobs agree with the records of some names, and forgets names without a record.
-- Returns the names of jobs whose removal, or whose finishing, was cut short.
-- KEYS: registry, unfinished jobs, job, ...  ARGV: name, ...
local left = {}
redis.call('ZREM', KEYS[2], '')  -- first, so that a full server takes the rest too
for k = 3, #KEYS do
  local name = ARGV[k - 2]
  -- pcall: what is none of ours must not stop the others.
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

-- Sets the worker's part of the contract where nobody has. Returns what stands, or '' where the job is gone.
-- KEYS: job.  ARGV: uid, runtime
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return '' end
redis.call('HDEL', KEYS[1], '')  -- first, so that a full server takes the rest too
redis.call('HSETNX', KEYS[1], 'runtime', ARGV[2])
return redis.call('HGET', KEYS[1], 'runtime')

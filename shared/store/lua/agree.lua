-- Sets the worker's part of the contract if it is unset. Returns the one in force, or '' if the job is gone.
-- KEYS: job.  ARGV: uid, runtime
if redis.call('HGET', KEYS[1], 'uid') ~= ARGV[1] then return '' end
redis.call('HDEL', KEYS[1], '')  -- first: a server out of memory then accepts the other writes
redis.call('HSETNX', KEYS[1], 'runtime', ARGV[2])
return redis.call('HGET', KEYS[1], 'runtime')

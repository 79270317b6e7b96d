-- Removes the own queue of a diverted job that has ended, with the messages in it.
-- Returns 1, or 0 if the job still needs the queue.
-- KEYS: job, diverted, queue.  ARGV: name, queue
local job = redis.call('HMGET', KEYS[1], 'uid', 'state')
-- A queue is named after its job's uid. Any other queue belongs to an earlier job of this name.
local own = string.sub(ARGV[2], -8) == string.sub(job[1] or '', 1, 8)
if own and (job[2] == 'enqueuing' or job[2] == 'sealed') then return 0 end
if redis.call('HGET', KEYS[2], ARGV[2]) ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[2])
redis.call('UNLINK', KEYS[3])
return 1

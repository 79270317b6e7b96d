-- Gives a job with waiting batches its turn among the jobs of its priority. Returns 1, or 0 if it has none waiting, or
-- has its turn already, or what waits belongs in another queue: the caller read the job before its tiles were added.
-- KEYS: job, open, clock of the queue, turns of each priority, ...  ARGV: uid, name, queue, priority, ...
local job = redis.call('HMGET', KEYS[1], 'uid', 'priority', 'turn', 'queue_prefix', 'stage')
if job[1] ~= ARGV[1] then return 0 end
if ARGV[3] ~= job[4] .. (job[5] and 'aggregate' or 'embed') then return 0 end
if redis.call('ZCOUNT', KEYS[2], '-inf', '(0') == 0 then return 0 end
local priority, mine = job[2] or 'normal', nil
for k = 4, #ARGV do
  if ARGV[k] == priority then mine = KEYS[k] end
end
if not mine or redis.call('ZSCORE', mine, ARGV[2]) then return 0 end
-- Without batches waiting, a priority is owed nothing for that time, and neither is a job.
redis.call('HDEL', KEYS[1], '')  -- first: a server out of memory then accepts the other writes
local clock = redis.call('HMGET', KEYS[3], 'now', priority, priority .. ':now')
local time = tonumber(clock[1])  -- another program may have written anything
if time and redis.call('EXISTS', mine) == 0 then
  redis.call('HSET', KEYS[3], priority, math.max(time, tonumber(clock[2]) or 0))
end
local first = redis.call('ZRANGE', mine, 0, 0, 'WITHSCORES')[2]  -- if the clock was not used for long, it is gone
local now = tonumber(clock[3]) or tonumber(first) or 0
redis.call('ZADD', mine, math.max(now, tonumber(job[3]) or 0), ARGV[2])
return 1

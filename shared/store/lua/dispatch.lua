-- Gives the next waiting batch of a job a send number: its message is to be sent now. The job's next turn is after those
-- of the jobs that were served less. Returns {uid, batch, send number, images (nil: a tile), stage, the uid that the job
-- had when it was diverted}, or {} if the job has no turn any more.
-- KEYS: job, open, batches, turns of the priority, clock of the queue
-- ARGV: name, priority, time on the clock for an image, whether a server out of memory accepts it ('1'), queue
local job = redis.call('HMGET', KEYS[1], 'uid', 'priority', 'options', 'stage', 'diverted', 'turn', 'queue_prefix')
local waiting = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', '(0', 'LIMIT', 0, 2)
-- Tiles belong in another queue than batches of images.
if not waiting[1] or (job[2] or 'normal') ~= ARGV[2] or job[7] .. (job[4] and 'aggregate' or 'embed') ~= ARGV[5] then
  redis.call('ZREM', KEYS[4], ARGV[1])
  return {}
end
local batch = waiting[1]
local images = redis.call('HGET', KEYS[3], batch)
local cost = images and cjson.decode(job[3]).batch_size or 1
local clock = redis.call('HMGET', KEYS[5], 'now', ARGV[2], ARGV[2] .. ':now')
local start = tonumber(redis.call('ZSCORE', KEYS[4], ARGV[1]))
-- Another call dispatched the last one, and a batch was added since: as in `queue_up`, which follows.
if not start then start = math.max(tonumber(clock[3]) or 0, tonumber(job[6]) or 0) end
-- The first write: a server out of memory refuses `HINCRBY`, and the batch waits.
if ARGV[4] == '1' then redis.call('HDEL', KEYS[1], '') end
local send = redis.call('HINCRBY', KEYS[1], 'sends', 1)
redis.call('ZADD', KEYS[2], send, batch)
redis.call('HSET', KEYS[1], 'turn', start + cost)
if waiting[2] then
  redis.call('ZADD', KEYS[4], start + cost, ARGV[1])
else
  redis.call('ZREM', KEYS[4], ARGV[1])
end
local served = tonumber(clock[2]) or 0
redis.call('HSET', KEYS[5], 'now', math.max(tonumber(clock[1]) or 0, served), ARGV[2], served + cost * ARGV[3],
           ARGV[2] .. ':now', math.max(tonumber(clock[3]) or 0, start))
redis.call('EXPIRE', KEYS[5], 604800)
return {job[1], batch, send, images, job[4] or '', job[5]}

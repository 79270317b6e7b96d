-- Finds the job whose batch goes into a queue next. Returns {messages that the queue lacks, index of its priority, name},
-- or {} if the queue has enough messages or no batch waits.
-- KEYS: queue, the number of processes that serve it, clock of the queue, turns of each priority, ...
-- ARGV: the fewest messages that are enough, priority, ...
local enough = math.max(tonumber(redis.call('GET', KEYS[2])) or 0, tonumber(ARGV[1]))
local lacking = enough - redis.call('LLEN', KEYS[1])
if lacking <= 0 then return {} end
local best, least, name
for k = 2, #ARGV do
  local first = redis.call('ZRANGE', KEYS[k + 2], 0, 0)[1]
  local served = tonumber(redis.call('HGET', KEYS[3], ARGV[k])) or 0
  if first and (not least or served < least) then best, least, name = k - 2, served, first end
end
if not name then return {} end
return {lacking, best, name}

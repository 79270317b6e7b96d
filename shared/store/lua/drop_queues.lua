-- Removes the queues of a prefix without unfinished jobs. Returns 1, or 0 if the prefix has an unfinished job.
-- KEYS: unfinished jobs, queue, queue.  ARGV: prefix
local first, last = '[' .. ARGV[1] .. ':', '(' .. ARGV[1] .. ';'  -- ';' follows ':'
if #redis.call('ZRANGEBYLEX', KEYS[1], first, last, 'LIMIT', 0, 1) > 0 then return 0 end
redis.call('UNLINK', KEYS[2], KEYS[3])
return 1

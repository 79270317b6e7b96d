-- Removes the queues and turns of a prefix without unfinished jobs. Returns 1, or 0 if the prefix has an unfinished job.
-- KEYS: unfinished jobs, queue or turns, ...  ARGV: prefix
local first, last = '[' .. ARGV[1] .. ':', '(' .. ARGV[1] .. ';'  -- ';' follows ':'
if #redis.call('ZRANGEBYLEX', KEYS[1], first, last, 'LIMIT', 0, 1) > 0 then return 0 end
redis.call('UNLINK', unpack(KEYS, 2))
return 1

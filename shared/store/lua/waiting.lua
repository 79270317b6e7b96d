-- Reads the task ids of some messages in a queue on the server: the messages themselves can be hundreds of MiB.
-- Returns {the index to continue at, or -1 at the end, task id, task id, ...}
-- KEYS: queue.  ARGV: index to start at, maximum number of messages to read, maximum number of bytes
local found, first, bytes = {-1}, tonumber(ARGV[1]), 0
local last = first + ARGV[2]
while first < last and bytes < tonumber(ARGV[3]) do
  local some = redis.call('LRANGE', KEYS[1], first, math.min(first + 7, last - 1))
  if #some == 0 then return found end
  for _, message in ipairs(some) do
    bytes = bytes + #message
    local _, stop = string.find(message, '"id":', 1, true)
    while stop do
      local id = string.match(message, '^ ?"([^"]+)"', stop + 1)
      if id and #id <= 255 and not string.find(id, '[^!-~]') then found[#found + 1] = id end
      _, stop = string.find(message, '"id":', stop + 1, true)
    end
  end
  first = first + #some
end
found[1] = first
return found

-- Generates the requests of wrk, and prints its results as one line of JSON. Environment variables:
-- METHOD, HEADERS (lines of "name: value"), BODY with %d for a unique number;
-- KEYS, a file of values for the header KEY_HEADER, one per line, used in order from line FIRST.
local path, number = os.getenv("KEYS"), tonumber(os.getenv("FIRST") or "0")
local headers, keys = {}, {}

for name, value in (os.getenv("HEADERS") or ""):gmatch("([^\n:]+): ([^\n]*)") do
   headers[name] = value
end

-- Requests are concatenated from fixed parts; formatting each one would measure wrk. Numbers have eight digits, so that
-- all requests have the same length.
local before, after, digits
function init()
   local mark = string.rep("K", 53)
   if path then
      headers[os.getenv("KEY_HEADER")] = mark
      for line in io.lines(path) do keys[#keys + 1] = line end
   end
   local body = os.getenv("BODY")
   digits = body and body:find("%%d")
   local text = wrk.format(os.getenv("METHOD") or "GET", nil, headers, body and body:gsub("%%d", "########"))
   local first, last = text:find(digits and "########" or mark, 1, true)
   before, after = text, ""
   if first then before, after = text:sub(1, first - 1), text:sub(last + 1) end
end

function request()
   number = number + 1
   if path then return before .. keys[number % #keys + 1] .. after end
   if not digits then return before end
   return before .. string.format("%08d", number) .. after
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "bytes": %d, "seconds": %.6f, "p50": %d, "p99": %d, "p999": %d, "max": %d, "refused": %d, "broken": %d}\n',
      summary.requests, summary.bytes, summary.duration / 1e6,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max,
      errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end

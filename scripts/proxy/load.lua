-- SPDX-License-Identifier: Apache-2.0
-- The requests that load_test.sh makes wrk send: the demo's endpoints (scripts/demo/app.py), each by its weight. The
-- argument is the number of requests, 0 for as many as the time allows. Runs in one thread, so that its counts are the
-- totals.

local ffi = require("ffi")
ffi.cdef("int getpid(void); int kill(int pid, int signal);")
local SIGINT = 2
local NEVER = 86400 * 1000 -- milliseconds

local CHAT = '{"messages": [{"role": "user", "content": "What is in flight?"}], '

local JSON = { ["Content-Type"] = "application/json" }

local KINDS = {
  { weight = 10, method = "POST", path = "/v1/chat/completions", body = CHAT .. '"stream": true, "max_tokens": 20}' },
  { weight = 8, method = "POST", path = "/v1/chat/completions", body = CHAT .. '"max_tokens": 8}' },
  { weight = 6, method = "POST", path = "/v1/completions", body = '{"prompt": "Once", "max_tokens": 5}' },
  { weight = 40, method = "GET", path = "/users/%d" },
  { weight = 20, method = "GET", path = "/health" },
  { weight = 4, method = "GET", path = "/nowhere" },
  -- uvicorn closes after this 500 without announcing it, so wrk's next request on the connection would be lost.
  { weight = 4, method = "GET", path = "/fail", headers = { ["Connection"] = "close" } },
  { weight = 1, method = "GET", path = "/block?seconds=0.1" },
}

local thread

function setup(given)
  thread = given
end

-- done() reads the globals below; it runs in another Lua state.
sent = {}
classes = {}
sent_total = 0
answered = 0

local limit
local chances = {} -- contains each kind as often as its weight
local prefix

function init(args)
  limit = tonumber(args[1])
  prefix = wrk.path:gsub("/+$", "")
  math.randomseed(os.time())
  for _, kind in ipairs(KINDS) do
    for _ = 1, kind.weight do
      chances[#chances + 1] = kind
    end
  end
end

-- wrk asks before each request how long to wait: forever, once all are sent.
function delay()
  if limit > 0 and sent_total >= limit then
    return NEVER
  end
  sent_total = sent_total + 1
  return 0
end

function request()
  local kind = chances[math.random(#chances)]
  local path = kind.path:format(math.random(100000))
  local name = kind.method .. " " .. kind.path:gsub("%?.*", ""):gsub("%%d", "{id}")
  if sent_total > 0 then -- wrk makes one in advance, to check that it is well-formed
    sent[name] = (sent[name] or 0) + 1
  end
  return wrk.format(kind.method, prefix .. path, kind.headers or JSON, kind.body)
end

function response(status)
  answered = answered + 1
  local class = math.floor(status / 100) .. "xx"
  classes[class] = (classes[class] or 0) + 1
  if answered == limit then
    -- wrk sleeps until its time is over; an interrupt ends it earlier.
    ffi.C.kill(ffi.C.getpid(), SIGINT)
  end
end

local function in_order(counts)
  local names = {}
  for name in pairs(counts) do
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

function done(summary, latency)
  local seconds = summary.duration / 1e6
  local total = thread:get("answered")
  print("\nSummary")
  print(("  answered     %d in %.1f s, %.1f a second"):format(total, seconds, total / seconds))
  local counts = thread:get("classes")
  for _, class in ipairs(in_order(counts)) do
    print(("    %s        %d"):format(class, counts[class]))
  end
  print(("  cut off      %d"):format(thread:get("sent_total") - total))
  local errors = summary.errors
  print(("  errors       connect %d, read %d, write %d, timeout %d"):format(
    errors.connect, errors.read, errors.write, errors.timeout))
  print(("  milliseconds median %.1f, 90%% %.1f, 99%% %.1f, longest %.1f"):format(
    latency:percentile(50) / 1e3, latency:percentile(90) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3))
  print("  sent")
  counts = thread:get("sent")
  for _, name in ipairs(in_order(counts)) do
    print(("    %6d  %s"):format(counts[name], name))
  end
end

-- Readings for wrk. Arguments: API key, "unique" or "repeated", a word for this run, "v2" for MLServer.
-- Every unique reading is of a charger of its own; repeated ones are those of 500 chargers, again and again.
local key, mode, run, protocol
local count, thread = 0, 0
local threads = {}

function setup(t)
  t:set("id", #threads)
  table.insert(threads, t)
end

function init(args)
  key, mode, run, protocol = args[1], args[2], args[3], args[4]
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["X-API-Key"] = key
end

function request()
  count = count + 1
  local n = count
  if mode == "repeated" then n = count % 500 end
  local charger = run .. "-" .. id .. "-" .. n
  local body = string.format('{"charger_id":"%s","metrics":{"charger_id":"%s","connector_status":"CHARGING",' ..
    '"energy_delivered":%.1f,"power":47.5,"temperature":%.1f,"error_codes":[],"uptime_hours":412.0,' ..
    '"total_sessions":%d,"last_maintenance":"2026-05-02T09:00:00Z","timestamp":"2026-11-20T08:30:00Z"}}',
    charger, charger, 10 + n % 300 / 10, 20 + n % 400 / 10, 1000 + n % 5000)
  if protocol == "v2" then
    body = string.format('{"inputs":[{"name":"reading","shape":[1,1],"datatype":"BYTES","parameters":' ..
      '{"content_type":"str"},"data":["%s"]}]}', body:gsub('"', '\\"'))
  end
  return wrk.format(nil, nil, nil, body)
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {"requests":%d,"seconds":%.4f,"p50_ms":%.3f,"p99_ms":%.3f,' ..
    '"bad_status":%d,"connect":%d,"read":%d,"write":%d,"timeout":%d}\n', summary.requests,
    summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    e.status, e.connect, e.read, e.write, e.timeout))
end

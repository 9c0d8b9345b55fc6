-- tokenbridge's gate for HAProxy: see haproxy.cfg. Change:
--   the address 127.0.0.1:8086 (tokenbridge);
--   "require=AlertRead" to the permission that the service requires; several: require=ONE&require=ANOTHER;
--   "/verify" to "/bamboo/verify", if tokenbridge has a context path (--base-path).
local gate = "http://127.0.0.1:8086/verify?require=AlertRead"

-- In milliseconds, longer than tokenbridge's timeout for a store that hangs.
local timeout = 15000

local identity = { "x-token-id", "x-token-name", "x-token-permissions" }

-- Sends a response without a body: scripts might execute it.
local function refuse(txn, status, challenge)
    local reply = txn:reply({ status = status })
    if challenge then
        reply:add_header("WWW-Authenticate", challenge)
    end
    txn:done(reply)
end

-- Returns the header fields of HAProxy (with indices from 0) as the list that its HTTP client takes.
local function list(fields)
    local values = {}
    local index = 0
    while fields and fields[index] do
        values[#values + 1] = fields[index]
        index = index + 1
    end
    return values
end

local function verify(txn)
    local sent = txn.http:req_get_headers()
    local headers = {
        ["x-original-method"] = { txn.sf:method() },
        ["x-original-uri"] = { txn.sf:pathq() },
        ["x-forwarded-for"] = { txn.sf:src() },
    }
    for _, name in ipairs({ "x-api-key", "authorization" }) do
        if sent[name] then
            headers[name] = list(sent[name])
        end
    end
    local response = core.httpclient():get({ url = gate, headers = headers, timeout = timeout })
    if not response or response.status ~= 200 then
        local status = response and response.status or 0
        local challenge = status == 401 and list(response.headers["www-authenticate"])[1] or nil
        -- Without a response, the status is 0.
        refuse(txn, (status == 401 or status == 403) and status or 503, challenge)
        return
    end
    for _, name in ipairs(identity) do
        local values = list(response.headers[name])
        if #values ~= 1 then
            -- Another server than tokenbridge responded.
            refuse(txn, 503)
            return
        end
        txn.http:req_set_header(name, values[1])
    end
end

core.register_action("tokenbridge", { "http-req" }, verify)

// The permissions that tokenbridge-njs.conf requires, by path and method. Change the rules: the first one whose path
// is a prefix of the request's applies.
const RULES = [
    { path: "/alerts/", read: ["AlertRead"], change: ["AlertRead", "AlertModify"] },
    { path: "/rules/", read: ["RuleRead"], change: ["RuleModify"] },
];

// Returns the query for /verify. An unknown path requires the permission "", which no token has.
function query(r) {
    const safe = ["GET", "HEAD", "OPTIONS"].includes(r.method);
    // The path is decoded and has neither dot segments nor repeated slashes.
    const rule = RULES.find((rule) => r.uri.startsWith(rule.path));
    const permissions = !rule ? [""] : safe ? rule.read : rule.change;
    return permissions.map((permission) => "require=" + permission).join("&");
}

export default { query };

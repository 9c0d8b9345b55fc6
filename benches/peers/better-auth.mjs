// Serves the API keys of better-auth on a port, with a SQLite file: better-auth.mjs PORT FILE
import { createServer } from "node:http";
import { apiKey } from "@better-auth/api-key";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import { toNodeHandler } from "better-auth/node";
import Database from "better-sqlite3";

const [port, file] = process.argv.slice(2);
const database = new Database(file);
database.pragma("journal_mode = WAL");
database.pragma("synchronous = FULL");
const unlimited = { enabled: false };
const auth = betterAuth({
    database,
    baseURL: `http://127.0.0.1:${port}`,
    secret: "a secret for measuring, 32 characters",
    telemetry: { enabled: false },
    rateLimit: unlimited,
    emailAndPassword: { enabled: true },
    plugins: [apiKey({ rateLimit: unlimited })],
});
await (await getMigrations(auth.options)).runMigrations();
const handler = toNodeHandler(auth);
// The library publishes no endpoint that verifies a key.
createServer(async (request, response) => {
    if (request.url !== "/verify") return handler(request, response);
    const { valid } = await auth.api.verifyApiKey({ body: { key: request.headers["x-api-key"] } });
    response.writeHead(valid ? 204 : 401).end();
}).listen(port, "127.0.0.1");

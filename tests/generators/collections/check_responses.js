// Adds a test to every request of a Postman collection: check_responses.js COLLECTION.
const { readFileSync, writeFileSync } = require("node:fs");

const [file] = process.argv.slice(2);
const collection = JSON.parse(readFileSync(file, "utf8"));

// Without the requests that revoke or limit the key of the others.
const changesKey = ({ method, url }) => url.path.join("/").startsWith("api-tokens/self") && method !== "GET";
for (const folder of collection.item) folder.item = folder.item.filter(({ request }) => !changesKey(request));

// The converter invents the IDs of the collection, so some requests are refused. None may lack its credentials or
// fail.
const accepted = [200, 204, 400, 403, 404];
collection.event = [
  {
    listen: "test",
    script: { exec: [`pm.test("status", () => pm.expect(pm.response.code).to.be.oneOf(${JSON.stringify(accepted)}));`] },
  },
];
writeFileSync(file, JSON.stringify(collection));

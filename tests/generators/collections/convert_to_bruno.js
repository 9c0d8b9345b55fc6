// Converts an OpenAPI document to a Bruno collection, and counts its requests: convert_to_bruno.js DOCUMENT COUNT.
const { readFileSync } = require("node:fs");
const { strictEqual } = require("node:assert");
const { openApiToBruno } = require("@usebruno/converters");

const [document, expected] = process.argv.slice(2);
const collection = openApiToBruno(JSON.parse(readFileSync(document, "utf8")), { groupBy: "tags" });

function requests(items) {
  return items.flatMap((item) => (item.items ? requests(item.items) : [item]));
}

const found = requests(collection.items);
console.log(found.map((item) => `${item.request.method} ${item.request.url}`).join("\n"));
strictEqual(found.length, Number(expected));

// Connects to a server as a host built on the TypeScript SDK 1.x does, lists the tools, makes calls and
// prints what the client hands to its program: node typescript_client.mjs CONFIG SERVER CALLS NAME [asks]
//
// NAME is what the client calls itself; with "asks" it declares that it asks its person.
// In CALLS the tool "*" stands for every listed tool, "$now" for the present, and "$tool.a.b" for a value of
// that tool's last answer. A call with "person" is answered like that when the person is asked; else the
// person says yes to everything.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../.work/outside/package.json", import.meta.url));
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const sdk = require("@modelcontextprotocol/sdk/client/stdio.js");
const { ElicitRequestSchema } = require("@modelcontextprotocol/sdk/types.js");

const [configPath, serverName, callsPath, clientName, asks] = process.argv.slice(2);
const read = (path) => JSON.parse(readFileSync(path, "utf8"));
const { command, args = [], env = {} } = read(configPath).mcpServers[serverName];

const capabilities = asks ? { elicitation: {} } : {};
const client = new Client({ name: clientName, version: "1.0.0" }, { capabilities });

let asked = [];
let person = "accept";
if (asks) {
  client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
    asked.push(params);
    const all = Object.keys(params.requestedSchema.properties).map((name) => [name, true]);
    return person === "accept" ? { action: person, content: Object.fromEntries(all) } : { action: person };
  });
}

await client.connect(
  new sdk.StdioClientTransport({ command, args, env: { ...sdk.getDefaultEnvironment(), ...env } }),
);

// Listing compiles every output schema; from here on the client checks structured content against it.
const { tools } = await client.listTools();

const last = { now: new Date().toISOString() };

function filledIn(value) {
  if (Array.isArray(value)) return value.map(filledIn);
  if (typeof value !== "string" || !value.startsWith("$")) return value;
  return value.slice(1).split(".").reduce((at, key) => at?.[key], last);
}

async function answer(call) {
  const given = Object.entries(call.arguments).map(([name, value]) => [name, filledIn(value)]);
  asked = [];
  person = call.person ?? "accept";
  try {
    const result = await client.callTool({ name: call.tool, arguments: Object.fromEntries(given) });
    last[call.tool] = result.structuredContent ?? last[call.tool];
    return { ...call, result, asked };
  } catch (error) {
    const { name } = error.constructor;
    return { ...call, thrown: { name, code: error.code, message: error.message } };
  }
}

const calls = read(callsPath).flatMap((call) =>
  call.tool === "*" ? tools.map(({ name }) => ({ ...call, tool: name })) : [call],
);
const answers = [];
for (const call of calls) answers.push(await answer(call));
await client.close();
console.log(JSON.stringify({ tools, answers }));

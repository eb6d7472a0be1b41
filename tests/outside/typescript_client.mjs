// Connects to a server as a host built on the TypeScript SDK 1.x does, lists the tools, makes calls and
// prints what the client hands to its program: node typescript_client.mjs CONFIG SERVER CALLS
//
// In CALLS the tool "*" stands for every listed tool, and "$tool.a.b" for a value of that tool's last answer.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../.work/outside/package.json", import.meta.url));
const { Client } = require("@modelcontextprotocol/sdk/client/index.js");
const sdk = require("@modelcontextprotocol/sdk/client/stdio.js");

const [configPath, serverName, callsPath] = process.argv.slice(2);
const read = (path) => JSON.parse(readFileSync(path, "utf8"));
const { command, args = [], env = {} } = read(configPath).mcpServers[serverName];

const client = new Client({ name: "outside", version: "1.0.0" });
await client.connect(
  new sdk.StdioClientTransport({ command, args, env: { ...sdk.getDefaultEnvironment(), ...env } }),
);

// Listing compiles every output schema; from here on the client checks structured content against it.
const { tools } = await client.listTools();

const last = {};

function filledIn(value) {
  if (typeof value !== "string" || !value.startsWith("$")) return value;
  return value.slice(1).split(".").reduce((at, key) => at?.[key], last);
}

async function answer(call) {
  const given = Object.entries(call.arguments).map(([name, value]) => [name, filledIn(value)]);
  try {
    const result = await client.callTool({ name: call.tool, arguments: Object.fromEntries(given) });
    last[call.tool] = result.structuredContent ?? last[call.tool];
    return { ...call, result };
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

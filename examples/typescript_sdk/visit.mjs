// A visit through the TypeScript SDK: found, drafted, approved in the client, filed once.
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

// A client whose own question counts as approval must be named to the server.
const env = { ...process.env, LEYR_MCP_APPROVAL_HOSTS: "visit-example" };
const client = new Client({ name: "visit-example", version: "1" }, { capabilities: { elicitation: { form: {} } } });

// Shows the whole draft and says yes; a real client asks the person in front of it.
client.setRequestHandler("elicitation/create", async ({ params }) => {
  console.log(`--- the person is asked ---\n${params.message}\n--- and says yes ---`);
  const fields = Object.keys(params.requestedSchema.properties);
  return { action: "accept", content: Object.fromEntries(fields.map((field) => [field, true])) };
});

await client.connect(new StdioClientTransport({ command: "leyr-mcp", env }));

async function call(name, given) {
  const result = await client.callTool({ name, arguments: given });
  console.log(`${name}: ${result.content[0].text.split("\n")[0]}`);
  if (result.isError) process.exit(1);
  return result.structuredContent;
}

const { patient_id } = (await call("find_patient", { last_name: "Tolvansson" })).patients[0];
const whom = { patient_id, expect: "Tolvansson", draft: true };
const [slot] = (await call("list_timeslots", { part_of_day: "morning", limit: 1 })).timeslots;
const { start, end, resource_id, healthcare_service_id } = slot;
const drafts = [
  await call("book_appointment", { ...whom, start, end, resource_id, healthcare_service_id }),
  await call("write_note", { ...whom, title: "Besök", content: "Blodtryck 134/82. Åter enligt bokning." }),
  await call("attach_document", { ...whom, title: "Provsvar", path: "lab-report.pdf" }),
];
const done = await call("file_drafts", { draft_ids: drafts.map((draft) => draft.draft_id) });
const { notes } = await call("list_notes", { patient_id });
await client.close();
process.exit(done.filed.length === 3 && notes.filter((note) => note.title === "Besök").length === 1 ? 0 : 1);

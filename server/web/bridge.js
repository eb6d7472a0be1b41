// Where the panel's answers come from: the host in whose chat it stands, which asks the server.

const PROTOCOL = "2026-01-26";
const TOOL = "review_panel";
const WAIT_MS = 60_000;
const host = { last: 0, open: new Map(), heard: new Map(), tickets: new Map(), page: null, can: {} };

const post = (message) => parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
const gone = () => new Problem("gone", t("The chat's program does not answer. Nothing is lost: try again."));

// Asks the host for something.
function request(method, params) {
  return new Promise((resolve, reject) => {
    const id = (host.last += 1);
    const timer = setTimeout(() => {
      host.open.delete(id);
      reject(gone());
    }, WAIT_MS);
    host.open.set(id, { resolve, reject, timer });
    post({ id, method, params });
  });
}

function answered({ id, result, error }) {
  const waiting = host.open.get(id);
  if (!waiting) return;
  host.open.delete(id);
  clearTimeout(waiting.timer);
  if (error) waiting.reject(gone());
  else waiting.resolve(result);
}

addEventListener("message", ({ source, data }) => {
  if (source !== parent || !data || data.jsonrpc !== "2.0") return;
  if (data.method === undefined) answered(data);
  else if (data.id !== undefined) post({ id: data.id, result: {} }); // is it there, may it be closed
  else if (host.heard.has(data.method)) host.heard.get(data.method)(data.params || {});
});

// Keeps what lets the panel decide; it goes nowhere but into the host's calls.
function keep(given) {
  for (const { draft_id, ticket } of given.tickets || []) host.tickets.set(draft_id, ticket);
  host.page = given.page || host.page;
}

function namedBy(body) {
  if (body.draft_ids) return body.draft_ids;
  return body.decisions ? body.decisions.map((one) => one.draft_id) : [body.draft_id];
}

const api = {
  async ask(action, body = {}) {
    const tickets = namedBy(body).map((id) => host.tickets.get(id) || "");
    const result = await request("tools/call", { name: TOOL, arguments: { action, tickets, body } });
    const meta = result._meta || {};
    if (result.isError || !meta["leyr-mcp/panel"]) throw refusal(action, meta["leyr-mcp/error"]);
    keep(meta["leyr-mcp/review"] || {});
    remember(action, body, meta["leyr-mcp/panel"]);
    return meta["leyr-mcp/panel"];
  },
};

function refusal(action, error) {
  if (!error) return gone();
  if (error.code === "approval_void" && ["drafts", "states"].includes(action)) {
    return new Problem(
      "over",
      t("The time of this panel is over. Ask the assistant to file the drafts again, or open the review page."),
    );
  }
  const message = said(error.message);
  return new Problem(error.code, error.code === "internal" ? `${message} (${error.ref})` : message);
}

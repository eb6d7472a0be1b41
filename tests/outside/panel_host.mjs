// A host that shows panels: it starts the server, calls tools as a model would, shows the panel of the
// answer in a browser, uses it as a person would, and prints what was seen:
// node panel_host.mjs SCENARIO COMMAND BROWSER PICTURES [WHAT THE SCENARIO NEEDS AS JSON]
import { createRequire } from "node:module";

import { contrasts } from "./contrast.mjs";

const require = createRequire(new URL("../../.work/outside/package.json", import.meta.url));
const { Client } = require("@modelcontextprotocol/client");
const { StdioClientTransport } = require("@modelcontextprotocol/client/stdio");
const { build } = require("esbuild");
const { chromium } = require("playwright-core");

const [scenario, command, executablePath, pictures, text = "{}"] = process.argv.slice(2);
const given = { env: {}, apps: true, name: "test-host", context: {}, ...JSON.parse(text) };
const seen = { errors: [], model: [], links: [], tickets: [], shown: {}, calls: [] };

const PATIENT = "se_personal_number:191212121212";
const EXTENSION = "io.modelcontextprotocol/ui";
const MIME = "text/html;profile=mcp-app";

async function connected({ name = given.name, apps = given.apps, env = given.env } = {}) {
  const extensions = { [EXTENSION]: { mimeTypes: [MIME] } };
  const client = new Client({ name, version: "1" }, { capabilities: apps ? { extensions } : {} });
  await client.connect(new StdioClientTransport({ command, env, stderr: "ignore" }));
  return client;
}

const server = await connected();
const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"],
});

// Calls a tool as the model does, which then reads the answer.
async function call(name, args, client = server) {
  const result = await client.callTool({ name, arguments: args });
  seen.model.push(JSON.stringify([result.content, result.structuredContent]));
  for (const one of result._meta?.["leyr-mcp/review"]?.tickets ?? []) seen.tickets.push(one.ticket);
  return result;
}

const note = (title, content, more = {}) =>
  call("write_note", { patient_id: PATIENT, title, content, expect: "Tolvansson", ...more });
const idOf = (result) => result.structuredContent.draft_id;
const status = async (id) => (await call("get_draft", { draft_id: id })).structuredContent.status;

// What the record holds, read back as anybody would.
async function inRecord(title) {
  const { notes } = (await call("list_notes", { patient_id: PATIENT })).structuredContent;
  const found = notes.filter((one) => one.title === title);
  return Promise.all(
    found.map(async ({ note_id }) => {
      const { structuredContent } = await call("get_note", { patient_id: PATIENT, note_id });
      return Object.values(structuredContent.content).join("\n");
    }),
  );
}

const html = given.apps && given.html !== false
  ? (await server.readResource({ uri: "ui://review/panel.html" })).contents[0].text
  : "";
const bundle = (
  await build({
    entryPoints: [new URL("panel_frame.mjs", import.meta.url).pathname],
    nodePaths: [new URL("../../.work/outside/node_modules", import.meta.url).pathname],
    bundle: true,
    write: false,
    format: "iife",
    logLevel: "error",
  })
).outputFiles[0].text;

async function hostPage(options = {}) {
  const page = await browser.newPage({ viewport: { width: 760, height: 900 }, locale: "en-GB", ...options });
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => seen.errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  await page.exposeFunction("callServer", async (params) => {
    seen.calls.push(params.arguments.action);
    if (given.deaf) throw new Error("no answer");
    const result = await server.callTool(params);
    seen.model.push(JSON.stringify([result.content, result.structuredContent]));
    for (const one of result._meta?.["leyr-mcp/review"]?.tickets ?? []) seen.tickets.push(one.ticket);
    return result;
  });
  await page.exposeFunction("toldModel", (params) => {
    seen.model.push(JSON.stringify(params));
    (seen.told ??= []).push(params.content[0].text);
  });
  await page.exposeFunction("opened", (url) => void seen.links.push(url));
  await page.setContent("<!doctype html><title>host</title><body style='margin:0'></body>");
  await page.addScriptTag({ content: bundle });
  return page;
}

const page = await hostPage();
const panel = page.frameLocator("iframe");
const button = (name) => panel.getByRole("button", { name, exact: true });
const card = (title) => panel.locator("article", { has: panel.getByRole("heading", { name: title }) });
async function picture(name, of = page) {
  const { width } = of.viewportSize();
  const height = await of.evaluate(() => Math.ceil(document.querySelector("iframe").getBoundingClientRect().height));
  await of.setViewportSize({ width, height }); // a frame beyond the window is not drawn
  const drawn = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  await of.evaluate(drawn);
  await of.frames().at(-1).evaluate(drawn);
  await of.screenshot({ path: `${pictures}-${name}.png` });
}
const look = async (name) => {
  seen.shown[name] = await panel.locator("body").innerText();
};
const show = (result, context = given.context, of = page, more = {}) =>
  of.evaluate((all) => window.mount(all), { html, result, context, ...more });
const filed = (title) => card(title).getByText(/It is filed in the health record, id/).waitFor();

async function shownNote(title = "Besök", content = "Mår bra.\nÅter vid behov.") {
  const result = await note(title, content);
  await show(result);
  await card(title).waitFor();
  return result;
}

const panelCall = (action, tickets, body, client = server) =>
  client.callTool({ name: "review_panel", arguments: { action, tickets, body } });
const ticketOf = (result, at = 0) => result._meta["leyr-mcp/review"].tickets[at].ticket;
async function standing(result, at = 0) {
  const { draft_id, ticket } = result._meta["leyr-mcp/review"].tickets[at];
  const answer = await panelCall("states", [ticket], { draft_ids: [draft_id] });
  return answer._meta["leyr-mcp/panel"].states[0];
}
const decision = ({ draft_id, version, digest }, approve = true) => ({ draft_id, version, digest, approve });
const codeOf = (result) => (result.isError ? result._meta["leyr-mcp/error"].code : "done");

const scenarios = {
  async approve() {
    await shownNote();
    await look("before");
    await picture("before");
    await button("Approve and file").click();
    await filed("Besök");
    await look("after");
    await picture("after");
    seen.record = await inRecord("Besök");
  },

  async edit() {
    await shownNote();
    await button("Edit this note").click();
    await picture("editing");
    await panel.getByRole("textbox", { name: "Text" }).fill("Mår mycket bättre.");
    await button("Save as a new version").click();
    await panel.getByText("Saved as version 2").waitFor();
    await look("edited");
    await picture("edited");
    await button("Approve and file").click();
    await filed("Besök");
    seen.record = await inRecord("Besök");
  },

  async decline() {
    const result = await shownNote();
    await button("Decline").click();
    await card("Besök").getByText("It was declined.").waitFor();
    await picture("after");
    seen.record = await inRecord("Besök");
    seen.status = await status(idOf(result));
  },

  async some() {
    const ids = [];
    for (const title of ["Första", "Andra", "Tredje"]) {
      const kept = await note(title, `${title}: mår bra.`, { draft: true });
      ids.push(idOf(kept));
      if (title === "Första") {
        await show(kept);
        await card("Första").waitFor();
        await look("kept");
        await picture("kept");
        await button("Read it now").click();
        await card("Första").getByText("Första: mår bra.").waitFor();
      }
    }
    await show(await call("file_drafts", { draft_ids: ids }));
    await card("Tredje").waitFor();
    await card("Första").getByLabel("Approve and file").check();
    await card("Andra").getByLabel("Decline", { exact: true }).check();
    await card("Tredje").getByLabel("Approve and file").check();
    await picture("chosen");
    await button("Approve and file 2, decline 1").click();
    await filed("Första");
    await filed("Tredje");
    await picture("after");
    await look("after");
    seen.record = await Promise.all(["Första", "Andra", "Tredje"].map(inRecord));
    seen.states = await Promise.all(ids.map(status));
  },

  async file() {
    const result = await call("attach_document", { patient_id: PATIENT, title: "Remiss", expect: "Tolvansson" });
    await show(result);
    await card("Remiss").waitFor();
    await button("Open the review page").click();
    await look("before");
    await picture("before");
    await page.waitForFunction(() => true);
    seen.page = result._meta["leyr-mcp/review"].page;
  },

  async keyboard() {
    await shownNote();
    const press = async (until) => {
      for (let count = 0; count < 30; count += 1) {
        await page.keyboard.press("Tab");
        const inside = page.frames().at(-1);
        const now = await inside.evaluate(() => {
          const at = document.activeElement;
          const ring = getComputedStyle(at);
          return { text: (at.textContent || "") + (at.type || ""), ring: `${ring.outlineStyle} ${ring.outlineWidth}` };
        });
        if (now.text.includes(until)) return void (seen.rings ??= []).push(now.ring);
      }
      throw new Error(`${until} cannot be reached`);
    };
    await press("Edit this note");
    await page.keyboard.press("Enter");
    await press("textarea");
    await page.keyboard.press("Control+End");
    await page.keyboard.type(" Med tangenter.");
    await press("Save as a new version");
    await page.keyboard.press("Enter");
    await panel.getByText("Saved as version 2").waitFor();
    await press("Approve and file");
    await page.keyboard.press("Enter");
    await filed("Besök");
    seen.record = await inRecord("Besök");
  },

  // What a model, another user or a thief could try. The person can decide after all of it.
  async refused() {
    const other = await note("Andra", "Om en vecka.");
    const result = await shownNote();
    const own = await standing(result);
    const stranger = await connected({ env: given.foreign });
    const foreign = await call(
      "write_note",
      { patient_id: PATIENT, title: "Besök", content: "Mår bra.\nÅter vid behov.", expect: "Tolvansson" },
      stranger,
    );
    const ticket = ticketOf(result);
    const forged = ticket.slice(0, -4) + (ticket.endsWith("AAAA") ? "BBBB" : "AAAA");
    const tries = { none: [], guessed: ["x"], forged: [forged], other: [ticketOf(other)], foreign: [ticketOf(foreign)] };
    seen.refused = {};
    for (const [name, tickets] of Object.entries(tries)) {
      const yes = await panelCall("decide", tickets, { decisions: [decision(own)] });
      const read = await panelCall("drafts", tickets, { draft_ids: [own.draft_id] });
      seen.refused[name] = [codeOf(yes), codeOf(read)];
    }
    await stranger.close();
    seen.before = await status(own.draft_id);
    await button("Approve and file").click();
    await filed("Besök");
    seen.refused.replayed = [codeOf(await panelCall("decide", [ticket], { decisions: [decision(own)] }))];
    seen.record = await inRecord("Besök");
    seen.other = await status(idOf(other));
  },

  async stale() {
    const result = await shownNote();
    const old = ticketOf(result);
    const own = await standing(result);
    await button("Edit this note").click();
    await panel.getByRole("textbox", { name: "Text" }).fill("Ny text.");
    await button("Save as a new version").click();
    await panel.getByText("Saved as version 2").waitFor();
    seen.old = codeOf(await panelCall("decide", [old], { decisions: [decision(own)] }));
    await note("Besök", "Assistentens nya text.", { draft_id: own.draft_id });
    await card("Besök").getByText("This draft was changed after you opened it.").waitFor();
    await picture("changed");
    await button("Show the new version").click();
    await card("Besök").getByText("Assistentens nya text.").first().waitFor();
    await card("Besök").getByText("This panel can no longer decide on this one.").waitFor();
    seen.offered = await panel.getByRole("button", { name: /Approve|Decline|Edit/ }).count();
    await picture("spent");
    await show(await call("file_drafts", { draft_ids: [own.draft_id] }));
    await button("Decline").click();
    await card("Besök").getByText("It was declined.").waitFor();
    seen.status = await status(own.draft_id);
  },

  async hostile() {
    const text = '<img src=x onerror="document.title=1"><script>document.title=2</script> <b>bold</b> ' + "W".repeat(300);
    await shownNote("<b>Titel</b>", text);
    seen.built = await page.frames().at(-1).evaluate(() => [
      document.querySelectorAll("img, script[src], iframe, article b").length,
      document.title,
      document.querySelector(".body").textContent,
    ]);
    seen.wider = await page.frames().at(-1).evaluate(() => document.documentElement.scrollWidth - innerWidth);
    seen.text = text;
    await picture("panel");
  },

  async deaf() {
    const result = await shownNote();
    await button("Edit this note").click();
    await panel.getByRole("textbox", { name: "Text" }).fill("Det jag skrev.");
    given.deaf = true;
    await button("Save as a new version").click();
    await panel.getByText("does not answer").first().waitFor();
    seen.typed = await panel.getByRole("textbox", { name: "Text" }).inputValue();
    await picture("deaf");
    given.deaf = false;
    await button("Save as a new version").click();
    await panel.getByText("Saved as version 2").waitFor();
    seen.status = await status(idOf(result));
    seen.errors = [];
  },

  async others() {
    await show(await call("find_patient", { last_name: "Tolvansson" }));
    await panel.getByText("This answer holds no drafts").waitFor();
    await look("none");
    const refused = await call("write_note", { patient_id: PATIENT, title: "Besök", content: "x", expect: "Andersson" });
    await show(refused);
    await panel.getByText("There is nothing to review").waitFor();
    await look("refused");
    await show(refused, given.context, page, { called: false });
    await panel.getByText("was cancelled").waitFor();
    await look("cancelled");
  },

  async plain() {
    const { tools } = await server.listTools();
    seen.listed = tools.filter((tool) => tool.name === "review_panel" || tool._meta?.ui).map((tool) => tool.name);
    seen.called = await panelCall("drafts", [], { draft_ids: [] }).then(codeOf, (error) => error.message);
    seen.resource = await server.readResource({ uri: "ui://review/panel.html" }).then(
      () => "given",
      (error) => error.message,
    );
    const result = await note("Besök", "Mår bra.");
    seen.meta = Object.keys(result._meta ?? {});
    seen.channel = result.structuredContent.approval.channel;
  },

  async looks() {
    const ids = [
      idOf(await note("Läkarbesök", "Kontaktorsak: hosta.\n\nStatus: lungor ua. [namn]\nPlan: åter vid behov.", { draft: true })),
      idOf(await note("Telefon", "Pat. ringer, mår bättre.", { draft: true })),
    ];
    const result = await call("file_drafts", { draft_ids: ids });
    const ways = {
      light: [760, { theme: "light", locale: "en-GB" }],
      dark: [760, { theme: "dark", locale: "en-GB" }],
      narrow: [320, { theme: "light", locale: "en-GB" }],
      sv: [760, { theme: "light", locale: "sv-SE" }],
      "nb-narrow-dark": [320, { theme: "dark", locale: "nb-NO" }],
    };
    seen.wider = {};
    seen.contrast = {};
    seen.lang = {};
    for (const [name, [width, context]] of Object.entries(ways)) {
      const own = await hostPage({ viewport: { width, height: 900 } });
      await show(result, context, own);
      const inside = own.frames().at(-1);
      await inside.waitForSelector("article");
      await inside.waitForFunction(() => document.querySelectorAll(".sheet.decide").length === 1);
      const by = await inside.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (by > 0) seen.wider[name] = by;
      seen.contrast[name] = await inside.evaluate(contrasts);
      seen.lang[name] = await inside.evaluate(() => document.documentElement.lang);
      seen.shown[name] = await inside.evaluate(() => document.body.innerText);
      await own.waitForFunction(() => parseInt(document.querySelector("iframe").style.height) > 300);
      await picture(name, own);
      await own.close();
    }
    const own = await hostPage();
    await show(result, { theme: "light", locale: "en-GB" }, own);
    await own.frames().at(-1).waitForSelector("article");
    await own.evaluate(() => window.changeContext({ theme: "dark", locale: "sv-SE" }));
    await own.frames().at(-1).waitForFunction(() => document.documentElement.lang === "sv");
    seen.changed = await own.frames().at(-1).evaluate(() => getComputedStyle(document.body).backgroundColor);
    await picture("changed", own);
  },
};

try {
  await scenarios[scenario]();
  seen.after = await server.listTools().then(() => "alive");
} finally {
  await browser.close();
  await server.close();
}
process.stdout.write(JSON.stringify(seen));

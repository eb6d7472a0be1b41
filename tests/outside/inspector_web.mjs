// Uses the Inspector's page as a person would, and prints what it sent and what it showed:
// node inspector_web.mjs SCENARIO PAGE BROWSER PICTURES
import { createRequire } from "node:module";

const require = createRequire(new URL("../../.work/outside/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const [scenario, address, executablePath, pictures] = process.argv.slice(2);
const seen = { tools: [], sent: [], shown: {}, data: {}, pageErrors: [] };
const PATIENT = "se_personal_number:191212121212";

const browser = await chromium.launch({
  executablePath,
  args: ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 1400 } });
page.setDefaultTimeout(30_000);
page.on("pageerror", (error) => seen.pageErrors.push(error.message));
page.on("request", (request) => {
  const { method, params } = JSON.parse(request.postData() || "{}").message ?? {};
  if (method === "tools/call") seen.sent.push({ tool: params.name, arguments: params.arguments });
});
await page.route(
  (url) => url.hostname !== new URL(address).hostname,
  (route) => route.abort(), // the page asks for fonts from elsewhere
);
const main = page.getByRole("main");
const button = (name) => page.getByRole("button", { name, exact: true });

async function picture(name, of = page) {
  await of.evaluate(() => {
    scrollTo({ top: 0, behavior: "instant" });
    const ends = (animation) => animation.effect.getComputedTiming().endTime < Infinity;
    return Promise.allSettled(document.getAnimations().filter(ends).map((a) => a.finished));
  });
  await of.screenshot({ path: `${pictures}-${name}.png`, fullPage: true });
}

async function connect() {
  await page.goto(address);
  // The input itself lies hidden under the switch that is drawn.
  await page.getByRole("switch", { name: "Connect or disconnect" }).click({ force: true });
  await page.getByRole("banner").getByText("Tools", { exact: true }).click();
  await button("Close monitoring sidebar").click(); // it repeats what the main part shows
}

async function list() {
  const tools = main.getByRole("button", { name: /\b[a-z]+(_[a-z]+)+$/ });
  await tools.first().waitFor();
  await main.getByRole("heading", { name: "Servers" }).waitFor({ state: "detached" });
  await picture("list");
  return (await tools.allInnerTexts()).map((text) => text.trim().split(/\s+/).at(-1));
}

const field = (name) => main.getByRole("textbox", { name, exact: true });

async function open(tool) {
  await main.getByRole("button", { name: tool }).click();
  await main.getByRole("button", { name: "Hide description" }).waitFor();
}

async function fill(values) {
  for (const [name, value] of Object.entries(values)) await field(name).fill(String(value));
}

// What is no plain value has a field for JSON, which is an editor and takes only keys.
async function type(name, value) {
  await main.getByRole("textbox", { name: new RegExp(`^${name}, `) }).focus();
  await page.keyboard.press("Control+A");
  await page.keyboard.insertText(JSON.stringify(value));
}

async function results(name) {
  await main.getByRole("heading", { name: "Results" }).waitFor();
  await main.getByText(/^Structured Output$|^Tool Error$/).waitFor();
  await picture(name);
  const [, shown] = (await main.innerText()).split("Results");
  const [text, json] = shown.split("Structured Output");
  seen.shown[name] = text;
  if (json) seen.data[name] = JSON.parse(json.replace(/^\d+$/gm, "").replace("⎘", ""));
  await button("Close results").click();
  return seen.data[name];
}

async function run(name) {
  await picture(`${name}-form`);
  await button("Execute Tool").click();
  return results(name);
}

// Reads, drafts, approves on the page that the answer names, and looks again.
async function write() {
  await open("find_patient");
  await fill({ last_name: "Tolvansson" });
  await run("answer");
  await fill({ last_name: "", patient_id: "se_personal_number:191212121213" });
  await run("error");

  await open("list_timeslots");
  await fill({ limit: 1 });
  const [{ start, end, resource_id, healthcare_service_id }] = (await run("times")).timeslots;
  await open("book_appointment");
  await fill({ patient_id: PATIENT, start, end, resource_id, healthcare_service_id });
  const booking = await run("booking");

  await open("write_note");
  await button("Enlarge content").click(); // it takes one line else
  await fill({ patient_id: PATIENT, title: "Besök", content: "Mår bra.\nÅter vid behov." });
  const note = await run("note");
  // The same form again: what was typed and taken back is sent empty.
  await fill({ title: "Akut", content: "", expect: "x", template_id: "leyr_acute_visit" });
  await fill({ expect: "" });
  await main.getByRole("checkbox", { name: "draft" }).check();
  await main.getByRole("checkbox", { name: "draft" }).uncheck();
  await type("fields", { contact_reason: "Hosta sedan två veckor." });
  const fields = await run("fields");

  await approve(fields.approval.url);
  await open("get_draft");
  for (const [name, { draft_id }] of Object.entries({ booking, note, fields })) {
    await fill({ draft_id });
    await run(`${name}-filed`);
  }
}

async function approve(url) {
  const review = await browser.newPage({ viewport: { width: 1000, height: 900 } });
  review.setDefaultTimeout(30_000);
  review.on("pageerror", (error) => seen.pageErrors.push(error.message));
  await review.goto(url);
  await review.getByRole("button", { name: "Choose approve for all" }).click();
  await picture("review", review);
  await review.getByRole("button", { name: "Approve and file 3", exact: true }).click();
  await review.getByText(/It is filed in the health record, id/).nth(2).waitFor();
  await picture("reviewed", review);
  await review.close();
}

// Answers the question that the server asks through the page: yes, no, and not now.
async function ask() {
  const dialog = page.getByRole("dialog", { name: "Elicitation Request" });
  const answers = {
    async yes() {
      await dialog.getByRole("checkbox", { name: "File this?" }).check();
      await dialog.getByRole("button", { name: "Submit" }).click();
    },
    async no() {
      await dialog.getByRole("button", { name: "Decline" }).click();
    },
    async later() {
      await dialog.getByRole("button", { name: "Cancel" }).click();
    },
  };
  await open("write_note");
  await button("Enlarge content").click();
  await fill({ patient_id: PATIENT, content: "Mår bra.\nÅter vid behov." });
  for (const [name, answer] of Object.entries(answers)) {
    await fill({ title: name });
    await button("Execute Tool").click();
    await dialog.waitFor();
    seen.shown[`${name}-question`] = await dialog.innerText();
    await picture(`${name}-question`);
    await answer();
    await dialog.waitFor({ state: "hidden" });
    await results(name);
  }
}

try {
  await connect();
  seen.tools = await list();
  await { write, ask }[scenario]();
} catch (error) {
  await page.screenshot({ path: `${pictures}-failure.png` });
  throw error;
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));

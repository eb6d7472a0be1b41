// Uses the Inspector's page as a person would: connects, opens find_patient, runs it with a name and then
// with a mistyped number. Prints what the page showed: node inspector_web.mjs PAGE BROWSER PICTURES
import { createRequire } from "node:module";

const require = createRequire(new URL("../../.work/outside/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const [address, executablePath, pictures] = process.argv.slice(2);
const seen = { tools: [], answer: "", error: "", pageErrors: [] };

const browser = await chromium.launch({
  executablePath,
  args: ["--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
page.setDefaultTimeout(15_000);
page.on("pageerror", (error) => seen.pageErrors.push(error.message));
await page.route(
  (url) => url.hostname !== new URL(address).hostname,
  (route) => route.abort(), // the page asks for fonts from elsewhere
);
const main = page.getByRole("main");
const button = (name) => page.getByRole("button", { name });

async function picture(name) {
  await page.evaluate(() => {
    const ends = (animation) => animation.effect.getComputedTiming().endTime < Infinity;
    return Promise.allSettled(document.getAnimations().filter(ends).map((a) => a.finished));
  });
  await page.screenshot({ path: `${pictures}-${name}.png` });
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

async function run(argument, value, expected, name) {
  await main.getByRole("textbox", { name: argument }).fill(value);
  await picture(`${name}-form`);
  await button("Execute Tool").click();
  await main.getByRole("heading", { name: "Results" }).waitFor();
  await main.getByText(expected).first().waitFor();
  await picture(name);
  return main.innerText();
}

try {
  await connect();
  seen.tools = await list();
  await main.getByRole("button", { name: "find_patient" }).click();
  seen.answer = await run(/^last[ _]name/i, "Tolvansson", "Tolvan", "answer");
  await button("Close results").click();
  const mistyped = "se_personal_number:191212121213";
  seen.error = await run(/^patient[ _]id/i, mistyped, "identifier_checksum", "error");
} catch (error) {
  await page.screenshot({ path: `${pictures}-failure.png` });
  throw error;
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));

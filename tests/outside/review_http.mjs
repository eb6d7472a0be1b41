// Signs in at a provider and uses a node's review page as people would, and prints what it showed:
// node review_http.mjs ADDRESS BROWSER PICTURES IDS_AS_JSON
import { createRequire } from "node:module";

import { contrasts } from "./contrast.mjs";

const require = createRequire(new URL("../../.work/outside/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const [address, executablePath, pictures, given] = process.argv.slice(2);
const ids = JSON.parse(given);
const seen = { errors: [], shown: {} };

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"],
});

// Each person has a browser of their own.
async function person(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1000, height: 900 }, locale: "en-GB", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.on("pageerror", (error) => seen.errors.push(error.message));
  // Signed out, and another one's draft, which is not there.
  const expected = (text) => /40[14] \(/.test(text);
  page.on("console", (message) => {
    const own = page.url().startsWith(address) && message.type() === "error" && !expected(message.text());
    if (own) seen.errors.push(message.text());
  });
  return page;
}

async function signIn(page, name) {
  await page.getByRole("link", { name: "Sign in", exact: true }).click();
  await page.locator("input[name=login]").fill(name);
  await page.locator("input[name=password]").fill("any");
  await page.locator("button[type=submit]").click();
  await page.locator("button[type=submit]").click(); // what the page may be told
  await page.getByText(`Signed in: ${name}`).waitFor();
}

const picture = (page, name) => page.screenshot({ path: `${pictures}-${name}.png`, fullPage: true });
const card = (page, title) => page.locator("article", { has: page.getByRole("heading", { name: title }) });

const page = await person();
await page.goto(`${address}#${ids[0]}`);
await page.getByRole("link", { name: "Sign in", exact: true }).waitFor();
seen.shown.out = await page.locator("main").innerText();
await picture(page, "signed-out");
await signIn(page, "dr-ek");
await card(page, "Första").waitFor();
seen.at = page.url();
await picture(page, "signed-in");
seen.contrast = [await page.evaluate(contrasts)];
seen.cookies = (await page.context().cookies(address)).filter(({ name }) => name.includes("leyr"));
seen.readable = await page.evaluate(() => document.cookie);

// Another one, who knows the address of the draft, sees nothing of it.
const other = await person({ colorScheme: "dark", viewport: { width: 360, height: 700 } });
await other.goto(`${address}#${ids[0]}`);
await signIn(other, "dr-al");
await other.getByRole("alert").filter({ hasText: /./ }).first().waitFor();
seen.shown.other = await other.locator("body").innerText();
await picture(other, "other");
await other.goto(address);
await other.getByText("Nothing waits for you.").waitFor();
seen.contrast.push(await other.evaluate(contrasts));
seen.wide = await other.evaluate(() => document.documentElement.scrollWidth > innerWidth);
await picture(other, "other-dark");

// Some of several, one of them edited before.
const first = card(page, "Första");
await first.getByRole("button", { name: "Edit this note" }).click();
await first.getByRole("textbox", { name: "Text" }).fill("Mår mycket bättre.");
await first.getByRole("button", { name: "Save as a new version" }).click();
await page.getByText("Saved as version 2").waitFor();
await card(page, "Första").getByLabel("Approve and file").check();
await card(page, "Andra").getByLabel("Decline", { exact: true }).check();
await page.getByRole("button", { name: "Approve and file 1, decline 1", exact: true }).click();
await card(page, "Första").getByText(/It is filed in the health record, id/).waitFor();
seen.shown.after = await page.locator("main").innerText();
await picture(page, "after");

// What was typed stays when the session ends, and is saved after signing in again beside it.
const third = card(page, "Tredje");
await third.getByRole("button", { name: "Edit this note" }).click();
await third.getByRole("textbox", { name: "Text" }).fill("Det som skrevs.");
await page.context().clearCookies();
await third.getByRole("button", { name: "Save as a new version" }).click();
const again = third.getByRole("link", { name: "Sign in again in a new tab" });
await again.waitFor();
await picture(page, "ended");
const opening = page.context().waitForEvent("page");
await again.click();
const tab = await opening;
await tab.locator("input[name=login]").fill("dr-ek");
await tab.locator("input[name=password]").fill("any");
await tab.locator("button[type=submit]").click();
await tab.locator("button[type=submit]").click();
await tab.getByText("Signed in: dr-ek").waitFor();
await third.getByRole("button", { name: "Save as a new version" }).click();
await page.getByText("Saved as version 2").last().waitFor();

await page.goto(address);
await page.getByRole("button", { name: "Sign out" }).focus();
await page.keyboard.press("Enter");
await page.getByRole("link", { name: "Sign in", exact: true }).waitFor();
seen.left = (await page.context().cookies(address)).filter(({ name }) => name === "leyr-mcp").length;
await page.goto(`${address}signed-in?code=x&state=y`);
await page.getByText("This sign-in was not begun in this browser").waitFor();
await picture(page, "problem");

console.log(JSON.stringify(seen));
await browser.close();

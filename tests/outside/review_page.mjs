// Uses the review page as a person would, and prints what it showed:
// node review_page.mjs SCENARIO ADDRESS BROWSER PICTURES [WHAT THE SCENARIO NEEDS AS JSON]
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename } from "node:path";

import { contrasts } from "./contrast.mjs";

const require = createRequire(new URL("../../.work/outside/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const [scenario, address, executablePath, pictures, given = "{}"] = process.argv.slice(2);
const { ids = [], phrase = "", foreign = "", files = [] } = JSON.parse(given);
const seen = { errors: [], shown: {} };

const browser = await chromium.launch({
  executablePath,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-sync"],
});

async function opened(options = {}) {
  const page = await browser.newPage({ viewport: { width: 1000, height: 900 }, ...options });
  page.setDefaultTimeout(30_000);
  page.on("pageerror", (error) => seen.errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  return page;
}

const page = await opened();
const button = (name) => page.getByRole("button", { name, exact: true });
const card = (title) => page.locator("article", { has: page.getByRole("heading", { name: title }) });
const passphrase = () => page.getByLabel(/^Passphrase of/);
async function picture(name, of = page) {
  const { width } = of.viewportSize();
  const end = () => Math.ceil(document.querySelector("main").getBoundingClientRect().bottom + scrollY + 32);
  const clip = { x: 0, y: 0, width, height: await of.evaluate(end).catch(() => 900) };
  await of.screenshot({ path: `${pictures}-${name}.png`, fullPage: true, clip });
}
const look = async (name, locator = page.locator("main")) => {
  seen.shown[name] = await locator.innerText();
};

async function show(id, of = page) {
  await of.goto(`${address}#${id}`);
  await of.locator("article").first().waitFor();
}

async function approve(typed = phrase) {
  await passphrase().fill(typed);
  await button("Approve and file").click();
}

// Drops a file of this machine on the page, as a person's hand would.
async function drop(place, path) {
  const content = (await readFile(path)).toString("base64");
  const data = await page.evaluateHandle(
    ([text, name]) => {
      const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
      const held = new DataTransfer();
      held.items.add(new File([bytes], name));
      return held;
    },
    [content, basename(path)],
  );
  await page.locator(place).first().dispatchEvent("dragover", { dataTransfer: data });
  await page.locator(place).first().dispatchEvent("drop", { dataTransfer: data });
}

const filed = (title) => card(title).getByText(/It is filed in the health record, id/).waitFor();

const scenarios = {
  async approve() {
    await page.goto(address);
    await page.getByRole("link", { name: /^Note: Besök/ }).waitFor();
    await look("queue");
    await picture("queue");
    await page.getByRole("link", { name: /^Note: Besök/ }).click();
    await card("Besök").waitFor();
    await look("before");
    await picture("before");
    await approve();
    await filed("Besök");
    await look("after");
    await picture("after");
    seen.kept = await page.evaluate(() => [document.title, document.cookie, localStorage.length, history.length > 0]);
    await page.getByRole("link", { name: "All drafts" }).first().click();
    await page.getByText("Nothing waits for you.").waitFor();
    await look("empty");
    await picture("empty");
  },

  async edit() {
    await show(ids[0]);
    await button("Edit this note").click();
    seen.locked = await button("Approve and file").isDisabled();
    await picture("editing");
    await page.getByRole("textbox", { name: "Text" }).fill("Mår mycket bättre.\nÅter vid behov.");
    await button("Save as a new version").click();
    await page.getByText("Saved as version 2").waitFor();
    await look("edited");
    await picture("edited");
    await approve();
    await filed("Besök");
    await look("after");
  },

  async decline() {
    await show(ids[0]);
    await button("Decline").click();
    await card("Besök").getByText("It was declined.").waitFor();
    await look("after");
    await picture("after");
  },

  async some() {
    await show(ids[0]);
    await card("Första").getByLabel("Approve and file").check();
    await card("Andra").getByLabel("Decline", { exact: true }).check();
    await look("chosen");
    await button("Edit this note").last().click();
    seen.locked = await button("Approve and file 1, decline 1").isDisabled();
    await button("Leave it as it was").click();
    await passphrase().fill(phrase);
    await picture("chosen");
    await button("Approve and file 1, decline 1").click();
    await filed("Första");
    await look("after");
    await picture("after");
  },

  async all() {
    await show(ids[0]);
    await button("Choose approve for all").click();
    await look("chosen");
    await picture("chosen");
    await passphrase().fill(phrase);
    await button("Approve and file 2").click();
    await filed("Första");
    await filed("Andra");
    await look("after");
  },

  async wrong() {
    await show(ids[0]);
    await button("Approve and file").click();
    await look("nothing typed", page.getByRole("alert").filter({ hasText: "passphrase" }));
    await approve("not the passphrase");
    await page.getByText("4 guesses left").waitFor();
    await look("wrong");
    seen.left = await passphrase().inputValue();
    await picture("wrong");
    seen.errors = seen.errors.filter((text) => !text.includes("403 (Forbidden)")); // that was it
    await approve();
    await filed("Besök");
  },

  async second() {
    await show(ids[0]);
    const other = await opened();
    await other.addInitScript(() => (window.setTimeout = () => 0)); // so that it never looks again
    await show(ids[0], other);
    await approve();
    await filed("Besök");
    await other.getByLabel(/^Passphrase of/).fill(phrase);
    await other.getByRole("button", { name: "Approve and file", exact: true }).click();
    await other.getByText("nothing was done").first().waitFor();
    seen.shown.other = await other.locator("main").innerText();
    await picture("second", other);
  },

  async changed() {
    await show(ids[0]);
    const other = await opened();
    await show(ids[0], other);
    await button("Edit this note").click();
    await page.getByRole("textbox", { name: "Text" }).fill("Something else.");
    await button("Save as a new version").click();
    await page.getByText("Saved as version 2").waitFor();
    await other.getByText("was changed after you opened it").first().waitFor();
    seen.offered = await other.getByRole("button", { name: "Approve and file", exact: true }).count();
    await picture("changed", other);
    await other.getByRole("button", { name: "Show the new version" }).click();
    await other.getByText("Something else.").first().waitFor();
    await other.getByRole("button", { name: "Approve and file", exact: true }).waitFor();
  },

  async stranger() {
    await page.goto(foreign);
    seen.refused = await page.evaluate(
      async ([api, id]) => {
        const tries = {};
        const send = async (name, path, options) => {
          try {
            const answer = await fetch(`${api}api/${path}`, { method: "POST", ...options });
            tries[name] = answer.type === "opaque" ? "opaque" : answer.status;
          } catch {
            tries[name] = "refused";
          }
        };
        const body = JSON.stringify({ decisions: [{ draft_id: id, version: 1, digest: "", approve: false }] });
        await send("json", "decide", { body, headers: { "Content-Type": "application/json" } });
        await send("plain", "decide", { body, mode: "no-cors" });
        await send("read", "queue", { body: "{}", headers: { "Content-Type": "application/json" } });
        return tries;
      },
      [address, ids[0]],
    );
    await page.setContent(`<iframe src="${address}"></iframe>`);
    await page.locator("iframe").waitFor();
    const framed = page.frames().find((frame) => frame !== page.mainFrame());
    await framed?.waitForLoadState();
    seen.framed = framed?.url();
    seen.errors = []; // the browser tells of each refusal
  },

  async keyboard() {
    await page.goto(address);
    await page.getByRole("link", { name: /^Note: Besök/ }).waitFor();
    const press = async (key, until, most = 40) => {
      for (let count = 0; count < most; count += 1) {
        await page.keyboard.press(key);
        const now = await page.evaluate(() => {
          const at = document.activeElement;
          const ring = getComputedStyle(at);
          return { text: (at.textContent || "") + (at.type || ""), ring: `${ring.outlineStyle} ${ring.outlineWidth}` };
        });
        if (now.text.includes(until)) {
          (seen.rings ??= []).push(now.ring);
          return;
        }
      }
      throw new Error(`${until} cannot be reached`);
    };
    await press("Tab", "Note: Besök");
    await page.keyboard.press("Enter");
    await card("Besök").waitFor();
    await press("Tab", "Edit this note");
    await page.keyboard.press("Enter");
    await press("Tab", "textarea");
    await page.keyboard.press("Control+End");
    await page.keyboard.type(" Med tangenter.");
    await press("Tab", "Save as a new version");
    await picture("focus");
    await page.keyboard.press("Enter");
    await page.getByText("Saved as version 2").waitFor();
    await press("Tab", "password");
    await page.keyboard.type(phrase);
    await press("Tab", "Approve and file");
    await page.keyboard.press("Enter");
    await filed("Besök");
    await look("after");
  },

  async resolve() {
    await show(ids[0]);
    await card("Besök").getByLabel("It is in the record.").check();
    await look("before");
    await picture("before");
    await page.getByLabel("Its id in the record system").fill(phrase.split("\n")[1]);
    await passphrase().fill(phrase.split("\n")[0]);
    await button("Close it as filed").click();
    await card("Besök").getByText("A person found it there.").waitFor();
    await look("after");
    await picture("after");
  },

  async looks() {
    const wide = { width: 1000, height: 900 };
    const ways = {
      light: { viewport: wide, colorScheme: "light" },
      dark: { viewport: wide, colorScheme: "dark" },
      narrow: { viewport: { width: 400, height: 800 }, colorScheme: "light" },
      small: { viewport: { width: 320, height: 640 }, colorScheme: "dark" },
    };
    seen.wider = {};
    seen.contrast = {};
    for (const [name, way] of Object.entries(ways)) {
      const own = await opened(way);
      const measure = async (place) => {
        const by = await own.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (by > 0) seen.wider[`${name} ${place}`] = by;
        await picture(`${name}-${place}`, own);
      };
      await own.goto(address);
      await own.locator(".rows").first().waitFor();
      await measure("queue");
      await show(ids[0], own);
      seen.contrast[name] = await own.evaluate(contrasts);
      await measure("patient");
      await own.getByRole("button", { name: "Edit this note" }).first().click();
      await measure("edit");
      if (ids[1]) {
        await show(ids[1], own);
        seen.contrast[`${name} file`] = await own.evaluate(contrasts);
        await measure("file");
      }
      await own.close();
    }
    seen.shown.text = await (async () => {
      await show(ids[0]);
      return page.locator(".body").allInnerTexts();
    })();
    seen.built = await page.evaluate(() => document.querySelectorAll("img, script[src], iframe, article b").length);
  },

  async language() {
    const own = await opened({ locale: phrase.locale });
    const text = [];
    const keep = async (name) => {
      text.push(await own.locator("body").innerText());
      await picture(`${phrase.locale}-${name}`, own);
    };
    await own.goto(address);
    await own.locator(".rows").first().waitFor();
    await keep("queue");
    await show(ids[0], own);
    await keep("patient");
    await own.locator("article button:not([value])").first().click();
    await own.locator("textarea").first().waitFor();
    await keep("edit");
    await own.locator("textarea").first().fill("Mår bättre.");
    await own.locator("article .main").click();
    await own.locator("ins").first().waitFor();
    await keep("edited");
    await own.locator(".decide input[type=password]").fill("fel");
    for (const radio of await own.locator("input[value=approve]").all()) await radio.check();
    await own.locator(".decide .main").last().click();
    await own.locator(".decide .said:not(:empty)").waitFor();
    seen.errors = seen.errors.filter((line) => !line.includes("403 (Forbidden)")); // that was it
    await keep("wrong");
    await own.locator(".decide input[type=password]").fill(phrase.right);
    await own.locator(".decide .main").last().click();
    await own.locator(".state.good").first().waitFor();
    await keep("after");
    seen.shown.text = text.join("\n");
    seen.lang = await own.evaluate(() => document.documentElement.lang);
  },

  async give() {
    await page.goto(address);
    await page.getByRole("link", { name: /^Document: Remiss/ }).waitFor();
    await look("queue");
    await show(ids[0]);
    await look("before");
    await picture("before");
    await drop(".drop", files[0]);
    await card("Remiss").locator(".said").getByText(/Nothing was attached/).waitFor();
    await look("refused", card("Remiss").locator(".drop"));
    await picture("refused");
    seen.errors = seen.errors.filter((text) => !text.includes("400 (Bad Request)")); // that was it
    await drop("h1", files[1]); // beside its place: the page must stay
    await drop(".drop", files[1]);
    await card("Remiss").getByText("First page as text").waitFor();
    await look("given");
    await picture("given");
    await approve();
    await filed("Remiss");
    await look("after");
  },

  async choose() {
    await show(ids[0]);
    await page.keyboard.press("Tab");
    await page.getByLabel("Choose the file, or drop it here").setInputFiles(files[0]);
    await card("Remiss").getByText("Beginning as text").waitFor();
    await look("given");
    await button("Edit this document").click();
    await page.getByRole("textbox", { name: "Title" }).fill("Svar");
    await button("Save as a new version").click();
    await page.getByText("Saved as version 3").waitFor();
    await look("edited");
  },

  async without() {
    await show(ids[0]);
    await button("Do without it").click();
    await card("Remiss").getByText("It was declined.").waitFor();
    await look("after");
  },

  async sandbox() {
    await show(ids[0]);
    await look("before", page.locator("body"));
    await picture("before");
    seen.asked = await page.locator("input[type=password]").count();
    await button("Approve and file").click();
    await filed("Besök");
  },

  async unset() {
    await show(ids[0]);
    await look("before");
    await picture("before");
    seen.can = !(await button("Approve and file").isDisabled());
    await button("Decline").click();
    await card("Besök").getByText("It was declined.").waitFor();
  },
};

try {
  await scenarios[scenario]();
} catch (error) {
  await picture("failure");
  throw error;
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));

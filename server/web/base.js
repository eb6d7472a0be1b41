// Where answers come from, and how parts of the page are built.

const SOON_MS = 1000;
const LATER_MS = 5000;
const GONE =
  "The program behind this page does not answer. It may have ended: ask for the address again, " +
  "or run leyr-mcp review.";

class Problem extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

// The only part that knows where the answers come from.
const api = {
  ask(name, body = {}) {
    return this.send(name, { "Content-Type": "application/json" }, JSON.stringify(body));
  },
  async send(name, headers, body) {
    let response;
    let answer;
    try {
      response = await fetch(`api/${name}`, {
        method: "POST",
        headers,
        body,
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
      answer = await response.json();
    } catch {
      throw new Problem("gone", GONE);
    }
    if (!response.ok) {
      const { code, message, ref } = answer.error;
      throw new Problem(code, code === "internal" ? `${message} (${ref})` : message);
    }
    return answer;
  },
};

const main = document.getElementById("main");
const news = document.getElementById("news");
const problem = document.getElementById("problem");
const view = { turn: 0, mode: null, drafts: new Map(), timer: 0 };

// Text always goes in as text; nothing here reads HTML.
function el(name, given = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "value" || key === "checked" || key === "disabled") made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  const nothing = (child) => child === null || child === undefined || child === false || child === "";
  made.append(...children.flat().filter((child) => !nothing(child)));
  return made;
}

// A patient line breaks between its parts, not within a number.
function lineOfPatient(text) {
  const parts = text.split(", ");
  return parts.flatMap((part, at) => {
    const last = at === parts.length - 1;
    return [el("span", { class: "part" }, last ? part : `${part},`), last ? "" : " "];
  });
}

const who = (text) => el("p", { class: "who" }, ...lineOfPatient(text));

let lastId = 0;
const freshId = () => `n${(lastId += 1)}`;
const many = (count, one, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;
const name = (draft) => `${draft.kind}: ${draft.title}`;
const tell = (text) => {
  news.textContent = text;
};

function show(...parts) {
  main.replaceChildren(...parts.flat().filter(Boolean));
}

function fail(error) {
  problem.textContent = error instanceof Problem ? error.message : "This page failed. Reload it.";
  problem.hidden = false;
}

function setMode(answer) {
  view.mode = answer;
  const mode = document.getElementById("mode");
  mode.textContent = "Sandbox: test data only";
  mode.hidden = !answer.sandbox;
}

// A form whose button cannot be pressed twice, and which says what went wrong next to it.
function formOf(className, submit, ...children) {
  const said = el("p", { class: "said notice bad", role: "alert", tabindex: "-1" });
  const form = el("form", { class: className, novalidate: true, autocomplete: "off" }, ...children);
  let busy = false;
  form.append(said);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (busy) return;
    busy = true;
    form.setAttribute("aria-busy", "true");
    said.textContent = "";
    try {
      await submit(event.submitter);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      said.textContent = error.message;
    } finally {
      busy = false;
      form.removeAttribute("aria-busy");
    }
  });
  return form;
}

function field(label, input, hint = null) {
  input.id = freshId();
  const note = hint && el("p", { class: "small muted", id: freshId() }, hint);
  if (note) input.setAttribute("aria-describedby", note.id);
  return el("div", {}, el("label", { for: input.id }, label), input, note);
}

// What proves who decides: nothing in the sandbox, else the passphrase, asked for each time.
function proof(hint) {
  if (!view.mode.passphrase) {
    const text = "This is the sandbox with test data, so no passphrase is needed.";
    return { part: el("p", { class: "notice warn" }, text), can: true, take: () => undefined };
  }
  if (!view.mode.approver) {
    const part = el(
      "div",
      { class: "notice warn" },
      el("p", {}, "No passphrase is set yet, so nothing can be approved here."),
      el("p", {}, "In a terminal, run ", el("code", {}, "leyr-mcp passphrase"), " and then reload this page."),
    );
    return { part, can: false, take: () => undefined };
  }
  const input = el("input", { type: "password", autocomplete: "off", spellcheck: "false" });
  const take = () => {
    const typed = input.value;
    input.value = "";
    if (!typed) {
      input.focus();
      throw new Problem("missing", "Type the passphrase first.");
    }
    return typed;
  };
  return { part: field(`Passphrase of ${view.mode.approver}`, input, hint), can: true, take };
}

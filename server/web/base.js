// How parts of the page are built.

const SOON_MS = 1000;
const LATER_MS = 5000;
class Problem extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

const main = document.getElementById("main");
const news = document.getElementById("news");
const problem = document.getElementById("problem");
const view = {
  ...{ turn: 0, mode: null, drafts: new Map(), timer: 0, over: false, inChat: false },
  // Who signed in, where somebody does.
  person: () => {},
  // Whether this place may decide on a draft, and what it says where it may not any more.
  ...{ decides: () => true, elsewhere: () => null },
};

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
  const parts = text.split(", ").map(said);
  return parts.flatMap((part, at) => {
    const last = at === parts.length - 1;
    return [el("span", { class: "part" }, last ? part : `${part},`), last ? "" : " "];
  });
}

const who = (text) => el("p", { class: "who" }, ...lineOfPatient(text));

let lastId = 0;
const freshId = () => `n${(lastId += 1)}`;
// The title of what has a time is worded by the server, any other was written by somebody.
const TIMED = ["Booking", "Change of an appointment"];
const title = (draft) => (TIMED.includes(draft.kind) ? said(draft.title) : draft.title);
const name = (draft) => `${said(draft.kind)}: ${title(draft)}`;
const tell = (text) => {
  news.textContent = text;
};

function show(...parts) {
  main.replaceChildren(...parts.flat().filter(Boolean));
}

function fail(error) {
  problem.textContent = error instanceof Problem ? error.message : t("This page failed. Reload it.");
  problem.hidden = false;
}

function setMode(answer) {
  view.mode = answer;
  const mode = document.getElementById("mode");
  mode.textContent = t("Sandbox: test data only");
  mode.hidden = !answer.sandbox;
  view.person(answer);
}

// A way in beside what was typed, which stays where it is.
function wayIn(error) {
  if (error.code !== "signed_out") return null;
  return el("a", { href: "sign-in", target: "_blank", rel: "noopener" }, t("Sign in again in a new tab"));
}

// A form whose button cannot be pressed twice, and which says what went wrong next to it.
function formOf(className, submit, ...children) {
  const said = el("p", { class: "said notice bad", role: "alert", tabindex: "-1" });
  const form = el("form", { class: className, novalidate: true, autocomplete: "off" }, ...children);
  let busy = false;
  form.append(said);
  // Not on submit: a host's frame may allow no forms. Enter in a field presses the first button.
  form.addEventListener("click", async (event) => {
    const pressed = event.target.closest("button:not([type])");
    if (!pressed) return;
    event.preventDefault();
    if (busy) return;
    busy = true;
    form.setAttribute("aria-busy", "true");
    said.textContent = "";
    try {
      await submit(pressed);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      said.replaceChildren(...[error.message, wayIn(error)].filter(Boolean).flatMap((part) => [part, " "]));
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
    const text = t("This is the sandbox with test data, so no passphrase is needed.");
    const part = view.mode.sandbox && !view.mode.user && !view.inChat ? el("p", { class: "notice warn" }, text) : null;
    return { part, can: true, take: () => undefined };
  }
  if (!view.mode.approver) {
    const part = el(
      "div",
      { class: "notice warn" },
      el("p", {}, t("No passphrase is set yet, so nothing can be approved here.")),
      el("p", {}, t("In a terminal, run this command, and then reload this page:")),
      el("p", {}, el("code", {}, "leyr-mcp passphrase")),
    );
    return { part, can: false, take: () => undefined };
  }
  const input = el("input", { type: "password", autocomplete: "off", spellcheck: "false" });
  const take = () => {
    const typed = input.value;
    input.value = "";
    if (!typed) {
      input.focus();
      throw new Problem("missing", t("Type the passphrase first."));
    }
    return typed;
  };
  return { part: field(t("Passphrase of {name}", { name: view.mode.approver }), input, hint), can: true, take };
}

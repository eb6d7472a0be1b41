// The panel in a chat: the drafts of one answer, decided on where the talk is.

const decided = new Map();
const states = new Map();
const versions = new Map();
let toldModel = "";

// What the assistant is told: which drafts, what was decided, where they stand; no word of them.
function remember(action, body, answer) {
  if (action === "decide") {
    for (const result of answer.results) {
      if (!result.done) continue;
      const { approve } = body.decisions.find((one) => one.draft_id === result.draft_id);
      decided.set(result.draft_id, approve ? "approved" : "declined");
      states.set(result.draft_id, result.status.state);
    }
  } else if (action === "edit") {
    decided.set(body.draft_id, "edited");
    versions.set(body.draft_id, answer.draft.status.version);
    states.set(body.draft_id, answer.draft.status.state);
  } else {
    for (const status of answer.states || answer.drafts.map((draft) => draft.status)) {
      states.set(status.draft_id, status.state);
      // The tickets that came first are for the drafts as they were then.
      if (!versions.has(status.draft_id)) versions.set(status.draft_id, status.version);
    }
  }
  tellModel();
}

function tellModel() {
  if (!decided.size || !host.can.updateModelContext) return;
  const words = [...decided].map(([id, how]) => `${how} ${id} (now ${states.get(id)})`);
  const text = `In the review panel the user ${words.join(", ")}.`;
  if (text === toldModel) return;
  toldModel = text;
  request("ui/update-model-context", { content: [{ type: "text", text }] }).catch(() => undefined);
}

// What only the page can do is done there.
function pageButton() {
  if (!host.page) return el("p", {}, t("In a terminal, run this command:"), " ", el("code", {}, "leyr-mcp review"));
  const open = () => {
    const failed = () => fail(new Problem("page", t("The page could not be opened. Its address: {url}", { url: host.page })));
    request("ui/open-link", { url: host.page }).then((result) => result.isError && failed(), failed);
  };
  return el("p", { class: "row" }, el("button", { type: "button", onclick: open }, t("Open the review page")));
}

function fileForm() {
  const text = t("The file is chosen on the review page.");
  return el("div", { class: "plain decide" }, el("p", {}, text), pageButton());
}

function resolveForm() {
  const text = t("Decide on the review page what becomes of it.");
  return el("div", { class: "plain decide" }, el("p", {}, text), pageButton());
}

const nothingLeft = () => el("p", {}, t("Nothing more in this panel waits for your approval."));

// Shows what an answer of the assistant's call brought.
async function shown(result) {
  const given = (result._meta || {})["leyr-mcp/review"];
  if (!given || !given.tickets || !given.tickets.length) {
    const words = result.isError
      ? t("The assistant's call was refused. There is nothing to review.")
      : t("This answer holds no drafts to review.");
    show(el("p", { class: "muted" }, words));
    return;
  }
  keep(given);
  versions.clear();
  const turn = (view.turn += 1);
  try {
    const answer = await api.ask("drafts", { draft_ids: given.tickets.map((one) => one.draft_id) });
    if (turn !== view.turn) return;
    problem.hidden = true;
    setMode(answer);
    lay(answer.drafts, { folded: (draft) => draft.status.state === "draft" });
    watch();
  } catch (error) {
    if (turn !== view.turn) return;
    const again = el("button", { type: "button", onclick: () => shown(result) }, t("Try again"));
    show(el("p", { class: "row" }, again));
    fail(error);
  }
}

// The panel's time is over: what is on it stays to be read, and nothing more is decided here.
function ended(error) {
  view.over = true;
  fail(error);
  problem.after(pageButton());
  drawPanel();
  drawAll();
}

function arranged(context) {
  if (context.theme) document.documentElement.style.colorScheme = context.theme;
  if (!context.locale) return;
  setLanguage(context.locale, ...navigator.languages);
  titled();
}

function titled() {
  document.title = t("Review before filing");
  document.querySelector("h1").textContent = document.title;
  if (!view.mode) {
    show(el("p", { class: "muted" }, t("Waiting for the assistant's draft …")));
    return;
  }
  setMode(view.mode);
  drawAll();
  drawPanel();
}

let height = 0;
new ResizeObserver(() => {
  const now = Math.ceil(document.documentElement.getBoundingClientRect().height);
  if (now === height) return;
  height = now;
  post({ method: "ui/notifications/size-changed", params: { width: innerWidth, height } });
}).observe(document.documentElement);

host.heard.set("ui/notifications/tool-result", shown);
host.heard.set("ui/notifications/host-context-changed", arranged);
host.heard.set("ui/notifications/tool-cancelled", () => {
  if (!view.mode) show(el("p", { class: "muted" }, t("The assistant's call was cancelled.")));
});

document.body.classList.add("panel");
view.inChat = true;
view.decides = (status) => versions.get(status.draft_id) === status.version;
view.elsewhere = () => {
  const text = t("This panel can no longer decide on this one. Ask the assistant to file it again, or open the review page.");
  return el("div", { class: "plain decide" }, el("p", {}, text), pageButton());
};
titled();
request("ui/initialize", {
  protocolVersion: PROTOCOL,
  appInfo: { name: "leyr-mcp review", version: "1" },
  appCapabilities: {},
}).then((answer) => {
  host.can = answer.hostCapabilities || {};
  arranged(answer.hostContext || {});
  post({ method: "ui/notifications/initialized", params: {} });
}, fail);

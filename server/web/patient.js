// One patient: each draft whole, to be read.

async function openPatient(turn, wanted) {
  const queue = await api.ask("queue");
  const group = queue.patients.find((one) => one.drafts.some((draft) => draft.draft_id === wanted));
  const ids = group ? group.drafts.map((draft) => draft.draft_id) : [wanted];
  const answer = await api.ask("drafts", { draft_ids: ids });
  if (turn !== view.turn) return;
  setMode(answer);
  view.drafts.clear();
  for (const draft of answer.drafts) {
    const id = draft.status.draft_id;
    view.drafts.set(id, { draft, choice: "later", editing: false, stale: false, said: "", at: null });
  }
  view.outcome = el("p", { class: "said notice", role: "status", tabindex: "-1" });
  view.panel = el("div", {});
  const line = answer.drafts[0].patient;
  const heading = el("h2", { tabindex: "-1" }, ...lineOfPatient(line));
  show(
    el("p", {}, el("a", { href: "#" }, "All drafts")),
    el("div", { class: "band" }, el("span", { class: "label" }, "Patient"), heading),
    ids.map((id) => drawCard(id)),
    view.outcome,
    view.panel,
  );
  drawPanel();
  const first = view.drafts.get(wanted);
  scrollTo(0, 0);
  if (ids.length > 1 && ids[0] !== wanted) focusOn(first.at.querySelector("h3"));
  else heading.focus({ preventScroll: true });
  watch();
}

function focusOn(element) {
  element.focus();
  element.scrollIntoView({ block: "start" });
}

const held = () => [...view.drafts.values()];
const isEditing = () => held().some((one) => one.editing);
const open = () => held().filter((one) => one.draft.status.decidable && !one.stale);

function drawCard(id) {
  const one = view.drafts.get(id);
  const before = one.at;
  const focused = before && before.contains(document.activeElement);
  one.at = one.editing ? editCard(one) : readCard(one);
  if (before) before.replaceWith(one.at);
  if (focused) one.at.querySelector("h3").focus({ preventScroll: true });
  return one.at;
}

// Words that are being typed stay as they are.
function drawAll() {
  for (const [id, one] of view.drafts) if (!one.editing) drawCard(id);
}

function cardHead(one) {
  const { draft } = one;
  return el(
    "div",
    { class: "head" },
    el("h3", { tabindex: "-1" }, name(draft)),
    el("span", { class: `state ${draft.status.tone}` }, draft.status.name),
  );
}

function readCard(one) {
  const { draft } = one;
  const tone = { good: "good", warn: "warn", bad: "bad", wait: "" }[draft.status.tone];
  const told = draft.status.told.map((text) => el("p", {}, text));
  return el(
    "article",
    { class: "sheet" },
    cardHead(one),
    who(draft.patient),
    staleNotice(one),
    one.said && el("p", { class: "notice bad" }, one.said),
    el("div", { class: tone === undefined ? "told muted" : `told notice ${tone}` }, ...told),
    checksOf(draft),
    factsOf(draft),
    draft.texts.map((text) =>
      el("section", { class: "text" }, el("h4", {}, text.label), el("div", { class: "body" }, text.value)),
    ),
    changesOf(draft),
    el("p", { class: "small muted" }, madeBy(draft)),
    who(draft.patient),
    choiceOf(one),
    actionsOf(one),
    draft.status.wants_file && !one.stale && fileForm(one),
    draft.status.resolvable && resolveForm(one),
  );
}

function madeBy(draft) {
  const through = draft.source ? ` through ${draft.source}` : "";
  const version = draft.status.version;
  const changed = version > 1 ? ` Version ${version}, changed ${draft.changed}.` : "";
  return `Drafted ${draft.drafted}${through}.${changed} ${draft.status.draft_id}`;
}

function staleNotice(one) {
  if (!one.stale) return null;
  const id = one.draft.status.draft_id;
  const again = el("button", { type: "button", onclick: () => reload(id) }, "Show the new version");
  const text = "This draft was changed after you opened it. What stands below is no longer what would be filed.";
  return el("div", { class: "notice bad" }, el("p", {}, text), el("p", { class: "row" }, again));
}

function checksOf(draft) {
  if (!draft.checks.length) return null;
  const found = draft.checks.map((check) =>
    el(
      "li",
      { class: `check ${check.level}` },
      el("span", { class: "mark" }, check.level === "block" ? check.mark : `${check.mark}: `),
      el("span", {}, check.message),
    ),
  );
  return el("ul", { class: "checks", "aria-label": "Findings" }, ...found);
}

function factsOf(draft) {
  if (!draft.facts.length) return null;
  const pairs = draft.facts.flatMap((fact) => [el("dt", {}, fact.label), el("dd", {}, fact.value)]);
  return el("dl", { class: "facts" }, ...pairs);
}

function changesOf(draft) {
  if (!draft.changes || !draft.changes.parts.length) return null;
  const parts = draft.changes.parts.map((part) =>
    el("div", {}, el("h4", {}, part.label), el("div", { class: "lines" }, ...part.lines.map(lineOf))),
  );
  const title = `What changed since version ${draft.changes.version}`;
  return el("details", { open: true }, el("summary", {}, title), ...parts);
}

function lineOf(line) {
  if (line.mark === "same") return el("span", {}, line.text);
  if (line.mark === "gap") return el("span", { class: "gap" }, line.text);
  const word = line.mark === "added" ? "Added: " : "Removed: ";
  return el(line.mark === "added" ? "ins" : "del", {}, el("span", { class: "unseen" }, word), line.text);
}

// Several drafts are decided on together, so each one says what shall become of it.
function choiceOf(one) {
  if (open().length < 2 || !open().includes(one)) return null;
  const group = freshId();
  const options = [
    ["approve", "Approve and file"],
    ["decline", "Decline"],
    ["later", "Decide later"],
  ].map(([value, label]) =>
    el(
      "label",
      {},
      el("input", {
        type: "radio",
        name: group,
        value,
        checked: one.choice === value,
        onchange: () => choose(one, value),
      }),
      label,
    ),
  );
  return el(
    "fieldset",
    { class: `choice ${one.choice}` },
    el("legend", {}, `What shall become of this ${kindWord(one.draft)}?`),
    el("div", { class: "pick" }, ...options),
  );
}

const kindWord = (draft) => draft.kind.toLowerCase();

function choose(one, value) {
  one.choice = value;
  const fieldset = one.at.querySelector(".choice");
  if (fieldset) fieldset.className = `choice ${value}`;
  labelPanel();
}

function actionsOf(one) {
  if (!one.draft.edit || one.stale) return null;
  const start = () => {
    one.editing = true;
    drawCard(one.draft.status.draft_id);
    one.at.querySelector("input, textarea").focus();
    drawPanel();
  };
  return el("p", { class: "row" }, el("button", { type: "button", onclick: start }, `Edit this ${kindWord(one.draft)}`));
}

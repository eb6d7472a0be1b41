// One patient: each draft whole, to be read.

// Shows drafts of one patient, one below the other; what stands before them is the caller's.
function lay(drafts, { before = null, folded = () => false } = {}) {
  view.drafts.clear();
  for (const draft of drafts) {
    const id = draft.status.draft_id;
    const one = { draft, choice: "later", editing: false, stale: false, said: "", at: null };
    view.drafts.set(id, { ...one, folded: folded(draft) });
  }
  view.outcome = el("p", { class: "said notice", role: "status", tabindex: "-1" });
  view.panel = el("div", {});
  const heading = el("h2", { tabindex: "-1" }, ...lineOfPatient(drafts[0].patient));
  show(
    before,
    el("div", { class: "band" }, el("span", { class: "label" }, t("Patient")), heading),
    drafts.map((draft) => drawCard(draft.status.draft_id)),
    view.outcome,
    view.panel,
  );
  drawPanel();
  return heading;
}

function focusOn(element) {
  element.focus();
  element.scrollIntoView({ block: "start" });
}

const held = () => [...view.drafts.values()];
const isEditing = () => held().some((one) => one.editing);
const open = () =>
  view.over ? [] : held().filter((one) => isOpen(one) && view.decides(one.draft.status));
const isOpen = (one) => one.draft.status.decidable && !one.stale && !one.folded;

function drawCard(id) {
  const one = view.drafts.get(id);
  const before = one.at;
  const focused = before && before.contains(document.activeElement);
  one.at = one.editing ? editCard(one) : one.folded ? foldedCard(one) : readCard(one);
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
    el("span", { class: `state ${draft.status.tone}` }, said(draft.status.name)),
  );
}

// A draft that nobody is asked about yet: what it is, and the rest when it is wanted.
function foldedCard(one) {
  const unfold = () => {
    one.folded = false;
    drawAll();
    drawPanel();
    focusOn(one.at.querySelector("h3"));
  };
  return el(
    "article",
    { class: "sheet" },
    cardHead(one),
    el("p", {}, t("Kept as a draft. You are asked about it together with the others of this visit.")),
    el("p", { class: "row" }, el("button", { type: "button", onclick: unfold }, t("Read it now"))),
  );
}

function readCard(one) {
  const { draft } = one;
  const tone = { good: "good", warn: "warn", bad: "bad", wait: "" }[draft.status.tone];
  const told = draft.status.told.map((text) => el("p", {}, said(text)));
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
      el("section", { class: "text" }, el("h4", {}, said(text.label)), el("div", { class: "body" }, text.value)),
    ),
    changesOf(draft),
    el("p", { class: "small muted" }, madeBy(draft)),
    who(draft.patient),
    choiceOf(one),
    actionsOf(one),
    isOpen(one) && !view.decides(draft.status) && view.elsewhere(),
    draft.status.wants_file && !one.stale && fileForm(one),
    draft.status.resolvable && resolveForm(one),
  );
}

function madeBy(draft) {
  const { version, draft_id } = draft.status;
  const given = { when: said(draft.drafted), source: draft.source };
  const made = draft.source ? t("Drafted {when} through {source}.", given) : t("Drafted {when}.", given);
  const when = said(draft.changed);
  const changed = version > 1 ? t("Version {version}, changed {when}.", { version, when }) : "";
  return [made, changed, draft_id].filter(Boolean).join(" ");
}

function staleNotice(one) {
  if (!one.stale) return null;
  const id = one.draft.status.draft_id;
  const again = el("button", { type: "button", onclick: () => reload(id) }, t("Show the new version"));
  const text = t("This draft was changed after you opened it. What stands below is no longer what would be filed.");
  return el("div", { class: "notice bad" }, el("p", {}, text), el("p", { class: "row" }, again));
}

const MARK = {
  block: () => t("Look at this"),
  warn: () => t("Take note"),
  info: () => t("For information"),
};

function checksOf(draft) {
  if (!draft.checks.length) return null;
  const found = draft.checks.map((check) =>
    el(
      "li",
      { class: `check ${check.level}` },
      el("span", { class: "mark" }, check.level === "block" ? MARK.block() : `${MARK[check.level]()}: `),
      el("span", {}, said(check.message)),
    ),
  );
  return el("ul", { class: "checks", "aria-label": t("Findings") }, ...found);
}

// The facts whose values the server words; of all others they are the record's or the assistant's.
const WORDED = ["Appointment", "New time", "File", "Made from", "Second copy"];

function factsOf(draft) {
  if (!draft.facts.length) return null;
  const pairs = draft.facts.flatMap(({ label, value }) => [
    el("dt", {}, said(label)),
    el("dd", {}, WORDED.includes(label) ? said(value) : value),
  ]);
  return el("dl", { class: "facts" }, ...pairs);
}

function changesOf(draft) {
  if (!draft.changes || !draft.changes.parts.length) return null;
  const parts = draft.changes.parts.map((part) =>
    el("div", {}, el("h4", {}, said(part.label)), el("div", { class: "lines" }, ...part.lines.map(lineOf))),
  );
  const since = t("What changed since version {version}", { version: draft.changes.version });
  return el("details", { open: true }, el("summary", {}, since), ...parts);
}

function lineOf(line) {
  if (line.mark === "same") return el("span", {}, line.text);
  if (line.mark === "gap") return el("span", { class: "gap" }, said(line.text));
  const word = line.mark === "added" ? t("Added:") : t("Removed:");
  return el(line.mark === "added" ? "ins" : "del", {}, el("span", { class: "unseen" }, `${word} `), line.text);
}

// Several drafts are decided on together, so each one says what shall become of it.
function choiceOf(one) {
  if (open().length < 2 || !open().includes(one)) return null;
  const group = freshId();
  const options = [
    ["approve", t("Approve and file")],
    ["decline", t("Decline")],
    ["later", t("Decide later")],
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
    el("legend", {}, t("What shall become of this one? {name}", { name: name(one.draft) })),
    el("div", { class: "pick" }, ...options),
  );
}

function choose(one, value) {
  one.choice = value;
  const fieldset = one.at.querySelector(".choice");
  if (fieldset) fieldset.className = `choice ${value}`;
  labelPanel();
}

const EDIT = {
  Note: () => t("Edit this note"),
  Document: () => t("Edit this document"),
  Booking: () => t("Edit this booking"),
  "Change of an appointment": () => t("Edit this change of an appointment"),
};

function actionsOf(one) {
  if (!one.draft.edit || one.stale || !view.decides(one.draft.status)) return null;
  const start = () => {
    one.editing = true;
    drawCard(one.draft.status.draft_id);
    one.at.querySelector("input, textarea").focus();
    drawPanel();
  };
  return el("p", { class: "row" }, el("button", { type: "button", onclick: start }, EDIT[one.draft.kind]()));
}

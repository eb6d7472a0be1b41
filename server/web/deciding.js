// Deciding: approve, decline, and what becomes of a draft in doubt.

function say(text, tone) {
  view.outcome.className = `said notice ${tone}`;
  view.outcome.textContent = text;
}

function drawPanel() {
  const waiting = open();
  const focused = view.panel.contains(document.activeElement);
  view.relabel = null;
  if (!waiting.length) {
    const stuck = held().some((one) => one.draft.status.resolvable || one.stale);
    const text = "Nothing more of this patient waits for your approval.";
    view.panel.replaceChildren(
      ...(stuck ? [] : [el("p", { class: "row" }, el("span", {}, text), el("a", { href: "#" }, "All drafts"))]),
    );
    return;
  }
  const known = proof("Asked for each time and kept nowhere. Not needed to decline.");
  const buttons = waiting.length === 1 ? oneDecision(waiting[0], known) : severalDecisions(known);
  const editing = isEditing();
  const marked = waiting.filter((one) => one.draft.checks.some((check) => check.level === "block")).length;
  const warning = marked > 0 && el("p", { class: "check block" }, lookAt(waiting.length, marked));
  view.panel.replaceChildren(
    formOf(
      "sheet decide",
      (submitter) => buttons.submit(submitter),
      el("h3", { tabindex: "-1" }, "Your decision"),
      waiting.length === 1 && el("p", {}, "On: ", el("strong", {}, name(waiting[0].draft))),
      warning,
      el("p", {}, "What you approve is filed in the health record under your approval. Filing cannot be undone."),
      editing && el("p", { class: "notice warn" }, "Save your changes first, or leave it as it was."),
      ...buttons.before,
      known.part,
      ...buttons.after,
    ),
  );
  labelPanel();
  if (editing) view.panel.querySelectorAll("button, input").forEach((part) => (part.disabled = true));
  if (focused) view.panel.querySelector("h3").focus({ preventScroll: true });
}

function lookAt(count, marked) {
  const where = count === 1 ? "above" : `in ${many(marked, "draft")} above`;
  return `Look first at what is marked red ${where}.`;
}

function labelPanel() {
  if (view.relabel) view.relabel();
}

function oneDecision(one, known) {
  const yes = el("button", { class: "main", value: "approve", disabled: !known.can }, "Approve and file");
  const no = el("button", { class: "no", value: "decline" }, "Decline");
  const submit = (submitter) => {
    one.choice = (submitter || yes).value;
    return decide([one], known);
  };
  return { before: [], after: [el("p", { class: "row" }, yes, no)], submit };
}

function severalDecisions(known) {
  const go = el("button", { class: "main" });
  const hint = el("p", { class: "small muted" });
  const chosen = (value) => open().filter((one) => one.choice === value);
  view.relabel = () => {
    const [yes, no] = [chosen("approve").length, chosen("decline").length];
    const words = [];
    if (yes) words.push(`approve and file ${yes}`);
    if (no) words.push(`decline ${no}`);
    const text = words.join(", ") || "Approve or decline";
    go.textContent = text[0].toUpperCase() + text.slice(1);
    go.className = yes || !no ? "main" : "no";
    go.disabled = isEditing() || !words.length || (yes > 0 && !known.can);
    const left = open().length - yes - no;
    hint.textContent = words.length
      ? left ? `${many(left, "draft")} left for later.` : ""
      : "Choose above what shall become of each draft.";
  };
  const all = (value) => {
    let skipped = 0;
    for (const one of open()) {
      const marked = one.draft.checks.some((check) => check.level === "block");
      if (value === "approve" && marked) skipped += 1;
      else one.choice = value;
      drawCard(one.draft.status.draft_id);
    }
    labelPanel();
    const text = `${many(skipped, "draft")} marked red ${skipped === 1 ? "is" : "are"} not chosen: look there first.`;
    if (skipped) say(text, "warn");
    else view.outcome.textContent = "";
  };
  const marks = el(
    "p",
    { class: "row" },
    el("button", { type: "button", onclick: () => all("approve") }, "Choose approve for all"),
    el("button", { type: "button", onclick: () => all("decline") }, "Choose decline for all"),
  );
  const submit = () => {
    const ones = open().filter((one) => one.choice !== "later");
    return ones.length ? decide(ones, known) : undefined;
  };
  return { before: [marks], after: [el("p", { class: "row" }, go), hint], submit };
}

async function decide(ones, known) {
  const approving = ones.some((one) => one.choice === "approve");
  const decisions = ones.map(({ choice, draft: { status } }) => ({
    draft_id: status.draft_id,
    version: status.version,
    digest: status.digest,
    approve: choice === "approve",
  }));
  const body = { decisions };
  if (approving) {
    if (!known.can) return;
    const passphrase = known.take();
    if (passphrase !== undefined) body.passphrase = passphrase;
  }
  const turn = view.turn;
  const { results } = await api.ask("decide", body);
  if (turn !== view.turn) return;
  const counts = { approve: 0, decline: 0 };
  const refused = [];
  results.forEach((result) => {
    const one = view.drafts.get(result.draft_id);
    one.said = result.done ? "" : result.message;
    if (result.done) {
      one.draft.status = result.status;
      one.draft.edit = null;
      counts[one.choice] += 1;
    } else {
      refused.push(`${name(one.draft)}: ${result.message}`);
    }
    one.choice = "later";
  });
  const words = [];
  if (counts.approve) words.push(`${counts.approve} approved`);
  if (counts.decline) words.push(`${counts.decline} declined`);
  const done = words.length ? `${words.join(", ")}.` : "";
  say([done, ...refused].filter(Boolean).join(" "), refused.length ? "bad" : "good");
  drawAll();
  drawPanel();
  view.outcome.focus();
  if (refused.length) await look();
  watch();
}

function resolveForm(one) {
  const { draft } = one;
  const known = proof("Asked for each time and kept nowhere.");
  const group = freshId();
  const idInput = el("input", { type: "text", autocomplete: "off", spellcheck: "false" });
  const idField = field("Its id in the record system", idInput);
  idField.hidden = true;
  const go = el("button", { class: "main", disabled: true }, "Choose first");
  const words = {
    found: ["It is in the record.", "Close it as filed"],
    send_again: ["It is certainly not in the record. Ask for approval again, to send it once more.", "Ask for approval again"],
    drop: ["Give it up. It will not be sent.", "Give it up"],
  };
  let how = null;
  const choose = (value) => {
    how = value;
    idField.hidden = value !== "found";
    go.textContent = words[value][1];
    go.className = value === "drop" ? "no" : "main";
    go.disabled = !known.can;
  };
  const options = Object.entries(words).map(([value, [label]]) =>
    el("label", {}, el("input", { type: "radio", name: group, value, onchange: () => choose(value) }), label),
  );
  const submit = async () => {
    if (!how || !known.can) return;
    const { draft_id, version, digest } = draft.status;
    const body = { draft_id, version, digest, how };
    if (how === "found") {
      body.record_id = idInput.value.trim();
      if (!body.record_id) {
        idInput.focus();
        throw new Problem("missing", "Type the id that it has in the record system.");
      }
    }
    const passphrase = known.take();
    if (passphrase !== undefined) body.passphrase = passphrase;
    const answer = await api.ask("resolve", body);
    one.draft = answer.draft;
    say(`${name(one.draft)}: ${one.draft.status.told[0]}`, { good: "good", warn: "warn" }[one.draft.status.tone] || "");
    drawAll();
    drawPanel();
    view.outcome.focus();
    watch();
  };
  return formOf(
    "plain decide",
    submit,
    el("p", {}, draft.searched),
    el(
      "fieldset",
      {},
      el("legend", {}, "Look in the record system, then say how it is:"),
      el("div", { class: "pick tall" }, ...options),
    ),
    idField,
    known.part,
    el("p", { class: "row" }, go),
  );
}

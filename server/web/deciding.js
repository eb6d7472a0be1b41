// Deciding: approve and decline, one draft or several.

function say(text, tone) {
  view.outcome.className = `said notice ${tone}`;
  view.outcome.textContent = text;
}

function drawPanel() {
  const waiting = open();
  const focused = view.panel.contains(document.activeElement);
  view.relabel = null;
  if (!waiting.length) {
    const unclear = (one) => one.draft.status.resolvable || one.stale || one.folded || isOpen(one);
    const stuck = view.over || held().some(unclear);
    view.panel.replaceChildren(...(stuck ? [] : [nothingLeft()]));
    return;
  }
  const known = proof(t("Asked for each time and kept nowhere. Not needed to decline."));
  const buttons = waiting.length === 1 ? oneDecision(waiting[0], known) : severalDecisions(known);
  const editing = isEditing();
  const marked = waiting.filter((one) => one.draft.checks.some((check) => check.level === "block")).length;
  const warning = marked > 0 && el("p", { class: "check block" }, lookAt(waiting.length, marked));
  view.panel.replaceChildren(
    formOf(
      "sheet decide",
      (submitter) => buttons.submit(submitter),
      el("h3", { tabindex: "-1" }, t("Your decision")),
      waiting.length === 1 && el("p", {}, el("strong", {}, name(waiting[0].draft))),
      warning,
      el("p", {}, t("What you approve is filed in the health record under your approval. Filing cannot be undone.")),
      editing && el("p", { class: "notice warn" }, t("Save your changes first, or leave it as it was.")),
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
  if (count === 1) return t("Look first at what is marked red above.");
  return tn(
    marked,
    "Look first at what is marked red in {count} draft above.",
    "Look first at what is marked red in {count} drafts above.",
  );
}

function labelPanel() {
  if (view.relabel) view.relabel();
}

function oneDecision(one, known) {
  const yes = el("button", { class: "main", value: "approve", disabled: !known.can }, t("Approve and file"));
  const no = el("button", { class: "no", value: "decline" }, t("Decline"));
  const submit = (submitter) => {
    one.choice = submitter.value;
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
    const given = { yes, no };
    if (yes && no) go.textContent = t("Approve and file {yes}, decline {no}", given);
    else if (yes) go.textContent = t("Approve and file {yes}", given);
    else if (no) go.textContent = t("Decline {no}", given);
    else go.textContent = t("Approve or decline");
    go.className = yes || !no ? "main" : "no";
    go.disabled = isEditing() || !(yes || no) || (yes > 0 && !known.can);
    const left = open().length - yes - no;
    if (!(yes || no)) hint.textContent = t("Choose above what shall become of each draft.");
    else hint.textContent = left ? tn(left, "{count} draft left for later.", "{count} drafts left for later.") : "";
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
    const text = tn(
      skipped,
      "{count} draft marked red is not chosen: look there first.",
      "{count} drafts marked red are not chosen: look there first.",
    );
    if (skipped) say(text, "warn");
    else view.outcome.textContent = "";
  };
  const marks = el(
    "p",
    { class: "row" },
    el("button", { type: "button", onclick: () => all("approve") }, t("Choose approve for all")),
    el("button", { type: "button", onclick: () => all("decline") }, t("Choose decline for all")),
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
    one.said = result.done ? "" : said(result.message);
    if (result.done) {
      one.draft.status = result.status;
      one.draft.edit = null;
      counts[one.choice] += 1;
    } else {
      refused.push(`${name(one.draft)}: ${one.said}`);
    }
    one.choice = "later";
  });
  const done = [];
  if (counts.approve) done.push(t("{count} approved.", { count: counts.approve }));
  if (counts.decline) done.push(t("{count} declined.", { count: counts.decline }));
  say([...done, ...refused].join(" "), refused.length ? "bad" : "good");
  drawAll();
  drawPanel();
  view.outcome.focus();
  if (refused.length) await look();
  watch();
}

// The queue: every patient with something unfinished.

async function openQueue(turn) {
  const answer = await api.ask("queue");
  if (turn !== view.turn) return;
  setMode(answer);
  view.drafts.clear();
  const all = answer.patients.flatMap((patient) => patient.drafts);
  const refresh = el("button", { type: "button", onclick: route }, t("Look again"));
  if (!all.length) {
    const text = t("Nothing waits for you. Drafts appear here when an assistant has made them.");
    show(el("div", { class: "sheet empty" }, el("p", {}, text), refresh));
    return;
  }
  const waiting = all.filter((draft) => draft.decidable).length;
  const stuck = all.filter((draft) => draft.resolvable).length;
  const counted = [tn(waiting, "{count} draft waits for your decision", "{count} drafts wait for your decision")];
  const files = all.filter((draft) => draft.wants_file).length;
  if (files) counted.push(tn(files, "{count} waits for its file", "{count} wait for their files"));
  if (stuck) counted.push(tn(stuck, "{count} draft needs a person", "{count} drafts need a person"));
  show(
    el("div", { class: "head" }, el("h2", { tabindex: "-1" }, `${counted.join(", ")}.`), refresh),
    answer.more && el("p", { class: "notice" }, t("Only the latest {count} are listed.", { count: all.length })),
    answer.patients.map(patientRows),
  );
  tell(`${counted.join(", ")}.`);
}

function patientRows(patient) {
  const rows = patient.drafts.map((draft) => {
    const tags = [];
    if (draft.marked) tags.push(el("span", { class: "tag bad" }, tn(draft.marked, "Look: {count} finding", "Look: {count} findings")));
    if (draft.noted) tags.push(el("span", { class: "tag warn" }, tn(draft.noted, "{count} note", "{count} notes")));
    tags.push(el("span", { class: `state ${draft.tone}` }, said(draft.name)));
    return el(
      "li",
      {},
      el(
        "a",
        { href: `#${draft.draft_id}` },
        el("span", { class: "name" }, name(draft)),
        el("span", { class: "row" }, ...tags),
      ),
    );
  });
  const id = freshId();
  return el(
    "section",
    { class: "sheet", "aria-labelledby": id },
    el("h3", { class: "who", id }, ...lineOfPatient(patient.patient)),
    el("ul", { class: "rows" }, ...rows),
  );
}

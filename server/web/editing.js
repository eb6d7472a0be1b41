// Editing: a person's words in the place of a draft's.

function editCard(one) {
  const { draft } = one;
  const { edit, status } = draft;
  const inputs = [];
  const add = (label, value, rows, send) => {
    const input = rows ? el("textarea", { rows, spellcheck: "true" }) : el("input", { type: "text" });
    input.value = value;
    const shown = input.value;
    // Only what was touched is sent, so that the rest stays as it is to the last byte.
    inputs.push((body) => input.value !== shown && send(body, input.value));
    return field(label, input);
  };
  const rowsFor = (text) => String(Math.min(24, Math.max(4, text.split("\n").length + 2)));
  const parts = [];
  if (edit.title !== undefined) {
    parts.push(add(t("Title"), edit.title, 0, (body, value) => (body.title = value)));
  }
  for (const { name: key, label, value } of edit.texts || []) {
    parts.push(
      add(said(label), value, rowsFor(value), (body, text) => {
        body.texts = { ...body.texts, [key]: text };
      }),
    );
  }
  if (edit.comment !== undefined) {
    parts.push(add(t("Comment"), edit.comment, 3, (body, value) => (body.comment = value)));
  }
  const stop = () => {
    one.editing = false;
    drawCard(status.draft_id);
    drawPanel();
    focusOn(one.at.querySelector("h3"));
  };
  const save = async () => {
    const body = { draft_id: status.draft_id, version: status.version, digest: status.digest };
    inputs.forEach((take) => take(body));
    if (Object.keys(body).length === 3) return stop();
    const answer = await api.ask("edit", body);
    Object.assign(one, { draft: answer.draft, choice: "later", stale: false, said: "" });
    stop();
    const saved = t("Saved as version {version}. Read it again, then approve it.", answer.draft.status);
    const removed = answer.removed
      ? tn(
          answer.removed,
          "{count} character that cannot be seen was removed.",
          "{count} characters that cannot be seen were removed.",
        )
      : "";
    say([saved, removed].filter(Boolean).join(" "), "good");
  };
  return el(
    "article",
    { class: "sheet" },
    cardHead(one),
    who(draft.patient),
    staleNotice(one),
    formOf(
      "plain",
      save,
      ...parts,
      el(
        "p",
        { class: "row" },
        el("button", { class: "main" }, t("Save as a new version")),
        el("button", { type: "button", onclick: stop }, t("Leave it as it was")),
      ),
    ),
    who(draft.patient),
  );
}

// What becomes of a draft in doubt.

function resolveForm(one) {
  const { draft } = one;
  const known = proof(t("Asked for each time and kept nowhere."));
  const group = freshId();
  const idInput = el("input", { type: "text", autocomplete: "off", spellcheck: "false" });
  const idField = field(t("Its id in the record system"), idInput);
  idField.hidden = true;
  const go = el("button", { class: "main", disabled: true }, t("Choose first"));
  const ways = {
    found: [t("It is in the record."), t("Close it as filed")],
    send_again: [
      t("It is certainly not in the record. Ask for approval again, to send it once more."),
      t("Ask for approval again"),
    ],
    drop: [t("Give it up. It will not be sent."), t("Give it up")],
  };
  let how = null;
  const choose = (value) => {
    how = value;
    idField.hidden = value !== "found";
    go.textContent = ways[value][1];
    go.className = value === "drop" ? "no" : "main";
    go.disabled = !known.can;
  };
  const options = Object.entries(ways).map(([value, [label]]) =>
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
        throw new Problem("missing", t("Type the id that it has in the record system."));
      }
    }
    const passphrase = known.take();
    if (passphrase !== undefined) body.passphrase = passphrase;
    const answer = await api.ask("resolve", body);
    one.draft = answer.draft;
    say(`${name(one.draft)}: ${said(one.draft.status.told[0])}`, { good: "good", warn: "warn" }[one.draft.status.tone] || "");
    drawAll();
    drawPanel();
    view.outcome.focus();
    watch();
  };
  return formOf(
    "plain decide",
    submit,
    el("p", {}, said(draft.searched)),
    el(
      "fieldset",
      {},
      el("legend", {}, t("Look in the record system, then say how it is:")),
      el("div", { class: "pick tall" }, ...options),
    ),
    idField,
    known.part,
    el("p", { class: "row" }, go),
  );
}

// Which view of the page is shown: the queue, or one patient.

async function openPatient(turn, wanted) {
  const queue = await api.ask("queue");
  const group = queue.patients.find((one) => one.drafts.some((draft) => draft.draft_id === wanted));
  const ids = group ? group.drafts.map((draft) => draft.draft_id) : [wanted];
  const answer = await api.ask("drafts", { draft_ids: ids });
  if (turn !== view.turn) return;
  setMode(answer);
  const heading = lay(answer.drafts, { before: el("p", {}, el("a", { href: "#" }, t("All drafts"))) });
  scrollTo(0, 0);
  if (ids.length > 1 && ids[0] !== wanted) focusOn(view.drafts.get(wanted).at.querySelector("h3"));
  else heading.focus({ preventScroll: true });
  watch();
}

function nothingLeft() {
  const text = t("Nothing more of this patient waits for your approval.");
  return el("p", { class: "row" }, el("span", {}, text), el("a", { href: "#" }, t("All drafts")));
}

async function route() {
  const turn = (view.turn += 1);
  clearTimeout(view.timer);
  problem.hidden = true;
  const wanted = location.hash.slice(1);
  try {
    if (wanted) await openPatient(turn, wanted);
    else await openQueue(turn);
  } catch (error) {
    if (turn !== view.turn) return;
    show(el("p", {}, el("a", { href: "#" }, t("All drafts"))));
    fail(error);
  }
}

document.title = t("Review before filing");
document.querySelector("h1").textContent = document.title;
show(el("p", { class: "muted" }, t("Loading …")));
addEventListener("hashchange", route);
route();

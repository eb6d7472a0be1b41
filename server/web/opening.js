// Which view of the page is shown: the queue, or one patient.

async function openPatient(turn, wanted) {
  const queue = await api.ask("queue");
  if (turn === view.turn) setMode(queue);
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

// What a sign-in came to that came to nothing, as the server names it in the address.
const problems = () => ({
  not_begun: t("This sign-in was not begun in this browser, or too long ago."),
  other_issuer: t("Somebody else than your sign-in answered."),
  not_finished: t("The sign-in was not finished there."),
  not_believed: t("What your sign-in answered cannot be believed."),
  too_much: t("Your sign-in says more of you than a browser can keep."),
  away: t("Your sign-in cannot be reached now. Try again soon."),
});

function signedOut(wanted) {
  clearTimeout(view.timer);
  view.drafts.clear();
  document.getElementById("person").hidden = true;
  const trouble = problems()[new URLSearchParams(location.search).get("problem")];
  const way = wanted ? `sign-in?draft=${encodeURIComponent(wanted)}` : "sign-in";
  const text = t("Sign in to see the drafts that wait for you.");
  show(
    el(
      "div",
      { class: "sheet empty" },
      trouble && el("p", { class: "notice bad", role: "alert" }, trouble),
      el("p", {}, text),
      el("p", {}, el("a", { class: "button main", href: way }, t("Sign in"))),
    ),
  );
  tell(text);
}

async function signOut() {
  try {
    await api.ask("sign-out");
    location.replace("./");
  } catch (error) {
    fail(error);
  }
}

view.person = (answer) => {
  const person = document.getElementById("person");
  person.hidden = !answer.user;
  if (!answer.user) return;
  const out = el("button", { type: "button", onclick: signOut }, t("Sign out"));
  person.replaceChildren(el("span", {}, t("Signed in: {name}", { name: answer.user })), out);
};

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
    if (error.code === "signed_out") return signedOut(wanted);
    show(el("p", {}, el("a", { href: "#" }, t("All drafts"))));
    fail(error);
  }
}

document.title = t("Review before filing");
document.querySelector("h1").textContent = document.title;
show(el("p", { class: "muted" }, t("Loading …")));
addEventListener("hashchange", route);
route();

// Following what becomes of drafts.

function watch() {
  clearTimeout(view.timer);
  if (view.over) return;
  const awaited = ({ moving, decidable, wants_file }) => moving || decidable || wants_file;
  const live = held().filter((one) => awaited(one.draft.status));
  if (!live.length) return;
  const moving = live.some((one) => one.draft.status.moving);
  view.timer = setTimeout(look, moving ? SOON_MS : LATER_MS);
}

async function look() {
  clearTimeout(view.timer);
  const turn = view.turn;
  try {
    const { states } = await api.ask("states", { draft_ids: [...view.drafts.keys()] });
    if (turn !== view.turn) return;
    problem.hidden = true;
    states.forEach(compare);
  } catch (error) {
    if (turn !== view.turn) return;
    if (error.code === "over") return void ended(error);
    if (problem.hidden) fail(error);
  }
  watch();
}

function compare(now) {
  const one = view.drafts.get(now.draft_id);
  const was = one.draft.status;
  const same = now.state === was.state && now.told.join() === was.told.join();
  if (now.digest !== was.digest || now.version !== was.version) {
    if (one.stale) return;
    one.stale = true;
    one.choice = "later";
    tell(t("{name} was changed after you opened it.", { name: name(one.draft) }));
  } else if (same) {
    return;
  } else {
    one.draft.status = now;
    if (!now.decidable && now.state !== "approved") one.draft.edit = null;
    tell(`${name(one.draft)}: ${now.told.map(said).join(" ")}`);
    if (now.resolvable || now.decidable) return void reload(now.draft_id);
  }
  // Words that are being typed stay; saving them is refused and says why.
  if (!one.editing) drawCard(now.draft_id);
  if (was.decidable || one.stale) drawPanel();
}

async function reload(id) {
  const turn = view.turn;
  try {
    const answer = await api.ask("drafts", { draft_ids: [id] });
    if (turn !== view.turn) return;
    setMode(answer);
    Object.assign(view.drafts.get(id), { draft: answer.drafts[0], stale: false, editing: false, said: "" });
    say("", "");
    drawAll();
    drawPanel();
    watch();
  } catch (error) {
    fail(error);
  }
}

// Giving a draft the file that it waits for: chosen or dropped, it goes to this machine's server alone.

const KINDS = ".pdf,.jpg,.jpeg,.png,.doc,.docx,.dcm,.txt";
const MOST_BYTES = 20971520;

function fileForm(one) {
  const { draft } = one;
  const input = el("input", { type: "file", accept: KINDS });
  const told = el("p", { class: "said notice bad", role: "alert" });
  const busy = el("p", { class: "muted", role: "status" });
  let sending = false;
  const give = async (file) => {
    if (!file || sending) return;
    sending = true;
    input.disabled = true;
    told.textContent = "";
    busy.textContent = t("Looking through {name} …", { name: file.name });
    try {
      await sendFile(one, file);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      told.textContent = `${error.message} ${t("Nothing was attached; choose another file.")}`;
    } finally {
      sending = false;
      input.disabled = false;
      input.value = "";
      busy.textContent = "";
    }
  };
  input.addEventListener("change", () => give(input.files[0]));
  const hint = t(
    "A PDF, a JPEG or PNG image, a Word document, a DICOM image or plain text, up to 20 MB. It is looked through and shown to you before anything is filed.",
  );
  const place = el("div", { class: "drop" }, field(t("Choose the file, or drop it here"), input, hint), busy, told);
  place.addEventListener("dragover", (event) => {
    event.preventDefault();
    place.classList.add("over");
  });
  place.addEventListener("dragleave", () => place.classList.remove("over"));
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    place.classList.remove("over");
    const { files } = event.dataTransfer;
    if (files.length === 1) give(files[0]);
    else told.textContent = t("Drop exactly one file.");
  });
  const dropped = el("button", { type: "button", class: "no", onclick: () => giveUp(one) }, t("Do without it"));
  return el("div", { class: "plain decide" }, place, el("p", { class: "row" }, dropped));
}

async function sendFile(one, file) {
  if (file.size > MOST_BYTES) throw new Problem("file_too_large", t("The file has more than 20 MB."));
  const { draft_id, version, digest } = one.draft.status;
  const asked = { draft_id, version, digest, name: file.name };
  const headers = { "Content-Type": "application/octet-stream", "X-File-For": encodeURIComponent(JSON.stringify(asked)) };
  const turn = view.turn;
  const answer = await api.send("file", headers, file);
  if (turn !== view.turn) return;
  Object.assign(one, { draft: answer.draft, choice: "later", stale: false, said: "" });
  drawAll();
  drawPanel();
  say(t("{name} is taken. Read what it holds, then approve it.", { name: file.name }), "good");
  focusOn(one.at.querySelector("h3"));
  watch();
}

async function giveUp(one) {
  one.choice = "decline";
  try {
    await decide([one], { can: true, take: () => undefined });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    say(error.message, "bad");
  }
}

// A file that misses its place must not be opened in the page's stead.
for (const name of ["dragover", "drop"]) addEventListener(name, (event) => event.preventDefault());

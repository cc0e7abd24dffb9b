"use strict";
// Notes of the reader: at a moment, or at a part of the car. Kept by this browser, saved to a file, printed with the page.
const notes = readNotes(kept.get("notes " + pageName()));

function readNotes(text) {
  let found = null;
  try { found = JSON.parse(text || "[]"); } catch { return []; }
  if (found && !Array.isArray(found)) found = found.notes;
  if (!Array.isArray(found)) return [];
  return found
    .filter((note) => note && typeof note.text === "string" && (Number.isFinite(note.at) || typeof note.place === "string"))
    .map((note) => ({ text: note.text, at: Number.isFinite(note.at) ? note.at : null, place: note.place || null }));
}

const momentNotes = () => notes.filter((note) => note.at !== null);

function keepNotes() {
  kept.set("notes " + pageName(), JSON.stringify(notes.filter((note) => note.text.trim())));
  if (charts.length) {
    drawOverview();
    for (const chart of charts) chart.plot.redraw(false);
  }
}

function placeName(place) {
  const head = document.querySelector('[id="' + CSS.escape(place) + '"] h3');
  return head ? head.firstChild.textContent.trim() : place;
}

function placeOf(note) {
  return note.at === null ? placeName(note.place) : whereText(note.at, view.unit || "s");
}

function listNotes() {
  const list = document.querySelector("#notes ol");
  list.replaceChildren(...notes.map((note, i) => {
    const item = document.createElement("li"), where = document.createElement("button");
    const text = document.createElement("textarea"), away = document.createElement("button"), print = document.createElement("p");
    where.className = "jump";
    where.textContent = placeOf(note);
    where.onclick = () => (note.at === null ? goTo(document.getElementById(note.place)) : jump(note.at, "", where));
    text.value = print.textContent = note.text;
    text.rows = 2;
    text.setAttribute("aria-label", "Note " + (i + 1));
    text.oninput = () => { note.text = print.textContent = text.value; keepNotes(); };
    away.textContent = "Remove";
    away.className = "away";
    away.onclick = () => { notes.splice(notes.indexOf(note), 1); keepNotes(); listNotes(); };
    print.className = "on-paper";
    item.append(where, text, print, away);
    return item;
  }));
  byId("notes").classList.toggle("empty", !notes.length);
}

function addNote(where) {
  notes.push({ text: "", at: null, place: null, ...where });
  listNotes();
  const box = document.querySelector("#notes li:last-child textarea");
  box.scrollIntoView({ block: "center" });
  box.focus({ preventScroll: true });
}

// A moment: where the pointer was last, if the charts still show it, else the middle of what they show.
function noteNow() {
  if (!charts.length) return;
  const isShown = view.at >= view.a && view.at <= view.b;
  addNote({ at: Number((isShown ? view.at : (view.a + view.b) / 2).toFixed(3)) });
}

function saveNotes() {
  const all = notes.filter((note) => note.text.trim()).map((note) => {
    const about = note.at === null ? { place: note.place, part: placeName(note.place) } : { at: note.at, unit: view.unit };
    if (about.unit === "s" && REPORT.distance) about.km = Number(kmAt(note.at).toFixed(3));
    if (about.unit === "s" && utcOf(note.at)) about.utc = utcOf(note.at);
    return { text: note.text, ...about };
  });
  const content = { schema: "stagelog.notes/1", page: document.title, about: document.querySelector(".where").textContent, notes: all };
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(content, null, 1)], { type: "application/json" }));
  link.download = document.title.replace(/[^\w-]+/g, "_") + "_notes.json";
  link.click();
  URL.revokeObjectURL(link.href);
  return content;
}

async function loadNotes(event) {
  for (const file of event.target.files) notes.push(...readNotes(await file.text()));
  keepNotes();
  listNotes();
}

// A flag with its number in each chart.
function drawNotes(u) {
  const { ctx, bbox } = u;
  const scale = devicePixelRatio, side = 18 * scale;
  ctx.save();
  ctx.setLineDash([]);
  ctx.font = "bold " + 13 * scale + "px system-ui, sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.lineWidth = 2 * scale;
  for (const note of momentNotes()) {
    const at = toX(note.at);
    if (at < u.scales.x.min || at > u.scales.x.max) continue;
    const x = Math.round(u.valToPos(at, "x", true));
    ctx.strokeStyle = ctx.fillStyle = "#00457a";
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillRect(x, bbox.top, side, side);
    ctx.fillStyle = "#ffffff";
    ctx.fillText(String(notes.indexOf(note) + 1), x + side / 2, bbox.top + side / 2);
  }
  ctx.restore();
}

function startNotes() {
  for (const button of document.querySelectorAll("button.write")) {
    button.hidden = false;
    button.onclick = () => addNote({ place: button.closest(".card").id });
  }
  byId("notes").hidden = false;
  byId("note-save").onclick = saveNotes;
  byId("note-load").onchange = loadNotes;
  if (byId("note")) byId("note").onclick = noteNow;
  listNotes();
  addEventListener("keydown", (event) => {
    if (event.key !== "n" || isTyping(event)) return;
    event.preventDefault();
    const card = event.target.closest && event.target.closest(".card");
    if (card) addNote({ place: card.id });
    else noteNow();
  });
}

"use strict";
// The first screen: sun or dark, ticks of the work list, arrows along the strip, links into fold-outs.
// What is kept stays in this browser; where it keeps nothing, the page works without.
const kept = {
  get(key) { try { return localStorage.getItem("stagelog " + key); } catch { return null; } },
  set(key, value) { try { localStorage.setItem("stagelog " + key, value); } catch { /* nothing is kept */ } },
};

// A key is a command only where nothing is typed.
function isTyping(event) {
  const box = event.target.closest && event.target.closest("input:not([type=checkbox]), textarea, dialog");
  return Boolean(box) || event.ctrlKey || event.metaKey || event.altKey;
}

// What is kept of a page stands under its heading.
const pageName = () => document.title + " " + document.querySelector(".where").textContent;

// Of several cars each has a list of its own.
function carOf(node) {
  const { id } = node.closest(".work");
  return pageName() + (id === "work" ? "" : " " + id);
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  document.getElementById("theme").textContent = isDark() ? "Sun" : "Dark";
}

function switchTheme() {
  setTheme(isDark() ? "sun" : "dark");
  kept.set("theme", document.documentElement.dataset.theme);
}

// Who did the work and who checked it: typed here, or written on paper.
function startSigns() {
  for (const box of document.querySelectorAll(".work .signed input")) {
    const key = carOf(box) + " " + box.parentElement.textContent;
    box.value = kept.get(key) || "";
    box.oninput = () => kept.set(key, box.value);
  }
}

function startTicks() {
  for (const box of document.querySelectorAll(".work input[type=checkbox]")) {
    const item = box.closest("li"), key = carOf(item) + " " + item.textContent;
    const show = () => item.classList.toggle("done", box.checked);
    box.checked = kept.get(key) === "done";
    show();
    box.onchange = () => { kept.set(key, box.checked ? "done" : ""); show(); };
  }
}

// One stop of the Tab key for each lane; arrows go from mark to mark.
function startLanes() {
  for (const lane of document.querySelectorAll(".lane")) {
    lane.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const marks = [...lane.querySelectorAll(".mark")];
      const next = marks[marks.indexOf(document.activeElement) + step];
      if (!step || !next) return;
      event.preventDefault();
      for (const mark of marks) mark.tabIndex = mark === next ? 0 : -1;
      next.focus();
    });
  }
}

// On paper the work list is whole.
function printWork() {
  for (const fold of document.querySelectorAll(".work details:not([open])")) {
    fold.open = true;
    addEventListener("afterprint", () => { fold.open = false; }, { once: true });
  }
}

addEventListener("beforeprint", printWork);
setTheme(kept.get("theme"));
document.getElementById("theme").hidden = false;
document.getElementById("theme").onclick = switchTheme;
addEventListener("keydown", (event) => { if (event.key === "d" && !isTyping(event)) switchTheme(); });
startTicks();
startSigns();
startLanes();

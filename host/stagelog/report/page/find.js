"use strict";
// Search over everything that the page names, by "/", and the list of keys, by "?".
function goTo(target) {
  if (!target) return;
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  if (!target.hasAttribute("tabindex") && !/^(A|BUTTON)$/.test(target.tagName)) target.tabIndex = -1;
  target.scrollIntoView({ block: target.matches(".card, tr") ? "center" : "start" });
  target.focus({ preventScroll: true });
}

// What can be found: [kind, words, element], parts first.
function findable() {
  const found = [];
  const words = (node) => node.textContent.replace(/\s+/g, " ").trim();
  for (const card of document.querySelectorAll(".card")) {
    const state = words(card.querySelector("h3 b"));
    found.push(["part", placeName(card.id) + ", " + state, card, words(card)]);
  }
  for (const box of document.querySelectorAll(".chart")) found.push(["chart", words(box.querySelector("h3")), box, words(box)]);
  for (const section of document.querySelectorAll("section[id] > h2")) found.push(["section", words(section), section.parentElement, words(section)]);
  for (const row of document.querySelectorAll(".sections tr, .work li")) {
    const text = row.cells ? [...row.cells].map(words).join(" · ") : words(row);
    if (row.querySelector("td, .why")) found.push(["row", text.slice(0, 90), row.querySelector("button") || row, text]);
  }
  return found;
}

function showFound(all) {
  const wanted = byId("find-text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const named = (text) => wanted.every((word) => text.toLowerCase().includes(word));
  const rank = ([kind, text]) => (kind === "row" ? 2 : 0) + (named(text) ? 0 : 1);
  const hits = all.filter((one) => named(one[3])).sort((one, other) => rank(one) - rank(other)).slice(0, 12);
  const items = hits.map(([kind, text, element]) => {
    const item = document.createElement("li"), button = document.createElement("button");
    const small = document.createElement("small");
    small.textContent = kind;
    button.append(text, " ", small);
    button.onclick = () => { byId("find").close(); goTo(element); };
    item.append(button);
    return item;
  });
  byId("find-list").replaceChildren(...items);
  byId("find-none").hidden = !wanted.length || Boolean(items.length);
}

function openFind() {
  const all = findable();
  byId("find-text").value = "";
  byId("find-text").oninput = () => showFound(all);
  showFound(all);
  byId("find").showModal();
  byId("find-text").focus();
}

// Arrows walk through what was found; Enter in the box goes to the first; Escape leaves, also from a box with words.
function walkFound(event) {
  const buttons = [...document.querySelectorAll("#find-list button")];
  const at = buttons.indexOf(document.activeElement);
  if (event.key === "ArrowDown") (buttons[at + 1] || buttons[0] || byId("find-text")).focus();
  else if (event.key === "ArrowUp") (buttons[at - 1] || byId("find-text")).focus();
  else if (event.key === "Enter" && at < 0 && buttons.length) buttons[0].click();
  else if (event.key === "Escape") byId("find").close();
  else return;
  event.preventDefault();
}

byId("find").addEventListener("keydown", walkFound);
for (const [id, name] of [["find-open", "find"], ["help-open", "help"]]) {
  byId(id).hidden = false;
  byId(id).onclick = name === "find" ? openFind : () => byId("help").showModal();
}
for (const button of document.querySelectorAll("dialog .close")) button.onclick = () => button.closest("dialog").close();
addEventListener("keydown", (event) => {
  if (isTyping(event) || (event.key !== "/" && event.key !== "?")) return;
  event.preventDefault();
  if (event.key === "/") openFind();
  else byId("help").showModal();
});

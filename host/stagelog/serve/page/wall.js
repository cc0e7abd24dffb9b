"use strict";
// What comes from the server is data: it becomes text nodes only, never markup.

const drawn = {}; // by section: the facts it shows, as text
let facts = null;

function make(tag, kind, ...inner) {
  const made = document.createElement(tag);
  if (kind) made.className = kind;
  made.append(...inner.filter((one) => one !== null && one !== ""));
  return made;
}

function ago(tUs) {
  if (tUs === null) return "";
  const s = Math.max(0, Date.now() / 1000 - tUs / 1e6);
  if (s < 60) return "now";
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  return s < 172800 ? `${Math.floor(s / 3600)} h ago` : `${Math.floor(s / 86400)} days ago`;
}

// A moment that grows older while the page stands still.
function age(tUs) {
  const made = make("span", "age", ago(tUs));
  if (tUs !== null) made.dataset.t = tUs;
  return made;
}

function count(n, word) {
  return `${n} ${word}${n === 1 ? "" : "s"}`;
}

function size(n) {
  for (const [unit, of] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]]) if (n >= of) return `${(n / of).toFixed(1)} ${unit}`;
  return `${n} B`;
}

function left(s) {
  if (s === null || s === undefined) return "";
  const whole = Math.round(s);
  return whole < 60 ? `${whole} s left` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")} left`;
}

function figures(logger) {
  if (!logger.total) return "";
  const words = [];
  words.push(logger.unit === "B" ? `${size(logger.done)} of ${size(logger.total)}` : `${Math.floor(100 * logger.done / logger.total)} %`);
  if (logger.rate && logger.unit === "B") words.push(`${size(logger.rate)}/s`);
  words.push(left(logger.left_s));
  return words.filter(Boolean).join(", ");
}

function loggerRow(logger) {
  const id = logger.logger.slice(-8);
  const name = make("div", "name", logger.place || id, logger.place ? make("small", "", id) : "");
  const row = make("div", "logger", name);
  if (logger.is_live) {
    const box = make("div", "what", logger.run === logger.step ? logger.step : `${logger.run}: ${logger.step}`);
    if (logger.total) {
      const bar = make("progress", "");
      bar.max = logger.total;
      bar.value = Math.min(logger.done, logger.total);
      bar.setAttribute("aria-label", `${logger.place || id}: ${logger.step}`);
      box.append(bar);
    }
    box.append(make("div", "figures", figures(logger)));
    if (logger.note) box.append(make("div", "words", logger.note));
    if (logger.n_lost) box.append(make("div", "", `cable lost ${count(logger.n_lost, "time")}`));
    row.append(box);
  } else if (logger.run) {
    const words = { good: "done", warn: "check", bad: "FAILED" }[logger.verdict] || "";
    row.append(make("div", `what words ${logger.verdict || ""}`, `${logger.run} ${words}: ${logger.text || ""} `, make("small", "", age(logger.t_unix_us))));
  } else {
    row.append(make("div", "what", make("small", "", "not seen by a command yet")));
  }
  return row;
}

function carCard(car) {
  const light = car.checked ? car.checked.light : "";
  const words = light ? `\u25cf ${light.toUpperCase()}` : "not checked";
  const card = make("article", `car ${light}`, make("h2", "", car.name, make("span", `light ${light}`, words)));
  if (car.checked) card.append(make("p", "", make("small", "", `checked for ${car.checked.stage} by ${car.checked.by}, `, age(car.checked.t_unix_us))));
  card.append(...car.loggers.map(loggerRow));
  const { n, n_bytes: bytes, incomplete } = car.sessions;
  const held = n ? `${count(n, "session")} in the archive, ${size(bytes)}` : "no session in the archive";
  card.append(make("p", "", make("small", "", held + (incomplete.length ? `, ${incomplete.length} not complete` : ""))));
  return card;
}

function drawProblems(problems) {
  return problems.map((text) => make("p", "say bad words", text));
}

function drawRed(rows) {
  if (!rows.length) return [make("p", "calm", "\u2713 Nothing is red: no finding of a check, no failed logger, no log with a hole.")];
  const items = rows.map(({ car, row }) => {
    const sign = row.level === "bad" ? "\u2716" : "\u25b2";
    const text = make("span", "words", `${row.topic}: ${row.text} `, make("small", "", row.from));
    return make("li", row.level, make("b", `sign ${row.level}`, sign), make("b", "", car), text,
      row.remedy ? make("span", "remedy words", `\u2192 ${row.remedy}`) : "");
  });
  return [make("h2", "", "What asks for work"), make("ul", "todo", ...items)];
}

function table(head, rows) {
  const cells = (tag, row) => row.map((cell, k) => {
    const kind = typeof cell === "number" || head[k].number ? "" : "text" + (head[k].long ? " words" : "");
    return make(tag, kind, typeof cell === "number" ? String(cell) : cell);
  });
  const top = make("tr", "", ...head.map((one) => make("th", one.number ? "" : "text", one.name)));
  const body = rows.map((row) => make("tr", row.level || "", ...cells("td", row.cells)));
  return make("div", "scroll", make("table", "", make("thead", "", top), make("tbody", "", ...body)));
}

// One line for each stage of a car, with a link for each report of it.
function drawReports(rows) {
  if (!rows.length) return [];
  const head = [{ name: "car" }, { name: "stage" }, { name: "can it start?", long: true }, { name: "reports", long: true }, { name: "made" }];
  const groups = new Map();
  for (const row of rows) {
    const key = JSON.stringify([row.car, row.report.event, row.report.stage]);
    groups.set(key, [...(groups.get(key) || []), row]);
  }
  const lines = [...groups.values()].slice(0, 12).map((same) => {
    const { car, report } = same[0];
    const links = same.map(({ report: one }) => {
      const link = make("a", "", one.file.replace(/\.html$/, "").replace(/^report-/, ""));
      link.href = "/reports/" + [one.event, car, one.stage, one.file].map(encodeURIComponent).join("/");
      return link;
    });
    return { level: report.level, cells: [car, `${report.event} ${report.stage}`, report.answer || "-", make("span", "links", ...links), age(report.t_unix_us)] };
  });
  return [make("h2", "", "Last reports"), table(head, lines)];
}

function drawLife(cars) {
  if (!cars.length) return [];
  const numbers = ["stages", "engine h", "km", "light", "medium", "hard", "severe", "too warm min", "critical min"];
  const head = [{ name: "part" }, { name: "since" }, ...numbers.map((name) => ({ name, number: true }))];
  const open = new Set([...document.querySelectorAll("#life details[open]")].map((one) => one.dataset.car));
  const parts = cars.map(({ car, life }) => {
    const rows = life.parts.map((part) => {
      const hits = part.landings;
      const since = part.replaced ? make("span", "", part.replaced, part.note ? make("small", "", ` ${part.note}`) : "") : "new";
      const cells = [part.name, since, part.n_stages, part.engine_h.toFixed(2), part.driven_km.toFixed(1), hits.light, hits.medium, hits.hard, hits.severe,
        part.over_warning_min.toFixed(1), part.over_critical_min.toFixed(1)];
      return { level: part.over_critical_min > 0 ? "bad" : part.over_warning_min > 0 ? "warn" : "", cells };
    });
    const details = make("details", "", make("summary", "", `${car}, ${count(life.n_stages, "stage")}`), table(head, rows));
    details.dataset.car = car;
    details.open = open.has(car);
    return details;
  });
  return [make("h2", "", "Life of the parts"), ...parts];
}

function draw(id, part, how) {
  const text = JSON.stringify(part);
  if (drawn[id] === text) return;
  drawn[id] = text;
  document.getElementById(id).replaceChildren(...how(part));
}

function show() {
  document.getElementById("title").textContent = facts.event ? `${facts.event} ${facts.stage}` : "Service park";
  document.getElementById("where").textContent = `${count(facts.cars.length, "car")}, folder ${facts.archive || "?"}`;
  draw("problems", facts.problems, drawProblems);
  const red = facts.cars.flatMap((car) => car.red.map((row) => ({ car: car.name, row })));
  red.sort((a, b) => (a.row.level === "bad" ? 0 : 1) - (b.row.level === "bad" ? 0 : 1));
  draw("red", red, drawRed);
  draw("cars", facts.cars.map(({ name, checked, loggers, sessions }) => ({ name, checked, loggers, sessions })), (cars) => cars.map(carCard));
  const reports = facts.cars.flatMap((car) => car.reports.map((report) => ({ car: car.name, report })));
  reports.sort((a, b) => b.report.t_unix_us - a.report.t_unix_us);
  draw("reports", reports, drawReports);
  draw("life", facts.cars.filter((car) => car.life.n_stages).map(({ name, life }) => ({ car: name, life })), drawLife);
  document.body.dataset.ready = "1";
}

function say(text, level) {
  const link = document.getElementById("link");
  link.textContent = text;
  link.className = `say ${level}`;
}

const source = new EventSource("/events");
source.onmessage = (event) => {
  facts = JSON.parse(event.data);
  say("\u25cf live", "good");
  show();
};
source.onerror = () => say(source.readyState === EventSource.CLOSED
  ? "\u2716 not allowed, or the server has ended: load the page again"
  : "\u2716 connection lost, trying again: what you see is old", "bad");
setInterval(() => {
  for (const one of document.querySelectorAll(".age[data-t]")) one.textContent = ago(Number(one.dataset.t));
}, 5000);

"use strict";
// The whole stage above the charts, with a window over the part that they show: draw a new one, drag it, pull at its
// edges, or move the edges by arrow keys.
const EDGE = 14; // pixels from an edge at which it is taken
let held = null; // {kind, from, a, b} while the pointer holds the window

function spanOf() {
  return [toX(0), Math.max(toX(view.end), toX(0) + 1e-3)];
}

async function drawOverview() {
  const canvas = byId("whole-stage");
  if (!canvas || !charts.length) return;
  const width = canvas.clientWidth, height = canvas.clientHeight, scale = devicePixelRatio;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const ctx = canvas.getContext("2d");
  ctx.scale(scale, scale);
  const chart = REPORT.charts[0], [x0, x1] = spanOf();
  const at = (s) => ((toX(s) - x0) / (x1 - x0)) * width;
  const parts = [];
  for (const channel of chart.channels.slice(0, chart.x_unit === "s" ? 1 : 2)) {
    let index = channel.levels.length - 1;
    while (index > 0 && channel.levels[index].n < width) index--;
    parts.push([await levelOf(channel, index), channel.bin * channel.levels[index].k]);
  }
  const all = parts.flatMap(([level]) => [...level.low, ...level.high]).filter((v) => !Number.isNaN(v));
  const low = all.reduce((a, b) => Math.min(a, b), 0), high = all.reduce((a, b) => Math.max(a, b), low + 1e-9);
  const y = (value) => height - 2 - ((value - low) / (high - low)) * (height - 4);
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  ctx.fillStyle = colour("--area");
  for (const [level, bin] of parts) {
    for (let i = 0; i < level.n; i++) {
      if (Number.isNaN(level.low[i])) continue;
      let next = i + 1; // distance bins are smaller than a car's steps at speed
      while (next < i + 4 && Number.isNaN(level.low[next])) next++;
      if (Number.isNaN(level.low[next]) || chart.x_unit === "s") next = i + 1;
      const a = at(chart.x0 + i * bin), b = at(chart.x0 + next * bin);
      const top = chart.x_unit === "s" ? y(level.high[i]) : y(Math.max(level.high[i], 0));
      ctx.fillRect(a, top, Math.max(1, b - a), Math.max(1, (chart.x_unit === "s" ? y(low) : y(Math.min(level.low[i], 0))) - top));
    }
  }
  ctx.fillStyle = colour("--gap");
  for (const pause of REPORT.pauses) ctx.fillRect(at(pause.x0), 0, Math.max(2, at(pause.x1) - at(pause.x0)), height);
  for (const mark of REPORT.marks) {
    if (mark.level !== "bad" && mark.level !== "warn") continue;
    ctx.fillStyle = colour("--" + mark.level);
    ctx.fillRect(at(mark.x), 0, 2, mark.level === "bad" ? 12 : 8);
  }
  ctx.fillStyle = colour("--link");
  for (const note of momentNotes()) ctx.fillRect(at(note.at) - 1, height - 12, 3, 12);
  showWindow();
}

function showWindow() {
  const box = byId("window");
  if (!box) return;
  const [x0, x1] = spanOf();
  const share = (s) => 100 * Math.max(0, Math.min(1, (toX(s) - x0) / (x1 - x0)));
  box.style.left = share(view.a) + "%";
  box.style.width = Math.max(0.4, share(view.b) - share(view.a)) + "%";
  for (const [name, s] of [["from", view.a], ["to", view.b]]) {
    const edge = byId("edge-" + name);
    edge.setAttribute("aria-valuenow", share(s).toFixed(1));
    edge.setAttribute("aria-valuetext", whereText(s, view.unit));
  }
}

function startOverview() {
  const box = byId("overview");
  const xOf = (event) => {
    const rect = box.getBoundingClientRect(), [x0, x1] = spanOf();
    return toS(x0 + Math.max(0, Math.min(1, (event.clientX - rect.left) / rect.width)) * (x1 - x0));
  };
  box.addEventListener("pointerdown", (event) => {
    const rect = byId("window").getBoundingClientRect(), x = event.clientX;
    const isWhole = view.b - view.a >= view.end * 0.999;
    let kind = "new";
    if (Math.abs(x - rect.left) < EDGE) kind = "from";
    else if (Math.abs(x - rect.right) < EDGE) kind = "to";
    else if (x > rect.left && x < rect.right && !isWhole) kind = "move";
    held = { kind, from: xOf(event), a: view.a, b: view.b };
    box.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  box.addEventListener("pointermove", (event) => {
    if (!held) return;
    const x = xOf(event), by = x - held.from;
    if (held.kind === "move") { view.a = held.a + by; view.b = held.b + by; }
    else if (held.kind === "from") view.a = Math.min(x, held.b);
    else if (held.kind === "to") view.b = Math.max(x, held.a);
    else { view.a = Math.min(held.from, x); view.b = Math.max(held.from, x); }
    showWindow();
  });
  const done = (event) => {
    if (!held) return;
    const { kind, from, a, b } = held;
    held = null;
    if (kind === "new" && view.b - view.a < view.end / 500) zoom(from - (b - a) / 2, from + (b - a) / 2);
    else if (kind === "move") zoom(Math.max(0, Math.min(view.a, view.end - (b - a))), Math.max(b - a, Math.min(view.b, view.end)));
    else zoom(view.a, view.b);
  };
  box.addEventListener("pointerup", done);
  box.addEventListener("pointercancel", done);
  box.addEventListener("dblclick", () => zoom(-Infinity, Infinity));
  for (const name of ["from", "to"]) {
    byId("edge-" + name).addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way) return;
      event.preventDefault();
      event.stopPropagation();
      const step = (way * (view.b - view.a)) / 10;
      zoom(view.a + (name === "from" ? step : 0), view.b + (name === "to" ? step : 0));
    });
  }
  return drawOverview();
}

"use strict";
// Channels come as pyramids (stagelog.report.pyramid): the level is chosen so that a pixel holds at most a few bins.
const REPORT = JSON.parse(document.getElementById("report").textContent);
const COLOURS = REPORT.colours;
const EMPTY = 65535;
const LEVELS = { bad: "#a3001d", warn: "#8a4b00", good: "#00644a", info: "#3d4751" };
const DASH = { bad: [7, 3], warn: [3, 3], good: [1, 4], info: [1, 4] };
const HEIGHT = 165;
// Steps of a time axis, s.
const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 36000, 86400];
// Steps of a distance axis, km.
const KM_STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500];
const byId = (name) => document.getElementById(name);
const charts = [];
// What is shown: from a to b in `unit`, which is that of the data; `by` is what the axis counts, "s" or "km".
const view = { unit: null, a: 0, b: 1, end: 1, by: "s" };
let cameFrom = null;

// Charts over time can be drawn over distance: the stage has its distance at regular times.
const isByKm = () => view.unit === "s" && view.by === "km";
const unitShown = () => (isByKm() ? "km" : view.unit);
const toX = (s) => (isByKm() ? kmAt(s) : s);
const toS = (x) => (isByKm() ? secondsAt(x) : x);

function kmAt(s) {
  const { step, km } = REPORT.distance;
  const at = Math.max(0, Math.min(km.length - 1, s / step)), i = Math.floor(at);
  return km[i] + (km[Math.min(i + 1, km.length - 1)] - km[i]) * (at - i);
}

// When a distance was passed first.
function secondsAt(x) {
  const { step, km } = REPORT.distance;
  let low = 0, high = km.length - 1;
  if (x >= km[high]) return view.end;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (km[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low ? step * (low - 1 + (x - km[low - 1]) / (km[low] - km[low - 1])) : 0;
}

async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function levelOf(channel, index) {
  const level = channel.levels[index];
  if (!level.low) {
    const raw = await inflate(level.data);
    const n = level.n;
    level.low = new Float64Array(n);
    level.high = new Float64Array(n);
    for (let i = 0, sum = 0; i < n; i++) {
      sum = (sum + (raw[i] | (raw[n + i] << 8))) & 65535;
      const height = raw[2 * n + i] | (raw[3 * n + i] << 8);
      level.low[i] = sum === EMPTY ? NaN : channel.lo + sum * channel.step;
      level.high[i] = sum === EMPTY ? NaN : channel.lo + (sum + height) * channel.step;
    }
    level.data = null;
  }
  return level;
}

// All channels of a chart, each on the bins of the level that suits the window.
async function windowOf(chart, x0, x1, width) {
  const parts = [];
  for (const channel of chart.channels) {
    let index = channel.levels.length - 1;
    const binOf = (i) => channel.bin * channel.levels[i].k;
    while (index > 0 && (x1 - x0) / binOf(index) < width) index--;
    const level = await levelOf(channel, index);
    const bin = binOf(index);
    const first = Math.max(0, Math.floor((x0 - chart.x0) / bin) - 1);
    const last = Math.min(level.n, Math.ceil((x1 - chart.x0) / bin) + 1);
    const part = { x: [], low: [], high: [] };
    for (let i = first; i < last; i++) {
      if (Number.isNaN(level.low[i])) continue;
      const x = toX(chart.x0 + (i + 0.5) * bin), n = part.x.length - 1;
      if (part.x[n] === x) { // the car stands: one place, the range of all that was there
        part.low[n] = Math.min(part.low[n], level.low[i]);
        part.high[n] = Math.max(part.high[n], level.high[i]);
        continue;
      }
      part.x.push(x);
      part.low.push(level.low[i]);
      part.high.push(level.high[i]);
    }
    parts.push([part.x, part.low], [part.x, part.high]);
  }
  return parts.length ? uPlot.join(parts) : [[x0, x1]];
}

// Grey over time without data.
function drawPauses(u) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.fillStyle = "#c9cfd5e6";
  for (const pause of REPORT.pauses) {
    const [x0, x1] = [toX(pause.x0), toX(pause.x1)];
    if (x1 < u.scales.x.min || x0 > u.scales.x.max) continue;
    const a = Math.max(bbox.left, u.valToPos(x0, "x", true));
    const b = Math.min(bbox.left + bbox.width, u.valToPos(x1, "x", true));
    ctx.fillRect(a, bbox.top, Math.max(1, b - a), bbox.height);
  }
  ctx.restore();
}

function drawOver(u, chart) {
  const { ctx, bbox } = u;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.lineWidth = devicePixelRatio;
  const line = (level, x0, y0, x1, y1) => {
    ctx.strokeStyle = LEVELS[level] || LEVELS.info;
    ctx.setLineDash((DASH[level] || DASH.info).map((n) => n * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(x0, y0);
    ctx.lineTo(x1, y1);
    ctx.stroke();
  };
  for (const limit of chart.limits) {
    const y = u.valToPos(limit.y, "y", true);
    line(limit.level, bbox.left, y, bbox.left + bbox.width, y);
  }
  if (chart.x_unit === "s") {
    for (const mark of REPORT.marks) {
      const at = toX(mark.x);
      if (at < u.scales.x.min || at > u.scales.x.max) continue;
      const x = Math.round(u.valToPos(at, "x", true));
      line(mark.level, x, bbox.top, x, bbox.top + bbox.height);
    }
    drawNotes(u);
  }
  ctx.restore();
}

function xText(value, unit, digits) {
  if (unit !== "s") return value.toFixed(digits === undefined ? 2 : digits) + " km";
  const s = Math.abs(value), h = Math.floor(s / 3600), m = Math.floor((s % 3600) / 60);
  const rest = (s % 60).toFixed(digits || 0).padStart(digits ? digits + 3 : 2, "0");
  return (h ? h + ":" + String(m).padStart(2, "0") : String(m)) + ":" + rest;
}

function tickText(ticks, unit) {
  const step = ticks.length > 1 ? Math.abs(ticks[1] - ticks[0]) : 1;
  const digits = Math.max(0, Math.min(3, Math.ceil(-Math.log10(step) - 1e-9)));
  return ticks.map((v) => xText(v, unit, digits));
}

function number(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 1000 ? 0 : size >= 10 ? 1 : 2);
}

function utcOf(s) {
  let base = null;
  for (const pair of REPORT.utc) if (pair[0] <= s) base = pair;
  return base && new Date((base[1] + s - base[0]) * 1000).toISOString();
}

function whereText(x, unit) {
  if (unit !== "s") return xText(x, unit, 3);
  const parts = [xText(x, "s", 2)];
  if (REPORT.distance) parts.push("km " + kmAt(x).toFixed(2));
  if (utcOf(x)) parts.push(utcOf(x).slice(11, 19) + " UTC");
  const near = (view.b - view.a) / 200;
  for (const mark of REPORT.marks) if (Math.abs(mark.x - x) < near) parts.push(mark.text);
  return parts.join(" · ");
}

function showValues(u, chart) {
  const at = u.cursor.idx;
  chart.keys.forEach((key, i) => {
    if (at == null) { key.textContent = ""; return; }
    let found = null;
    for (let d = 0; d < 40 && !found; d++) {
      for (const k of [at - d, at + d]) {
        const low = u.data[2 * i + 1][k], high = u.data[2 * i + 2][k];
        if (low != null) { found = [low, high]; break; }
      }
    }
    if (!found) { key.textContent = ""; return; }
    const low = number(found[0]), high = number(found[1]);
    key.textContent = low === high ? low : low + " … " + high;
  });
  if (at != null) {
    view.at = toS(u.posToVal(u.cursor.left, "x"));
    byId("at").textContent = whereText(view.at, chart.x_unit);
  }
}

// A line ends where a hole begins: one of the log, no power, or a silence of the signal itself. Empty bins alone are none.
function holesOf(u, channel) {
  const spans = REPORT.pauses.map((pause) => [pause.x0, pause.x1]).concat(channel.gaps || []);
  return spans
    .map(([a, b]) => [toX(a), toX(b)])
    .filter(([a, b]) => b >= u.scales.x.min && a <= u.scales.x.max)
    .sort((one, other) => one[0] - other[0])
    .map(([a, b]) => [Math.floor(u.valToPos(a, "x", true)), Math.ceil(u.valToPos(b, "x", true))]);
}

async function draw(chart, place) {
  chart.place = place;
  chart.keys = [...place.parentNode.querySelectorAll(".keys b")];
  const width = place.clientWidth;
  const series = [{}];
  const bands = [];
  chart.channels.forEach((channel, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const style = { stroke: colour, width: 1.25, points: { show: false }, spanGaps: false, gaps: (u) => holesOf(u, channel) };
    series.push(style, { ...style });
    bands.push({ series: [2 * i + 2, 2 * i + 1], fill: colour + "66" });
  });
  const data = await windowOf(chart, chart.x0, chart.x1, width);
  const axis = { stroke: "#0b0f13", font: "13px system-ui, sans-serif", grid: { stroke: "#dde2e6", width: 1 } };
  chart.plot = new uPlot(
    {
      width, height: HEIGHT, series, bands, legend: { show: false },
      padding: [6, 18, 0, 0],
      cursor: { sync: { key: chart.x_unit }, drag: { x: true, y: false, setScale: false }, points: { show: false } },
      scales: { x: { time: false }, y: { range: (u, low, high) => rangeOf(chart, low, high) } },
      axes: [
        { ...axis, size: 26, space: 80, incrs: () => (unitShown() === "s" ? STEPS : KM_STEPS), values: (u, ticks) => tickText(ticks, unitShown()) },
        { ...axis, size: 62, values: (u, ticks) => ticks.map((v) => v.toLocaleString("en-US", { maximumFractionDigits: 6 })) },
      ],
      hooks: {
        draw: chart.x_unit === "s" ? [drawPauses, (u) => drawOver(u, chart)] : [(u) => drawOver(u, chart)],
        setCursor: [(u) => showValues(u, chart)],
        setSelect: [
          (u) => {
            if (u.select.width < 3) return;
            const [a, b] = [u.select.left, u.select.left + u.select.width].map((at) => toS(u.posToVal(at, "x")));
            u.setSelect({ width: 0, height: 0 }, false);
            zoom(a, b);
          },
        ],
      },
    },
    data,
    place,
  );
  place.ondblclick = () => zoom(chart.x0, chart.x1);
  charts.push(chart);
  setRange(chart, chart.x0, chart.x1);
}

function setRange(chart, a, b) {
  const min = toX(a);
  chart.plot.setScale("x", { min, max: Math.max(toX(b), min + 1e-3) });
}

// The first limit is in view when the whole is; closer, a limit is in view when the values come near it.
function rangeOf(chart, low, high) {
  if (low == null) return [0, 1];
  const isWhole = view.b - view.a >= chart.x1 - chart.x0;
  const first = chart.limits.filter((limit) => limit.level === "warn").concat(chart.limits)[0];
  if (isWhole && first) {
    low = Math.min(low, first.y);
    high = Math.max(high, first.y);
  }
  const reach = Math.max((high - low) * 0.35, Math.abs(high) * 0.12);
  for (const limit of chart.limits) {
    if (limit.y > high && limit.y - high < reach) high = limit.y;
    if (limit.y < low && low - limit.y < reach) low = limit.y;
  }
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

async function show(chart, a, b) {
  const data = await windowOf(chart, a, b, chart.plot.width);
  chart.plot.setData(data, false);
  setRange(chart, a, b);
}

async function zoom(a, b) {
  if (!charts.length) return;
  const whole = [charts[0].x0, view.end];
  const least = (whole[1] - whole[0]) * 1e-6 + 1e-3;
  if (b - a < least) b = a + least;
  view.a = Math.max(whole[0], Math.min(a, whole[1] - least));
  view.b = Math.min(whole[1], Math.max(b, view.a + least));
  for (const chart of charts) await show(chart, view.a, view.b);
  byId("at").textContent = whereText(view.a, view.unit) + " to " + (isByKm() ? "km " + kmAt(view.b).toFixed(2) : xText(view.b, view.unit, 2));
  showWindow();
  document.body.dataset.zoom = view.a.toFixed(3) + ".." + view.b.toFixed(3);
}

async function jump(x, name, button) {
  cameFrom = button || null;
  byId("back").hidden = !button;
  const [before, after] = view.unit === "km" ? [0.2, 0.4] : [10, 20];
  await zoom(x - before, x + after);
  for (const old of document.querySelectorAll(".shown")) old.classList.remove("shown");
  const box = byId("box-" + (REPORT.aliases[name] || name));
  const row = button && button.closest("tr, li, .signal");
  if (row) row.classList.add("shown");
  if (box) box.classList.add("shown");
  const target = box || byId("charts");
  const bar = document.querySelector(".bar").offsetHeight + 52;
  scrollTo({ top: target.getBoundingClientRect().top + scrollY - bar });
  if (button) byId("back").focus({ preventScroll: true });
}

function back() {
  if (!cameFrom) return;
  byId("back").hidden = true;
  for (let at = cameFrom; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  cameFrom.scrollIntoView({ block: "center" });
  cameFrom.focus({ preventScroll: true });
  cameFrom = null;
}

const ACTIONS = {
  back,
  earlier: () => zoom(view.a - (view.b - view.a) / 2, view.b - (view.b - view.a) / 2),
  later: () => zoom(view.a + (view.b - view.a) / 2, view.b + (view.b - view.a) / 2),
  closer: () => zoom(view.a + (view.b - view.a) / 4, view.b - (view.b - view.a) / 4),
  wider: () => zoom(view.a - (view.b - view.a) / 2, view.b + (view.b - view.a) / 2),
  whole: () => zoom(-Infinity, Infinity),
  axis: switchAxis,
};

function nameAxis() {
  const button = byId("axis");
  button.hidden = view.unit !== "s" || !REPORT.distance;
  button.textContent = view.by === "km" ? "Over time" : "Over distance";
}

async function switchAxis() {
  view.by = view.by === "km" ? "s" : "km";
  kept.set("axis", view.by);
  nameAxis();
  await drawOverview();
  await zoom(view.a, view.b);
}

const KEYS = { Escape: "back", x: "axis", ArrowLeft: "earlier", ArrowRight: "later", "+": "closer", "=": "closer", "-": "wider", 0: "whole" };

function resize(width) {
  for (const chart of charts) chart.plot.setSize({ width: width || chart.place.clientWidth, height: HEIGHT });
  drawOverview();
}

(async () => {
  const started = performance.now();
  if (REPORT.charts.length) {
    view.unit = REPORT.charts[0].x_unit;
    view.b = view.end = Math.max(...REPORT.charts.map((chart) => chart.x1));
    if (REPORT.distance && kept.get("axis") === "km") view.by = "km";
  }
  for (const chart of REPORT.charts) await draw(chart, byId(chart.id));
  if (charts.length) {
    for (const chart of charts) if (chart.x1 < view.b) setRange(chart, view.a, view.b);
    for (const name in ACTIONS) byId(name).onclick = ACTIONS[name];
    nameAxis();
    await startOverview();
    byId("charts").addEventListener("keydown", (event) => {
      const name = KEYS[event.key];
      if (!name || isTyping(event)) return;
      event.preventDefault();
      ACTIONS[name]();
    });
  }
  for (const button of document.querySelectorAll("button.jump")) {
    button.onclick = () => jump(Number(button.dataset.x), button.dataset.chart, button);
  }
  startNotes();
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => resize(), 80); });
  addEventListener("beforeprint", () => resize(700));
  addEventListener("afterprint", () => resize());
  const linked = async () => {
    const at = /^#t=([\d.]+)/.exec(location.hash);
    if (at) await jump(Number(at[1]));
  };
  addEventListener("hashchange", linked);
  await linked();
  document.body.dataset.ready = (performance.now() - started).toFixed(0);
})();

"use strict";
// Channels come as pyramids (stagelog.report.pyramid): the level is chosen so that a pixel holds at most a few bins.
const REPORT = JSON.parse(document.getElementById("report").textContent);
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#7a5195"];
const EMPTY = 65535;
const MARKS = { bad: "#b00020", warn: "#b35900", good: "#00704a", info: "#4a545e" };

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

// All channels of a chart on the bins of its finest channel at the level that suits the window.
async function windowOf(chart, x0, x1, width) {
  const xs = new Set();
  const parts = [];
  for (const channel of chart.channels) {
    let index = channel.levels.length - 1;
    const binOf = (i) => (channel.bin * channel.levels[i].k);
    while (index > 0 && (x1 - x0) / binOf(index) < width) index--;
    const level = await levelOf(channel, index);
    const bin = binOf(index);
    const first = Math.max(0, Math.floor((x0 - chart.x0) / bin) - 1);
    const last = Math.min(level.n, Math.ceil((x1 - chart.x0) / bin) + 1);
    const part = { x: [], low: [], high: [] };
    for (let i = first; i < last; i++) {
      if (Number.isNaN(level.low[i])) continue;
      part.x.push(chart.x0 + (i + 0.5) * bin);
      part.low.push(level.low[i]);
      part.high.push(level.high[i]);
    }
    parts.push([part.x, part.low], [part.x, part.high]);
  }
  return parts.length ? uPlot.join(parts) : [[x0, x1]];
}

const charts = [];
const sync = uPlot.sync("x");

function marksOf(chart) {
  return {
    hooks: {
      draw: [
        (u) => {
          const ctx = u.ctx;
          ctx.save();
          for (const mark of chart.marks) {
            if (mark.x < u.scales.x.min || mark.x > u.scales.x.max) continue;
            const x = Math.round(u.valToPos(mark.x, "x", true));
            ctx.strokeStyle = MARKS[mark.level] || MARKS.info;
            ctx.lineWidth = 1;
            ctx.setLineDash([5, 4]);
            ctx.beginPath();
            ctx.moveTo(x, u.bbox.top);
            ctx.lineTo(x, u.bbox.top + u.bbox.height);
            ctx.stroke();
          }
          ctx.restore();
        },
      ],
    },
  };
}

function xText(value, unit) {
  if (unit !== "s") return value.toFixed(2) + " " + unit;
  const s = Math.abs(value);
  const h = Math.floor(s / 3600), m = Math.floor((s % 3600) / 60), rest = (s % 60).toFixed(s < 60 ? 2 : 1);
  return (h ? h + ":" : "") + String(m).padStart(h ? 2 : 1, "0") + ":" + rest.padStart(rest.indexOf(".") === 1 ? rest.length + 1 : 0, "0");
}

async function draw(chart, place) {
  chart.place = place;
  const width = () => Math.max(320, place.clientWidth);
  const series = [{ label: chart.x_unit, value: (u, v) => (v == null ? "" : xText(v, chart.x_unit)) }];
  const bands = [];
  chart.channels.forEach((channel, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const style = { stroke: colour, width: 1, points: { show: false }, spanGaps: true };
    series.push({ ...style, label: channel.name + " low" }, { ...style, label: channel.name + " high" });
    bands.push({ series: [2 * i + 2, 2 * i + 1], fill: colour + "55" });
  });
  const data = await windowOf(chart, chart.x0, chart.x1, width());
  chart.plot = new uPlot(
    {
      width: width(), height: chart.height || 170, series, bands, legend: { show: false },
      cursor: { sync: { key: "x" }, drag: { x: true, y: false, setScale: false } },
      scales: { x: { time: false } },
      axes: [
        { values: (u, ticks) => ticks.map((v) => xText(v, chart.x_unit)), grid: { stroke: "#e3e7ea" } },
        { size: 64, grid: { stroke: "#e3e7ea" } },
      ],
      hooks: {
        setSelect: [
          (u) => {
            if (u.select.width < 3) return;
            const a = u.posToVal(u.select.left, "x"), b = u.posToVal(u.select.left + u.select.width, "x");
            u.setSelect({ width: 0, height: 0 }, false);
            zoom(chart.x_unit, a, b);
          },
        ],
      },
      plugins: [marksOf(chart)],
    },
    data,
    place,
  );
  place.ondblclick = () => zoom(chart.x_unit, chart.x0, chart.x1);
  charts.push(chart);
  chart.plot.setScale("x", { min: chart.x0, max: chart.x1 });
}

async function show(chart, a, b) {
  const data = await windowOf(chart, a, b, chart.plot.width);
  chart.plot.setData(data, false);
  chart.plot.setScale("x", { min: a, max: b });
}

async function zoom(unit, a, b) {
  for (const chart of charts) if (chart.x_unit === unit) {
    await show(chart, Math.max(a, chart.x0), Math.min(b, chart.x1));
  }
  document.body.dataset.zoom = a.toFixed(3) + ".." + b.toFixed(3);
}

function jump(x) {
  zoom("s", x - 10, x + 20);
  document.getElementById("charts").scrollIntoView();
}

(async () => {
  const started = performance.now();
  for (const chart of REPORT.charts) await draw(chart, document.getElementById(chart.id));
  for (const button of document.querySelectorAll("button.jump")) {
    button.onclick = () => jump(Number(button.dataset.x));
  }
  const whole = document.getElementById("whole");
  if (whole) whole.onclick = () => charts.forEach((chart) => show(chart, chart.x0, chart.x1));
  window.onresize = () => charts.forEach((chart) => chart.plot.setSize({ width: chart.place.clientWidth, height: chart.plot.height }));
  const at = /^#t=([\d.]+)/.exec(location.hash);
  if (at) jump(Number(at[1]));
  document.body.dataset.ready = (performance.now() - started).toFixed(0);
})();

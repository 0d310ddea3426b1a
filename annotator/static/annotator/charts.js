// Charts from the JSON beside them; each has its table on the page.
import { gettext } from "./words.js";

function colours() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  return { text: get("--quiet"), line: get("--line"), accent: get("--accent"), red: get("--red"), amber: get("--amber"), green: get("--green"), ground: get("--card") };
}

function axes(c, x, y) {
  const axis = { stroke: c.text, grid: { stroke: c.line, width: 1 }, ticks: { stroke: c.line } };
  return [{ ...axis, label: x, incrs: [1, 2, 5, 10, 20, 50, 100, 500, 1000] }, { ...axis, label: y, size: 56 }];
}

// Whole numbers with half a step of room. Read from the data: for a single point uPlot would hand over 0 to 100.
const STEPS = {
  time: false,
  range: (u) => {
    const x = u.data[0];
    return x.length ? [x[0] - 0.5, x[x.length - 1] + 0.5] : [0, 1];
  },
};
const PERCENT = { range: [0, 100] };
const shown = (digits, unit = "") => (u, v) => (v == null ? "--" : v.toFixed(digits) + unit);
const points = (fill) => ({ show: true, size: 7, fill });
// A line of one value is no line: it gets a point.
const alone = (data) => data.flatMap((v, i) => (v != null && data[i - 1] == null && data[i + 1] == null ? [i] : []));
const lonely = (fill) => ({ show: false, size: 7, fill, filter: (u, series) => alone(u.data[series]) });

const KINDS = {
  loss: (data, c) => ({
    series: [{ label: gettext("step") }, { label: gettext("loss"), stroke: c.accent, width: 2 }],
    axes: axes(c, gettext("step"), gettext("loss, bits a value")),
    data: [data.map((_, i) => i + 1), data],
  }),
  rates: (data, c) => ({
    series: [
      { label: gettext("slice") },
      { label: "EBI", stroke: c.accent, width: 2.5, points: lonely(c.accent), value: shown(1, " %") },
      { label: "FPR", stroke: c.amber, width: 1.5, dash: [6, 4], points: lonely(c.amber), value: shown(1, " %") },
      { label: "FNR", stroke: c.red, width: 1.5, dash: [2, 3], points: lonely(c.red), value: shown(1, " %") },
      // Filled where it is exact, hollow where it is estimated.
      { label: gettext("EBI alone"), stroke: c.accent, paths: () => null, points: points(data.exact ? c.accent : c.ground), value: shown(1, " %") },
    ],
    axes: axes(c, gettext("slice"), "%"),
    scales: { x: STEPS, y: PERCENT },
    data: [data.slice, data.ebi, data.fpr, data.fnr, data.alone],
  }),
  theta: (data, c) => ({
    series: [
      { label: gettext("slice") },
      { label: "θ", stroke: c.accent, width: 2, points: points(c.accent), value: shown(3) },
      { label: gettext("share flagged"), scale: "share", stroke: c.amber, width: 1.5, dash: [6, 4], points: points(c.amber), value: shown(1, " %") },
    ],
    axes: [...axes(c, gettext("slice"), "θ"), { scale: "share", side: 1, stroke: c.text, grid: { show: false }, size: 50, label: gettext("share flagged, %") }],
    scales: { x: STEPS, share: PERCENT },
    data: [data.slice, data.theta, data.share],
  }),
};

export function drawCharts() {
  if (!window.uPlot) return;
  document.querySelectorAll("[data-chart]").forEach((place) => {
    const script = place.querySelector("script");
    if (!script) return;
    const { data, ...options } = KINDS[place.dataset.chart](JSON.parse(script.textContent), colours());
    script.remove();
    const size = { width: Math.max(280, place.clientWidth), height: 240 };
    const chart = new uPlot({ scales: { x: STEPS }, cursor: { drag: { x: false } }, ...size, ...options }, data, place);
    new ResizeObserver(() => chart.setSize({ width: Math.max(280, place.clientWidth), height: 240 })).observe(place);
  });
}

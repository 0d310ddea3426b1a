// Charts from the JSON beside them; each has its table on the page.

function colours() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  return { text: get("--quiet"), line: get("--line"), accent: get("--accent"), red: get("--red"), amber: get("--amber"), green: get("--green") };
}

function axes(c, x, y) {
  const axis = { stroke: c.text, grid: { stroke: c.line, width: 1 }, ticks: { stroke: c.line } };
  return [{ ...axis, label: x, incrs: [1, 2, 5, 10, 20, 50, 100, 500, 1000] }, { ...axis, label: y, size: 56 }];
}

// Whole numbers with half a step of room, also for a single point.
const STEPS = { time: false, range: (u, min, max) => [min - 0.5, max + 0.5] };

const KINDS = {
  loss: (data, c) => ({
    series: [{ label: "step" }, { label: "loss", stroke: c.accent, width: 2 }],
    axes: axes(c, "step", "loss, bits a value"),
    data: [data.map((_, i) => i + 1), data],
  }),
  rates: (data, c) => ({
    series: [
      { label: "slice" },
      { label: "EBI", stroke: c.accent, width: 2.5, points: { show: true, size: 7 } },
      { label: "FPR", stroke: c.amber, width: 1.5, dash: [6, 4] },
      { label: "FNR", stroke: c.red, width: 1.5, dash: [2, 3] },
    ],
    axes: axes(c, "slice", ""),
    scales: { x: STEPS, y: { range: [0, 1] } },
    data: [data.slice, data.ebi, data.fpr, data.fnr],
  }),
  theta: (data, c) => ({
    series: [
      { label: "slice" },
      { label: "θ", stroke: c.accent, width: 2, points: { show: true, size: 7 } },
      { label: "share flagged", scale: "share", stroke: c.amber, width: 1.5, dash: [6, 4] },
    ],
    axes: [...axes(c, "slice", "θ"), { scale: "share", side: 1, stroke: c.text, grid: { show: false }, size: 50 }],
    scales: { x: STEPS, share: { range: [0, 1] } },
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
    const chart = new uPlot({ scales: { x: STEPS }, ...size, ...options }, data, place);
    new ResizeObserver(() => chart.setSize({ width: Math.max(280, place.clientWidth), height: 240 })).observe(place);
  });
}

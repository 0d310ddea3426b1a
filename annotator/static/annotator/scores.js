// A recording's segment scores over time with θ. A click goes to that moment.
import { gettext } from "./words.js";

export function drawScores() {
  const place = document.querySelector("[data-scores]");
  const script = place?.querySelector("script");
  if (!script || !window.uPlot) return;
  const { time, score, theta } = JSON.parse(script.textContent);
  script.remove();
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") } };
  const size = () => ({ width: Math.max(280, place.clientWidth), height: 220 });
  const chart = new uPlot({
    ...size(),
    cursor: { drag: { x: false, y: false } },
    scales: { x: { time: false } },
    axes: [{ ...axis, incrs: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600], values: (u, spots) => spots.map(clock) }, { ...axis, label: gettext("score"), size: 56 }],
    series: [
      { label: gettext("time"), value: (u, v) => (v === null ? "–" : clock(v)) },
      { label: gettext("highest score"), stroke: colour("--accent"), width: 2, points: { show: time.length < 60, size: 5 }, paths: uPlot.paths.stepped({ align: 1 }) },
      { label: "θ", stroke: colour("--red"), width: 1.5, dash: [6, 4], points: { show: false } },
    ],
  }, [time, score, time.map(() => theta)], place);
  chart.over.addEventListener("click", () => {
    const at = chart.posToVal(chart.cursor.left, "x");
    if (Number.isFinite(at)) document.dispatchEvent(new CustomEvent("alfred:seek", { detail: at }));
  });
  new ResizeObserver(() => chart.setSize(size())).observe(place);
}

// What comes next, small: one still for each event that has been fetched ahead.
import { around } from "./drawing.js";
import { fetchedPoses } from "./fetched.js";
import { sketch } from "./loops.js";

export function showUpNext(ahead, strip) {
  const canvases = [...strip.querySelectorAll("canvas")];
  const draw = () => {
    const waiting = [...ahead.querySelectorAll("template")].map((one) => one.content.querySelector("[data-player]")?.dataset.poses);
    canvases.forEach(async (canvas, i) => {
      if (canvas.dataset.poses === (waiting[i] ?? "")) return;
      canvas.dataset.poses = waiting[i] ?? "";
      canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
      const data = await fetchedPoses(waiting[i]);
      // Others may have moved up meanwhile.
      if (data && canvas.dataset.poses === waiting[i]) sketch(canvas, data, 0.5, around(data, (data.start + data.end) / 2));
    });
  };
  new MutationObserver(draw).observe(ahead, { childList: true });
  draw();
}

// Small loops of poses: drawn only while they are in sight, standing still where motion is unwelcome.
import { LIMBS, STILL_S, around, colourOf, fitted } from "./drawing.js";

const FPS = 15;
const AT_ONCE = 4; // fetches: a wall of cards must not keep the page's own questions waiting

// The people of a stretch at one moment of it, `share` of the way.
export function sketch(canvas, data, share, box = data.box ??= around(data)) {
  const g = canvas.getContext("2d");
  const { scale, dx, dy } = fitted(canvas, box);
  const t = data.start + share * (data.end - data.start);
  g.clearRect(0, 0, canvas.width, canvas.height);
  g.lineCap = "round";
  data.people.forEach((person, i) => {
    const at = person.pts.findLastIndex((pts) => pts <= t);
    if (at < 0 || t - person.pts[at] > STILL_S) return;
    const [xy, c] = [person.xy[at], person.confidence[at]];
    g.strokeStyle = colourOf(person, i);
    g.lineWidth = person.asked ? 3 : 1.5;
    g.globalAlpha = person.asked ? 1 : 0.55;
    g.beginPath();
    for (const [a, b] of LIMBS) {
      if (Math.min(c[a], c[b]) < 10) continue;
      g.moveTo(dx + xy[2 * a] * scale, dy + xy[2 * a + 1] * scale);
      g.lineTo(dx + xy[2 * b] * scale, dy + xy[2 * b + 1] * scale);
    }
    g.stroke();
    g.globalAlpha = 1;
  });
}

export class Loops {
  constructor() {
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.seen = new Set();
    this.poses = new WeakMap();
    this.queue = [];
    this.running = 0;
    this.sight = new IntersectionObserver((changes) => changes.forEach(({ target, isIntersecting }) => {
      if (isIntersecting) this.enter(target); else this.seen.delete(target);
    }));
    this.timer = setInterval(() => this.tick(), 1000 / FPS);
  }

  // All canvases below an element that name their poses.
  watch(root) {
    this.seen.forEach((canvas) => { if (!canvas.isConnected) { this.seen.delete(canvas); this.sight.unobserve(canvas); } });
    root.querySelectorAll("canvas[data-loop]").forEach((canvas) => this.sight.observe(canvas));
  }

  enter(canvas) {
    this.seen.add(canvas);
    if (this.poses.has(canvas)) return;
    this.poses.set(canvas, null);
    this.queue.push(canvas);
    this.fetchNext();
  }

  async fetchNext() {
    if (this.running >= AT_ONCE || !this.queue.length) return;
    const canvas = this.queue.shift();
    this.running += 1;
    try {
      const response = await fetch(canvas.dataset.loop, { headers: { Accept: "application/json" } });
      if (response.ok) this.poses.set(canvas, await response.json());
      else this.poses.delete(canvas);
    } catch { this.poses.delete(canvas); }
    this.running -= 1;
    if (this.still && this.poses.get(canvas)) sketch(canvas, this.poses.get(canvas), 0.5);
    this.fetchNext();
  }

  tick() {
    if (this.still || document.hidden) return;
    const now = performance.now() / 1000;
    this.seen.forEach((canvas) => {
      const data = this.poses.get(canvas);
      if (data) sketch(canvas, data, (now % Math.max(0.1, data.end - data.start)) / (data.end - data.start));
    });
  }
}

// How people, and what lies under and beside them, are drawn. No state: whoever draws says what and when.

export const LIMBS = [
  [5, 7], [7, 9], [6, 8], [8, 10], [11, 13], [13, 15], [12, 14], [14, 16], [5, 6], [11, 12], [5, 11], [6, 12], [0, 5], [0, 6],
];
// Okabe and Ito's palette, told apart with every common colour vision.
const COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2", "#cccccc"];

// A recording's people have numbers: they keep their colour when the next stretch is loaded.
export const colourOf = (person, i) => COLOURS[(parseInt(person.name) || i + 1) % COLOURS.length];

const HOLD_S = 0.2; // a gap up to this long is bridged, a longer one hides the person
const TRAIL_S = 2;
export const STILL_S = 0.25; // of a still: poses so near its moment are its

// A box around who is meant, wherever they are in these seconds or at one moment of them, with room for what is beside.
export function around(data, at = null) {
  let box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const person of data.people.filter((one) => one.asked)) person.xy.forEach((xy, i) => {
    if (at !== null && Math.abs(person.pts[i] - at) > STILL_S) return;
    for (let j = 0; j < 17; j++) {
      if (person.confidence[i][j] < 10) continue;
      const [x, y] = [xy[2 * j], xy[2 * j + 1]];
      box = [Math.min(box[0], x), Math.min(box[1], y), Math.max(box[2], x), Math.max(box[3], y)];
    }
  });
  if (box[0] > box[2]) return [0, 0, data.width, data.height];
  const room = 0.35 * Math.max(box[3] - box[1], 40);
  return [box[0] - room, box[1] - room, box[2] + room, box[3] + room];
}

// Where a box of the picture comes to lie when it fills a canvas.
export function fitted(canvas, [x0, y0, x1, y1]) {
  const scale = Math.min(canvas.width / (x1 - x0), canvas.height / (y1 - y0));
  return { scale, dx: (canvas.width - (x0 + x1) * scale) / 2, dy: (canvas.height - (y0 + y1) * scale) / 2 };
}

// Lines on an imagined floor: a sense of depth, nothing of the place.
export function drawGrid(g, view, { width: w, height: h }) {
  const x = (v) => view.dx + v * view.scale, y = (v) => view.dy + v * view.scale;
  const horizon = 0.35 * h;
  g.beginPath();
  for (let i = -12; i <= 12; i++) { g.moveTo(x(w / 2 + (i * w) / 40), y(horizon)); g.lineTo(x(w / 2 + (i * w) / 8), y(h)); }
  for (let i = 1; i <= 9; i++) { const at = horizon + (h - horizon) * (i / 9) ** 2; g.moveTo(x(0), y(at)); g.lineTo(x(w), y(at)); }
  g.save();
  g.clip(((box) => { box.rect(x(0), y(0), w * view.scale, h * view.scale); return box; })(new Path2D()));
  g.globalAlpha = 0.7;
  g.stroke();
  g.restore();
  g.globalAlpha = 1;
}

// Where the middle of the hips has been in the last two seconds.
export function drawTrail(g, view, person, t, colour) {
  g.beginPath();
  let before = null;
  person.pts.forEach((pts, i) => {
    const c = person.confidence[i];
    if (pts > t || pts < t - TRAIL_S || Math.min(c[11], c[12]) < 10) return;
    const [px, py] = [(person.xy[i][22] + person.xy[i][24]) / 2, (person.xy[i][23] + person.xy[i][25]) / 2];
    const spot = [view.dx + px * view.scale, view.dy + py * view.scale];
    if (before !== null && pts - before <= HOLD_S + 0.02) g.lineTo(...spot); else g.moveTo(...spot);
    before = pts;
  });
  g.strokeStyle = colour;
  g.lineWidth = 2 * (window.devicePixelRatio || 1);
  g.globalAlpha = 0.5;
  g.stroke();
  g.globalAlpha = 1;
}

// Joints at a moment: those of the frame under a video (`ofFrame`), between two frames otherwise.
export function jointsAt(person, t, ofFrame) {
  const pts = person.pts;
  let low = 0, high = pts.length - 1;
  if (high < 0) return null;
  while (low < high) { const mid = (low + high + 1) >> 1; if (pts[mid] <= t + 0.002) low = mid; else high = mid - 1; }
  if (ofFrame) {
    const near = low + 1 < pts.length && Math.abs(pts[low + 1] - t) < Math.abs(pts[low] - t) ? low + 1 : low;
    return Math.abs(pts[near] - t) < 0.05 ? { xy: person.xy[near], c: person.confidence[near], pts: pts[near] } : null;
  }
  const next = low + 1;
  if (pts[low] > t + 0.002) return null;
  if (next >= pts.length) return t - pts[low] < 0.1 ? { xy: person.xy[low], c: person.confidence[low], pts: pts[low] } : null;
  const gap = pts[next] - pts[low];
  if (gap > HOLD_S + 0.02) return t - pts[low] < 0.1 ? { xy: person.xy[low], c: person.confidence[low], pts: pts[low] } : null;
  const f = (t - pts[low]) / gap;
  return { xy: person.xy[low].map((v, i) => v + f * (person.xy[next][i] - v)), c: person.confidence[low], pts: pts[low] };
}

// `asked`: one of those who are asked about, or nobody is.
export function drawPerson(g, view, person, now, colour, asked) {
  const ratio = window.devicePixelRatio || 1;
  const point = (j) => [view.dx + now.xy[2 * j] * view.scale, view.dy + now.xy[2 * j + 1] * view.scale];
  g.setLineDash(asked ? [] : [4 * ratio, 4 * ratio]);
  const line = (width, style) => {
    g.lineWidth = width * ratio;
    g.strokeStyle = style;
    for (const [a, b] of LIMBS) {
      const c = Math.min(now.c[a], now.c[b]);
      if (c < 10) continue;
      g.globalAlpha = (asked ? 1 : 0.55) * (0.25 + 0.75 * Math.min(1, c / 60));
      g.beginPath(); g.moveTo(...point(a)); g.lineTo(...point(b)); g.stroke();
    }
  };
  g.lineCap = "round";
  if (person.asked) line(8, "rgba(255,255,255,0.22)");
  line(person.asked ? 3.5 : 2.2, colour);
  g.setLineDash([]);
  const [x, y] = point(0);
  if (now.c[0] >= 10) {
    g.globalAlpha = asked ? 1 : 0.55;
    g.beginPath(); g.arc(x, y, 3.5 * ratio, 0, 2 * Math.PI); g.fillStyle = colour; g.fill();
  }
  g.globalAlpha = 1;
  g.font = `${13 * ratio}px system-ui, sans-serif`;
  g.fillStyle = colour;
  g.fillText(person.asked ? `● ${person.name}` : person.name, x + 8 * ratio, y - 8 * ratio);
}

// The strip under a stage: the shape of the score, what the trimming leaves out, and where the stage is (`spot`, 0 to 1).
export function drawStrip(canvas, shape, [from, until], spot) {
  const g = canvas.getContext("2d");
  const { width: w, height: h } = canvas;
  const colour = (name) => getComputedStyle(canvas).getPropertyValue(name);
  g.clearRect(0, 0, w, h);
  g.fillStyle = colour("--quiet");
  g.globalAlpha = 0.55;
  shape.forEach((v, i) => {
    if (v === null) return;
    const bar = (0.1 + 0.85 * v) * h;
    g.fillRect((i / shape.length) * w, h - bar, Math.ceil(w / shape.length) - 1, bar);
  });
  g.fillStyle = colour("--ground");
  g.globalAlpha = 0.75;
  if (from !== null) g.fillRect(0, 0, from * w, h);
  if (until !== null) g.fillRect(until * w, 0, w - until * w, h);
  g.globalAlpha = 1;
  g.fillStyle = colour("--accent");
  g.fillRect(spot * (w - 2), 0, 2 * (window.devicePixelRatio || 1), h);
}

// Known items: the answers have their usual keys.
import { typing } from "./keys.js";

const ANSWERS = { n: "normal", a: "anomaly", u: "unsure" };
document.addEventListener("keydown", (e) => {
  const value = ANSWERS[e.key.toLowerCase()];
  if (!value || typing(e) || e.ctrlKey || e.metaKey || e.altKey || e.repeat) return;
  document.querySelector(`[data-trial] [value=${value}]`)?.click();
});

// Look-alikes: loops, and one key an answer.
import { Loops } from "./loops.js";
import { typing } from "./keys.js";

new Loops().watch(document);
const form = document.querySelector("[data-alike]");
const ANSWERS = { n: "normal", a: "anomaly", u: "unsure" };

const open = () => [...form.querySelectorAll("fieldset")].find((set) => !set.querySelector(":checked"));

function mark() {
  form.querySelectorAll(".alert").forEach((card) => card.classList.toggle("now", card.contains(open() ?? null)));
}

if (form) {
  form.addEventListener("change", mark);
  document.addEventListener("keydown", (e) => {
    const value = ANSWERS[e.key.toLowerCase()];
    if (!value || (typing(e) && e.target.type !== "radio") || e.ctrlKey || e.metaKey || e.altKey || e.repeat) return;
    const set = open();
    if (!set) return;
    e.preventDefault();
    const choice = set.querySelector(`[value=${value}]`);
    choice.checked = true;
    mark();
    (open()?.querySelector("input") ?? form.querySelector("button.primary")).focus();
  });
  mark();
}

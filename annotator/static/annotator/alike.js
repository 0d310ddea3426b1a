// Look-alikes: loops, and one key an answer.
import { Loops } from "./loops.js";
import { ownKeys } from "./keys.js";

new Loops().watch(document);
const form = document.querySelector("[data-alike]");

const open = () => [...form.querySelectorAll("fieldset")].find((set) => !set.querySelector(":checked"));

function mark() {
  form.querySelectorAll(".alert").forEach((card) => card.classList.toggle("now", card.contains(open() ?? null)));
}

if (form) {
  const keys = ownKeys();
  keys.label(form);
  form.addEventListener("change", mark);
  document.addEventListener("keydown", (e) => {
    const value = keys.action(e);
    if (!["normal", "anomaly", "unsure"].includes(value)) return;
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

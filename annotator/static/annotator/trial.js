// Known items: the answers have the person's own keys.
import { ownKeys } from "./keys.js";

const form = document.querySelector("[data-trial]");
if (form) {
  const keys = ownKeys();
  keys.label(form);
  document.addEventListener("keydown", (e) => {
    const action = keys.action(e);
    if (["normal", "anomaly", "unsure"].includes(action)) form.querySelector(`[value=${action}]`).click();
  });
}

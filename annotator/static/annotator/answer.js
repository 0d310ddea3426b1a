// Known items: the answers have the person's own keys, once there is something to judge.
import { ownKeys } from "./keys.js";

const form = document.querySelector("[data-trial]");
if (form) {
  const keys = ownKeys();
  let seen = false;
  keys.label(form);
  document.addEventListener("alfred:loaded", () => { seen = true; });
  document.addEventListener("keydown", (e) => {
    const action = keys.action(e);
    if (seen && ["normal", "anomaly", "unsure"].includes(action)) form.querySelector(`[value=${action}]`).click();
  });
}

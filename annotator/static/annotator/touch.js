// On a phone: swipe left = normal, right = anomaly, long press = unsure.
export function watchTouches(slot, answer) {
  let touch = null;
  const letGo = () => { clearTimeout(touch?.long); touch = null; };
  slot.addEventListener("touchcancel", letGo);
  slot.addEventListener("touchstart", (e) => {
    letGo(); // a second finger is neither a swipe nor a long press
    if (e.touches.length !== 1 || !e.target.closest(".stage")) return;
    const { clientX: x, clientY: y } = e.touches[0];
    touch = { x, y, long: setTimeout(() => { touch = null; answer("unsure"); }, 700) };
  }, { passive: true });
  slot.addEventListener("touchmove", (e) => {
    if (touch && Math.hypot(e.touches[0].clientX - touch.x, e.touches[0].clientY - touch.y) > 12) clearTimeout(touch.long);
  }, { passive: true });
  slot.addEventListener("touchend", (e) => {
    if (!touch) return;
    clearTimeout(touch.long);
    const [dx, dy] = [e.changedTouches[0].clientX - touch.x, e.changedTouches[0].clientY - touch.y];
    touch = null;
    if (Math.abs(dx) > 60 && Math.abs(dx) > 2 * Math.abs(dy)) answer(dx < 0 ? "normal" : "anomaly");
  });
}

// What stages show, fetched before it is needed and kept while it may be needed again.

// Poses (and video) of events that come next, asked for while the present one is looked at.
const fetched = new Map();

export async function json(url) {
  const response = await fetch(url, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(response.status);
  return response.json();
}

export function prefetch(root) {
  const { poses, video } = root.dataset;
  if (!fetched.has(poses)) { const asked = json(poses); asked.catch(() => fetched.delete(poses)); fetched.set(poses, asked); }
  if (video && !fetched.has(video)) {
    const asked = fetch(video).then((r) => { if (!r.ok) throw new Error(r.status); return r.blob(); }).then((blob) => URL.createObjectURL(blob));
    asked.catch(() => fetched.delete(video));
    fetched.set(video, asked);
  }
}

// Poses that were asked for already; null where they were not, or did not come.
export const fetchedPoses = async (url) => (await fetched.get(url)?.catch(() => null)) ?? null;

// What was asked for, or is from now on.
export function posesOf(root) {
  if (!fetched.has(root.dataset.poses)) prefetch(root); // kept: an answer taken back shows it again
  return fetched.get(root.dataset.poses);
}

export function videoOf(root) {
  prefetch(root);
  return fetched.get(root.dataset.video);
}

export function forget(root) {
  if (!root) return;
  fetched.get(root.dataset.video)?.then((url) => URL.revokeObjectURL(url), () => {});
  fetched.delete(root.dataset.poses);
  fetched.delete(root.dataset.video);
}

// Pictures of empty scenes, of the cameras seen last: a camera's events often follow each other.
const plates = new Map();
const PLATES = 4;

export function plateAt(url) {
  if (!plates.has(url)) {
    const image = new Image();
    image.src = url;
    const opened = image.decode().then(() => image);
    opened.catch(() => plates.delete(url));
    plates.set(url, opened);
    if (plates.size > PLATES) plates.delete(plates.keys().next().value);
  }
  return plates.get(url);
}

/** What the system knows of its network, and a page that is looked at again: reasons to look at the path at once. */

/** @param {() => void} changed @param {AbortSignal} signal for how long */
export function listenToTheWorld(changed, signal) {
  for (const event of ['online', 'offline', 'pageshow']) window.addEventListener(event, changed, { signal });
  document.addEventListener('visibilitychange', changed, { signal });
  const network = /** @type {{connection?: EventTarget}} */ (navigator).connection;
  network?.addEventListener('change', changed, { signal });
}

/** The model’s voice where it is heard. */

/**
 * Makes the element anew, with what a person has chosen for the old one: call it while a button is being pressed. Phones
 * let only an element speak that was told to while somebody touched the screen, and then let it speak for good.
 * @param {HTMLAudioElement} old
 * @returns {HTMLAudioElement}
 */
export function renewed(old) {
  const made = /** @type {HTMLAudioElement} */ (old.cloneNode());
  if (old.sinkId) void made.setSinkId(old.sinkId).catch(() => {});
  old.replaceWith(made);
  made.srcObject = new MediaStream();
  made.play().catch(() => {}); // it has nothing to say yet
  return made;
}

/** Text compared by its letters alone: the voice's text and the written one differ in their spaces. No DOM. */

/** `text` without its spaces. @param {string} text */
export function letters(text) {
  return text.replace(/\s+/g, '');
}

/** `text` without its first `count` letters. @param {string} text @param {number} count */
export function dropLetters(text, count) {
  let at = 0;
  for (let passed = 0; at < text.length && passed < count; at += 1) {
    if (!/\s/.test(text[at] ?? '')) passed += 1;
  }
  return text.slice(at);
}

/** `next` with the space it needs after `before`. @param {string} before @param {string} next */
export function join(before, next) {
  const needless = !before || /\s$/.test(before) || /^[\s.,;:!?…'’)\]。，、？！]/.test(next)
    || /[\u3000-\u9fff\uff00-\uffef]$/.test(before);
  return needless ? next : ` ${next}`;
}

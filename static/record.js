/** What was said, to be saved: the relay's own account of it. */

import { ConnectionError } from './signalling.js';
import { plainText } from './transcript.js';

/** Longest wait for it, ms. */
const PATIENCE_MS = 5_000;

/** @typedef {import('./signalling.js').Signalling} Signalling */
/** @typedef {import('./signalling.js').Pass} Pass */

/**
 * Put the transcript where the browser puts downloads. What the relay has deleted can still be saved as text, from what
 * the page shows.
 * @param {Signalling} signalling
 * @param {Pass|null} pass
 * @param {'text'|'vtt'} format
 * @param {import('./transcript.js').Turn[]} shown
 * @returns {Promise<import('./call.js').Problem|null>} why not
 */
export async function save(signalling, pass, format, shown) {
  try {
    if (!pass) throw new ConnectionError({ code: 'transcript-gone' });
    const response = await signalling.transcript(pass, format, AbortSignal.timeout(PATIENCE_MS));
    download(await response.blob(), format);
  } catch {
    if (format !== 'text') return { code: 'transcript-gone' };
    download(new Blob([plainText(shown)], { type: 'text/plain' }), format);
  }
  return null;
}

/** @param {Blob} blob @param {'text'|'vtt'} format */
function download(blob, format) {
  const link = document.createElement('a');
  const address = URL.createObjectURL(blob);
  const now = new Date();
  const when = new Date(now.getTime() - 60_000 * now.getTimezoneOffset()).toISOString().slice(0, 16).replace(/[T:]/g, '-');
  link.href = address;
  link.download = `conversation-${when}.${format === 'text' ? 'txt' : 'vtt'}`;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

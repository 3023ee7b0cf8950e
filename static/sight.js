/**
 * What the page lets the model see, and how much of it: little, because the model looks once a second. No DOM.
 */

/** @typedef {'camera'|'screen'} Kind */
/** @type {Kind[]} */
export const KINDS = ['camera', 'screen'];

/** The place of each picture among what we send; the microphone is 0. */
export const RECEIVERS = { camera: 1, screen: 2 };
/** Pictures a second. The model is given one; the second keeps that one fresh. */
export const PICTURES_PER_S = 2;
/** Longest side, pixels. The model gets 768 at most; small print on a screen survives being shrunk once, not twice. */
export const LONGEST_SIDE = { camera: 640, screen: 1280 };
/** Most bits a second: enough for a whole picture, one that needs no other, in each second. */
export const BITS_PER_S = { camera: 250_000, screen: 400_000 };
/** What a person sees of herself may move; it is never sent at this rate. */
const SELF_VIEW_PER_S = 15;

/**
 * On a phone the camera at the back comes first: people show the model things rather than themselves.
 * @param {string} deviceId the one that was chosen, or ''
 * @returns {MediaStreamConstraints}
 */
export function cameraConstraints(deviceId) {
  const size = { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: SELF_VIEW_PER_S } };
  return { audio: false, video: { ...size, ...(deviceId ? { deviceId: { exact: deviceId } } : { facingMode: 'environment' }) } };
}

/** @returns {DisplayMediaStreamOptions} */
export function screenConstraints() {
  const side = { max: LONGEST_SIDE.screen };
  return { audio: false, video: { width: side, height: side, frameRate: { max: PICTURES_PER_S } } };
}

/**
 * How a picture is sent, whatever the device gives.
 * @param {Kind} kind
 * @param {{width?: number, height?: number}} [settings] of the track, if there is one
 * @returns {RTCRtpEncodingParameters}
 */
export function encoding(kind, settings = {}) {
  const side = Math.max(settings.width ?? 0, settings.height ?? 0);
  return {
    maxBitrate: BITS_PER_S[kind],
    maxFramerate: PICTURES_PER_S,
    scaleResolutionDownBy: Math.max(1, side / LONGEST_SIDE[kind]),
  };
}

/** People know themselves from the mirror; what lies before them they do not. @param {Kind} kind @param {MediaTrackSettings} settings */
export function isMirrored(kind, settings) {
  return kind === 'camera' && settings.facingMode !== 'environment';
}

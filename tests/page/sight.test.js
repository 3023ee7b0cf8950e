import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  BITS_PER_S, KINDS, LONGEST_SIDE, PICTURES_PER_S, RECEIVERS,
  cameraConstraints, encoding, isMirrored, screenConstraints,
} from '../../static/sight.js';

test('the model is shown two pictures a second at most, at a low rate', () => {
  assert.ok(PICTURES_PER_S <= 2);
  for (const kind of KINDS) {
    const { maxFramerate, maxBitrate } = encoding(kind);
    assert.equal(maxFramerate, PICTURES_PER_S);
    assert.ok(maxBitrate === BITS_PER_S[kind] && maxBitrate <= 400_000);
  }
});

for (const [kind, width, height, down] of /** @type {const} */ ([
  ['camera', 640, 480, 1], ['camera', 480, 640, 1], ['camera', 320, 240, 1], ['camera', 1280, 720, 2],
  ['camera', 1080, 1920, 3], ['screen', 1280, 720, 1], ['screen', 2560, 1440, 2], ['screen', 800, 3840, 3],
])) {
  test(`a ${kind} of ${width}x${height} is sent with ${LONGEST_SIDE[kind]} pixels at most`, () => {
    assert.equal(encoding(kind, { width, height }).scaleResolutionDownBy, down);
    assert.ok(Math.max(width, height) / down <= LONGEST_SIDE[kind]);
  });
}

test('a device that does not say its size is not shrunk', () => {
  for (const settings of [undefined, {}, { width: 0 }]) assert.equal(encoding('camera', settings).scaleResolutionDownBy, 1);
});

test('the camera that was chosen is asked for, else the one at the back of a phone', () => {
  const chosen = cameraConstraints('abc').video;
  assert.ok(typeof chosen === 'object' && !('facingMode' in chosen));
  assert.deepEqual(chosen.deviceId, { exact: 'abc' });
  const any = cameraConstraints('').video;
  assert.ok(typeof any === 'object' && any.facingMode === 'environment' && !('deviceId' in any));
});

test('neither asks for sound', () => {
  assert.equal(cameraConstraints('').audio, false);
  assert.equal(screenConstraints().audio, false);
});

test('only a face is mirrored', () => {
  assert.equal(isMirrored('camera', { facingMode: 'user' }), true);
  assert.equal(isMirrored('camera', {}), true);
  assert.equal(isMirrored('camera', { facingMode: 'environment' }), false);
  assert.equal(isMirrored('screen', {}), false);
});

test('each picture has the place that a SmallWebRTC client gives it', () => {
  assert.deepEqual(RECEIVERS, { camera: 1, screen: 2 });
});

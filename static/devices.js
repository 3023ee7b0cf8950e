/** Which microphone, which speaker, which camera. The lists stay true while devices come and go. */

/** @param {string} [deviceId] @returns {MediaStreamConstraints} */
function constraints(deviceId) {
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  return { audio: deviceId ? { ...audio, deviceId: { exact: deviceId } } : audio };
}

/** What forbids a call before it begins. @returns {import('./call.js').Problem|null} */
export function obstacle() {
  if (!window.isSecureContext) return { code: 'insecure' };
  if (!('RTCPeerConnection' in window) || !navigator.mediaDevices) return { code: 'no-webrtc' };
  return null;
}

/** Asks the person if need be. Throws what getUserMedia throws. @param {string} [deviceId] */
export async function openMicrophone(deviceId) {
  const [track] = (await navigator.mediaDevices.getUserMedia(constraints(deviceId))).getAudioTracks();
  if (!track) throw new DOMException('no audio track', 'NotFoundError');
  return track;
}

export class Pickers {
  /**
   * @param {import('./view.js').View} view whose lists they are
   * @param {(deviceId: string) => void} onMicrophone
   * @param {(deviceId: string) => void} onCamera
   */
  constructor(view, onMicrophone, onCamera) {
    this.view = view;
    view.microphone.addEventListener('change', () => onMicrophone(view.microphone.value));
    view.cameras.addEventListener('change', () => onCamera(view.cameras.value));
    view.speaker.addEventListener('change', () => void this.#moveSound());
    navigator.mediaDevices?.addEventListener('devicechange', () => void this.refresh());
    void this.refresh();
  }

  /** @param {{microphone?: string, camera?: string}} [used] the ones in use */
  async refresh(used = {}) {
    const { view } = this;
    const devices = await navigator.mediaDevices?.enumerateDevices().catch(() => []) ?? [];
    /** @param {MediaDeviceKind} kind */
    const all = (kind) => devices.filter((device) => device.kind === kind);
    const [speakers, cameras] = [all('audiooutput'), all('videoinput')];
    fill(view.microphone, all('audioinput'), used.microphone ?? view.microphone.value, 'Microphone');
    fill(view.speaker, speakers, view.speaker.value, 'Speaker');
    fill(view.cameras, cameras, used.camera ?? view.cameras.value, 'Camera');
    view.speakerRow.hidden = !('setSinkId' in view.sound) || speakers.length === 0;
    view.camerasRow.hidden = cameras.length === 0;
  }

  async #moveSound() {
    try {
      await this.view.sound.setSinkId(this.view.speaker.value);
    } catch {
      await this.refresh();
    }
  }
}

/**
 * @param {HTMLSelectElement} select
 * @param {MediaDeviceInfo[]} devices
 * @param {string} chosen
 * @param {string} noun for devices that have no name until they are allowed
 */
function fill(select, devices, chosen, noun) {
  const options = devices.map((device, index) => new Option(device.label || `${noun} ${index + 1}`, device.deviceId));
  if (options.length === 0) options.push(new Option(`No ${noun.toLowerCase()} found`, ''));
  select.replaceChildren(...options);
  if (devices.some((device) => device.deviceId === chosen)) select.value = chosen;
  select.disabled = devices.length === 0;
}

/** Which microphone, which speaker. The lists stay true while devices come and go. */

/** @param {string} [deviceId] @returns {MediaStreamConstraints} */
function constraints(deviceId) {
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  return { audio: deviceId ? { ...audio, deviceId: { exact: deviceId } } : audio };
}

/** Asks the person if need be. Throws what getUserMedia throws. @param {string} [deviceId] */
export async function openMicrophone(deviceId) {
  const [track] = (await navigator.mediaDevices.getUserMedia(constraints(deviceId))).getAudioTracks();
  if (!track) throw new DOMException('no audio track', 'NotFoundError');
  return track;
}

export class Pickers {
  /**
   * @param {HTMLSelectElement} microphone
   * @param {HTMLSelectElement} speaker
   * @param {HTMLElement} speakerRow hidden where the browser cannot choose
   * @param {HTMLAudioElement} sound
   * @param {(deviceId: string) => void} onMicrophone
   */
  constructor(microphone, speaker, speakerRow, sound, onMicrophone) {
    this.microphone = microphone;
    this.speaker = speaker;
    this.speakerRow = speakerRow;
    this.sound = sound;
    microphone.addEventListener('change', () => onMicrophone(microphone.value));
    speaker.addEventListener('change', () => void this.#moveSound());
    navigator.mediaDevices?.addEventListener('devicechange', () => void this.refresh());
    void this.refresh();
  }

  /** @param {string} [microphoneId] the one in use */
  async refresh(microphoneId = this.microphone.value) {
    const devices = await navigator.mediaDevices?.enumerateDevices().catch(() => []) ?? [];
    const speakers = devices.filter((device) => device.kind === 'audiooutput');
    fill(this.microphone, devices.filter((device) => device.kind === 'audioinput'), microphoneId, 'Microphone');
    fill(this.speaker, speakers, this.speaker.value, 'Speaker');
    this.speakerRow.hidden = !('setSinkId' in this.sound) || speakers.length === 0;
  }

  async #moveSound() {
    try {
      await this.sound.setSinkId(this.speaker.value);
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

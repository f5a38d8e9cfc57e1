// Play, loop, follow and speed: the controls of playback.

import { Playback } from "./playback.js";

const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];

export const CONTROLS = `
<button type="button" data-do="play" title="play (Space)">▶ Play</button>
<span class="group" role="group" aria-label="playback">
  <button type="button" data-do="toggleLoop" title="play it again and again (L)"
    aria-pressed="false">Loop</button>
  <button type="button" data-do="toggleFollow" title="keep what is played in view (F)"
    aria-pressed="true">Follow</button>
  <select data-is="speed" aria-label="speed" title="speed (&lt; and &gt;)">${SPEEDS.map(
    (speed) => `<option value="${speed}"${speed === 1 ? " selected" : ""}>${speed}×</option>`,
  ).join("")}</select>
</span>`;

/** Plays stretches of the recording, as its controls say. */
export class Player {
  /**
   * @param {HTMLElement} el that holds CONTROLS
   * @param {(start_s: number, end_s: number) => Promise<Int16Array>} fetch
   * @param {() => void} onChange
   */
  constructor(el, fetch, onChange) {
    this.el = el;
    this.following = true;
    /** @type {?[from: number, to: number]} */
    this.span = null;
    this.playback = new Playback(fetch, () => {
      this.showPlaying();
      onChange();
    });
    for (const name of /** @type {const} */ (["toggleLoop", "toggleFollow"])) {
      this.button(name).addEventListener("click", () => this[name]());
    }
    this.speeds.addEventListener("change", () => this.setSpeed(Number(this.speeds.value)));
  }

  get speeds() {
    return /** @type {HTMLSelectElement} */ (this.el.querySelector('[data-is="speed"]'));
  }

  /** @param {string} name */
  button(name) {
    return /** @type {HTMLElement} */ (this.el.querySelector(`[data-do="${name}"]`));
  }

  /** The time of the recording that is heard, or null. */
  get time() {
    return this.playback.playing ? this.playback.time : null;
  }

  /** @param {number} from @param {number} to */
  toggle(from, to) {
    if (this.playback.playing) this.playback.stop();
    else this.play(from, to);
  }

  /** @param {number} from @param {number} to @param {number} [start] */
  play(from, to, start) {
    this.span = [from, to];
    this.setFollow(true);
    return this.playback.play(from, to, start);
  }

  /** Go on playing with what was set. */
  replay() {
    const { span, time } = this;
    if (span && time !== null) this.play(...span, time);
  }

  toggleLoop() {
    this.playback.loop = !this.playback.loop;
    this.button("toggleLoop").setAttribute("aria-pressed", String(this.playback.loop));
    this.replay();
  }

  toggleFollow() {
    this.setFollow(!this.following);
  }

  /** @param {boolean} on */
  setFollow(on) {
    this.following = on;
    this.button("toggleFollow").setAttribute("aria-pressed", String(on));
  }

  /** @param {number} steps */
  changeSpeed(steps) {
    const at = SPEEDS.indexOf(this.playback.speed) + steps;
    this.setSpeed(SPEEDS[Math.min(Math.max(at, 0), SPEEDS.length - 1)]);
  }

  /** @param {number} speed */
  setSpeed(speed) {
    this.speeds.value = String(speed);
    this.playback.speed = speed;
    this.replay();
  }

  showPlaying() {
    const text = this.playback.playing ? "■ Stop" : "▶ Play";
    const button = this.button("play");
    if (button.textContent !== text) button.textContent = text;
  }

  close() {
    this.playback.close();
  }
}

// Plays the audio of a recording while the kernel sends it.

import { stretched } from "./stretch.js";

export const SAMPLE_RATE = 16000; // Hz, of what the kernel sends
const CHUNK_S = 10; // fetched while the chunk before it plays
const FIRST_S = 2; // of the first chunk, so that it is soon there

/**
 * @typedef {{when: number, from: number, until: number, speed: number}} Place of a chunk, which
 *   plays at `when` on the clock of the audio context: the recording from `from` to `until`
 * @typedef {AudioBufferSourceNode & Place & {ends: number}} Scheduled
 */

/** Plays stretches of a recording, fetched chunk by chunk. */
export class Playback {
  /**
   * @param {(start_s: number, end_s: number) => Promise<Int16Array>} fetch
   * @param {() => void} onChange playing began or stopped
   */
  constructor(fetch, onChange) {
    this.fetch = fetch;
    this.onChange = onChange;
    this.run = 0; // counts calls of play and stop: an older one does nothing more
    this.speed = 1;
    this.loop = false;
    /** @type {Scheduled[]} */
    this.nodes = [];
    /** @type {AudioContext | undefined} */
    this.context = undefined; // until the first play: a browser may ask for a click before it
  }

  get playing() {
    return this.nodes.length > 0;
  }

  /** The time of the recording that is heard now, while it plays. */
  get time() {
    const now = this.nodes[0].context.currentTime;
    const at = this.nodes.filter((node) => node.when <= now).at(-1) ?? this.nodes[0];
    return Math.min(at.from + Math.max(0, now - at.when) * at.speed, at.until);
  }

  /**
   * Play a stretch, at the speed and in the loop that are set then.
   *
   * @param {number} from
   * @param {number} to
   * @param {number} [start] where to begin within it
   */
  async play(from, to, start = from) {
    this.stop();
    const run = this.run;
    const { speed, loop } = this;
    this.context ??= new AudioContext();
    const { context } = this;
    await context.resume();
    for (let at = start, when = 0, length = FIRST_S; at < to - 1e-6; length = CHUNK_S) {
      const until = Math.min(at + length, to);
      const samples = await this.fetch(at, until);
      if (run !== this.run || !samples.length) return;
      when = Math.max(when, context.currentTime + 0.03);
      const last = !loop && until >= to - 1e-6;
      when = this.schedule(context, samples, { when, from: at, until, speed }, last);
      at = loop && until >= to - 1e-6 ? from : until;
      const ahead = when - context.currentTime - length / 2;
      await new Promise((done) => setTimeout(done, Math.max(0, ahead) * 1000));
      if (run !== this.run) return;
    }
  }

  /**
   * @param {AudioContext} context
   * @param {Int16Array} samples
   * @param {Place} place
   * @param {boolean} last whether nothing follows
   * @returns {number} when they end, on the clock of the context
   */
  schedule(context, samples, place, last) {
    const heard = stretched(Float32Array.from(samples, (s) => s / 32768), place.speed);
    const buffer = context.createBuffer(1, heard.length, SAMPLE_RATE);
    buffer.copyToChannel(heard, 0);
    const node = context.createBufferSource();
    node.buffer = buffer;
    node.connect(context.destination);
    node.start(place.when);
    this.nodes = this.nodes.filter((other) => other.ends > context.currentTime - 1);
    const ends = place.when + buffer.duration;
    this.nodes.push(Object.assign(node, place, { ends }));
    if (last) node.onended = () => this.stop();
    this.onChange();
    return ends;
  }

  stop() {
    this.run += 1;
    for (const node of this.nodes) {
      node.onended = null;
      node.stop();
    }
    this.nodes = [];
    this.onChange();
  }

  close() {
    this.stop();
    this.context?.close();
  }
}

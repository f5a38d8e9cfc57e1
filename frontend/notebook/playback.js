// Plays the audio of a recording while the kernel sends it.

const SAMPLE_RATE = 16000; // Hz, of what the kernel sends
const CHUNK_S = 10; // fetched while the chunk before it plays

/**
 * @typedef {AudioBufferSourceNode & {when: number, from: number, until: number}} Scheduled a chunk
 *   that plays at `when` on the clock of the audio context: the recording from `from` to `until`
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
    return Math.min(at.from + Math.max(0, now - at.when), at.until);
  }

  /** @param {number} from @param {number} to */
  async play(from, to) {
    this.stop();
    const run = this.run;
    this.context ??= new AudioContext();
    const { context } = this;
    await context.resume();
    for (let at = from, when = 0; at < to - 1e-6; ) {
      const until = Math.min(at + CHUNK_S, to);
      const samples = await this.fetch(at, until);
      if (run !== this.run || !samples.length) return;
      when = Math.max(when, context.currentTime + 0.03);
      const last = until >= to - 1e-6;
      when = this.schedule(context, samples, { when, from: at, until }, last);
      at = until;
      const ahead = when - context.currentTime - CHUNK_S / 2;
      await new Promise((done) => setTimeout(done, Math.max(0, ahead) * 1000));
      if (run !== this.run) return;
    }
  }

  /**
   * @param {AudioContext} context
   * @param {Int16Array} samples
   * @param {Pick<Scheduled, "when" | "from" | "until">} place
   * @param {boolean} last whether nothing follows
   * @returns {number} when they end, on the clock of the context
   */
  schedule(context, samples, place, last) {
    const buffer = context.createBuffer(1, samples.length, SAMPLE_RATE);
    buffer.copyToChannel(Float32Array.from(samples, (s) => s / 32768), 0);
    const node = context.createBufferSource();
    node.buffer = buffer;
    node.connect(context.destination);
    node.start(place.when);
    this.nodes.push(Object.assign(node, place));
    if (last) node.onended = () => this.stop();
    this.onChange();
    return place.when + buffer.duration;
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

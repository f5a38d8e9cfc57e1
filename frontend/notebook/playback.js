// The audio of a recording, played while the kernel sends it.

const SAMPLE_RATE = 16000; // Hz, of what the kernel sends
const CHUNK_S = 10; // asked for while the one before is playing

/** Plays stretches of a recording, fetched piece by piece. */
export class Playback {
  /**
   * @param {(start_s: number, end_s: number) => Promise<Int16Array>} fetch
   * @param {() => void} onChange it began or stopped
   */
  constructor(fetch, onChange) {
    this.fetch = fetch;
    this.onChange = onChange;
    this.run = 0;
    this.nodes = [];
  }

  get playing() {
    return this.nodes.length > 0;
  }

  /** The time of the recording that is heard now. */
  get time() {
    const now = this.context.currentTime;
    const at = this.nodes.findLast((node) => node.when <= now) ?? this.nodes[0];
    return Math.min(at.from + Math.max(0, now - at.when), at.until);
  }

  async play(from, to) {
    this.stop();
    const run = this.run;
    this.context ??= new AudioContext();
    await this.context.resume();
    for (let at = from, when = 0; at < to - 1e-6; ) {
      const until = Math.min(at + CHUNK_S, to);
      const samples = await this.fetch(at, until);
      if (run !== this.run || !samples.length) return;
      when = Math.max(when, this.context.currentTime + 0.03);
      const last = until >= to - 1e-6;
      when = this.schedule(samples, when, at, until, last);
      at = until;
      const ahead = when - this.context.currentTime - CHUNK_S / 2;
      await new Promise((done) => setTimeout(done, Math.max(0, ahead) * 1000));
      if (run !== this.run) return;
    }
  }

  schedule(samples, when, from, until, last) {
    const buffer = this.context.createBuffer(1, samples.length, SAMPLE_RATE);
    buffer.copyToChannel(Float32Array.from(samples, (s) => s / 32768), 0);
    const node = this.context.createBufferSource();
    node.buffer = buffer;
    node.connect(this.context.destination);
    node.start(when);
    this.nodes.push(Object.assign(node, { when, from, until }));
    if (last) node.onended = () => this.stop();
    this.onChange();
    return when + buffer.duration;
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

// On the browser's audio thread: samples as 16-bit integers, in chunks.

/**
 * Register the processor "sttlab-capture".
 *
 * It needs nothing outside itself: where this file has no address, as in a notebook, the text of
 * this function becomes the worklet's module.
 *
 * @param {any} scope an AudioWorkletGlobalScope
 */
export function registerCapture(scope) {
  class Capture extends scope.AudioWorkletProcessor {
    /** @param {{processorOptions: {size: number}}} options `size` of a chunk, in samples */
    constructor({ processorOptions }) {
      super();
      this.pcm = new Int16Array(processorOptions.size);
      this.filled = 0;
    }

    /** @param {Float32Array[][]} inputs one input of one channel, which may be disconnected */
    process([[samples]]) {
      for (const sample of samples ?? []) {
        this.pcm[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
        if (this.filled < this.pcm.length) continue;
        const { length } = this.pcm;
        this.port.postMessage(this.pcm, [this.pcm.buffer]); // which leaves nothing here
        this.pcm = new Int16Array(length);
        this.filled = 0;
      }
      return true;
    }
  }

  scope.registerProcessor("sttlab-capture", Capture);
}

if ("registerProcessor" in globalThis) registerCapture(globalThis);

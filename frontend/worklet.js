// Runs on the browser's audio thread: makes chunks of 16-bit samples.

/**
 * Register the processor "sttlab-capture".
 *
 * The function uses nothing outside itself. Where this file has no address, as in a notebook, its
 * text is the worklet's module.
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
        this.port.postMessage(this.pcm, [this.pcm.buffer]); // transfers the buffer
        this.pcm = new Int16Array(length);
        this.filled = 0;
      }
      return true;
    }
  }

  scope.registerProcessor("sttlab-capture", Capture);
}

if ("registerProcessor" in globalThis) registerCapture(globalThis);

// On the audio thread: samples as 16-bit integers, in chunks.

registerProcessor(
  "sttlab-capture",
  class extends AudioWorkletProcessor {
    constructor({ processorOptions }) {
      super();
      this.size = processorOptions.size;
      this.begin();
    }

    begin() {
      this.pcm = new Int16Array(this.size);
      this.filled = 0;
    }

    process([[samples]]) {
      for (const sample of samples ?? []) {
        this.pcm[this.filled++] = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
        if (this.filled === this.size) {
          this.port.postMessage(this.pcm, [this.pcm.buffer]);
          this.begin();
        }
      }
      return true;
    }
  },
);

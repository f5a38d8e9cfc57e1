// Speech slower or faster at the same pitch: overlap-add of similar waveforms (WSOLA; W. Verhelst
// and M. Roelands, ICASSP 1993).

const WINDOW = 480; // samples, 30 ms: two periods of a deep voice
const HOP = WINDOW / 2;
const SEARCH = 160; // samples around its place in which a window may begin

/**
 * @param {Float32Array} samples
 * @param {number} speed
 * @returns {Float32Array} of about `samples.length / speed` samples
 */
export function stretched(samples, speed) {
  if (speed === 1 || samples.length < 2 * WINDOW) return samples;
  const length = Math.round(samples.length / speed);
  const made = new Float32Array(length + WINDOW);
  let last = 0;
  for (let at = 0; at < length; at += HOP) {
    const place = Math.round(at * speed);
    const start = at ? mostSimilar(samples, last + HOP, place) : 0;
    for (let i = 0; i < WINDOW && start + i < samples.length; i++) {
      const rises = at || i >= HOP;
      const weight = rises ? 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / WINDOW) : 1;
      made[at + i] += weight * samples[start + i];
    }
    last = start;
  }
  return made.subarray(0, length);
}

/**
 * Where near a place the audio goes on most as it would from another place.
 *
 * @param {Float32Array} samples
 * @param {number} natural where it would go on
 * @param {number} place
 */
function mostSimilar(samples, natural, place) {
  let [best, most] = [place, -Infinity];
  const first = Math.max(0, place - SEARCH);
  const last = Math.min(place + SEARCH, samples.length - HOP);
  for (let start = first; start <= last; start += 4) {
    let product = 0;
    for (let i = 0; i < HOP; i += 4) {
      product += (samples[natural + i] ?? 0) * (samples[start + i] ?? 0);
    }
    if (product > most) [best, most] = [start, product];
  }
  return Math.min(best, Math.max(0, samples.length - HOP));
}

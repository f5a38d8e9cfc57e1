import assert from "node:assert/strict";
import { before, test } from "node:test";

import { BANDS, spectrogramTrack } from "../../frontend/notebook/spectrogram.js";

const LANE = { top: 0, height: 110 };

/** The pixels of the images that are painted. */
const painted = [];

before(() => {
  const pen = {
    createImageData: (width, height) => ({ data: new Uint8ClampedArray(4 * width * height) }),
    putImageData: ({ data }) => painted.push(data),
    fillRect() {},
  };
  globalThis.document = { createElement: () => ({ getContext: () => pen }) };
});

/** What is painted of one second, in which all bands of all columns have the same value. */
async function paint(arrangement, value) {
  let arrive;
  const arrived = new Promise((done) => (arrive = done));
  const ask = async () => ({ buffers: [new DataView(new Uint8Array(100 * BANDS).fill(value).buffer)] });
  const track = spectrogramTrack(ask, 1, () => arrive(), () => arrangement);
  const [images, words] = [[], []];
  const pen = {
    drawImage: (_, x, y, width, height) => images.push([y, height]),
    fillRect() {},
    strokeText() {},
    fillText: (text) => words.push(text),
  };
  const view = { pen, from: 0, to: 1, width: 100, density: 1, x: (s) => 100 * s, color: (name) => name };
  track.base(view, LANE);
  await arrived;
  words.length = 0;
  track.base(view, LANE);
  return { images, words, alpha: painted.at(-1)[3] };
}

const chosen = (unit, value) => ({ chosen: { spectrogram: { [unit]: value } } });

test("a spectrogram shows all frequencies, or those up to the one that is chosen", async () => {
  const all = await paint({}, 255);
  assert.deepEqual(all.images, [[0, 128]]);
  assert.deepEqual(all.words, ["2", "4", "6 kHz"]);
  const half = await paint(chosen("kHz", 4), 255);
  assert.deepEqual(half.images, [[64, 64]]);
  assert.deepEqual(half.words, ["1", "2", "3 kHz"]);
  const quarter = await paint(chosen("kHz", 2), 255);
  assert.deepEqual(quarter.images, [[96, 32]]);
  assert.deepEqual(quarter.words, ["0.5", "1", "1.5 kHz"]);
});

test("what is further below the loudest than the range is not seen", async () => {
  for (const range of [40, 60, 80]) {
    const at = async (below) => (await paint(chosen("dB", range), 255 * (1 - below / 80))).alpha;
    assert.equal(await at(0), 255);
    assert.ok(Math.abs((await at(range / 2)) - 128) <= 4);
    assert.equal(await at(range), 0);
    assert.equal(await at(80), 0);
  }
  assert.ok((await paint({}, 68)).alpha > 0, "58.7 dB below, of 60 at first");
  assert.equal((await paint({}, 60)).alpha, 0);
});

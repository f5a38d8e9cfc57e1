import assert from "node:assert/strict";
import { test } from "node:test";

import { WheelTurn, pinched } from "../../frontend/notebook/gestures.js";
import { windowDrag } from "../../frontend/notebook/overview.js";
import { PIECE_BINS, Pieces, columnsOf, levelFor, topLevel } from "../../frontend/notebook/pieces.js";
import { stretched } from "../../frontend/notebook/stretch.js";
import {
  firstAfter,
  firstVisible,
  lines,
  stepAt,
  valueAt,
  visibleSteps,
  written,
  yOf,
} from "../../frontend/notebook/tracks.js";
import { Handles, isSettled, movedValue } from "../../frontend/notebook/handles.js";
import { visibleRows } from "../../frontend/notebook/rows.js";

const HOUR = { name: "energy", count: 180_000, step_s: 0.02 };
const DECIBELS = { low: -80, high: 0, unit: "dBFS" };

/** A kernel whose value i is i: it answers at once, or when it is told to. */
function kernel(curve) {
  const asked = [];
  const answers = [];
  const fetch = (level, index) =>
    new Promise((done) => {
      asked.push([level, index]);
      const first = index * PIECE_BINS;
      const count = Math.min(PIECE_BINS, Math.ceil(curve.count / 2 ** level) - first);
      const low = Float32Array.from({ length: count }, (_, i) => (first + i) * 2 ** level);
      const high = low.map((value) => Math.min(value + 2 ** level, curve.count) - 1);
      answers.push(() => done({ low, high, mean: low.map((value, i) => (value + high[i]) / 2) }));
    });
  const pieces = new Pieces(curve, fetch, () => {});
  const answer = async () => {
    for (const each of answers.splice(0)) each();
    await new Promise((done) => setTimeout(done));
  };
  return { asked, pieces, answer };
}

test("a piece holds all of the curve at the top level, and no more than is needed", () => {
  assert.equal(topLevel(HOUR), 7);
  assert.equal(topLevel({ ...HOUR, count: PIECE_BINS }), 0);
  assert.equal(topLevel({ ...HOUR, count: PIECE_BINS + 1 }), 1);
  assert.equal(topLevel({ ...HOUR, count: 0 }), 0);
});

test("bins are at most as wide as a column, and wider than half of it", () => {
  for (const span of [3600, 600, 61, 5]) {
    const column_s = span / 1200;
    const bin_s = HOUR.step_s * 2 ** levelFor(HOUR, column_s);
    assert.ok(bin_s <= column_s * 1.001 || bin_s === HOUR.step_s);
    assert.ok(bin_s > column_s / 2 || levelFor(HOUR, column_s) === topLevel(HOUR));
  }
});

test("what is in view is requested first, then what is beside it, and nothing twice", async () => {
  const { asked, pieces, answer } = kernel(HOUR);
  assert.deepEqual(pieces.cover(100, 124, 1200), []);
  assert.deepEqual(asked[0], [0, 2]);
  assert.deepEqual(asked.slice(1).sort(), [[0, 1], [0, 3], [0, 4]].slice(0, asked.length - 1).sort());
  const before = asked.length;
  pieces.cover(100, 124, 1200);
  assert.equal(asked.length, before, "it is on its way");
  await answer();
  pieces.cover(100, 124, 1200);
  assert.deepEqual(asked.filter(([level, index]) => level === 0 && index === 2).length, 1);
});

test("a piece that is not there yet is drawn from a coarser one", async () => {
  const { pieces, answer } = kernel(HOUR);
  pieces.cover(0, 3600, 1200);
  await answer();
  const parts = pieces.cover(1000, 1010, 1200);
  assert.equal(parts.length, 1);
  assert.ok(parts[0].bin_s > 1, "it is coarse");
  await answer();
  await answer();
  const [fine] = pieces.cover(1000, 1010, 1200);
  assert.equal(fine.bin_s, 0.02);
  const { low, high } = columnsOf([fine], 1000, 1010, 500);
  assert.deepEqual([low[0], high[0], low[250], low[499]], [50_000, 50_000, 50_250, 50_499]);
});

test("no value between two columns is lost, at any zoom", async () => {
  const { pieces, answer } = kernel(HOUR);
  for (const [from, to, columns] of [[0, 3600, 700], [1234.56, 1834.56, 999], [0, 30, 1500]]) {
    for (let i = 0; i < 12; i++) {
      pieces.cover(from, to, columns);
      await answer();
    }
    const { low, high } = columnsOf(pieces.cover(from, to, columns), from, to, columns);
    for (let i = 1; i < columns; i++) {
      if (Number.isNaN(low[i])) continue;
      assert.ok(low[i] <= high[i - 1] + 1, `column ${i} from ${from} goes on where the last ended`);
    }
    assert.ok(Math.abs(low[0] - from / 0.02) <= 2 * (to - from) / columns / 0.02);
  }
});

test("columns beyond the end of the curve are unknown", async () => {
  const curve = { ...HOUR, count: 100 };
  const { pieces, answer } = kernel(curve);
  pieces.cover(0, 4, 400);
  await answer();
  const { low } = columnsOf(pieces.cover(0, 4, 400), 0, 4, 400);
  assert.ok(!Number.isNaN(low[199]) && Number.isNaN(low[200]));
});

test("few requests are on their way at once", () => {
  const { asked, pieces } = kernel({ ...HOUR, count: 1e8 });
  for (let at = 0; at < 2000; at += 50) pieces.cover(at, at + 20, 1000);
  assert.ok(asked.length <= 4);
});

test("a wheel that turns over the picture zooms it; one that scrolls the page goes on", () => {
  const wheel = new WheelTurn();
  assert.ok(wheel.isHere(1000, true), "no click is needed");
  wheel.outside(5000);
  assert.ok(!wheel.isHere(5100, true), "the page scrolls under the pointer");
  assert.ok(!wheel.isHere(5400, true), "still the same turn");
  assert.ok(wheel.isHere(6000, true), "a new turn");
});

test("a wheel without effect scrolls the page, unless the turn was the picture's", () => {
  const wheel = new WheelTurn();
  assert.ok(!wheel.isHere(1000, false), "all is in view already");
  assert.ok(wheel.isHere(2000, true));
  assert.ok(wheel.isHere(2100, false), "the turn that zoomed out doesn't scroll the page");
});

test("two fingers zoom by their distance and pan by their middle", () => {
  const found = pinched([{ x: 100 }, { x: 200 }], [{ x: 100 }, { x: 300 }]);
  assert.deepEqual(found, { factor: 0.5, from: 150, to: 200 });
});

test("speech at another speed has its length and its pitch", () => {
  const tone = Float32Array.from({ length: 16_000 }, (_, i) => Math.sin((2 * Math.PI * 200 * i) / 16_000));
  for (const speed of [0.5, 0.75, 1.5, 2]) {
    const heard = stretched(tone, speed);
    assert.equal(heard.length, Math.round(16_000 / speed));
    const middle = heard.subarray(2000, heard.length - 2000);
    let crossings = 0;
    for (let i = 1; i < middle.length; i++) crossings += middle[i - 1] < 0 && middle[i] >= 0 ? 1 : 0;
    assert.ok(Math.abs((crossings * 16_000) / middle.length - 200) < 8, `pitch at ${speed}`);
    const peak = middle.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    assert.ok(peak > 0.8 && peak < 1.2, `level at ${speed}: ${peak}`);
  }
  assert.equal(stretched(tone, 1), tone);
});

test("values and places on a scale are each other's inverse, and stay in the lane", () => {
  const lane = { top: 100, height: 160 };
  assert.deepEqual([0, -40, -80, -100, 6].map((v) => yOf(v, DECIBELS, lane)), [100, 180, 260, 260, 100]);
  assert.equal(valueAt(180, DECIBELS, lane), -40);
});

test("lines of a scale are round, and written with their unit", () => {
  assert.deepEqual(lines(DECIBELS, 150), [-60, -40, -20]);
  assert.deepEqual(lines({ low: 0, high: 1, unit: "" }, 90), [0.5]);
  assert.equal(written(-40, "dBFS"), "−40 dBFS");
  assert.equal(written(0.5, ""), "50 %");
});

test("a threshold has the value of the last step", () => {
  const steps = { times: [0, 1, 2], values: [-50, -40, -30] };
  assert.deepEqual([0, 0.5, 1, 99].map((time) => stepAt(steps, time)), [-50, -50, -40, -30]);
  assert.equal(firstAfter(steps.times, 1), 2);
});

test("the first visible span is the first that has not ended", () => {
  const spans = [{ start: 0, end: 1 }, { start: 2, end: 3 }, { start: 4, end: 5 }];
  assert.deepEqual([0.5, 1, 2.5, 5].map((time) => firstVisible(spans, time)), [0, 1, 1, 3]);
});

test("a dragged threshold moves its setting in steps, within bounds, the right way", () => {
  const margin = { field: "margin_db", value: 6, min: 1, max: 40, step: 0.5, slope: 1 };
  assert.equal(movedValue(margin, 3.3), 9.5);
  assert.equal(movedValue(margin, -99), 1);
  const hysteresis = { field: "hysteresis_db", value: 4, min: 0, max: 20, step: 0.5, slope: -1 };
  assert.equal(movedValue(hysteresis, -2), 6, "a lower offset threshold is more hysteresis");
  const share = { field: "probability", value: 0.5, min: 0, max: 1, step: 0.01, slope: 100 };
  assert.equal(movedValue(share, 10), 0.6, "a score in points, a setting in shares");
});

/** A model of a widget, as much of it as is needed. */
function widget(values) {
  const calls = new Map();
  return {
    get: (name) => values[name],
    on: (event, call) => calls.set(event, call),
    off: (event) => calls.delete(event),
    change(name, value) {
      values[name] = value;
      calls.get(`change:${name}`)?.();
    },
    calls,
  };
}

test("a threshold moves with its slider before the kernel answers, and then is where it is", async () => {
  const slider = widget({ value: 6 });
  const onset = { field: "margin_db", slider: "s1", value: 6.1, min: 1, max: 40, step: 0.5, slope: 1 };
  const picture = widget({ handles: { onset } });
  picture.widget_manager = { get_model: async () => slider };
  let drawn = 0;
  const handles = new Handles(picture, async () => {}, () => (drawn += 1));
  await Promise.resolve();
  slider.change("value", 8);
  assert.ok(Math.abs(handles.shifts.onset - 1.9) < 1e-9);
  assert.equal(handles.shifts.offset, handles.shifts.onset, "it follows, as it does in the kernel");
  assert.equal(drawn, 1);
  picture.change("handles", { onset: { ...onset, value: 7 } });
  assert.equal(handles.shifts.onset, 1, "the kernel is behind");
  picture.change("handles", { onset: { ...onset, value: 8.1 } });
  assert.deepEqual(handles.shifts, { onset: 0, offset: 0 });
  slider.change("value", 9);
  picture.change("handles", { onset: { ...onset, field: "threshold_dbfs", value: -40 } });
  assert.deepEqual(handles.shifts, { onset: 0, offset: 0 }, "another setting decides");
  handles.close();
  assert.equal(slider.calls.size + picture.calls.size, 0);
});

test("a slider of whole steps is where the kernel's value between them is", () => {
  const handle = { field: "margin_db", value: 6.2, step: 0.5 };
  assert.ok(isSettled(handle, { field: "margin_db", value: 6 }));
  assert.ok(!isSettled(handle, { field: "margin_db", value: 6.5 }));
  assert.ok(isSettled(handle, { field: "probability", value: 0.5 }));
});

test("only rows in view are in the document, and some around them", () => {
  assert.deepEqual(visibleRows(0, 240, 3), { first: 0, past: 3 });
  assert.deepEqual(visibleRows(0, 240, 1500), { first: 0, past: 13 });
  assert.deepEqual(visibleRows(30_000, 240, 1500), { first: 995, past: 1013 });
});

test("on the overview a press drags the window, an edge of it, or fetches it", () => {
  const view = { from: 20, to: 60 };
  assert.deepEqual(windowDrag(view, 30, 1)(35), [25, 65]);
  assert.deepEqual(windowDrag(view, 20.5, 1)(10), [10, 60]);
  assert.deepEqual(windowDrag(view, 60.5, 1)(80), [20, 80]);
  assert.deepEqual(windowDrag(view, 90, 1)(90), [70, 110]);
  assert.deepEqual(windowDrag({ from: 20, to: 23 }, 20, 1)(21), [21, 24], "too small for edges");
});

test("of steps only the visible ones are drawn, and one in a pixel", () => {
  const steps = { times: [0, 10, 20, 30], values: [-50, -40, -30, -20] };
  const view = { from: 5, to: 25, width: 100 };
  assert.deepEqual(visibleSteps(view, steps), [
    [5, -50], [10, -50], [10, -40], [20, -40], [20, -30], [25, -30],
  ]);
  const times = Float32Array.from({ length: 7200 }, (_, i) => i / 2);
  const values = times.map((_, i) => (i % 7) - 50);
  const corners = visibleSteps({ from: 0, to: 3600, width: 1200 }, { times, values });
  assert.ok(corners.length <= 2 * 1200 + 2, `${corners.length}`);
});

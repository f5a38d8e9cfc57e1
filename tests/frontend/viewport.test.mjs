import assert from "node:assert/strict";
import { test } from "node:test";

import { Viewport, clock, gaps, step } from "../../frontend/notebook/viewport.js";

function shown(from, span, duration = 100) {
  const viewport = new Viewport(duration);
  viewport.show(from, span);
  return viewport;
}

const edges = ({ from, to }) => [from, to];

test("at first all of the recording is in view", () => {
  assert.deepEqual(edges(new Viewport(100)), [0, 100]);
  assert.deepEqual(edges(new Viewport(0)), [0, 1], "an empty recording has an axis, too");
});

test("places and times are each other's inverse", () => {
  const viewport = shown(20, 40);
  assert.equal(viewport.timeAt(250, 1000), 30);
  assert.equal(viewport.xOf(30, 1000), 250);
  assert.equal(viewport.seconds(25, 1000), 1);
});

test("the view stays within the recording", () => {
  assert.deepEqual(edges(shown(-5, 10)), [0, 10]);
  assert.deepEqual(edges(shown(95, 10)), [90, 100]);
  assert.deepEqual(edges(shown(5, 1000)), [0, 100]);
  assert.deepEqual(edges(shown(5, 0)), [5, 5.02]);
});

test("the time that a zoom is around keeps its place", () => {
  const viewport = shown(20, 40);
  const before = viewport.xOf(30, 1000);
  viewport.zoom(0.5, 30);
  assert.deepEqual(edges(viewport), [25, 45]);
  assert.equal(viewport.xOf(30, 1000), before);
});

test("a time comes into view by scrolling no further than it takes", () => {
  const viewport = shown(20, 10);
  viewport.reach(25);
  assert.deepEqual(edges(viewport), [20, 30]);
  viewport.reach(33);
  assert.deepEqual(edges(viewport), [23, 33]);
  viewport.reach(10);
  assert.deepEqual(edges(viewport), [10, 20]);
  viewport.centre(50);
  assert.deepEqual(edges(viewport), [45, 55]);
  assert.ok(viewport.holds(45) && viewport.holds(55) && !viewport.holds(44.9));
});

test("of a stretch that is longer than the view the start is shown", () => {
  const viewport = shown(20, 10);
  viewport.reveal(22, 28);
  assert.deepEqual(edges(viewport), [20, 30], "it is there");
  viewport.reveal(50, 54);
  assert.deepEqual(edges(viewport), [47, 57]);
  viewport.reveal(70, 95);
  assert.deepEqual(edges(viewport), [69.5, 79.5]);
});

test("times are clamped to the recording", () => {
  assert.deepEqual([-1, 5, 101].map((time) => new Viewport(100).clamp(time)), [0, 5, 100]);
});

test("the gaps between scored stretches are found", () => {
  assert.deepEqual(gaps(null, 10), []);
  assert.deepEqual(gaps([], 10), [[0, 10]]);
  assert.deepEqual(gaps([[0, 2], [3, 5]], 10), [[2, 3], [5, 10]]);
  assert.deepEqual(gaps([[0, 10]], 10), []);
});

test("the axis has round steps, and as many decimals as they need", () => {
  assert.deepEqual(
    [0.007, 1, 31, 90, 600, 3600, 20000].map((s) => step(s, 8)),
    [0.001, 0.2, 5, 15, 120, 600, 3600],
  );
  assert.equal(clock(75.5, 0.5), "1:15.5");
  assert.equal(clock(59.9999, 0.001), "1:00");
  assert.equal(clock(5, 5), "0:05");
  assert.equal(clock(3600, 600), "1:00:00");
  assert.equal(clock(3675.25, 0.05), "1:01:15.25");
  assert.equal(clock(3599.999, 0.01), "1:00:00");
  assert.equal(clock(0.05, 0.01), "0:00.05");
});

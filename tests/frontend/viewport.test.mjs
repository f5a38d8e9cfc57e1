import assert from "node:assert/strict";
import { test } from "node:test";

import {
  Viewport,
  clock,
  columns,
  gaps,
  levelY,
  step,
  wantedPicture,
} from "../../frontend/notebook/viewport.js";

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

test("times are clamped to the recording", () => {
  assert.deepEqual([-1, 5, 101].map((time) => new Viewport(100).clamp(time)), [0, 5, 100]);
});

test("the first picture is of all, later ones of the view and as much to each side", () => {
  const all = wantedPicture([], shown(40, 10), 1000);
  assert.deepEqual([all.start_s, all.end_s, all.columns], [0, 100, 12_000]);
  const coarse = { start_s: 0, end_s: 100, column_s: 0.1 };
  const near = wantedPicture([coarse], shown(40, 10), 1000);
  assert.deepEqual([near.start_s, near.end_s, near.columns], [30, 60, 3600]);
  assert.equal(wantedPicture([coarse, near], shown(40, 10), 1000), null, "it is there");
  assert.equal(wantedPicture([coarse, near], shown(45, 10), 1000), null, "as far as it reaches");
  assert.notEqual(wantedPicture([coarse, near], shown(55, 10), 1000), null);
  assert.equal(wantedPicture([coarse], shown(0, 100), 1000), null, "coarse is fine enough");
});

test("only the columns in view are drawn, and one more to each side", () => {
  const viewport = shown(40, 10);
  const x = (time) => viewport.xOf(time, 1000);
  const { at, first, past } = columns(100, [0, 100], { x, width: 1000 });
  assert.equal(at(45), 500);
  assert.deepEqual([first, past], [39, 51]);
});

test("levels are clamped to the edges of the box", () => {
  const box = { top: 100, height: 80 };
  assert.deepEqual([6, 0, -40, -80, -100].map((level) => levelY(level, box)), [100, 100, 140, 180, 180]);
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
  assert.equal(clock(3600, 600), "60:00");
  assert.equal(clock(0.05, 0.01), "0:00.05");
});

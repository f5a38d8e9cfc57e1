// LiveMonitor's picture: levels, thresholds, utterances and texts of a session while it runs.

import { asking } from "./kernel.js";
import { TIMELINE_KEYS, keyList } from "./keys.js";
import { Levels } from "./levels.js";
import { aboveStrip, strip } from "./overview.js";
import { segmentsFrom, segmentsTrack } from "./segments.js";
import { Timeline } from "./timeline.js";
import {
  curveTrack,
  firstVisible,
  paintCurve,
  paintShade,
  paintSteps,
  stepsOf,
} from "./tracks.js";

/**
 * @typedef {import("./tracks.js").View} View
 * @typedef {import("./tracks.js").Lane} Lane
 * @typedef {import("./tracks.js").Scale & {name: string, label: string}} Score
 */

/** The view when nobody has zoomed, in seconds. */
const SPAN_S = 15;

/** The times between two updates over which the picture glides, and between two paintings, in ms. */
const [LEAST_MS, MOST_MS, FRAME_MS] = [40, 400, 30];

const STILL = matchMedia("(prefers-reduced-motion: reduce)");

/** The states of the endpointer as the kernel numbers them, and how they are painted. */
const STATES = { speech: 1, pause: 2 };

const MONITOR_KEYS = [
  ["click", "stop the picture; on an utterance, hear it"],
  ["End", "go along with what comes again"],
  ...TIMELINE_KEYS,
];

class Picture {
  /**
   * @param {any} model
   * @param {HTMLElement} el
   * @param {{ask: (content: object) => Promise<any>, levels: Levels, views: Set<Picture>}} shared
   */
  constructor(model, el, shared) {
    this.model = model;
    this.shared = shared;
    /** @type {import("./segments.js").Segment[]} */
    this.utterances = [];
    /** @type {import("./segments.js").Segment[]} */
    this.texts = [];
    this.chosen = -1;
    this.at = 0; // the end of the view while it goes along, in seconds of the stream
    this.came = 0; // when levels came last, in ms of the page
    this.gliding = 0; // the id of the next frame
    this.timeline = new Timeline(el, SPAN_S, {
      model,
      name: `${model.get("name")}: level, thresholds, utterances and texts. Keys stand below.`,
      isLive: true,
      ask: shared.ask,
      pick: (time) => this.pick(time),
      chosen: () => {
        const chosen = this.utterances[this.chosen];
        return chosen ? [chosen.start, chosen.end] : null;
      },
      under: (view) => this.paintUnder(view),
      overview: (view, lane) => this.paintOverview(view, lane),
      marks: (view, lane) => paintShade(view, strip(lane), this.utterances, "found"),
    });
    el.insertAdjacentHTML("beforeend", keyList(MONITOR_KEYS));
    /** @type {[name: string, call: () => void][]} */
    this.events = [
      ["change:scores", () => this.setTracks()],
      ["change:utterances", () => this.read()],
      ["change:texts", () => this.read()],
    ];
    for (const [event, call] of this.events) model.on(event, call);
    shared.views.add(this);
    this.read();
    this.setTracks();
    this.grow();
  }

  close() {
    for (const [event, call] of this.events) this.model.off(event, call);
    this.shared.views.delete(this);
    cancelAnimationFrame(this.gliding);
    this.timeline.close();
  }

  read() {
    const chosen = this.utterances[this.chosen];
    this.utterances = segmentsFrom(this.model.get("utterances"));
    this.chosen = chosen ? this.utterances.findIndex(({ start }) => start === chosen.start) : -1;
    this.texts = segmentsFrom(this.model.get("texts"));
    this.timeline.draw();
  }

  /** Show what has come: the first view fills from the left, and then it scrolls. */
  grow() {
    const [begin, end] = this.shared.levels.stretch;
    const { timeline } = this;
    const isNew = end < timeline.viewport.duration && end > SPAN_S;
    const duration = Math.max(end, begin + SPAN_S);
    timeline.grow(Math.max(0, begin), duration);
    if (isNew) timeline.setLive(true);
    const now = performance.now();
    const took = Math.min(Math.max(now - this.came, LEAST_MS), MOST_MS);
    this.came = now;
    cancelAnimationFrame(this.gliding);
    this.glide(Math.min(this.at, duration), duration, took);
  }

  /**
   * Scroll to the end while the next levels are awaited: they come ten times a second.
   *
   * @param {number} from
   * @param {number} to
   * @param {number} took until the next levels come, in ms
   */
  glide(from, to, took) {
    const { timeline } = this;
    const isFar = to - from > timeline.viewport.span;
    this.at = isFar || document.hidden || STILL.matches ? to : from;
    let painted = 0;
    const step = () => {
      const now = performance.now();
      const { viewport, isLive } = timeline;
      if (!isLive) this.at = to;
      if (this.at < to) this.gliding = requestAnimationFrame(step);
      if (!isLive || now - painted < FRAME_MS) return;
      painted = now;
      if (this.at < to) this.at = from + (to - from) * Math.min(1, (now - this.came) / took);
      viewport.show(this.at - viewport.span, viewport.span);
      timeline.draw();
    };
    step();
  }

  setTracks() {
    const { levels } = this.shared;
    /** @type {Score[]} */
    const scores = this.model.get("scores");
    const tracks = scores.map((scale, i) => {
      const isLast = i === scores.length - 1;
      const over = (/** @type {View} */ view, /** @type {Lane} */ lane) => {
        if (isLast) this.paintThresholds(view, lane, scale);
      };
      const curve = levels.curve(isLast ? "score" : "level");
      return curveTrack(scale.label, curve, scale, i ? 90 : 150, over);
    });
    const chosen = () => this.chosen;
    tracks.push(
      segmentsTrack("utterances", () => this.utterances, { color: "found", chosen }),
      segmentsTrack("texts", () => this.texts, { color: "textbar", flows: true }),
    );
    this.timeline.setTracks(tracks);
  }

  /** @param {number} time */
  pick(time) {
    const i = firstVisible(this.utterances, time);
    const isIn = i < this.utterances.length && this.utterances[i].start <= time;
    this.chosen = isIn ? i : -1;
    this.timeline.draw();
    if (isIn) this.timeline.player.play(this.utterances[i].start, this.utterances[i].end);
  }

  // -- painting -------------------------------------------------------------------------------------

  /** @param {View} view */
  paintUnder(view) {
    const { levels } = this.shared;
    const names = this.model.get("scores").map((/** @type {Score} */ { label }) => label);
    const heard = this.timeline.lanes.filter(({ track }) => names.includes(track.name));
    for (const [state, color] of /** @type {const} */ ([
      [STATES.speech, "shade"],
      [STATES.pause, "othershade"],
    ])) {
      const spans = levels.spans(state, view.from, view.to);
      for (const { lane } of heard) paintShade(view, lane, spans, color);
    }
  }

  /** @param {View} view @param {Lane} lane @param {Score} scale */
  paintThresholds(view, lane, scale) {
    const { levels } = this.shared;
    const color = view.color("onset");
    paintSteps(view, lane, scale, stepsOf(levels.curve("onset"), view), { color, width: 2 });
    paintSteps(view, lane, scale, stepsOf(levels.curve("offset"), view), { color, dash: [5, 3] });
  }

  /** @param {View} view @param {Lane} lane */
  paintOverview(view, lane) {
    const [scale] = this.model.get("scores");
    const curve = this.shared.levels.curve(this.model.get("scores").length > 1 ? "level" : "score");
    paintCurve(view, aboveStrip(lane), curve, scale);
  }
}

export default () => {
  /** @type {any} */
  let shared;
  return {
    /** @param {{model: any}} widget */
    initialize({ model }) {
      const levels = new Levels();
      /** @type {Set<Picture>} */
      const views = new Set();
      shared = { ask: asking(model), levels, views };
      model.on("msg:custom", (/** @type {any} */ content, /** @type {DataView[]} */ buffers) => {
        if (!content.levels) return;
        levels.take(content.levels, buffers[0]);
        for (const view of views) view.grow();
      });
      model.send({ ask: "levels" });
    },
    /** @param {{model: any, el: HTMLElement}} widget */
    render({ model, el }) {
      const picture = new Picture(model, el, shared);
      return () => picture.close();
    },
  };
};

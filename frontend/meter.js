// The level of the last seconds as bars on a scale, with the threshold across them.

import { EDGE_PX, figure, partOf, ticks, write } from "./scale.js";

const BAR_PX = 3; // width of a bar
const STEP_PX = 5; // from one bar to the next
const MOST_BARS = 400;
const SCALE_PX = 34; // for the labels of the scale
const CUT_PX = 24; // from the top to the word at a cut, under the figure of the level
const LABEL = "11px system-ui, sans-serif";

/**
 * @typedef {object} Level a `level` message
 * @property {number} time_s
 * @property {number} level_dbfs
 * @property {number} score of the detector
 * @property {number} threshold on the scale of the score
 * @property {"listening" | "speech" | "pause"} state
 *
 * @typedef {import("./scale.js").Scale} Scale
 */

/**
 * Draw `level` messages into an element that holds a canvas.
 *
 * @param {HTMLElement} element with role "meter"
 */
export function createMeter(element) {
  const canvas = /** @type {HTMLCanvasElement} */ (element.querySelector("canvas"));
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  /** @type {Level[]} */
  let levels = [];
  /** @type {number[]} */
  let cuts = []; // ends of utterances that were too long, in s
  let detector = "";
  /** @type {Scale} */
  let scale = { label: "level", unit: "dBFS", low: -75, high: -10 }; // until hello
  /** @type {Record<string, string>} */
  const colors = {};
  let asked = 0; // an animation frame
  let toldAt = 0;

  /** @param {Level} message */
  function add(message) {
    levels.push(message);
    if (levels.length > MOST_BARS) levels = levels.slice(-MOST_BARS / 2);
    cuts = cuts.filter((end_s) => end_s >= levels[0].time_s);
    tell(message);
    draw();
  }

  /**
   * Describe the level to screen readers, once a second at most.
   *
   * @param {Level} message
   */
  function tell(message) {
    const { score, threshold } = message;
    const now = Date.now();
    if (now - toldAt < 1000) return;
    toldAt = now;
    const heard = `${scale.unit ? "" : `${scale.label} `}${write(scale, score)}`;
    const cut = cuts.length ? ", an utterance was cut: it was too long" : "";
    element.setAttribute("aria-valuenow", String(Math.round(levelOf(message))));
    element.setAttribute("aria-valuetext", `${heard}, threshold ${write(scale, threshold)}${cut}`);
  }

  /**
   * The level that is compared with the threshold, or the level alone if the score is not one.
   *
   * @param {Level} message
   */
  function levelOf({ score, level_dbfs }) {
    return scale.unit === "dBFS" ? score : level_dbfs;
  }

  function draw() {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      paint();
    });
  }

  function paint() {
    const { width, height } = canvas.getBoundingClientRect();
    const ratio = devicePixelRatio;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const y = (/** @type {number} */ value) => {
      return height - EDGE_PX - partOf(scale, value) * (height - 2 * EDGE_PX);
    };
    paintScale(width, y);
    if (still.matches) paintLast(width, height, y);
    else paintTrace(width, height, y);
  }

  /** @param {number} width @param {(value: number) => number} y */
  function paintScale(width, y) {
    context.font = LABEL;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const value of ticks(scale)) {
      context.fillStyle = colors.label;
      context.fillText(figure(scale, value), SCALE_PX - 8, y(value));
      context.fillStyle = colors.rule;
      context.fillRect(SCALE_PX, Math.round(y(value)), width - SCALE_PX, 1);
    }
  }

  /** @param {number} width @param {number} height @param {(value: number) => number} y */
  function paintTrace(width, height, y) {
    const shown = levels.slice(-Math.floor((width - SCALE_PX) / STEP_PX));
    const first = width - shown.length * STEP_PX;
    const place = (/** @type {number} */ i) => first + i * STEP_PX;
    shown.forEach(({ score, state }, i) => {
      context.fillStyle = colors[state];
      context.beginPath();
      // TypeScript 4.8 does not know "roundRect".
      /** @type {any} */ (context).roundRect(place(i), y(score), BAR_PX, height - y(score), BAR_PX / 2);
      context.fill();
    });
    context.strokeStyle = colors.threshold;
    context.lineWidth = 1.5;
    context.setLineDash([4, 3]);
    context.beginPath();
    shown.forEach(({ threshold }, i) => {
      if (i === 0) context.moveTo(first, y(threshold));
      context.lineTo(place(i), y(threshold));
      context.lineTo(place(i + 1), y(threshold));
    });
    context.stroke();
    context.setLineDash([]);
    for (const end_s of cuts) {
      const i = shown.findIndex(({ time_s }) => time_s >= end_s);
      if (i > 0) paintCut(place(i) - 1, height);
    }
  }

  /**
   * Mark where an utterance was cut: a line, and the word.
   *
   * @param {number} x
   * @param {number} height
   */
  function paintCut(x, height) {
    context.fillStyle = colors.cut;
    context.fillRect(x - 0.75, 0, 1.5, height);
    context.textAlign = x < SCALE_PX + 30 ? "left" : "right";
    context.fillText("cut", x < SCALE_PX + 30 ? x + 4 : x - 4, CUT_PX);
  }

  /**
   * Without motion: one bar, for the level now.
   *
   * @param {number} width
   * @param {number} height
   * @param {(value: number) => number} y
   */
  function paintLast(width, height, y) {
    const last = levels.at(-1);
    if (!last) return;
    context.fillStyle = colors[last.state];
    context.fillRect(SCALE_PX, y(last.score), width - SCALE_PX, height - y(last.score));
    context.fillStyle = colors.threshold;
    context.fillRect(SCALE_PX, y(last.threshold) - 1, width - SCALE_PX, 2);
  }

  function forget() {
    levels = [];
    cuts = [];
  }

  function readColors() {
    const style = getComputedStyle(element);
    const names = {
      listening: "--bar",
      speech: "--voice",
      pause: "--wait",
      threshold: "--limit",
      label: "--faint",
      rule: "--rule",
      cut: "--ink",
    };
    for (const [use, name] of Object.entries(names)) {
      const probe = document.createElement("i");
      element.append(probe);
      probe.style.color = `var(${name})`;
      colors[use] = getComputedStyle(probe).color || style.color;
      probe.remove();
    }
    draw();
  }

  dark.addEventListener("change", readColors);
  still.addEventListener("change", draw);
  new ResizeObserver(draw).observe(canvas);
  readColors();

  return {
    add,
    levelOf,
    /** @param {number} end_s of an utterance that was cut, being too long */
    cut(end_s) {
      cuts.push(end_s);
      draw();
    },
    recolor: readColors,
    threshold: () => levels.at(-1)?.threshold ?? -50,
    /** @param {string} name @param {Scale} itsScale */
    setDetector(name, itsScale) {
      if (name !== detector) forget(); // the scale may differ
      detector = name;
      scale = itsScale;
    },
    clear() {
      forget();
      draw();
    },
  };
}

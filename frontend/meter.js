// The level of the last seconds as bars, with the threshold across them.

const BAR_PX = 3; // width of a bar
const STEP_PX = 5; // from one bar to the next
const MOST_BARS = 400;

/**
 * @typedef {object} Level a `level` message
 * @property {number} level_dbfs
 * @property {number} score of the detector
 * @property {number} threshold on the scale of the score
 * @property {"listening" | "speech" | "pause"} state
 *
 * @typedef {object} Scale of a detector's score
 * @property {string} label
 * @property {string} unit "" for a score in 0..1, which is shown in percent
 * @property {number} low at the bottom of the meter
 * @property {number} high at its top
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
  /** @type {Record<string, {scale: Scale}>} */
  let detectors = {};
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
    tell(message);
    draw();
  }

  /**
   * Describe the level to screen readers, once a second at most.
   *
   * @param {Level} message
   */
  function tell({ level_dbfs, score, threshold }) {
    const now = Date.now();
    if (now - toldAt < 1000) return;
    toldAt = now;
    const heard = scale.unit ? write(score) : `${scale.label} ${write(score)}`;
    element.setAttribute("aria-valuenow", String(Math.round(level_dbfs)));
    element.setAttribute("aria-valuetext", `${heard}, threshold ${write(threshold)}`);
  }

  /**
   * A score with its unit; one without a unit in percent.
   *
   * @param {number} value
   */
  function write(value) {
    return scale.unit ? `${Math.round(value)} ${scale.unit}` : `${Math.round(100 * value)} %`;
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
    if (still.matches) paintLast(width, height);
    else paintTrace(width, height);
  }

  /**
   * Where a score stands on the scale, in 0..1.
   *
   * @param {number} value
   */
  function part(value) {
    return Math.min(1, Math.max(0, (value - scale.low) / (scale.high - scale.low)));
  }

  /** @param {number} width @param {number} height */
  function paintTrace(width, height) {
    const shown = levels.slice(-Math.floor(width / STEP_PX));
    const first = width - shown.length * STEP_PX;
    const room = height - BAR_PX;
    shown.forEach(({ score, state }, i) => {
      const x = first + i * STEP_PX;
      const tall = BAR_PX + part(score) * room;
      context.fillStyle = colors[state];
      context.beginPath();
      // TypeScript 4.8 does not know "roundRect".
      /** @type {any} */ (context).roundRect(x, height - tall, BAR_PX, tall, BAR_PX / 2);
      context.fill();
    });
    context.strokeStyle = colors.threshold;
    context.lineWidth = 1.5;
    context.setLineDash([4, 3]);
    context.beginPath();
    shown.forEach(({ threshold }, i) => {
      const y = height - BAR_PX - part(threshold) * room;
      if (i === 0) context.moveTo(first, y);
      context.lineTo(first + i * STEP_PX, y);
      context.lineTo(first + (i + 1) * STEP_PX, y);
    });
    context.stroke();
    context.setLineDash([]);
  }

  /**
   * Without motion: one bar for the level now, from left to right.
   *
   * @param {number} width
   * @param {number} height
   */
  function paintLast(width, height) {
    const last = levels.at(-1);
    if (!last) return;
    const tall = Math.min(12, height);
    const top = (height - tall) / 2;
    context.fillStyle = colors.listening;
    context.globalAlpha = 0.35;
    context.fillRect(0, top, width, tall);
    context.globalAlpha = 1;
    context.fillStyle = colors[last.state];
    context.fillRect(0, top, part(last.score) * width, tall);
    context.fillStyle = colors.threshold;
    context.fillRect(part(last.threshold) * width - 1, top - 4, 2, tall + 8);
  }

  function readColors() {
    const style = getComputedStyle(element);
    const names = { listening: "--bar", speech: "--voice", pause: "--wait", threshold: "--limit" };
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
    recolor: readColors,
    threshold: () => levels.at(-1)?.threshold ?? -50,
    /** @param {Record<string, {scale: Scale}>} known those of `hello`, by name */
    setDetectors(known) {
      detectors = known;
    },
    /** @param {string} name */
    setDetector(name) {
      if (name !== detector) levels = []; // the scale may differ
      detector = name;
      scale = detectors[name]?.scale ?? scale;
    },
    clear() {
      levels = [];
      draw();
    },
  };
}

// A picture of points; the mouse or the arrow keys choose one.

/**
 * @typedef {[setting: number, x: number, y: number]} Point where the point of a setting stands, in
 *   parts of the picture's width and height
 * @typedef {[dx: number, dy: number]} Direction
 */

/** @type {Record<string, Direction>} */
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Longest distance from a point at which a click chooses it, in parts of the picture. */
const REACH = 0.1;

/**
 * The nearest point, if it is within reach.
 *
 * @param {Point[]} points
 * @param {number} x
 * @param {number} y
 */
export function nearest(points, x, y, reach = REACH) {
  /** @type {Point | undefined} */
  let best;
  let least = reach;
  for (const point of points) {
    const distance = Math.hypot(point[1] - x, point[2] - y);
    if (distance < least) [best, least] = [point, distance];
  }
  return best;
}

/**
 * The next point in a direction: near, and rather ahead than aside.
 *
 * @param {Point[]} points
 * @param {Point} from
 * @param {Direction} direction
 */
export function next(points, [, x, y], [dx, dy]) {
  /** @type {Point | undefined} */
  let best;
  let least = Infinity;
  for (const point of points) {
    const ahead = (point[1] - x) * dx + (point[2] - y) * dy;
    const aside = Math.abs((point[1] - x) * dy) + Math.abs((point[2] - y) * dx);
    if (ahead > 1e-6 && ahead + 2 * aside < least) [best, least] = [point, ahead + 2 * aside];
  }
  return best;
}

/** @param {{model: any, el: HTMLElement}} view */
function render({ model, el }) {
  const chart = document.createElement("div");
  chart.className = "sttlab-chart";
  chart.tabIndex = 0;
  chart.setAttribute("role", "application"); // so that screen readers pass on the arrow keys
  const image = chart.appendChild(new Image());
  image.alt = ""; // the label of the chart describes it
  el.append(chart);

  const draw = () => {
    URL.revokeObjectURL(image.src);
    chart.setAttribute("aria-label", `${model.get("alt")}; the arrow keys choose`);
    chart.hidden = !model.get("png").byteLength;
    if (!chart.hidden) image.src = URL.createObjectURL(new Blob([model.get("png")]));
  };
  const choose = (/** @type {Point | undefined} */ point) => {
    if (!point) return;
    model.set("chosen", point[0]);
    model.save_changes();
  };

  chart.addEventListener("click", (event) => {
    const box = image.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    const y = (event.clientY - box.top) / box.height;
    choose(nearest(model.get("points"), x, y));
  });
  chart.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation(); // JupyterLab would select another cell
    /** @type {Point[]} */
    const points = model.get("points");
    const stops = new Set(model.get("stops"));
    const at = points.find((point) => point[0] === model.get("chosen")) ?? [-1, 0.5, 0.5];
    choose(next(points.filter((point) => stops.has(point[0])), at, step));
  });
  model.on("change:png", draw);
  draw();
  return () => {
    model.off("change:png", draw);
    URL.revokeObjectURL(image.src);
  };
}

export default { render };

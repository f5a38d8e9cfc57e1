// Settings that move with the thresholds on the picture: by dragging, by keys, or with a slider.
// The picture shows at once where a person has moved a threshold, and the kernel follows.

/**
 * @typedef {object} Handle a setting that moves with a threshold on the picture
 * @property {string} field
 * @property {string} slider the id of the model of its slider
 * @property {number} value
 * @property {number} min
 * @property {number} max
 * @property {number} step
 * @property {number} slope how far the threshold moves with the setting
 *
 * @typedef {{which: string, field: string, value: number}} Moved
 */

/**
 * The value of a setting after a threshold was dragged.
 *
 * @param {Pick<Handle, "value" | "min" | "max" | "step" | "slope">} handle
 * @param {number} by how far the threshold was dragged, on its scale
 */
export function movedValue({ value, min, max, step, slope }, by) {
  const rounded = Math.round((value + by / slope) / step) * step;
  return Math.min(Math.max(Number(rounded.toFixed(6)), min), max);
}

/**
 * Whether the kernel has a threshold where a person moved it. A slider has whole steps, which the
 * kernel's value need not be.
 *
 * @param {Pick<Handle, "field" | "value" | "step">} handle
 * @param {Pick<Moved, "field" | "value">} moved
 */
export const isSettled = ({ field, value, step }, moved) =>
  field !== moved.field || Math.abs(value - moved.value) <= step / 2;

export class Handles {
  /**
   * @param {any} model of the picture
   * @param {(content: object) => Promise<any>} ask
   * @param {() => void} draw
   */
  constructor(model, ask, draw) {
    this.model = model;
    this.ask = ask;
    this.draw = draw;
    /** @type {?Moved} where a person has moved a threshold, until the kernel has moved it too */
    this.preview = null;
    /** @type {?{field: string, value: number}} what is to be set next */
    this.next = null;
    this.setting = false;
    /** @type {Map<string, () => void>} by the ids of sliders, what no longer follows them */
    this.followed = new Map();
    this.changed = () => {
      this.settle();
      this.follow();
    };
    model.on("change:handles", this.changed);
    this.follow();
  }

  close() {
    this.model.off("change:handles", this.changed);
    for (const leave of this.followed.values()) leave();
  }

  /** @returns {Record<string, Handle>} by "onset" and "offset" */
  get all() {
    return this.model.get("handles");
  }

  /** Move thresholds with their sliders, before the kernel has heard of it. */
  follow() {
    for (const { slider } of Object.values(this.all)) {
      if (this.followed.has(slider)) continue;
      let left = false;
      this.followed.set(slider, () => (left = true));
      this.model.widget_manager.get_model(slider).then((/** @type {any} */ model) => {
        if (left) return;
        const move = () => this.slide(slider, model.get("value"));
        model.on("change:value", move);
        this.followed.set(slider, () => model.off("change:value", move));
      });
    }
  }

  /** @param {string} slider @param {number} value */
  slide(slider, value) {
    const found = Object.entries(this.all).find(([, handle]) => handle.slider === slider);
    if (!found) return;
    if (this.setting) return; // the slider follows what a key or a drag has set, and is behind it
    const [which, { field }] = found;
    this.preview = { which, field, value };
    this.settle();
  }

  /** Let go of what a person has moved, once the kernel has moved it too. */
  settle() {
    const { preview } = this;
    const handle = preview && this.all[preview.which];
    if (!handle || isSettled(handle, preview)) this.preview = null;
    this.draw();
  }

  /**
   * Move a threshold by a step of its setting.
   *
   * @param {string} which
   * @param {1 | -1} way up or down
   */
  nudge(which, way) {
    const handle = this.all[which];
    if (!handle) return;
    const now = this.preview?.which === which ? this.preview.value : handle.value;
    const value = movedValue({ ...handle, value: now }, way * Math.abs(handle.step * handle.slope));
    if (value !== now) this.move(which, handle.field, value);
  }

  /**
   * @param {string} which
   * @param {string} field
   * @param {number} value
   */
  move(which, field, value) {
    this.preview = { which, field, value };
    this.set(field, value);
    this.draw();
  }

  /** Show a threshold where the kernel has it. */
  release() {
    this.preview = null;
    this.draw();
  }

  /**
   * Set a field. The kernel has one such request at a time, the newest.
   *
   * @param {string} field
   * @param {number} value
   */
  async set(field, value) {
    this.next = { field, value };
    if (this.setting) return;
    this.setting = true;
    while (this.next) {
      const asked = this.next;
      this.next = null;
      await this.ask({ ask: "set", ...asked });
    }
    this.setting = false;
  }

  /** How far both thresholds are ahead of what the kernel knows. */
  get shifts() {
    const handle = this.preview && this.all[this.preview.which];
    if (!handle || !this.preview) return { onset: 0, offset: 0 };
    const by = (this.preview.value - handle.value) * handle.slope;
    return { onset: this.preview.which === "onset" ? by : 0, offset: by };
  }
}

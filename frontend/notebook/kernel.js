// Requests to the kernel, and the bytes that it sends.

/** @typedef {{content: any, buffers: DataView[]}} Answer of the kernel */
/** @typedef {(content: object) => Promise<any>} Ask */

/**
 * A copy of the bytes of a view: a typed array can start only at an aligned offset.
 *
 * @param {DataView} view
 */
export const copied = (view) =>
  view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);

/**
 * Requests to the kernel, and their answers. One for each model, before it has views.
 *
 * @param {any} model
 * @returns {(content: object) => Promise<Answer>}
 */
export function asking(model) {
  /** @type {Map<number, (answer: Answer) => void>} */
  const waiting = new Map();
  let last = 0;
  model.on("msg:custom", (/** @type {any} */ content, /** @type {DataView[]} */ buffers) => {
    waiting.get(content.id)?.({ content, buffers });
    waiting.delete(content.id);
  });
  return (content) =>
    new Promise((done) => {
      const id = ++last;
      waiting.set(id, done);
      model.send({ ...content, id });
    });
}

/**
 * A widget whose every view is an object of a class, with one way to ask the kernel for all.
 *
 * @param {new (model: any, el: HTMLElement, ask: Ask) => {close(): void}} View
 */
export const widgetOf = (View) => () => {
  /** @type {Ask} */
  let ask;
  return {
    /** @param {{model: any}} widget */
    initialize({ model }) {
      ask = asking(model);
    },
    /** @param {{model: any, el: HTMLElement}} widget */
    render({ model, el }) {
      const view = new View(model, el, ask);
      return () => view.close();
    },
  };
};
